"""A PostgreSQL 18 server for one machine, from the binaries of a wheel.

    with PostgresServer(Path(".queryfleet/postgres")) as server:
        psycopg.connect(server.url)

What lies where, for a data folder `postgres`:

    postgres/             the data; made whole under another name and renamed, so half of one is never used
    postgres.password     the password of the only user, readable by this user alone
    postgres.log          what the server says; started anew when larger than 10 MB
    postgres.lock         held by the process that started the server

The server listens on 127.0.0.1 only and asks for the password. It ends with `stop()`, or with the process
that started it, however that ends. Two locks keep two servers from one folder: `postgres.lock` belongs to the
starting process; the data folder itself is locked through a descriptor that every process of the server
inherits, so that lock is free exactly when the last of them is gone. Whoever holds both knows that a leftover
`postmaster.pid` is stale, which the server could not tell by itself where dead processes stay as zombies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from cluster.local.postgres_process import (
    USE_ANOTHER,
    ChildProcess,
    child_environment,
    command_prefix,
    owner_of,
    program,
)
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["PostgresServer"]

VERSION = "18"  # what PG_VERSION of the data must say
USER = "app"
DATABASE = "queryfleet"
START_SECONDS = 60.0  # includes repeating the log after a crash
STOP_SECONDS = 20.0
FORMER_SECONDS = 15.0  # for the server of a process that was killed to end
LOG_BYTES_MAX = 10_000_000
PORT_ATTEMPTS = 3  # a port found free may be taken before the server has it


class PostgresServer:
    """One server on one data folder. `start` and `stop` are for one thread; also a context manager.

    Args:
        data_dir: The data; its parent gets log, password and lock. Both are made when missing.
        port: TCP port on 127.0.0.1; None: a free one, chosen anew at each start.
        settings: More server settings, by PostgreSQL's names.
    """

    def __init__(self, data_dir: Path, port: int | None = None, *, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.log_path = _beside(self.data_dir, ".log")
        self._wanted_port = port
        self._settings = {"max_connections": "200", **(settings or {})}
        self._child: ChildProcess | None = None
        self._lock: int | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """`postgresql://app:<password>@127.0.0.1:<port>/queryfleet`: holds the password, so never log it.

        Raises:
            ConfigurationError: The server was not started.
        """
        if self._url is None:
            raise ConfigurationError("this PostgreSQL server has no URL: it is not started; call start() first")
        return self._url

    @property
    def pid(self) -> int | None:
        """Process id of the running server (its postmaster); None when it does not run."""
        return self._child.pid if self._child is not None and self._child.exit_code is None else None

    def start(self) -> None:
        """Make the data on first use, start the server, and return when it answers; the database exists then.

        Raises:
            ConfigurationError: The folder is in use, belongs to another PostgreSQL version or is something
                else; the port is taken; the programs cannot run here. Nothing of the attempt is left running.

        Cost: about 1 s the first time, 0.1 s later, more after a crash with much to repeat.
        """
        if self._child is not None and self.pid is None:
            self.stop()  # it died under us; begin anew
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.data_dir)
        try:
            if self._wanted_port is not None:
                _check_port(self._wanted_port)
            password = _password(self.data_dir, self.log_path)
            attempts = PORT_ATTEMPTS if self._wanted_port is None else 1
            while not self._launched(password, last=attempts == 1):
                attempts -= 1
        except BaseException:
            self.stop()
            raise

    def _launched(self, password: str, *, last: bool) -> bool:
        """Start the server and wait for it; False when its port was taken and this is not the last try."""
        port = self._wanted_port or _free_port()
        owner = owner_of(self.data_dir)
        prefix = command_prefix(owner, self.data_dir)
        log_start = _open_log(self.log_path)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_min_error_statement": "panic",  # the log tells what failed, never the text of a statement
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        inherited = _folder_locked(self.data_dir)
        try:
            # We hold both locks: no process of a former server is left, whatever this file says.
            (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
            self._child = ChildProcess(
                [*prefix, str(program("postgres")), "-D", str(self.data_dir), "-p", str(port), *options],
                log_path=self.log_path,
                keep_open=inherited,
                env=child_environment(),
            )
        finally:
            os.close(inherited)  # now only the server's processes hold it
        url = f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{port}"
        failure = _wait_until_ready(self._child, f"{url}/postgres")
        if failure is None:
            self._url = f"{url}/{DATABASE}"
            return True
        written = _log_since(self.log_path, log_start)
        if not last and "Address already in use" in written:
            return False
        raise ConfigurationError(
            f"the PostgreSQL server on {self.data_dir} {failure}; {self.log_path} ends with:\n{_tail(written)}"
        )

    def stop(self) -> None:
        """Stop the server, cutting connections, and return when all its processes are gone. Idempotent."""
        self._url = None
        child, self._child = self._child, None
        if child is not None:
            child.send(signal.SIGINT)
            if not child.wait(STOP_SECONDS):
                child.send(signal.SIGQUIT)  # ends at once; the next start repeats the log
                if not child.wait(STOP_SECONDS):
                    child.send(signal.SIGKILL)
                    child.wait(STOP_SECONDS)
            with contextlib.suppress(ConfigurationError):
                os.close(_folder_locked(self.data_dir))
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _beside(data_dir: Path, suffix: str) -> Path:
    return data_dir.with_name(data_dir.name + suffix)


def _locked(data_dir: Path) -> int:
    """Take the lock of the starting process and return its descriptor; closing it gives the lock back."""
    path = _beside(data_dir, ".lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}. Choose another data folder.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ConfigurationError(
            f"{data_dir} is in use: process {holder} already runs a PostgreSQL server on it. "
            f"Stop that one, or choose another data folder."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _folder_locked(data_dir: Path) -> int:
    """Wait until no server uses the folder, lock it, and return the descriptor to be inherited."""
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + FORMER_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            os.close(descriptor)
            raise ConfigurationError(
                f"{data_dir} is in use by a PostgreSQL server whose starter is gone. Stop it with "
                f"`kill -INT $(head -1 {data_dir / 'postmaster.pid'})` and try again."
            ) from error
        return descriptor


def _password(data_dir: Path, log_path: Path) -> str:
    """Return the password of the data in `data_dir`, making both on first use."""
    path = _beside(data_dir, ".password")
    try:
        entries = [entry.name for entry in data_dir.iterdir()] if data_dir.exists() else []
        version = (data_dir / "PG_VERSION").read_text().strip() if "PG_VERSION" in entries else None
        password = path.read_text().strip() if entries and path.exists() else ""
    except OSError as error:
        raise ConfigurationError(
            f"cannot use {error.filename or data_dir}: {error.strerror}. Start the service as "
            f"the user who made it, or choose another data folder."
        ) from error
    if not entries:
        password = secrets.token_hex(16)
        _make_data(data_dir, password, log_path)
        return password
    if version is None:
        raise ConfigurationError(f"{data_dir} is not empty and holds no PostgreSQL data. Choose another data folder.")
    if version != VERSION:
        raise ConfigurationError(
            f"{data_dir} was made by PostgreSQL {version}, this is {VERSION}. Choose another data folder, "
            f"or move the data with pg_dump."
        )
    if not password:
        raise ConfigurationError(
            f"{path} is missing or empty, and without it nobody can log in to {data_dir}. Put it back, or "
            f"remove {data_dir} to start with nothing."
        )
    return password


def _make_data(data_dir: Path, password: str, log_path: Path) -> None:
    """Run initdb under another name, store the password, and let the data appear at once."""
    made = _beside(data_dir, ".new")
    shutil.rmtree(made, ignore_errors=True)  # of an attempt that was killed; the lock is ours
    made.mkdir(mode=0o700)
    secret = made.with_name(made.name + ".password")
    owner = owner_of(data_dir)
    try:
        _write_secret(secret, password)
        if owner is not None:
            for path in (made, secret):
                os.chown(path, *owner)
        prefix = command_prefix(owner, made)
        flags = [
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            # Orders by code points as C does, but knows the two cases of letters beyond ASCII.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
        _open_log(log_path)
        with log_path.open("ab") as log:
            done = subprocess.run(
                [*prefix, str(program("initdb")), "-D", str(made), "--pwfile", str(secret), *flags],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.PIPE,
                cwd="/",
                env=child_environment(),
                start_new_session=True,
            )
            log.write(done.stderr)
        said = done.stderr.decode(errors="replace")
        if done.returncode != 0:
            raise ConfigurationError(
                f"initdb could not make {data_dir}; fix what it names, {USE_ANOTHER}. It said:\n{_tail(said)}"
            )
        # The password first: data without one would be lost, a password without data is only replaced.
        kept = _beside(data_dir, ".password")
        _write_secret(kept, password)
        made.rename(data_dir)
    finally:
        secret.unlink(missing_ok=True)
        shutil.rmtree(made, ignore_errors=True)


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only this user can read, whatever was there before."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(descriptor)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # As the server does: connections of a former one that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} on 127.0.0.1 cannot be used for PostgreSQL: {error.strerror}. Choose another port."
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(child: ChildProcess, admin_url: str) -> str | None:
    """Wait for a login to succeed and make the database; None then, else what went wrong, without the URL."""
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.wait(0.02):
            return f"ended at once (exit code {child.exit_code})"
        try:
            with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as connection:
                found = connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
                if found is None:
                    connection.execute(f'create database "{DATABASE}"')
        except psycopg.OperationalError as error:
            # The login is refused while another program answers on this port, too: then ours ends very soon.
            if "password authentication failed" in str(error) and not child.wait(1.0):
                return "refuses the password kept beside it"
            continue
        return None
    return f"does not answer after {START_SECONDS:.0f} s"


def _open_log(path: Path) -> int:
    """Make the log private and not too large; return its length in bytes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        if os.fstat(descriptor).st_size > LOG_BYTES_MAX:
            os.ftruncate(descriptor, 0)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _log_since(path: Path, start: int) -> str:
    with path.open("rb") as log:
        log.seek(start)
        return log.read(LOG_BYTES_MAX).decode(errors="replace")


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-6:])
