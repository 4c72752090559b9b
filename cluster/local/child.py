"""A program started beside us, that ends when we do.

A parent that is killed cannot stop its children. Linux can: a *parent death signal* reaches the child when
the thread that forked it ends. So a thread of our own forks the program and then waits for it: the signal
comes when the process ends and not earlier, and an ended program does not stay a zombie.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Child"]

# Runs first in the child: ask for the signal, then become the program. Code between fork and exec would not
# be safe in a process with threads. A parent that died before the signal was asked for would never be
# noticed, hence the check.
_STUB = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A started program. Thread-safe; its methods block.

    Args:
        command: Program and arguments. They can be read by every user of the machine: no secrets here.
        env: The whole environment.
        log_path: The program's output is appended to this file.

    Raises:
        OSError: It could not be started.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], log_path: Path) -> None:
        self._command = [sys.executable, "-I", "-S", "-c", _STUB, str(os.getpid()), *command]
        self._env = dict(env)
        self._log_path = log_path
        self._started = threading.Event()
        self._ended = threading.Event()
        self._reaping = threading.Lock()
        self._failure: OSError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._keep, name=f"keeper of {command[0]}", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    @property
    def pid(self) -> int:
        """The process id, also its process group; of a program that has ended, the one it had."""
        return self._process.pid if self._process is not None else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.returncode if self._process is not None and self._ended.is_set() else None

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """Ask it to end, kill it and its process group after `grace_seconds`, and wait. Idempotent."""
        self._signal(signal.SIGTERM)
        if not self._ended.wait(grace_seconds):
            self._signal(signal.SIGKILL)
            self._ended.wait()

    def kill(self) -> None:
        """End it and its process group at once, as a crash would, and wait. Idempotent."""
        self._signal(signal.SIGKILL)
        self._ended.wait()

    def _signal(self, number: signal.Signals) -> None:
        # Under the lock the program is not yet waited for, so the id is still its own and nobody else's.
        with self._reaping:
            if self._process is not None and not self._ended.is_set():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)

    def _keep(self) -> None:
        try:
            with self._log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._env,
                    start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop it in turn
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            self._process.wait()
            self._ended.set()
