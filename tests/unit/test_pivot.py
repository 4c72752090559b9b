"""Named cases of pivots: the order of rows and columns, names, limits, types, what a page says."""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa
import pytest

from queryfleet.columns import LogicalType, columns_of, logical_field
from queryfleet.errors import InternalError, LimitExceededError, ParameterError
from queryfleet.formatting import rule_of
from queryfleet.pivot.details import pivot_details, pivot_schema, value_references
from queryfleet.pivot.dictionary import columns_of_partition, merged_columns
from queryfleet.pivot.flat import flat_schema
from queryfleet.pivot.fold import folded
from queryfleet.pivot.local import pivoted
from queryfleet.pivot.naming import Display, group_values
from queryfleet.pivot.ranked import RankedColumns
from queryfleet.pivot.spec import PivotLimits, PivotPlan
from queryfleet.pivot.wide import fold_wide
from queryfleet.pivot.wire import parse_pivot
from queryfleet.results.decoder import decode_lines

PLAIN = Display(rules={})


def configuration(index=("i",), groups=("g",), values=("v",), sort=(), **more):
    return {
        "indexColumn": [{"reference": name} for name in index],
        "groupByColumns": [{"reference": name} for name in groups],
        "valuesColumns": [{"reference": name, "aggregation": "any"} for name in values],
        "sortBy": list(sort),
    } | more


def pivot(table, config, display=PLAIN, **plan):
    """Return lines, pivotDetails and the pivot."""
    limits = PivotLimits(**{"rows": None, **plan.pop("limits", {})})
    full = PivotPlan(spec=parse_pivot(config), limits=limits, **plan)
    found = pivoted(table, full, display)
    data = b"".join(bytes(lines.data) for lines in folded([found.cells], full.spec, found.dictionary.columns))
    details = pivot_details(full.spec, found.dictionary.columns, total=found.dictionary.total)
    return data.decode().splitlines(), details, found


def names(details):
    return [entry["pivotColumnName"] for entry in details["valuesColumns"]]


def rides():
    """Five rides a month and city, in no order."""
    months = [dt.datetime(2024, month, 1) for month in (1, 2, 3, 2, 1)]  # noqa: DTZ001 - the warehouse has no zone
    return pa.table(
        {
            "rides_started_month": pa.array(months, pa.timestamp("us")),
            "rides_city": ["Oslo", None, "Bergen", "Oslo", "Bergen"],
            "rides_fare_any": [10, 1, 2, 7, 5],
        }
    )


RIDES = {
    "indexColumn": {"reference": "rides_started_month", "type": "time"},
    "groupByColumns": [{"reference": "rides_city"}],
    "valuesColumns": [{"reference": "rides_fare", "aggregation": "any"}],
}


def test_pivot_rides_by_month_writes_the_known_lines():
    """Months from the newest, cities in order, missing cells absent, NULL last and named so."""
    sort = [{"reference": "rides_started_month", "direction": "DESC"}]
    lines, details, found = pivot(rides(), RIDES | {"sortBy": sort})
    assert lines == [
        '{"rides_started_month":"2024-03-01T00:00:00.000Z","rides_fare_any_Bergen":2}',
        '{"rides_started_month":"2024-02-01T00:00:00.000Z","rides_fare_any_Oslo":7,"rides_fare_any_<null>":1}',
        '{"rides_started_month":"2024-01-01T00:00:00.000Z","rides_fare_any_Bergen":5,"rides_fare_any_Oslo":10}',
    ]
    assert found.row_count == 3
    city = {"referenceField": "rides_city"}
    fare = {"referenceField": "rides_fare", "aggregation": "any"}
    assert details == {
        "totalColumnCount": 3,
        "indexColumn": {"reference": "rides_started_month", "type": "time"},
        "groupByColumns": [{"reference": "rides_city"}],
        "sortBy": sort,
        "originalColumns": {},
        "valuesColumns": [
            fare
            | {
                "pivotColumnName": "rides_fare_any_Bergen",
                "columnIndex": 1,
                "pivotValues": [city | {"value": "Bergen", "formatted": "Bergen"}],
            },
            fare
            | {
                "pivotColumnName": "rides_fare_any_Oslo",
                "columnIndex": 2,
                "pivotValues": [city | {"value": "Oslo", "formatted": "Oslo"}],
            },
            fare
            | {
                "pivotColumnName": "rides_fare_any_<null>",
                "columnIndex": 3,
                "pivotValues": [city | {"value": None, "formatted": "∅"}],
            },
        ],
    }


