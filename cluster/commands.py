"""The operator's commands: `queryfleet up` and `queryfleet doctor`."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from queryfleet.errors import ConfigurationError, ServiceError

if TYPE_CHECKING:
    import threading

    from cluster.bootstrap import Service
    from cluster.local.stack import LocalStack
    from cluster.stop_signals import StopSignals
    from queryfleet.settings import Settings

__all__ = ["doctor", "up"]

_PORT = 8765
_TOKEN_BYTES = 24
_LOOK_SECONDS = 2.0
_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


def up(
    project: Annotated[
        list[Path] | None, typer.Option(help="A project folder; repeatable. None: the sample shop.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the HTTP service; 0 for a free one.")] = _PORT,
    data_dir: Annotated[
        Path, typer.Option(envvar="QUERYFLEET_DATA_DIR", help="Where the local stack keeps its data.")
    ] = Path(".queryfleet"),
    store: Annotated[
        str | None, typer.Option(help="Result store: s3://bucket/prefix, file:///folder, or none: nothing is stored.")
    ] = None,
    database_url: Annotated[str | None, typer.Option(help="PostgreSQL to use instead of a local one.")] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written when a query can be answered: where the service is, as JSON.")
    ] = None,
) -> None:
    """Start the service, and whatever part of it is not given, on this machine; Ctrl-C stops it all."""
    from cluster.stop_signals import StartInterrupted, StopSignals
    from queryfleet.settings import load_settings

    stop = StopSignals()
    try:
        settings = load_settings(store_url=store, database_url=database_url)
        _report_unknown()
        _run(settings, [path.absolute() for path in project or []], port, data_dir.absolute(), ready_file, stop)
    except StartInterrupted:
        raise typer.Exit(_INTERRUPTED) from None
    except ServiceError as error:
        _say(f"error: {error.message}" + (f" ({error.details['cause']})" if "cause" in error.details else ""))
        raise typer.Exit(1) from None


def doctor(
    data_dir: Annotated[
        Path, typer.Option(envvar="QUERYFLEET_DATA_DIR", help="Where a local service keeps its data.")
    ] = Path(".queryfleet"),
    database_url: Annotated[str | None, typer.Option(help="PostgreSQL to look at.")] = None,
    store: Annotated[str | None, typer.Option(help="Result store to look at.")] = None,
    warehouse: Annotated[bool, typer.Option("--warehouse", help="Log in at the projects' warehouses only.")] = False,
) -> None:
    """Check database, result store, warehouses, Ray and package names; say what to fix. Exit code 1 if anything is."""
    from cluster.doctor import findings
    from queryfleet.settings import load_settings

    place = _running_service(data_dir)
    try:
        settings = load_settings(
            database_url=database_url or os.environ.get("QUERYFLEET_DATABASE_URL") or place.get("database_url"),
            store_url=store or os.environ.get("QUERYFLEET_STORE_URL") or place.get("store_url"),
            **_store_access(data_dir, place),
        )
    except ServiceError as error:
        _say(f"error: {error.message}")
        raise typer.Exit(1) from None
    _report_unknown()
    address = os.environ.get("RAY_ADDRESS") or place.get("ray_address")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ill = 0
    for finding in findings(settings, ray_address=address, warehouses_only=warehouse):
        typer.echo(f"{'ok   ' if finding.is_well else 'WRONG'} {finding.part}: {finding.text}")
        if not finding.is_well:
            ill += 1
            typer.echo(f"      {finding.advice}")
    if ill:
        raise typer.Exit(1)


def _running_service(data_dir: Path) -> dict[str, str]:
    """Return what a running local service wrote about itself; empty when there is none."""
    try:
        document = json.loads((data_dir / "service.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in document.items() if isinstance(value, str)}


def _store_access(data_dir: Path, place: dict[str, str]) -> dict[str, object]:
    """Return how to reach the local stack's own S3 server, unless the environment names another store."""
    secret = data_dir / "s3.secret"
    endpoint = place.get("store_endpoint_url")
    if endpoint is None or "QUERYFLEET_STORE_URL" in os.environ or not secret.exists():
        return {}
    return {
        "store_endpoint_url": endpoint,
        "store_access_key_id": "QUERYFLEET",
        "store_secret_access_key": secret.read_text(encoding="utf-8").strip(),
    }


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _report_unknown() -> None:
    from queryfleet.settings import unknown_variables

    for name, nearest in unknown_variables(os.environ).items():
        hint = f"; did you mean {nearest}?" if nearest else ""
        _say(f"warning: {name} is not a setting{hint}")


