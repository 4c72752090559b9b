"""What becomes of Snowflake's values on their way, in both forms in which it sends results."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from queryfleet.columns import LogicalType, logical_type
from queryfleet.errors import WarehouseQueryError
from tests.conformance.test_warehouse_types import check_type, read
from tests.fixtures.snowflake_types import SNOWFLAKE

if TYPE_CHECKING:
    from tests.fixtures.snowflake import LiveEngine, StubEngine
    from tests.fixtures.warehouse_types import TypeCase


@pytest.mark.parametrize("case", SNOWFLAKE, ids=lambda case: case.name)
def test_snowflake_values_in_arrow_arrive_unchanged(snowflake: StubEngine, case: TypeCase) -> None:
    """Extremes, ordinary values and null of every type arrive as documented."""
    check_type(snowflake, case)


@pytest.mark.parametrize("case", SNOWFLAKE, ids=lambda case: case.name)
def test_snowflake_values_in_json_arrive_unchanged(snowflake: StubEngine, case: TypeCase) -> None:
    """A result in JSON, as Snowflake sends those of SHOW, has the same values in the same types."""
    snowflake.stub("faults", json_results=True)
    check_type(snowflake, case)


@pytest.mark.live
@pytest.mark.parametrize("case", SNOWFLAKE, ids=lambda case: case.name)
def test_snowflake_account_values_arrive_unchanged(snowflake_live: LiveEngine, case: TypeCase) -> None:
    """A real account sends what the stub sends."""
    check_type(snowflake_live, case)


def test_snowflake_moments_with_nanoseconds_keep_them(snowflake: StubEngine) -> None:
    """A column whose first rows have nanoseconds is delivered with them, near and before 1970."""
    moments = ["2024-02-29 01:02:03.123456789", "1969-12-31 23:59:59.999999999"]
    values = [f"('{moment} +00:00')::timestamp_ltz(9) as v{number}" for number, moment in enumerate(moments)]
    table = read(snowflake, f"select {', '.join(values)}")
    assert [str(kind) for kind in table.schema.types] == ["timestamp[ns, tz=UTC]"] * 2
    assert [table.column(0)[0].value, table.column(1)[0].value] == [1709168523123456789, -1]


def test_snowflake_nanoseconds_far_from_today_are_refused(snowflake: StubEngine) -> None:
    """A moment that no Arrow type holds is an error with the cast that helps, never another moment."""
    with pytest.raises(WarehouseQueryError, match="to_varchar"):
        read(snowflake, "select ('9999-12-31 00:00:00.000000001')::timestamp_ntz(9) as v")


def test_snowflake_nanoseconds_in_later_rows_are_refused(snowflake: StubEngine) -> None:
    """Nanoseconds that come after thousands of rows without any are an error, never cut off."""
    with pytest.raises(WarehouseQueryError, match=r'to_varchar\("v"\)'):
        read(
            snowflake,
            "select case when i < 5000 then '2024-01-01 00:00:00' else '2024-01-01 00:00:00.000000001' end"
            '::timestamp_ntz(9) as "v" from range(6000) as t(i)',
        )


def test_snowflake_numbers_of_many_chunks_have_one_type(snowflake: StubEngine) -> None:
    """Chunks whose numbers fit narrower types are widened to what the column is."""
    table = read(snowflake, "select i::number(38,0) as a, i::number(12,2) as b from range(70000) as t(i)")
    assert [str(kind) for kind in table.schema.types] == ["decimal128(38, 0)", "decimal128(12, 2)"]
    assert [table.column(0)[69_999].as_py(), str(table.column(1)[69_999].as_py())] == [69_999, "69999.00"]


def test_snowflake_rows_of_json_results_come_in_chunks(snowflake: StubEngine) -> None:
    """A long result in JSON arrives whole and in order."""
    snowflake.stub("faults", json_results=True)
    table = read(snowflake, snowflake.numbers(25_000))
    assert table["n"].to_pylist() == list(range(1, 25_001))


def test_snowflake_moments_of_session_zone_are_utc(snowflake: StubEngine) -> None:
    """Whatever the zone a value was written in, the instant is the same and shown in UTC."""
    table = read(snowflake, "select ('2024-07-01 12:00:00 -07:00')::timestamp_tz(0) as v")
    assert table.column(0)[0].as_py() == datetime(2024, 7, 1, 19, tzinfo=UTC)
    assert logical_type(table.schema.field(0)) is not LogicalType.JSON