def test_pivot_rides_by_fare_orders_columns_by_their_best_and_rows_by_the_first():
    """Sorted by a value, the best column comes first and its cells order the rows."""
    sort = [{"reference": "rides_fare", "direction": "DESC", "nullsFirst": False}]
    lines, details, _ = pivot(rides(), RIDES | {"sortBy": sort})
    assert names(details) == ["rides_fare_any_Oslo", "rides_fare_any_Bergen", "rides_fare_any_<null>"]
    assert [json.loads(line)["rides_started_month"][:7] for line in lines] == ["2024-01", "2024-02", "2024-03"]


def test_pivot_pinned_sort_orders_rows_and_leaves_columns():
    """A sort that names its column orders rows by that column's cells, and columns stay in order of their groups."""
    pin = [{"reference": "rides_city", "value": "Bergen"}]
    sort = [{"reference": "rides_fare", "direction": "DESC", "pivotValues": pin}]
    lines, details, _ = pivot(rides(), RIDES | {"sortBy": sort})
    assert names(details) == ["rides_fare_any_Bergen", "rides_fare_any_Oslo", "rides_fare_any_<null>"]
    assert [json.loads(line)["rides_started_month"][:7] for line in lines] == ["2024-01", "2024-03", "2024-02"]


def test_pivot_clashing_names_get_numbers_and_no_cell_is_lost():
    """Groups that come to one name, and a group that comes to the name of an index column, stay apart."""
    table = pa.table(
        {
            "v_any_x": [1] * 6,
            "g": ["a_b", "a", None, "<null>", "x", "a"],
            "h": ["c", "b_c", "n", "n", "", "b_c_2"],
            "v_any": [1, 2, 3, 4, 5, 6],
        }
    )
    lines, details, _ = pivot(table, configuration(index=("v_any_x",), groups=("g", "h")))
    assert names(details) == [
        "v_any_<null>_n",
        "v_any_a_b_c",
        "v_any_a_b_c_2",
        "v_any_a_b_c_3",
        "v_any_x_",
        "v_any_<null>_n_2",
    ]
    assert sorted(json.loads(lines[0]).values()) == [1, 1, 2, 3, 4, 5, 6]
    lines, details, _ = pivot(table.slice(4, 1), configuration(index=("v_any_x",)))
    assert lines == ['{"v_any_x":1,"v_any_x_2":5}']
    assert names(details) == ["v_any_x_2"]


def test_pivot_one_empty_group_value_has_no_suffix():
    """An empty text adds nothing to the name, not even the line before it."""
    table = pa.table({"i": [1, 1], "g": ["", "a"], "v_any": [1, 2]})
    assert pivot(table, configuration())[0] == ['{"i":1,"v_any":1,"v_any_a":2}']


def test_pivot_names_of_numbers_are_those_of_javascript():
    """Whole floats lose their point, large ones get an exponent with its sign, booleans are words."""
    table = pa.table(
        {"g": pa.array([10.0, 1e21, 1e-7, 0.5, -2.0]), "h": [True, False, None, True, True], "v_any": [1] * 5}
    )
    details = pivot(table, configuration(index=(), groups=("g", "h")))[1]
    assert set(names(details)) == {
        "v_any_10_true",
        "v_any_1e+21_false",
        "v_any_1e-7_<null>",
        "v_any_0.5_true",
        "v_any_-2_true",
    }


def test_pivot_group_of_a_date_field_is_named_and_shown_as_in_a_page():
    """Values of a field have its raw form in the name and its format in the header."""
    table = pa.table({"month": pa.array([dt.date(2024, 2, 1)]), "v_any": [1]})
    item = {"fieldType": "dimension", "type": "date", "timeInterval": "MONTH", "name": "month", "table": "t"}
    details = pivot(table, configuration(index=(), groups=("month",)), Display(rules={"month": rule_of(item)}))[1]
    assert names(details) == ["v_any_2024-02-01T00:00:00Z"]
    assert details["valuesColumns"][0]["pivotValues"] == [
        {"referenceField": "month", "value": "2024-02-01T00:00:00Z", "formatted": "2024-02"}
    ]


def test_pivot_columns_beyond_the_limit_are_cut_and_their_rows_stay():
    """A row whose cells all lie beyond the column limit is still a row; the total counts every column."""
    table = pa.table({"i": [1, 2, 3], "g": ["a", "c", "b"], "v_any": [1, 2, 3]})
    lines, details, _ = pivot(table, configuration(), limits={"columns": 2})
    assert lines == ['{"i":1,"v_any_a":1}', '{"i":2}', '{"i":3,"v_any_b":3}']
    assert (names(details), details["totalColumnCount"]) == (["v_any_a", "v_any_b"], 3)


