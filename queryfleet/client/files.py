"""Files of results: what is asked for, under which names it is kept until it is whole. Shared by both clients."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from queryfleet.errors import ConflictError, JsonValue, ParameterError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MadeFile", "download_body", "file_format", "finish", "parse_file", "part_file", "part_path"]

_FORMATS: Final = ("csv", "xlsx", "jsonl", "parquet", "arrow", "arrow_stream")
_BY_SUFFIX: Final = {
    ".csv": "csv",
    ".xlsx": "xlsx",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".arrows": "arrow_stream",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFile:
    """A file that the service has made."""

    url: str  # opens it without a token
    job_uuid: str  # the same file of the same result is always of the same job
    byte_count: int


def file_format(path: Path, format_: str | None) -> str:
    """Return the kind of a file: the one that was named, or that of its ending.

    Raises:
        ParameterError: There is no such kind, or the ending says none.
    """
    found = format_ or _BY_SUFFIX.get(path.suffix.lower())
    if found not in _FORMATS:
        what = f"format {format_!r} is none" if format_ else f"{path.name!r} does not end like one"
        raise ParameterError(f"{what} of {', '.join(_FORMATS)}.", field="format")
    return found


def download_body(format_: str, *, formatted: bool, name: str) -> dict[str, JsonValue]:
    """Return what is asked of the service."""
    return {"type": format_, "onlyRaw": not formatted, "attachmentDownloadName": name}


def parse_file(results: JsonValue) -> MadeFile:
    """Read the answer of the service.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    data = results if isinstance(results, dict) else {}
    url, job_uuid, byte_count = data.get("fileUrl"), data.get("jobId"), data.get("byteCount")
    if not (isinstance(url, str) and isinstance(job_uuid, str) and isinstance(byte_count, int)):
        raise ServiceError("The service's answer names no file. Upgrade queryfleet.")
    return MadeFile(url=url, job_uuid=job_uuid, byte_count=byte_count)


def part_path(path: Path, made: MadeFile) -> Path:
    """Return where a file is kept until it is whole: in the same folder, under a name that is its own."""
    return path.with_name(f".{path.name}.{made.job_uuid}.part")


@contextmanager
def part_file(part: Path, byte_count: int) -> Iterator[BinaryIO]:
    """Open what there is of a file, to go on at its end; it is closed after the block, and stays.

    A disk that is full, or another error of the disk, removes it: it would only be in the way.

    Args:
        part: Its name.
        byte_count: Bytes of the whole; what is longer is not part of it and is thrown away.

    Raises:
        ConflictError: Somebody else is writing it just now.
        OSError: The disk refused.
    """
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    file = os.fdopen(descriptor, "r+b")
    try:
        _lock(file, part)
    except ConflictError:
        file.close()
        raise
    try:
        if file.seek(0, os.SEEK_END) > byte_count:
            file.truncate(0)
            file.seek(0)
        yield file
        file.flush()
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(part)) from error
    except ServiceError as error:
        # What the service has refused for good is not gone on with.
        if not error.retryable or not part.stat().st_size:
            part.unlink()
        raise
    finally:
        with suppress(OSError):  # what it could not write is told already
            file.close()


def finish(part: Path, path: Path) -> None:
    """Give a whole file its name, in one step; what had that name is replaced.

    Raises:
        OSError: The disk refused; then nothing has changed.
    """
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _lock(file: BinaryIO, part: Path) -> None:
    with suppress(ImportError):  # not every system has it
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"Another download is writing {part}.") from None
