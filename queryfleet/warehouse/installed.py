"""Whether a driver is there: each is an extra of the distribution, so that nobody installs those of others."""

from __future__ import annotations

from importlib.util import find_spec

from queryfleet.errors import ConfigurationError

__all__ = ["require_package"]


def require_package(package: str, *, kind: str) -> None:
    """Check that a driver's package can be imported; does not import it.

    Args:
        package: As it is imported, such as `trino` or `google.cloud.bigquery`.
        kind: The warehouse's type, which is also the name of the extra.

    Raises:
        ConfigurationError: It is not installed; the message has the command.
    """
    try:
        found = find_spec(package) is not None
    except ModuleNotFoundError:  # a package above it
        found = False
    if not found:
        raise ConfigurationError(
            f"Warehouses of type {kind} need the package {package}, which is not installed where queries run: "
            f"pip install 'queryfleet[{kind}]'.",
            field="warehouse.type",
        )