def _run(
    settings: Settings, folders: list[Path], port: int, data_dir: Path, ready_file: Path | None, stop: StopSignals
) -> None:
    from cluster.bootstrap import Service
    from cluster.local.ports import check_free, free_ports
    from cluster.local.sample import write_shop_project
    from cluster.local.stack import RAY, LocalStack, private_file
    from cluster.preparation import check_store, unreadable_projects
    from queryfleet.project import load_project

    check_store(settings)  # before anything starts: later it would be a replica's failure that nobody reads
    if settings.test_now is not None:
        _say(f"warning: the clock of relative date filters is fixed at {settings.test_now}")
    is_sample = not folders
    if is_sample:
        _say("Preparing the sample shop …")
        with stop.breaking_off():
            folders = [write_shop_project(data_dir / "shop")]
    projects = [load_project(folder) for folder in folders]
    for line in unreadable_projects(settings, projects):
        _say(f"warning: {line}")
    if port and "RAY_ADDRESS" not in os.environ:
        check_free(settings.host, port)  # on a given cluster it may be the service's that we take over
    stack = LocalStack(data_dir, settings, say=_say)
    service: Service | None = None
    announced: dict[Path, str] = {}  # what we wrote, so ours to remove
    try:
        with stop.breaking_off():
            parts = stack.start()
            token = os.environ.get("QUERYFLEET_TOKEN") or private_file(
                data_dir / "token", lambda: secrets.token_urlsafe(_TOKEN_BYTES)
            )
            service = Service(parts=parts, projects=projects, token=token, port=port or free_ports(1)[0], say=_say)
            service.start()
        for path in (data_dir / "service.json", *([ready_file] if ready_file else [])):
            announced[path] = _write_json(path, _announcement(service))
        _say_ready(service)
        if is_sample:
            _say("Try, in this folder: queryfleet query orders -d orders_status -m orders_revenue")
        _wait(service, stack, stop.asked)
    finally:
        _say("Stopping …")
        for path, text in announced.items():
            _remove(path, text)
        try:
            if service is not None and stack.ended_part() != RAY:
                service.stop()  # which speaks to Ray
        finally:
            stack.stop()


def _say_ready(service: Service) -> None:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        _say("note: Ray's ports take anybody who can reach this machine; RAY_AUTH_MODE=token asks for a token.")
    _say(f"\nReady at {service.url} (documentation: {service.url}/docs). Ctrl-C stops it.")
    if service.parts.ray_client_address is not None:
        _say(f"Through Ray: {service.parts.ray_client_address}")


def _wait(service: Service, stack: LocalStack, stop: threading.Event) -> None:
    """Return when told to stop, or when another `up` has taken over the service on a given cluster.

    Raises:
        ConfigurationError: A part that was started here has ended by itself.
    """
    is_given = service.parts.wait_for_ray is None  # else nobody can take over: Ray is our own
    while not stop.wait(_LOOK_SECONDS):
        part = stack.ended_part()
        if part is not None:
            raise ConfigurationError(
                f"{part} has ended by itself; its log is in the data folder. Start the service again on the same "
                "folder: what was accepted is there, and goes on."
            )
        if is_given and service.is_superseded:
            _say("Another `queryfleet up` has taken over the service on this cluster.")
            return


def _remove(path: Path, text: str) -> None:
    """Remove a file, unless somebody else has written it anew."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            path.unlink()


def _announcement(service: Service) -> dict[str, object]:
    settings = service.parts.settings
    return {
        "url": service.url,
        "token": service.token,
        "project_uuids": [project.project_uuid for project in service.projects],
        "ray_address": service.parts.ray_address,
        "ray_client_address": service.parts.ray_client_address,
        "database_url": settings.database_url.get_secret_value() if settings.database_url else None,
        "store_url": settings.store_url,
        "store_endpoint_url": settings.store_endpoint_url,
    }


def _write_json(path: Path, document: dict[str, object]) -> str:
    """Write atomically, readable by this user only: the document holds a token. Returns the text."""
    path = path.absolute()
    text = json.dumps(document, indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)
    return text
