"""What only DuckDB has: a file, other processes that want it, and SQL that runs inside our own process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import duckdb
import pytest

from queryfleet.errors import ServiceError, WarehouseConnectionError, WarehouseError, WarehouseQueryError
from queryfleet.warehouse.base import Statement
from queryfleet.warehouse.duckdb import DuckDBWarehouse
from tests.fixtures.warehouses import TAG

if TYPE_CHECKING:
    from pathlib import Path

    from queryfleet.warehouse.duckdb import DuckDBSession
    from tests.fixtures.warehouses import DuckDBEngine


def values(warehouse: DuckDBWarehouse, sql: str, **options: object) -> list[object]:
    """Return the first column of a result."""
    with warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql, **options))
        return [value for batch in session.batches(max_rows=100) for value in batch.column(0).to_pylist()]


def test_connect_without_a_file_names_it_and_makes_none(tmp_path: Path) -> None:
    """A missing database is an error, never a new empty one."""
    for read_only in (True, False):
        warehouse = DuckDBWarehouse(path=str(tmp_path / "nosuch.duckdb"), read_only=read_only)
        with pytest.raises(WarehouseConnectionError, match=r"nosuch\.duckdb"):
            warehouse.ping()
    assert [] == list(tmp_path.iterdir())


def test_connect_to_another_kind_of_file_says_so(tmp_path: Path) -> None:
    """A file that is no database is told from a missing one."""
    (tmp_path / "notes.txt").write_text("no database at all, but long enough to look at" * 100)
    with pytest.raises(WarehouseConnectionError, match="not a DuckDB database"):
        DuckDBWarehouse(path=str(tmp_path / "notes.txt")).ping()


def test_connect_while_another_process_writes_may_be_tried_again(duckdb_file: DuckDBEngine) -> None:
    """A file locked by a writer is a retryable error, and works when the writer is gone."""
    code = f"import duckdb; c = duckdb.connect({duckdb_file.path!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        warehouse = DuckDBWarehouse(path=duckdb_file.path)
        with pytest.raises(WarehouseConnectionError, match="in use by a process that writes") as caught:
            warehouse.ping()
        assert caught.value.retryable
        writer.communicate("\n")
    assert warehouse.ping().startswith("DuckDB ")


def test_memory_database_works(tmp_path: Path) -> None:
    """Without a file there is an empty database per session."""
    assert [1] == values(DuckDBWarehouse(path=":memory:"), "select 1")


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('{file}')",
        "select * from '{file}'",
        "select * from read_text('{file}')",
        "select * from glob('{folder}/*')",
        "copy (select 1) to '{folder}/out.csv'",
        "attach '{folder}/other.duckdb' as other",
        "install httpfs",
        "load httpfs",
        "set threads = 1",
        "set enable_external_access = true",
        "reset lock_configuration",
        "export database '{folder}/export'",
        "select * from secret",
        "pragma enable_profiling = 'json'",
    ],
)
@pytest.mark.parametrize("allow_writes", [False, True])
def test_submit_cannot_leave_the_database(
    duckdb_file: DuckDBEngine, tmp_path: Path, sql: str, allow_writes: bool
) -> None:
    """No statement reaches files, other databases, extensions, settings or Python, whatever it may write."""
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    secret = {"a": [1]}
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ServiceError):
        values(
            duckdb_file.warehouse,
            sql.format(file=file, folder=tmp_path),
            allow_writes=allow_writes,
        )
    assert secret
    after = {path.name for path in tmp_path.iterdir() if not path.name.endswith((".wal", ".tmp"))}
    assert before == after


def test_external_access_opens_files_when_asked_for(duckdb_file: DuckDBEngine, tmp_path: Path) -> None:
    """A project may let its SQL read files, and has to say so."""
    (tmp_path / "a.csv").write_text("a\n7\n")
    warehouse = DuckDBWarehouse(path=duckdb_file.path, allow_external_access=True)
    assert [7] == values(warehouse, f"select a from read_csv('{tmp_path / 'a.csv'}')")


def test_settings_of_every_session_are_the_services_own(duckdb_file: DuckDBEngine) -> None:
    """Times are in UTC and the settings are locked in the second session as in the first."""
    sql = "select current_setting('TimeZone') || current_setting('lock_configuration')"
    with duckdb_file.warehouse.open() as first:
        first.connect()
        assert ["UTCtrue"] == values(duckdb_file.warehouse, sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("from range(2)", [0, 1]),
        ("values (2), (1)", [2, 1]),
        ("table target", []),
        ("show tables", ["target"]),
        ("describe target", ["a"]),
        ("summarize select 1 as x", ["x"]),
        ("pivot (select 'x' as k, 1 as v) on k using sum(v)", [1]),
        ("unpivot (select 1 as a) on a into name n value v", ["a"]),
        ("pragma table_info('target')", [0]),
        ("select 'a;b' -- ;", ["a;b"]),
        ("select $a$;--$a$", [";--"]),
    ],
)
def test_submit_of_every_kind_of_reading_works(duckdb_file: DuckDBEngine, sql: str, expected: list[object]) -> None:
    """Whatever reads, reads, with and without a limit."""
    assert expected == values(duckdb_file.warehouse, sql)
    assert expected[:1] == values(duckdb_file.warehouse, sql, row_limit=1)


def test_submit_of_explain_analyze_of_a_write_changes_nothing(duckdb_file: DuckDBEngine) -> None:
    """A plan with figures would run the statement, so it is refused like it."""
    with pytest.raises(ServiceError, match="INSERT"):
        values(duckdb_file.warehouse, "explain analyze insert into target values (1)")
    assert duckdb_file.target_rows() == 0


def test_submit_to_a_read_only_file_refuses_writes(duckdb_file: DuckDBEngine) -> None:
    """The setting of the file wins over the permission of the statement, and the error names it."""
    warehouse = DuckDBWarehouse(path=duckdb_file.path, read_only=True)
    with pytest.raises(WarehouseError, match="read_only"):
        values(warehouse, "insert into target values (1)", allow_writes=True)


@pytest.mark.parametrize(
    ("sql", "line", "position"),
    [
        ("select nope from target", 1, 8),
        ("select\n nope from target", 2, 9),
        ("select 'é', nope from target", 1, 13),
        ("selec 1", 1, 1),
        ("select 1,\n 'x'::int", 2, 15),
    ],
)
def test_error_says_the_place(duckdb_file: DuckDBEngine, sql: str, line: int, position: int) -> None:
    """Line and character are those of the user's own text."""
    with pytest.raises(WarehouseQueryError) as caught:
        values(duckdb_file.warehouse, sql)
    assert (line, position) == (caught.value.details["lineNumber"], caught.value.details["position"])
    assert "LINE" not in caught.value.message


