"""Rows as Arrow: what columns are inferred, what values become, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.columns import LogicalType, logical_type
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.columnar import (
    Form,
    RowColumn,
    changes,
    column_array,
    decimal_column,
    inferred_column,
    named,
    row_batch,
)

CAST = "cast({} as text)"
MOMENT = datetime(2024, 2, 29, 1, 2, 3, 4)  # noqa: DTZ001 - a time of no zone


@pytest.mark.parametrize(
    ("values", "kind", "mark", "expected"),
    [
        ([True, None, False], pa.bool_(), None, [True, None, False]),
        ([1, None, -(2**63)], pa.int64(), None, [1, None, -(2**63)]),
        ([2**63, 1], pa.string(), LogicalType.DECIMAL, [str(2**63), "1"]),
        ([1, 1.5], pa.float64(), None, [1.0, 1.5]),
        ([Decimal("1.50"), 2, Decimal("NaN")], pa.string(), LogicalType.DECIMAL, ["1.50", "2", "NaN"]),
        ([Decimal("1E+3")], pa.string(), LogicalType.DECIMAL, ["1000"]),
        (["a", None], pa.string(), None, ["a", None]),
        ([b"\0", memoryview(b"\1")], pa.binary(), None, [b"\0", b"\1"]),
        ([date(2024, 2, 29)], pa.date32(), None, [date(2024, 2, 29)]),
        ([time(1, 2, 3, 4)], pa.time64("us"), None, [time(1, 2, 3, 4)]),
        ([MOMENT], pa.timestamp("us"), None, [MOMENT]),
        ([MOMENT.replace(tzinfo=UTC)], pa.timestamp("us", "UTC"), None, [MOMENT.replace(tzinfo=UTC)]),
        ([MOMENT, MOMENT.replace(tzinfo=UTC)], pa.string(), None, [str(MOMENT), f"{MOMENT}+00:00"]),
        ([[1, "ä"], {"a": Decimal("1.5")}], pa.string(), LogicalType.JSON, ['[1,"ä"]', '{"a":"1.5"}']),
        ([UUID(int=1)], pa.string(), None, ["00000000-0000-0000-0000-000000000001"]),
        ([timedelta(seconds=5)], pa.string(), None, ["0:00:05"]),
        ([1, "x", b"\xff"], pa.string(), None, ["1", "x", "ff"]),
        ([None, None], pa.string(), None, [None, None]),
        ([], pa.string(), None, []),
    ],
)
def test_inferred_column_holds_the_values(
    values: list[object], kind: pa.DataType, mark: LogicalType | None, expected: list[object]
) -> None:
    """The narrowest type that holds all values is chosen, and holds them."""
    column = inferred_column("x", values)
    assert column.field.type == kind
    assert logical_type(column.field) == mark
    assert column_array(values, column, CAST).to_pylist() == expected


@settings(derandomize=True, max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(allow_nan=False),
            st.text(),
            st.binary(),
            st.dates(),
            st.decimals(allow_infinity=False),
        ),
        max_size=8,
    )
)
def test_inferred_column_always_holds_what_it_was_inferred_from(values: list[object]) -> None:
    """Whatever the first values are, the column takes them, null where they are null."""
    array = column_array(values, inferred_column("x", values), CAST)
    assert [value is None for value in values] == [not each.is_valid for each in array]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (pa.int64(), "-9223372036854775808", -(2**63)),
        (pa.decimal128(5, 2), "-1.5", Decimal("-1.50")),
        (pa.date32(), "0001-01-01", date(1, 1, 1)),
        (pa.time64("us"), "23:59:59.999999", time(23, 59, 59, 999999)),
        (pa.timestamp("us"), "2024-02-29 01:02:03.000004", MOMENT),
        (pa.timestamp("us", "UTC"), "2024-02-29 01:02:03.000004", MOMENT.replace(tzinfo=UTC)),
        (pa.timestamp("us", "UTC"), "2024-02-29 01:02:03.000004+00", MOMENT.replace(tzinfo=UTC)),
    ],
)
def test_parsed_texts_become_values(kind: pa.DataType, text: str, expected: object) -> None:
    """Texts of the database are read as the column's type."""
    column = RowColumn(field=pa.field("x", kind), form=Form.PARSED)
    assert column_array([text, None], column, CAST).to_pylist() == [expected, None]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (RowColumn(field=pa.field('the "x"', pa.int64())), "a"),
        (RowColumn(field=pa.field('the "x"', pa.int8()), form=Form.PARSED), "128"),
        (RowColumn(field=pa.field('the "x"', pa.date32()), form=Form.PARSED), "0000-00-00"),
        (RowColumn(field=pa.field('the "x"', pa.time64("us")), form=Form.PARSED), "24:00:00"),
        (RowColumn(field=pa.field('the "x"', pa.uint64()), form=Form.BITS), b"\1" * 9),
        (RowColumn(field=pa.field('the "x"', pa.decimal128(3, 1))), Decimal("1.25")),
    ],
)
def test_value_that_does_not_fit_is_refused_by_name(column: RowColumn, value: object) -> None:
    """A value outside its column's type is an error that names the column and the cast."""
    with pytest.raises(WarehouseQueryError, match=r'cast\("the ""x""" as text\)') as caught:
        column_array([value], column, CAST)
    assert caught.value.details == {"column": 'the "x"'}


@pytest.mark.parametrize(("precision", "scale"), [(0, 0), (39, 0), (5, 6), (5, -1), (65, 30)])
def test_decimal_column_beyond_arrow_is_digits(precision: int, scale: int) -> None:
    """Numbers that no decimal holds are digits of any length."""
    assert logical_type(decimal_column("x", precision=precision, scale=scale).field) == LogicalType.DECIMAL


def test_row_batch_of_no_rows_has_the_schema() -> None:
    """No rows are an empty batch of the same schema."""
    columns, schema = named([inferred_column("a", [1]), inferred_column("a", ["x"])])
    assert schema.names == ["a", "a_1"]
    batch = row_batch([], columns, schema, text_cast=CAST)
    assert batch.num_rows == 0
    assert batch.schema == schema


def test_changes_says_how_many_rows() -> None:
    """A statement without columns gives one number, or nothing where it does not say."""
    assert changes(3)[2] == [(3,)]
    assert changes(-1)[2] == []