def test_pivot_limits_count_visible_values_only():
    """What is sorted by and not shown takes no place; with values as rows they count once."""
    table = pa.table({"i": [1] * 4, "g": list("abcd"), "v_any": [1] * 4, "w_any": [2] * 4, "s_any": [4, 3, 2, 1]})
    sort = [{"reference": "s", "direction": "ASC"}]
    hidden = {"sortOnlyColumns": [{"reference": "s", "aggregation": "any"}]}
    config = configuration(values=("v", "w"), sort=sort, **hidden)
    lines, details, _ = pivot(table, config, limits={"columns": 5})
    assert names(details) == ["v_any_d", "w_any_d", "v_any_c", "w_any_c"]
    assert details["totalColumnCount"] == 8
    assert lines == ['{"i":1,"v_any_d":1,"w_any_d":2,"v_any_c":1,"w_any_c":2}']
    details = pivot(table, config | {"metricsAsRows": True}, limits={"columns": 3})[1]
    assert (len(names(details)), details["totalColumnCount"]) == (6, 4)
    assert len(names(pivot(table, config, limits={"columns": 1})[1])) == 2


def test_pivot_row_limit_ranks_columns_of_visible_rows():
    """Columns of rows that are not shown take no places, unless that is asked for."""
    table = pa.table({"i": [1, 2, 3], "g": ["b", "a", "c"], "v_any": [1, 2, 3]})
    sort = [{"reference": "i", "direction": "ASC"}]
    lines, details, found = pivot(table, configuration(sort=sort), limits={"rows": 1, "columns": 1})
    assert (lines, details["totalColumnCount"], found.is_cut) == (['{"i":1,"v_any_b":1}'], 1, True)
    assert [entry["columnIndex"] for entry in details["valuesColumns"]] == [1]
    lines, details, _ = pivot(table, configuration(sort=sort), limits={"rows": 1, "columns": 1}, rank_hidden_rows=True)
    assert (lines, details["totalColumnCount"], names(details)) == (['{"i":1}'], 1, [])
    details = pivot(table, configuration(sort=sort), limits={"rows": 1, "columns": 2}, rank_hidden_rows=True)[1]
    assert [entry["columnIndex"] for entry in details["valuesColumns"]] == [2]


def test_pivot_too_many_columns_stop_early_with_their_number():
    """A pivot by something like an id ends with a clear error, from one partition or from several together."""
    table = pa.table({"i": [1] * 50, "g": list(range(50)), "v_any": [1] * 50})
    plan = PivotPlan(spec=parse_pivot(configuration()), limits=PivotLimits(columns_max=40))
    with pytest.raises(LimitExceededError, match="50 columns") as caught:
        columns_of_partition(table, plan)
    assert caught.value.details == {"limit": "columns", "value": 40, "seen": 50}
    halves = [columns_of_partition(table.slice(first, 25), plan) for first in (0, 25)]
    with pytest.raises(LimitExceededError, match="50 columns"):
        merged_columns(halves, plan)


def test_pivot_without_groups_passes_rows_on():
    """Rows keep explicit nulls, are sorted by a value too, and have no column index."""
    table = pa.table({"i": [1, 2, 3], "v_any": [5, None, 7]})
    sort = [{"reference": "v", "direction": "DESC", "nullsFirst": True}]
    lines, details, found = pivot(table, configuration(groups=(), sort=sort), limits={"rows": 2})
    assert lines == ['{"i":2,"v_any":null}', '{"i":3,"v_any":7}']
    assert found.is_cut
    assert details["totalColumnCount"] is None
    assert details["valuesColumns"] == [
        {"referenceField": "v", "pivotColumnName": "v_any", "aggregation": "any", "pivotValues": []}
    ]


def test_pivot_without_index_is_one_row():
    """Everything lands in one line, which begins without a comma."""
    table = pa.table({"g": ["b", "a"], "v_any": [1, None]})
    lines, details, _ = pivot(table, configuration(index=()))
    assert lines == ['{"v_any_a":null,"v_any_b":1}']
    assert details["indexColumn"] is None


def test_pivot_without_rows_writes_nothing():
    """No flat row is no line and no column; without groups the columns are known all the same."""
    table = pa.table({"i": pa.array([], pa.int64()), "g": pa.array([], pa.string()), "v_any": pa.array([], pa.int64())})
    lines, details, _ = pivot(table, configuration())
    assert (lines, details["valuesColumns"], details["totalColumnCount"]) == ([], [], None)
    assert names(pivot(table, configuration(groups=()))[1]) == ["v_any"]