# A session that was connected before its query came


def table_of(path: Path, value: int) -> Path:
    """Make a database whose table `t` has one value."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t as select ?::integer as n", [value])
    return path


def first_value(session: DuckDBSession) -> object:
    """Return the value of `t`, as the session sees it."""
    session.submit(Statement(tag=TAG, sql="select n from t"))
    return next(session.batches(max_rows=1)).column(0)[0].as_py()


def test_submit_after_the_file_was_replaced_reads_the_new_one(tmp_path: Path) -> None:
    """A file put in the place of the one that is open is what the query sees."""
    path = table_of(tmp_path / "a.duckdb", 1)
    with DuckDBWarehouse(path=str(path)).open() as session:
        session.connect()
        table_of(tmp_path / "b.duckdb", 2).replace(path)
        assert first_value(session) == 2


def test_submit_after_the_file_was_touched_opens_it_again(tmp_path: Path) -> None:
    """A file of another time, or size, is not trusted to be the one that is open."""
    path = table_of(tmp_path / "a.duckdb", 1)
    with DuckDBWarehouse(path=str(path)).open() as session:
        session.connect()
        before = session._connection
        os.utime(path, ns=(1, 1))
        assert first_value(session) == 1
        assert session._connection is not before


def test_submit_to_an_unchanged_file_keeps_the_connection(tmp_path: Path) -> None:
    """What was opened ahead is used, for reading and for writing."""
    path = table_of(tmp_path / "a.duckdb", 1)
    for read_only in (True, False):
        with DuckDBWarehouse(path=str(path), read_only=read_only).open() as session:
            session.connect()
            before = session._connection
            assert first_value(session) == 1
            assert session._connection is before


def test_submit_after_the_file_was_removed_names_it(tmp_path: Path) -> None:
    """A database that is gone is an error, though a session still has it open."""
    path = table_of(tmp_path / "a.duckdb", 1)
    with DuckDBWarehouse(path=str(path)).open() as session:
        session.connect()
        path.unlink()
        with pytest.raises(WarehouseConnectionError, match=r"no DuckDB database at .*a\.duckdb"):
            session.submit(Statement(tag=TAG, sql="select n from t"))


def test_submit_after_a_writer_put_a_new_file_may_be_tried_again(tmp_path: Path) -> None:
    """A new file that is still being written to is reported as it is without a session."""
    path = table_of(tmp_path / "a.duckdb", 1)
    table_of(tmp_path / "b.duckdb", 2).rename(tmp_path / "new")
    code = f"import duckdb; c = duckdb.connect({str(tmp_path / 'new')!r}); print('open', flush=True); input()"
    with (
        DuckDBWarehouse(path=str(path)).open() as session,
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer,
    ):
        session.connect()
        assert writer.stdout.readline() == "open\n"
        (tmp_path / "new").replace(path)
        with pytest.raises(WarehouseConnectionError, match="in use by a process that writes") as caught:
            session.submit(Statement(tag=TAG, sql="select n from t"))
        assert caught.value.retryable
        writer.communicate("\n")


def test_open_in_another_mode_after_an_unread_result_works(duckdb_file: DuckDBEngine) -> None:
    """A result left unread does not keep the file open in this process."""
    with duckdb_file.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=duckdb_file.endless()))
        next(session.batches(max_rows=10))
    opened = threading.Thread(target=lambda: duckdb.connect(duckdb_file.path, read_only=True).close())
    opened.start()
    opened.join(5)
    assert not opened.is_alive()


def test_rows_of_large_values_stay_small_in_memory(duckdb_file: DuckDBEngine) -> None:
    """Large values make batches of fewer rows."""
    sql = "select repeat('x', 20000) || range as t from range(20000)"
    with duckdb_file.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql))
        sizes = [batch.nbytes for batch in session.batches(max_rows=20_000)]
    assert sum(sizes) > 400_000_000
    assert max(sizes) < 50_000_000
