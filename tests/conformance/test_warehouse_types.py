"""What becomes of values on their way out of a warehouse, type by type."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import psycopg
import pytest

from queryfleet.columns import logical_type
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.base import Statement
from tests.fixtures import warehouse_types as types
from tests.fixtures.warehouses import TAG

if TYPE_CHECKING:
    import pyarrow as pa

    from tests.fixtures.warehouse_types import RefusedCase, TypeCase
    from tests.fixtures.warehouses import Engine


def read(engine: Engine, sql: str) -> pa.Table:
    """Run one statement to its end and check its buffers."""
    import pyarrow as pa

    with engine.warehouse.open() as session:
        session.submit(Statement(tag=TAG, sql=sql))
        schema = session.schema()
        table = pa.Table.from_batches(session.batches(max_rows=100), schema=schema)
    table.validate(full=True)
    return table


def check_type(engine: Engine, case: TypeCase) -> None:
    """Ask for every value of a type, null, and no row at all."""
    values = [f"({literal})::{case.name}" for literal in case.literals]
    columns = ", ".join(f"{value} as v{number}" for number, value in enumerate(values))
    sql = f"select null::{case.name} as nothing{', ' if columns else ''}{columns}"
    table = read(engine, sql)
    assert [case.kind] * table.num_columns == table.schema.types
    assert [case.mark] * table.num_columns == [logical_type(field) for field in table.schema]
    assert [None, *case.values] == [column[0].as_py() for column in table.columns]
    empty = read(engine, f"select * from ({sql}) as q where 1 = 0")
    assert table.schema == empty.schema
    assert empty.num_rows == 0


def check_refused(engine: Engine, case: RefusedCase, cast: str) -> None:
    """Ask for a value that cannot be delivered: an error with the fix, which then works."""
    good = f'select null as n, {case.expression} as "the x"'
    with pytest.raises(WarehouseQueryError, match=r'"the x"|first element') as caught:
        read(engine, good)
    assert cast in caught.value.message
    table = read(engine, f'select "the x"::{cast} as "the x" from ({good}) as q')
    assert [case.text] == table["the x"].to_pylist()


@pytest.mark.parametrize("case", types.DUCKDB, ids=lambda case: case.name)
def test_duckdb_values_of_a_type_arrive_unchanged(duckdb_file: Engine, case: TypeCase) -> None:
    """Extremes, ordinary values and null of every DuckDB type arrive as documented."""
    check_type(duckdb_file, case)


@pytest.mark.parametrize("case", types.DUCKDB_REFUSED, ids=lambda case: case.name)
def test_duckdb_values_without_an_arrow_form_are_refused(duckdb_file: Engine, case: RefusedCase) -> None:
    """A value Arrow cannot carry is an error that names the column and the cast."""
    check_refused(duckdb_file, case, "varchar")


@pytest.mark.integration
@pytest.mark.parametrize("case", types.POSTGRES, ids=lambda case: case.name)
def test_postgres_values_of_a_type_arrive_unchanged(postgres: Engine, case: TypeCase) -> None:
    """Extremes, ordinary values and null of every PostgreSQL type arrive as documented."""
    if case.name.split("[")[0] in {"mood", "price", "pair"}:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(types.POSTGRES_TYPES)
    check_type(postgres, case)


@pytest.mark.integration
@pytest.mark.parametrize("case", types.POSTGRES_REFUSED, ids=lambda case: case.name)
def test_postgres_values_without_an_arrow_form_are_refused(postgres: Engine, case: RefusedCase) -> None:
    """A value Arrow cannot carry is an error that names the column and the cast."""
    check_refused(postgres, case, "text")


def test_nan_arrives_as_nan(engine: Engine) -> None:
    """Not-a-number stays what it is in a floating point column."""
    engine.needs("NaN")
    value = read(engine, engine.not_a_number())["x"][0].as_py()
    assert math.isnan(value)