def test_pivot_order_column_orders_month_names():
    """A dimension with a helper column is ordered by it, in rows and in columns, and the helper is not shown."""
    table = pa.table({"m": ["May", "April", "June"], "m_order": [5, 4, 6], "v_any": [1, 2, 3]})
    order = {"order_by": {"m": "m_order"}}
    lines, details, _ = pivot(table, configuration(index=(), groups=("m",)), **order)
    assert names(details) == ["v_any_April", "v_any_May", "v_any_June"]
    assert lines == ['{"v_any_April":2,"v_any_May":1,"v_any_June":3}']
    lines = pivot(
        table, configuration(index=("m",), groups=(), sort=[{"reference": "m", "direction": "DESC"}]), **order
    )[0]
    assert [json.loads(line)["m"] for line in lines] == ["June", "May", "April"]


def test_pivot_decimal_text_is_ordered_as_numbers():
    """Numbers that travel as text are compared as numbers, words after them, equal ones are one group."""
    field = logical_field("g", LogicalType.DECIMAL)
    groups = pa.array(["10", "9", "1.50", "NaN", "-Infinity", "123456789012345678901234567890123456789.5"])
    table = pa.Table.from_arrays([groups, pa.array(range(6))], schema=pa.schema([field, pa.field("v_any", pa.int64())]))
    details = pivot(table, configuration(index=()))[1]
    suffixes = [name.removeprefix("v_any_") for name in names(details)]
    assert suffixes == ["-Infinity", "1.5", "9", "10", "123456789012345678901234567890123456789.5", "NaN"]
    twice = pa.Table.from_arrays(
        [pa.array(["1.50", "1.5"]), pa.array([1, 2])], schema=pa.schema([field, pa.field("v_any", pa.int64())])
    )
    assert len(names(pivot(twice, configuration(index=()))[1])) == 1


def test_pivot_missing_column_is_named():
    """A reference that the query does not have is an error that says what it has."""
    with pytest.raises(ParameterError, match=r"'g'.*i, v_any"):
        pivot(pa.table({"i": [1], "v_any": [1]}), configuration())


def test_pivot_schema_has_real_types_and_reads_the_lines_back():
    """Pivot columns have the type of their values; what was written is read back with that schema."""
    table = pa.table(
        {
            "i": [1, 2],
            "g": ["a", "b"],
            "v_any": pa.array([dt.date(2024, 1, 2), None]),
            "w_any": pa.array(["x", 'y"'], pa.string_view()),
        }
    )
    config = configuration(values=("v", "w"))
    lines, _, found = pivot(table, config)
    spec = parse_pivot(config)
    schema = pivot_schema(flat_schema(table.schema, PivotPlan(spec=spec)), spec, found.dictionary.columns)
    assert [(column.reference, column.type.value) for column in columns_of(schema)] == [
        ("i", "number"),
        ("v_any_a", "date"),
        ("w_any_a", "string"),
        ("v_any_b", "date"),
        ("w_any_b", "string"),
    ]
    assert value_references(spec, found.dictionary.columns) == dict(zip(schema.names[1:], "vwvw", strict=True))
    read = decode_lines("".join(f"{line}\n" for line in lines).encode(), schema)
    (wide,) = fold_wide([found.cells], spec, found.dictionary.columns)
    assert read.to_pylist() == wide.to_pylist()


