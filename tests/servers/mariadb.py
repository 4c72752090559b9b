"""A MariaDB server of its own, from unpacked packages: no installation, no service, loopback only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ports import free_ports

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import pymysql

USER, PASSWORD = "reader", "s3cret word"
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where MariaDB's programs and their files are."""

    base: Path  # the folder with `bin`, `sbin` and `share`
    libraries: str  # for the dynamic linker; "" when the system has them

    def environment(self) -> dict[str, str]:
        """Return the environment to start them with."""
        return {**os.environ, "LD_LIBRARY_PATH": self.libraries} if self.libraries else dict(os.environ)


def find_programs() -> Programs | None:
    """Return MariaDB as `tools/mariadb.sh` unpacked it beside this interpreter, or as the system has it, or None."""
    unpacked = Path(sys.prefix) / "mariadb"
    folder = Path(os.environ.get("QUERYFLEET_TEST_MARIADB", str(unpacked)))
    if (folder / "usr/sbin/mariadbd").is_file():
        libraries = ":".join(str(path) for path in (folder / "usr/lib").glob("*-linux-*"))
        return Programs(base=folder / "usr", libraries=libraries)
    installed = shutil.which("mariadbd")
    return Programs(base=Path(installed).parents[1], libraries="") if installed else None


class MariaDBServer:
    """Runs while the context lasts."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD) -> str:
        """Return a SQLAlchemy URL."""
        return f"mysql+pymysql://{user}:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def connect(self) -> pymysql.Connection:
        """Return an administrator's connection."""
        import pymysql

        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)

    def ask(self, sql: str, *values: object) -> list[tuple]:
        """Run one statement as the administrator."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def __enter__(self) -> Self:
        base, data = self._programs.base, self._folder / "data"
        data.mkdir(parents=True)
        common = ["--no-defaults", f"--basedir={base}", f"--datadir={data}", f"--lc-messages-dir={base}/share/mysql"]
        user = ["--user=root"] if os.geteuid() == 0 else []
        with (self._folder / "log").open("wb") as log:
            subprocess.run(
                [
                    str(base / "bin/mariadb-install-db"),
                    *common[:3],
                    *user,
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                ],
                env=self._programs.environment(),
                stdout=log,
                stderr=log,
                check=True,
            )
            self._process = subprocess.Popen(
                [
                    str(base / "sbin/mariadbd"),
                    *common,
                    *user,
                    "--bind-address=127.0.0.1",
                    f"--port={self.port}",
                    f"--socket={self._folder}/s",
                    "--innodb-use-native-aio=0",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-buffer-pool-size=32M",
                    "--log-bin-trust-function-creators=1",
                ],
                env=self._programs.environment(),
                stdout=log,
                stderr=log,
            )
        self._wait()
        self.ask(f"create user {USER}@localhost identified by '{PASSWORD}'")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)

    def _wait(self) -> None:
        import pymysql

        pause = threading.Event()
        for _ in range(round(START_SECONDS / 0.05)):
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                self.connect().close()
            except pymysql.Error:
                pause.wait(0.05)
            else:
                return
        raise RuntimeError((self._folder / "log").read_text())
