"""What becomes of values on their way out of the warehouses that are services of their own, type by type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from queryfleet.columns import logical_type
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.base import Statement
from tests.fixtures import engine_types as types
from tests.fixtures.warehouses import TAG

if TYPE_CHECKING:
    from tests.fixtures.bigquery import BigQueryEngine
    from tests.fixtures.clickhouse import ClickHouseEngine
    from tests.fixtures.mariadb import MariaDBEngine
    from tests.fixtures.redshift import RedshiftEngine
    from tests.fixtures.sqlite import SQLiteEngine
    from tests.fixtures.trino import TrinoEngine
    from tests.fixtures.warehouse_types import RefusedCase, TypeCase
    from tests.fixtures.warehouses import Engine


def read(engine: Engine, sql: str) -> pa.Table:
    """Run one statement to its end and check its buffers."""
    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql))
        schema = session.schema()
        table = pa.Table.from_batches(session.batches(max_rows=100), schema=schema)
    table.validate(full=True)
    return table


def like(kind: pa.DataType) -> pa.DataType:
    """Return the type with the names of its parts and what they allow left out, which differ between warehouses."""
    if pa.types.is_list(kind):
        return pa.list_(like(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(like(kind.key_type), like(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(i).name, like(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind


def check(table: pa.Table, case: TypeCase, expected: list[object]) -> None:
    """Compare types, marks and the values of the only row."""
    assert [like(case.kind)] * table.num_columns == [like(kind) for kind in table.schema.types]
    assert [case.mark] * table.num_columns == [logical_type(field) for field in table.schema]
    assert expected == [column[0].as_py() for column in table.columns]


@pytest.mark.integration
@pytest.mark.parametrize("case", types.MARIADB, ids=lambda case: case.name)
def test_mariadb_values_of_a_type_arrive_unchanged(mariadb: MariaDBEngine, case: TypeCase) -> None:
    """Extremes, ordinary values, null and no row of every MariaDB type arrive as documented."""
    columns = [f"v{number} {case.name} null" for number in range(len(case.literals) + 1)]
    mariadb.administer(f"create or replace table each_type ({', '.join(columns)})")
    mariadb.administer(f"insert into each_type values (null, {', '.join(case.literals)})")
    table = read(mariadb, "select * from each_type")
    check(table, case, [None, *case.values])
    empty = read(mariadb, "select * from each_type where 1 = 0")
    assert table.schema == empty.schema
    assert empty.num_rows == 0


@pytest.mark.integration
@pytest.mark.parametrize("case", types.MARIADB_REFUSED, ids=lambda case: case.name)
def test_mariadb_values_without_an_arrow_form_are_refused(mariadb: MariaDBEngine, case: RefusedCase) -> None:
    """A value Arrow cannot carry is an error that names the column and the cast, which then works."""
    mariadb.administer(f"create or replace table each_type (`the x` {case.name.removeprefix('zero ')})")
    mariadb.administer(f"insert into each_type values ('{case.text}')")
    with pytest.raises(WarehouseQueryError, match=r"cast\(`the x` as char\)"):
        read(mariadb, "select * from each_type")
    assert [case.text] == read(mariadb, "select cast(`the x` as char) as x from each_type")["x"].to_pylist()


@pytest.mark.parametrize("case", types.SQLITE, ids=lambda case: case.name)
def test_sqlite_values_of_a_type_arrive_unchanged(sqlite: SQLiteEngine, case: TypeCase) -> None:
    """Extremes and ordinary values of every SQLite type arrive as they are, and null beside them."""
    rows = " union all ".join(f"select {literal} as v" for literal in (*case.literals, "null"))
    table = read(sqlite, rows)
    assert table.schema.types == [case.kind]
    assert table["v"].to_pylist() == [*case.values, None]


def test_sqlite_value_of_another_kind_than_the_first_ones_is_refused(sqlite: SQLiteEngine) -> None:
    """A column that changes its kind after many rows is an error that names the cast."""
    late = f"select n, case when n < 1000 then 1 else 'x' end as v from ({sqlite.numbers(2000)})"
    with pytest.raises(WarehouseQueryError, match=r'cast\("v" as text\)'):
        read(sqlite, late)


def test_sqlite_values_of_several_kinds_at_once_are_text(sqlite: SQLiteEngine) -> None:
    """A column whose first values are of different kinds is text."""
    table = read(sqlite, "select 1 as v union all select 'x' union all select x'00ff'")
    assert table["v"].to_pylist() == ["1", "x", "00ff"]


@pytest.mark.integration
@pytest.mark.parametrize("case", types.CLICKHOUSE, ids=lambda case: case.name)
def test_clickhouse_values_of_a_type_arrive_unchanged(clickhouse: ClickHouseEngine, case: TypeCase) -> None:
    """Extremes, ordinary values, null and no row of every ClickHouse type arrive as documented."""
    kind = case.name if case.name.startswith("LowCardinality") else f"Nullable({case.name})"
    columns = [f"cast({literal} as {kind}) as v{number}" for number, literal in enumerate(("null", *case.literals))]
    sql = f"select {', '.join(columns)}"
    table = read(clickhouse, sql)
    check(table, case, [None, *case.values])
    assert table.schema == read(clickhouse, f"select * from ({sql}) where 1 = 0").schema


@pytest.mark.integration
@pytest.mark.parametrize("case", types.CLICKHOUSE_NESTED, ids=lambda case: case.name)
def test_clickhouse_nested_values_arrive_unchanged(clickhouse: ClickHouseEngine, case: TypeCase) -> None:
    """Lists, maps, tuples and documents arrive as documented."""
    sql = "select " + ", ".join(f"cast({literal} as {case.name}) as v{n}" for n, literal in enumerate(case.literals))
    check(read(clickhouse, sql), case, list(case.values))


@pytest.mark.integration
def test_clickhouse_text_that_is_not_utf8_is_refused(clickhouse: ClickHouseEngine) -> None:
    """Bytes in a text column are an error that names the column and the way to have them."""
    with pytest.raises(WarehouseQueryError, match=r"hex\(`the x`\)"):
        read(clickhouse, "select unhex('ff00') as `the x`")
    assert read(clickhouse, "select hex(unhex('ff00')) as x")["x"].to_pylist() == ["FF00"]


@pytest.mark.parametrize("case", types.TRINO, ids=lambda case: case.name)
def test_trino_values_of_a_type_arrive_unchanged(trino: TrinoEngine, case: TypeCase) -> None:
    """Extremes, ordinary values, null and no row of every Trino type arrive as documented."""
    kind = "blob" if case.name == "varbinary" else case.name
    columns = [f"cast({literal} as {kind}) as v{number}" for number, literal in enumerate(("null", *case.literals))]
    sql = f"select {', '.join(columns)}"
    table = read(trino, sql)
    check(table, case, [None, *case.values])
    assert table.schema == read(trino, f"select * from ({sql}) as q where 1 = 0").schema


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("2024-07-01 12:00:00.000 Europe/Berlin", "timestamp(3) with time zone", "2024-07-01T10:00:00+00:00"),
        ("2024-01-01 12:00:00 +05:30", "timestamp(0) with time zone", "2024-01-01T06:30:00+00:00"),
        ("2024-01-01 12:00:00.000001 UTC", "timestamp(6) with time zone", "2024-01-01T12:00:00.000001+00:00"),
        ("2024-01-01 12:00:00.000", "timestamp", "2024-01-01T12:00:00"),
        ("12:00:00.5", "time(1)", "12:00:00.500000"),
    ],
)
def test_trino_moments_arrive_as_instants(trino: TrinoEngine, text: str, kind: str, expected: str) -> None:
    """Times of any zone and precision are read; those with a zone are in UTC."""
    table = read(trino, f"""select '{text}' as "v::{kind}" union all select null""")
    assert [expected, None] == [value and value.isoformat() for value in table["v"].to_pylist()]


def test_trino_instant_in_a_repeated_hour_is_refused(trino: TrinoEngine) -> None:
    """A time that a zone has twice is an error that names the cast."""
    with pytest.raises(WarehouseQueryError, match=r'cast\("v" as varchar\)'):
        read(trino, """select '2024-10-27 02:30:00 Europe/Berlin' as "v::timestamp(0) with time zone" """)


@pytest.mark.parametrize("case", types.BIGQUERY, ids=lambda case: case.name)
def test_bigquery_values_of_a_type_arrive_unchanged(bigquery: BigQueryEngine, case: TypeCase) -> None:
    """Extremes, ordinary values, null and no row of every BigQuery type arrive as documented."""
    columns = [
        f"cast({literal} as {case.name}) as v{number}" for number, literal in enumerate(("null", *case.literals))
    ]
    sql = f"select {', '.join(columns)}"
    table = read(bigquery, sql)
    check(table, case, [None, *case.values])
    assert table.schema == read(bigquery, f"select * from ({sql}) as q where 1 = 0").schema


def test_bigquery_list_arrives_as_list(bigquery: BigQueryEngine) -> None:
    """An array is a list; an array of a type that Arrow pages do not carry is refused by name."""
    table = read(bigquery, "select [1, 2]::bigint[] as v")
    assert table.schema.types == [pa.list_(pa.int64())]
    assert table["v"].to_pylist() == [[1, 2]]
    for expression in ("interval 1 day", "['{}'::json]"):
        with pytest.raises(WarehouseQueryError, match=r"to_json_string\(`v`\)"):
            read(bigquery, f"select {expression} as v")


@pytest.mark.parametrize(
    ("engine_name", "case"),
    [(name, case) for name, cases in (("databricks", types.DATABRICKS), ("athena", types.ATHENA)) for case in cases],
    ids=lambda value: getattr(value, "name", value),
)
def test_stored_values_of_a_type_arrive_unchanged(
    request: pytest.FixtureRequest, engine_name: str, case: TypeCase
) -> None:
    """Extremes, ordinary values, null and no row of every type of Databricks and of Athena arrive as documented."""
    engine: Engine = request.getfixturevalue(engine_name)
    literals = enumerate(("null", *case.literals))
    sql = f"select {', '.join(f'cast({literal} as {case.name}) as v{number}' for number, literal in literals)}"
    table = read(engine, sql)
    check(table, case, [None, *case.values])
    assert table.schema == read(engine, f"select * from ({sql}) as q where 1 = 0").schema


@pytest.mark.integration
@pytest.mark.parametrize("case", types.REDSHIFT, ids=lambda case: case.name)
def test_redshift_values_of_a_type_arrive_unchanged(redshift: RedshiftEngine, case: TypeCase) -> None:
    """Extremes, ordinary values, null and no row of every type that both have arrive as documented."""
    columns = [f"({literal})::{case.name} as v{number}" for number, literal in enumerate(("null", *case.literals))]
    sql = f"select {', '.join(columns)}"
    table = read(redshift, sql)
    check(table, case, [None, *case.values])
    assert table.schema == read(redshift, f"select * from ({sql}) as q where 1 = 0").schema


@pytest.mark.integration
@pytest.mark.parametrize("case", types.REDSHIFT_REFUSED, ids=lambda case: case.name)
def test_redshift_values_without_an_arrow_form_are_refused(redshift: RedshiftEngine, case: RefusedCase) -> None:
    """A value Arrow cannot carry is an error that names the column and the cast, which then works."""
    with pytest.raises(WarehouseQueryError, match=r'"the x"::varchar'):
        read(redshift, f'select {case.expression} as "the x"')
    assert [case.text] == read(redshift, f"select ({case.expression})::varchar as x")["x"].to_pylist()
