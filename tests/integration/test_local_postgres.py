"""The embedded PostgreSQL: started, stopped, killed, and killed together with its parent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from cluster.local import postgres, postgres_process
from cluster.local.postgres import PostgresServer
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc; parent death signals are Linux's")


def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait for the condition to become true, with a limit."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)


def processes_in(folder: Path) -> list[int]:
    """Every living process whose current directory is the folder: all of a server's are in its data."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = (entry / "cwd").readlink()
            except OSError:
                continue  # gone, a zombie, or not ours to see
            if where == folder:
                found.append(int(entry.name))
    return found


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement on a connection of its own and return its rows."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "postgres"


@pytest.fixture
def reachable_dir() -> Iterator[Path]:
    """A folder below which every user may go, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_postgres_server_first_start_answers_as_promised(data_dir: Path) -> None:
    """A new folder becomes a server of version 18 with its own database, 200 connections, UTF-8 and UTC."""
    with PostgresServer(data_dir) as server:
        rows = execute(
            server.url,
            "select current_database(), current_user, current_setting('server_version_num')::int / 10000, "
            "current_setting('max_connections'), current_setting('server_encoding'), "
            "current_setting('timezone')",
        )
    assert rows == [("queryfleet", "app", 18, "200", "UTF8", "UTC")]


def test_postgres_server_knows_the_two_cases_of_every_letter(database_url: str) -> None:
    """Texts are in the order of their code points, and upper case is not for ASCII alone."""
    with psycopg.connect(database_url) as connection:
        [(upper, ordered)] = connection.execute(
            "select upper('åé'), (select array_agg(x order by x) from unnest(array['å', 'b', 'A', 'a', 'B']) as x)"
        ).fetchall()
    assert (upper, ordered) == ("ÅÉ", ["A", "B", "a", "b", "å"])


def test_postgres_server_asks_for_its_password(data_dir: Path) -> None:
    """Nobody gets in without the password, which is kept where only this user can read it."""
    with PostgresServer(data_dir) as server:
        password = urlsplit(server.url).password
        assert password is not None
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url.replace(password, "guess"))
        kept = data_dir.with_name("postgres.password")
        assert password == kept.read_text().strip()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        assert password not in server.log_path.read_text()
        assert password not in repr(server)


@on_linux
def test_postgres_server_password_is_not_in_the_process_list(data_dir: Path) -> None:
    """No command line of the server shows the password."""
    with PostgresServer(data_dir) as server:
        password = urlsplit(server.url).password
        assert password is not None
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_in(data_dir)]
        assert lines
        assert not any(password.encode() in line for line in lines)


def test_postgres_server_listens_on_loopback_only(data_dir: Path) -> None:
    """The server can be reached from this machine alone."""
    with PostgresServer(data_dir) as server:
        assert execute(server.url, "show listen_addresses") == [("127.0.0.1",)]


def test_postgres_server_restart_keeps_data_and_password(data_dir: Path) -> None:
    """What was committed is there after a stop and a start, and the same password opens it."""
    with PostgresServer(data_dir) as server:
        execute(server.url, "create table kept as select 42 as answer")
        password = urlsplit(server.url).password
    with PostgresServer(data_dir) as server:
        assert execute(server.url, "select answer from kept") == [(42,)]
        assert password == urlsplit(server.url).password


def test_postgres_server_fixed_port_can_be_used_again_at_once(data_dir: Path) -> None:
    """A restart on the same port succeeds although connections of the first run have just ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        with PostgresServer(data_dir, port) as server:
            assert port == urlsplit(server.url).port
            assert execute(server.url, "select 1") == [(1,)]


@on_linux
def test_postgres_server_stop_leaves_nothing(data_dir: Path) -> None:
    """After a stop no process and no surprising file is left, even with a connection still open."""
    server = PostgresServer(data_dir)
    server.start()
    connection = psycopg.connect(server.url)
    assert len(processes_in(data_dir)) > 1
    server.stop()
    connection.close()
    assert processes_in(data_dir) == []
    assert server.pid is None
    assert not (data_dir / "postmaster.pid").exists()
    names = sorted(path.name for path in data_dir.parent.iterdir())
    assert names == ["postgres", "postgres.lock", "postgres.log", "postgres.password"]
    with pytest.raises(ConfigurationError, match="not started"):
        _ = server.url
    server.stop()


def test_postgres_server_killed_starts_again_with_its_data(data_dir: Path) -> None:
    """A killed server leaves a stale pid file and still starts with everything that was committed."""
    server = PostgresServer(data_dir)
    server.start()
    execute(server.url, "create table kept as select generate_series(1, 1000) as n")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.pid is None)
    assert (data_dir / "postmaster.pid").exists()
    server.start()
    try:
        assert execute(server.url, "select count(*) from kept") == [(1000,)]
    finally:
        server.stop()


PARENT = """
import sys
from pathlib import Path
from cluster.local.postgres import PostgresServer
server = PostgresServer(Path(sys.argv[1]))
server.start()
print(server.pid, server.url, flush=True)
sys.stdin.read()
"""


