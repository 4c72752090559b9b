"""`queryfleet download`: a result as a file."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from queryfleet.cli.failure import ExitCode
from queryfleet.cli.interrupt import Interrupted, interruptible
from queryfleet.client.progress import ProgressLine
from queryfleet.client.texts import megabytes, printable, progress_text

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from queryfleet.cli.connection import Service

__all__ = ["download_result"]


def download_result(
    service: Service,
    query_uuid: str,
    path: Path,
    *,
    format_: str | None,
    formatted: bool,
    is_quiet: bool,
    as_json: bool,
    stdout: TextIO,
    stderr: TextIO,
) -> ExitCode:
    """Wait for a query and write its rows to a file; what broke off is gone on with by the next call.

    Raises:
        ServiceError: There is no such file, or no answer; the class says why.
    """
    progress = ProgressLine(stderr, is_quiet=is_quiet, started_at=time.monotonic())

    def show(here: int, total: int) -> None:
        progress.show(f"{megabytes(here)} of {megabytes(total)} · {progress.seconds:.1f} s")

    with interruptible():
        try:
            with service.client() as client:
                query = client.attach(query_uuid)
                for snapshot in query.watch(interval_seconds=progress.interval_seconds, page_size=1):
                    progress.show(progress_text(snapshot, seconds=progress.seconds))
                result = query.result()
                progress.show("making the file")
                written = result.download(path, format=format_, formatted=formatted, on_bytes=show)
        except Interrupted:
            progress.note("Interrupted. The same command goes on where this one stopped.", always=True)
            return ExitCode.INTERRUPTED
        except OSError as error:
            progress.note(f"Error: {printable(str(error))}", always=True)
            return ExitCode.FAILED
    byte_count = written.stat().st_size
    if as_json:
        about = {"path": str(written), "byteCount": byte_count, "rowCount": len(result), "queryUuid": query_uuid}
        stdout.write(json.dumps(about, ensure_ascii=False) + "\n")
    progress.clear()
    progress.note(f"{printable(str(written))}: {len(result):,} rows, {megabytes(byte_count)}")
    return ExitCode.OK
