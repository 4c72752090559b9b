"""From a connected Ray to a client of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError
from queryfleet.ray.client import RayClient
from queryfleet.ray.door import Door, open_door
from queryfleet.ray.rows import is_ray_client
from queryfleet.ray.versions import check_ray, check_release

if TYPE_CHECKING:
    from queryfleet.client.retry import RetryPolicy
    from queryfleet.ray.door import ServeHandle

__all__ = ["connect"]

_APPLICATION = "queryfleet"


def connect(
    *,
    token: str,
    project: str | None = None,
    address: str | None = None,
    handle: ServeHandle | None = None,
    application: str = _APPLICATION,
    retry: RetryPolicy | None = None,
    timeout_seconds: float = 30.0,
) -> RayClient:
    """Return a client of the service that runs on a Ray cluster.

    Args:
        token: A personal token of the service; the replicas check it.
        project: Uuid or name of the project that is asked; None: the service's only one.
        address: `ray://host:10001`, or what else `ray.init` takes; None when this process is connected already.
        handle: The Serve handle of the service's application, if somebody handed it over; None: it is looked up.
        application: Name of the service's Serve application.
        retry: How long to repeat; the default is 30 seconds.
        timeout_seconds: For one answer, on top of the time the service was asked to wait.

    Raises:
        ConfigurationError: Ray is missing, not connected or of another version, or no service runs there.
    """
    _require_ray()
    _join(address)
    door = open_door(application) if handle is None else Door(handle, application)
    check_release(door.about().get("queryfleet", ""))
    return RayClient(door, token=token, project=project, retry=retry, timeout_seconds=timeout_seconds)


def _require_ray() -> None:
    try:
        import ray.serve  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed; install what this needs with `pip install 'queryfleet[ray]'`, "
            "in the cluster's version of Ray."
        ) from error


def _join(address: str | None) -> None:
    import ray
    from ray.util.client import ray as client

    if not ray.is_initialized():
        if address is None:
            raise ConfigurationError(
                "This process is not connected to Ray: call ray.init('ray://host:10001') first, or give address=."
            )
        _init(address)
    if is_ray_client():
        check_ray(client.get_context().client_worker.connection_info(), ray_version=ray.__version__)


def _init(address: str) -> None:
    import ray

    for is_last in (False, False, True):
        try:
            ray.init(address, log_to_driver=False)
        except ConnectionAbortedError as error:
            # Ray's head starts a process for each client, and sometimes, when it is busy, that one never begins.
            if is_last:
                raise _refused(address, error) from error
        except (RuntimeError, ConnectionError, ValueError) as error:
            raise _refused(address, error) from error
        else:
            return


def _refused(address: str, error: Exception) -> ConfigurationError:
    import platform

    import ray

    reason = str(error).strip().splitlines()
    return ConfigurationError(
        f"Ray at {address} cannot be used ({reason[0] if reason else type(error).__name__}). Check the address. "
        f"This process has Ray {ray.__version__} and Python {platform.python_version()}; the cluster needs the very "
        "same Ray and the same Python minor version. Over HTTP, `queryfleet.Client` fits any Python from 3.11 on.",
        cause=" ".join(reason)[:500],
    )
