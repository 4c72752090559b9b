"""The end of a Ray head: every process that carries its marker is killed and its folder is removed.

Run as a program it waits for the process that started it, and then does the same: a head whose owner was killed is
cleared away although nobody was left to do it. Ray's own processes end with their parent; HAProxy would stay.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

__all__ = ["MARKER", "Reaper", "end_stack"]

MARKER = "QUERYFLEET_STACK_ID"  # in the environment of every process of a head
_ROUNDS = 5  # a process may start another one while it is being killed
_ROUND_SECONDS = 2.0


class Reaper:
    """A small process that clears a head away once this process has ended, however it ends.

    Args:
        stack_id: Value of the marker.
        folder: Removed at the end.
    """

    def __init__(self, stack_id: str, folder: Path) -> None:
        # It waits for the end of the pipe, which the kernel closes for us whatever happens. Its session is its own,
        # so that no Ctrl-C reaches it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cluster.local.reaper", stack_id, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name != MARKER},
            start_new_session=True,
        )

    def release(self) -> None:
        """Let it do its work now, and wait for it. Idempotent."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def end_stack(stack_id: str, folder: Path) -> None:
    """Kill what carries the marker, this process excepted, and remove `folder`. Idempotent.

    Cost: reads the environment of every process of this user, about 20 ms per hundred.
    """
    for _ in range(_ROUNDS):
        left = [process for process in psutil.process_iter() if _is_marked(process, stack_id, folder)]
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=_ROUND_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def _is_marked(process: psutil.Process, stack_id: str, folder: Path) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        environment = _environment(process) if process.status() != psutil.STATUS_ZOMBIE else b""
    except (psutil.Error, OSError):
        return False
    return (
        f"{MARKER}={stack_id}".encode() in environment
        or f"={folder}/".encode() in environment
        or _is_titled_and_ours(process, folder)
    )


def _is_titled_and_ours(process: psutil.Process, folder: Path) -> bool:
    """Return whether it is a process of Ray with a file of `folder` open, also one that was removed since.

    Such a process has written its title over its environment, sometimes over all that names us there. Others with an
    open log there, such as somebody's own driver, are not ours to end.
    """
    with contextlib.suppress(psutil.Error, OSError):  # it ended, or is another user's
        if not "".join(process.cmdline()).startswith("ray::"):
            return False
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed since
                if str(descriptor.readlink()).startswith(f"{folder}/"):
                    return True
    return False


def _environment(process: psutil.Process) -> bytes:
    raw = Path(f"/proc/{process.pid}/environ")  # parsed, it would end at the first overwritten part
    if raw.exists():
        return raw.read_bytes()
    return b"\0".join(f"{name}={value}".encode() for name, value in process.environ().items())


def main() -> None:
    """Wait for the end of standard input, then end the stack named on the command line."""
    stack_id, folder = sys.argv[1:]
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    end_stack(stack_id, Path(folder))
    # A process that was just ending may have written into the folder meanwhile.
    time.sleep(0.1)
    end_stack(stack_id, Path(folder))


if __name__ == "__main__":
    main()