@on_linux
def test_postgres_server_parent_killed_goes_away(data_dir: Path) -> None:
    """When its parent is killed the server ends by itself, and the folder can be started again."""
    command = [sys.executable, "-c", PARENT, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid, url = parent.stdout.readline().split()
        assert int(pid) in processes_in(data_dir)
        execute(url, "create table kept as select 7 as n")
        parent.kill()
    with PostgresServer(data_dir) as server:
        # It did not even have to wait for us: this is a clean start after an orderly stop.
        assert execute(server.url, "select n from kept") == [(7,)]
        assert int(pid) not in processes_in(data_dir)
    assert "received fast shutdown request" in server.log_path.read_text()
    assert "database system was not properly shut down" not in server.log_path.read_text()
    until(lambda: processes_in(data_dir) == [])


def test_postgres_server_started_by_a_passing_thread_stays(data_dir: Path) -> None:
    """The thread that called start may end; the server does not end with it."""
    server = PostgresServer(data_dir)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        assert execute(server.url, "select 1") == [(1,)]
    finally:
        server.stop()
    assert "received fast shutdown request" in server.log_path.read_text()


def test_postgres_server_same_folder_twice_is_refused(data_dir: Path) -> None:
    """A second start on a folder in use fails, names the process, and does the first server no harm."""
    with PostgresServer(data_dir) as server:
        with pytest.raises(ConfigurationError, match=f"is in use: process {os.getpid()} already runs"):
            PostgresServer(data_dir).start()
        with pytest.raises(ConfigurationError, match="is in use"):
            server.start()
        assert execute(server.url, "select 1") == [(1,)]


def test_postgres_server_taken_port_is_refused(data_dir: Path) -> None:
    """A port that another program listens on is named, nothing is left running, and the folder stays free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1"):
            PostgresServer(data_dir, port).start()
    with PostgresServer(data_dir) as server:
        assert execute(server.url, "select 1") == [(1,)]


def test_postgres_server_other_version_is_refused(data_dir: Path) -> None:
    """Data of another PostgreSQL version is not touched; the message names both versions."""
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError, match="made by PostgreSQL 16, this is 18"):
        PostgresServer(data_dir).start()
    assert [path.name for path in data_dir.iterdir()] == ["PG_VERSION"]


def test_postgres_server_foreign_folder_is_refused(data_dir: Path) -> None:
    """A folder with something else in it is not touched."""
    data_dir.mkdir()
    (data_dir / "letter.txt").write_text("dear reader")
    with pytest.raises(ConfigurationError, match="is not empty and holds no PostgreSQL data"):
        PostgresServer(data_dir).start()
    assert [path.name for path in data_dir.iterdir()] == ["letter.txt"]


def test_postgres_server_missing_password_is_explained(data_dir: Path) -> None:
    """Without the password file the message says what is missing and what can be done."""
    with PostgresServer(data_dir):
        pass
    data_dir.with_name("postgres.password").unlink()
    with pytest.raises(ConfigurationError, match=r"postgres\.password is missing or empty"):
        PostgresServer(data_dir).start()


def test_postgres_server_wrong_password_file_is_explained(data_dir: Path) -> None:
    """A password file of other data is recognised as such, and the server is stopped again."""
    with PostgresServer(data_dir):
        pass
    data_dir.with_name("postgres.password").write_text("of another one\n")
    server = PostgresServer(data_dir)
    with pytest.raises(ConfigurationError, match="refuses the password kept beside it"):
        server.start()
    assert server.pid is None


def test_postgres_server_wrong_setting_shows_the_log(data_dir: Path) -> None:
    """A server that does not start is reported with the end of its log."""
    with pytest.raises(ConfigurationError, match="unrecognized configuration parameter"):
        PostgresServer(data_dir, settings={"no_such_setting": "1"}).start()


def test_postgres_server_interrupted_first_start_begins_anew(data_dir: Path) -> None:
    """What a killed first start left behind is cleared away by the next one."""
    half = data_dir.with_name("postgres.new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with PostgresServer(data_dir) as server:
        assert execute(server.url, "select 1") == [(1,)]
    assert not half.exists()


def test_postgres_server_without_setpriv_runs_in_a_reachable_folder(
    reachable_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program `setpriv` is missing the server still runs, if its user can reach the folder."""
    monkeypatch.setenv("PATH", str(reachable_dir))
    with PostgresServer(reachable_dir / "postgres") as server:
        assert execute(server.url, "select 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may not run the server itself")
def test_postgres_server_root_without_a_way_names_the_setting(
    reachable_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root without setpriv, below a folder only root may enter, is told to name a server of its own."""
    monkeypatch.setenv("PATH", str(reachable_dir))
    closed = reachable_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="--database-url"):
        PostgresServer(closed / "postgres").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may not run the server itself")
def test_postgres_server_root_with_programs_in_a_closed_folder_runs(
    reachable_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation below a folder that only root may enter serves, its data there as well."""
    closed = reachable_dir / "closed"
    closed.mkdir(mode=0o700)
    package = postgres_process.program("initdb").parents[2]
    for name in (package.name, f"{package.name}.libs"):  # where the programs look for their libraries
        shutil.copytree(package.with_name(name), closed / name, symlinks=True)
    for module in (postgres, postgres_process):
        monkeypatch.setattr(module, "program", lambda name: closed / package.name / "pginstall18" / "bin" / name)
    with PostgresServer(closed / "data" / "postgres") as server:
        assert execute(server.url, "select 1") == [(1,)]


def test_database_url_is_a_fresh_database(database_url: str) -> None:
    """The fixture's database is empty and belongs to this test."""
    assert execute(database_url, "select count(*) from pg_tables where schemaname = 'public'") == [(0,)]