def test_fold_wide_blocks_are_bounded_and_whole():
    """Small blocks give the same rows as one, each batch within the bound."""
    rows, columns = 50, 7
    table = pa.table(
        {
            "i": [n // columns for n in range(rows * columns)],
            "g": [n % columns for n in range(rows * columns)],
            "v_any": list(range(rows * columns)),
        }
    ).filter(pa.array([n % 3 > 0 for n in range(rows * columns)]))
    config = configuration()
    spec, found = parse_pivot(config), pivot(table, config)[2]
    shown = found.dictionary.columns
    whole = pa.Table.from_batches(fold_wide([found.cells], spec, shown))
    blocks = list(fold_wide([found.cells.slice(0, 99), found.cells.slice(99, 10**6)], spec, shown, block_values=20))
    assert pa.Table.from_batches(blocks).equals(whole)
    assert max(block.num_rows for block in blocks) * columns <= 20
    expected = {(row["i"], row["g"]): row["v_any"] for row in table.to_pylist()}
    for row in whole.to_pylist():
        assert [row[f"v_any_{n}"] for n in range(columns)] == [expected.get((row["i"], n)) for n in range(columns)]


def test_ranked_rows_out_of_order_are_an_error():
    """Rows whose index goes back would be written as two lines; that is refused."""
    table = pa.table(
        {
            "i": [1, 2],
            "g": ["a", "a"],
            "v_any": [1, 2],
            "row_index": [2, 1],
            "column_index": [1, 1],
            "total_columns": [1, 1],
        }
    )
    plan = PivotPlan(spec=parse_pivot(configuration()))
    with pytest.raises(InternalError, match="row_index"):
        RankedColumns(plan, PLAIN).cells(table.to_batches()[0])
    learned = RankedColumns(plan, PLAIN)
    learned.cells(table.slice(0, 1).to_batches()[0])
    with pytest.raises(InternalError, match="row_index"):
        learned.cells(table.slice(1, 1).to_batches()[0])


def test_ranked_rows_without_groups_pass_through_batch_after_batch():
    """Without groups the warehouse sends no ranks; every row is a line, and the column is known from the start."""
    table = pa.table({"i": [2, 2, 1], "v_any": [1, None, 3]})
    plan = PivotPlan(spec=parse_pivot(configuration(groups=())))
    learned = RankedColumns(plan, PLAIN)
    cells = map(learned.cells, table.to_batches(max_chunksize=2))
    lines = b"".join(bytes(batch.data) for batch in folded(cells, plan.spec, learned.columns))
    assert lines == b'{"i":2,"v_any":1}\n{"i":2,"v_any":null}\n{"i":1,"v_any":3}\n'
    assert ([column.column_index for column in learned.in_order()], learned.total) == ([None], None)


def test_pivot_negative_zero_keeps_its_spelling_as_a_value():
    """A cell is written as it is stored, also where `-0.0` equals `0.0` in the order."""
    table = pa.table({"i": [1, 2], "g": ["a", "a"], "v_any": [-0.0, 0.0]})
    assert pivot(table, configuration())[0] == ['{"i":1,"v_any_a":-0.0}', '{"i":2,"v_any_a":0}']


def test_ranked_columns_of_one_name_are_told_apart_in_their_order():
    """The first column keeps the name even when a later one is met before it, unless too much would be held."""
    spec = parse_pivot(configuration())
    table = pa.table(
        {
            "i": pa.array([1, 2, 2], pa.int64()),
            "g": pa.array([None, "<null>", None]),
            "v_any": pa.array([1, 2, 3], pa.int64()),
            "row_index": pa.array([1, 2, 2], pa.int64()),
            "column_index": pa.array([2, 1, 2], pa.int64()),
            "total_columns": pa.array([2, 2, 2], pa.int64()),
        }
    )
    found = {}
    for ahead_max in (0, 100):
        learned = RankedColumns(PivotPlan(spec=spec), PLAIN)
        batches = iter(table.to_batches(max_chunksize=1))
        cells = learned.all_cells(batches, ahead_max=ahead_max)
        found[ahead_max] = b"".join(bytes(lines.data) for lines in folded(cells, spec, learned.columns)).decode()
    assert found[100] == '{"i":1,"v_any_<null>_2":1}\n{"i":2,"v_any_<null>":2,"v_any_<null>_2":3}\n'
    assert found[0] == '{"i":1,"v_any_<null>":1}\n{"i":2,"v_any_<null>_2":2,"v_any_<null>":3}\n'


def test_ranked_columns_are_not_waited_for_once_all_were_met():
    """Only what is needed to name the columns is held; the rest passes batch after batch."""
    spec = parse_pivot(configuration())
    table = pa.table(
        {
            "i": pa.array(range(9), pa.int64()),
            "g": pa.array(["a"] * 9),
            "v_any": pa.array(range(9), pa.int64()),
            "row_index": pa.array(range(1, 10), pa.int64()),
            "column_index": pa.array([1] * 9, pa.int64()),
            "total_columns": pa.array([1] * 9, pa.int64()),
        }
    )
    batches = iter(table.to_batches(max_chunksize=1))
    cells = RankedColumns(PivotPlan(spec=spec), PLAIN).all_cells(batches, ahead_max=10**6)
    assert len(next(cells)) == 1
    assert len(list(batches)) == 8


def test_group_of_negative_zero_is_zero():
    """Zero is one group whichever of its two spellings a warehouse gives."""
    spec = parse_pivot(configuration())
    for zero in (0.0, -0.0):
        (value,) = group_values(pa.table({"g": pa.array([zero])}), spec, PLAIN)[0]
        assert (json.dumps(value.raw), value.formatted) in {("0", "0"), ("0.0", "0")}
