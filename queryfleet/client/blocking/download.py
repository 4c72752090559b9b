# Made of queryfleet/client/concurrent/download.py by tools/make_blocking.py: change that one.
"""A file of a result on this machine: made by the service, fetched in one piece or several, named when it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from queryfleet.client.blocking.lanes import in_thread
from queryfleet.client.calls import download_call
from queryfleet.client.files import download_body, file_format, finish, parse_file, part_file, part_path
from queryfleet.errors import ConflictError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from queryfleet.client.blocking.wire import Wire
    from queryfleet.client.files import MadeFile
    from queryfleet.errors import JsonValue

__all__ = ["download"]

_MAKING_SECONDS = 20.0  # how long the service holds an answer while it makes the file


def download(
    wire: Wire,
    project_uuid: str,
    query_uuid: str,
    path: str | os.PathLike[str],
    *,
    format_: str | None,
    formatted: bool,
    on_bytes: Callable[[int, int], None] | None,
) -> Path:
    """Have a file made of a result and fetch it; see `Result.download`."""
    target = Path(path)
    body = download_body(file_format(target, format_), formatted=formatted, name=target.stem)
    made = _made(wire, project_uuid, query_uuid, body)
    part = part_path(target, made)
    with part_file(part, made.byte_count) as file:
        at = file.tell()
        while at < made.byte_count:
            for piece in wire.read_file(made.url, at, made.byte_count):
                in_thread(file.write, piece)
                at += len(piece)
                if on_bytes is not None:
                    on_bytes(at, made.byte_count)
    in_thread(finish, part, target)
    return target


def _made(wire: Wire, project_uuid: str, query_uuid: str, body: dict[str, JsonValue]) -> MadeFile:
    call = download_call(project_uuid, query_uuid, body, wait_seconds=_MAKING_SECONDS)
    while True:
        try:
            return parse_file(wire.send(call))
        except ConflictError as error:
            # With a job it is still being made, and asking again waits for it; otherwise there is no result.
            if "jobId" not in error.details:
                raise
