"""Rows chosen from a stored result, compared with the same choice among plain Python rows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.results.page import schema_to_bytes
from queryfleet.results.selection import (
    AllOf,
    Comparison,
    Relation,
    RowOrder,
    RowSelection,
    is_exact,
    selected_rows,
    selection_scalar,
)

SCHEMA = pa.schema([("n", pa.int64()), ("t", pa.string()), ("x", pa.float64())])
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 4), st.none() | st.sampled_from(["", "a", "B", "é"]), st.sampled_from([0.5, -1.0])
    ),
    max_size=30,
)


def selection(**members):
    return RowSelection(
        query_uuid="q",
        attempt=1,
        row_count=0,
        arrow_schema=schema_to_bytes(SCHEMA),
        **({"columns": ("n", "t")} | members),
    )


def chosen(rows, wanted, *, batch_rows=7):
    """Return what is chosen of plain rows that come in batches."""
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    table = pa.table(columns, schema=SCHEMA)
    wanted = RowSelection.from_json(wanted.to_json())
    found = selected_rows(table.to_batches(max_chunksize=batch_rows), SCHEMA, wanted)
    return [tuple(row.values()) for batch in found for row in batch.to_pylist()]


def key(value, *, nulls_first, is_descending):
    """Return what a value is ordered by."""
    place = (value is None) != nulls_first
    number = 0 if value is None else value
    return (place, -number if is_descending else number)


@settings(max_examples=60, derandomize=True)
@given(
    rows=ROWS,
    least=st.integers(0, 4),
    limit=st.none() | st.integers(0, 6),
    nulls_first=st.booleans(),
    is_descending=st.booleans(),
    is_distinct=st.booleans(),
)
def test_chosen_rows_are_those_of_the_same_choice_among_plain_rows(
    rows, least, limit, nulls_first, is_descending, is_distinct
):
    """Condition, repetitions, order and limit, wherever the batches end."""
    condition = AllOf(
        members=(
            Comparison(column="n", relation=Relation.GREATER_OR_EQUAL, values=(str(least),)),
            Comparison(column="t", relation=Relation.NULL),
        ),
        is_any=True,
    )
    order = (RowOrder(column="n", is_descending=is_descending, nulls_first=nulls_first),)
    found = chosen(rows, selection(condition=condition, order=order, limit=limit, is_distinct=is_distinct))
    passing = [(n, t) for n, t, _ in rows if (n is not None and n >= least) or t is None]
    passing = list(dict.fromkeys(passing)) if is_distinct else passing
    expected = sorted(passing, key=lambda row: key(row[0], nulls_first=nulls_first, is_descending=is_descending))
    assert found == expected[:limit]


def test_rows_without_an_order_end_with_the_limit():
    """No batch is taken once the selection is full."""
    taken = []

    def batches():
        for number in range(5):
            taken.append(number)
            yield pa.record_batch([[number], ["a"], [0.5]], schema=SCHEMA)

    wanted = selection(limit=2)
    assert sum(batch.num_rows for batch in selected_rows(batches(), SCHEMA, wanted)) == 2
    assert taken == [0, 1]


def test_nan_is_greater_than_every_number():
    """As PostgreSQL and DuckDB have it, in both directions."""
    rows = [(1, "a", float("nan")), (2, "a", 3.0), (3, "a", float("inf"))]
    for is_descending, numbers in ((False, [2, 3, 1]), (True, [1, 3, 2])):
        order = (RowOrder(column="x", is_descending=is_descending),)
        assert [row[0] for row in chosen(rows, selection(columns=("n",), order=order))] == numbers


def test_values_that_a_column_has_none_of_or_compares_its_own_way_have_no_scalar():
    """Fractions of whole numbers, numbers out of range, and columns that are not exact."""
    assert selection_scalar("7.0", pa.field("n", pa.int8())).as_py() == 7
    for text, kind in (("7.5", pa.int8()), ("700", pa.int8()), ("1.234", pa.decimal128(5, 2)), ("x", pa.date32())):
        assert selection_scalar(text, pa.field("n", kind)) is None
    assert selection_scalar("1.2", pa.field("n", pa.decimal128(5, 2))).as_py() == Decimal("1.20")
    assert selection_scalar("2024-02-29", pa.field("n", pa.date32())).as_py() == dt.date(2024, 2, 29)
    zoned = pa.field("n", pa.timestamp("us", "UTC"))
    assert selection_scalar("2024-01-01T01:00:00+01:00", zoned).as_py() == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    for kind in (pa.float64(), pa.list_(pa.int8()), pa.binary(), pa.dictionary(pa.int8(), pa.string())):
        assert not is_exact(pa.field("n", kind))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_texts_are_equal_only_if_all_characters_are(kind):
    """Neither case nor spaces nor the way an accent is written are overlooked."""
    schema = pa.schema([("t", kind)])
    batch = pa.record_batch([pa.array(["a", "A", "a ", "é", "e\u0301", None], kind)], schema=schema)
    wanted = selection(columns=("t",), condition=Comparison(column="t", relation=Relation.IN, values=("a", "é")))
    assert [each for part in selected_rows([batch], schema, wanted) for each in part.column(0).to_pylist()] == [
        "a",
        "é",
    ]
