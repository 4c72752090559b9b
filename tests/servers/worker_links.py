"""A link of fixed bandwidth for each process that downloads, however many connections it has."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE_BYTES = 32 * 1024


class WorkerLinks:
    """Delays what is sent so that no process of this machine gets more than its share. Used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at: dict[int, float] = {}  # by process: when what was promised to it is through

    def send(self, process: int, data: bytes, write: Callable[[bytes], object], *, bytes_per_second: float) -> None:
        """Write `data` piece by piece, as fast as the link of `process` allows."""
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            with self._lock:
                begin = max(time.monotonic(), self._free_at.get(process, 0.0))
                self._free_at[process] = free_at = begin + len(piece) / bytes_per_second
            time.sleep(max(0.0, free_at - time.monotonic()))
            write(piece)

    def process_at(self, port: int) -> int:
        """Return the process that has the other end of a loopback connection; 0 when it has gone."""
        inode = _inode_at(port)
        with self._lock:
            known = list(self._free_at)
        return next((process for process in (*known, *_processes()) if _has_socket(process, inode)), 0)


def _inode_at(port: int) -> str:
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        columns = line.split()
        if columns[1] == f"0100007F:{port:04X}":
            return columns[9]
    return "0"


def _processes() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _has_socket(process: int, inode: str) -> bool:
    with suppress(OSError):
        for path in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                if str(path.readlink()) == f"socket:[{inode}]":
                    return True
    return False
