"""What a pivot writes: the same bytes as one cell at a time, however its rows arrive."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from queryfleet.pivot.cells import Cells
from queryfleet.pivot.dictionary import columns_of_partition, merged_columns, ordered_columns
from queryfleet.pivot.distributed import (
    hash_parts,
    keys_of_partition,
    needs_hash_parts,
    range_cells,
    row_plan,
    shown_columns,
    split_rows,
)
from queryfleet.pivot.flat import prepared
from queryfleet.pivot.fold import folded
from queryfleet.pivot.local import pivoted
from queryfleet.pivot.naming import Display, PivotColumn
from queryfleet.pivot.ranked import RankedColumns
from queryfleet.pivot.spec import NullOrder, PivotLimits, PivotPlan
from queryfleet.pivot.wire import parse_pivot
from tests.oracle.pivot import Pivot, expected_fold, expected_pivot, spell
from tests.strategies.pivots import arrow_table, pivots

DISPLAY = Display(rules={})
drawn_pivots = settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def plan_of(drawn):
    return PivotPlan(
        spec=parse_pivot(drawn.configuration),
        limits=PivotLimits(rows=drawn.limit, columns=drawn.column_limit),
        nulls=NullOrder(drawn.nulls),
        rank_hidden_rows=drawn.rank_hidden_rows,
    )


def oracle_of(drawn):
    return expected_pivot(
        drawn.rows,
        drawn.configuration,
        limit=drawn.limit,
        column_limit=drawn.column_limit,
        nulls=drawn.nulls,
        rank_hidden_rows=drawn.rank_hidden_rows,
    )


def lines_of(batches):
    """Return the lines, after a look at the offsets."""
    found = []
    for batch in batches:
        data = bytes(batch.data)
        cut = [data[begin:end] for begin, end in pairwise(batch.offsets.tolist())]
        assert b"".join(cut) == data
        found += cut
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in found)
    return [line[:-1].decode() for line in found]


def recut(cells, size):
    return [cells.slice(first, min(first + size, len(cells))) for first in range(0, len(cells), size)]


def names_of(columns):
    return [name for column in columns for name in column.names]


def shuffled(rows, fields, seed):
    """Return the rows as a table, in another order."""
    return arrow_table(random.Random(seed).sample(rows, len(rows)), fields)


def spread(table, plan, count, ranges):
    """Pivot over partitions, one step after the other."""
    bounds = [table.num_rows * number // count for number in range(count + 1)]
    partitions = [prepared(table.slice(begin, end - begin), plan) for begin, end in pairwise(bounds)]
    if needs_hash_parts(plan):
        parts = [hash_parts(partition, plan, count) for partition in partitions]
        partitions = [pa.concat_tables(share) for share in zip(*parts, strict=True)]
    partials = [columns_of_partition(partition, plan) for partition in partitions]
    dictionary = ordered_columns(merged_columns(partials[::-1], plan), plan, DISPLAY)
    keys = [keys_of_partition(partition, plan, dictionary, range_count=ranges) for partition in partitions]
    rows = row_plan(keys, plan, range_count=ranges)
    splits = [split_rows(partition, plan, dictionary, rows) for partition in partitions]
    dictionary = shown_columns(dictionary, plan, rows, [split.seen for split in splits])
    lines = []
    for number in range(rows.range_count):
        cells = range_cells([split.parts[number] for split in splits], plan, dictionary)
        lines += lines_of(folded([cells], plan.spec, dictionary.columns))
    return lines, dictionary, rows.is_cut


@drawn_pivots
@given(pivots(), st.integers(0, 2**16))
def test_pivot_any_rows_in_any_order_equals_one_cell_at_a_time(drawn, seed):
    """Lines, names, indexes, total and cut are those of the plain implementation, whatever the order of the rows."""
    plan, expected = plan_of(drawn), oracle_of(drawn)
    found = pivoted(shuffled(drawn.rows, drawn.table.schema, seed), plan, DISPLAY)
    columns = found.dictionary.columns
    assert expected.lines == lines_of(folded([found.cells], plan.spec, columns))
    assert expected.names == names_of(columns)
    assert expected.indexes == [column.column_index for column in columns for _ in column.names]
    assert (expected.total, expected.is_cut) == (found.dictionary.total, found.is_cut)
    assert len(expected.lines) == found.row_count


@drawn_pivots
@given(pivots())
def test_fold_any_batch_size_gives_the_same_lines(drawn):
    """Where the cells are cut leaves no trace."""
    plan = plan_of(drawn)
    found = pivoted(drawn.table, plan, DISPLAY)
    expected = oracle_of(drawn).lines
    for size in (1, 2, 997):
        assert expected == lines_of(folded(recut(found.cells, size), plan.spec, found.dictionary.columns))


@drawn_pivots
@given(pivots(), st.sampled_from([1, 2, 5]), st.integers(1, 4), st.integers(0, 2**16))
def test_distributed_any_partitions_give_the_same_lines(drawn, partitions, ranges, seed):
    """How many partitions and ranges there are, and what is where, leaves no trace."""
    plan, expected = plan_of(drawn), oracle_of(drawn)
    lines, dictionary, is_cut = spread(shuffled(drawn.rows, drawn.table.schema, seed), plan, partitions, ranges)
    assert (expected.lines, expected.names) == (lines, names_of(dictionary.columns))
    assert (expected.total, expected.is_cut) == (dictionary.total, is_cut)


@drawn_pivots
@given(pivots())
def test_pivot_turned_back_gives_the_flat_rows(drawn):
    """Every flat row is found again by its index values, its column's group values and its value."""
    plan = PivotPlan(spec=parse_pivot(drawn.configuration), limits=PivotLimits(rows=None, columns=10_000))
    found = pivoted(drawn.table, plan, DISPLAY)
    lines = lines_of(folded([found.cells], plan.spec, found.dictionary.columns))
    oracle = Pivot(drawn.rows, drawn.configuration, column_limit=10_000)
    columns, _ = oracle.columns()
    names = iter(names_of(found.dictionary.columns))
    of_column = [[next(names) for _ in oracle.values] for _ in (columns if oracle.groups else [()])]
    cells = {}
    for line in map(json.loads, lines):
        key = tuple(json.dumps(line.pop(name)) for name in oracle.index)
        for name in oracle.passthrough:
            line.pop(name)
        cells |= {(key, name): value for name, value in line.items()}
    for row in drawn.rows:
        number = next((n for n, rows in enumerate(columns) if any(row is one for one in rows)), 0)
        key = tuple(json.dumps(json.loads(spell(row[name]))) for name in oracle.index)
        twins = [one for one in drawn.rows if oracle.key(one, oracle.index) == oracle.key(row, oracle.index)]
        twins = [one for one in twins if oracle.key(one, oracle.dimensions) == oracle.key(row, oracle.dimensions)]
        for (reference, aggregation), name in zip(oracle.values, of_column[number], strict=True):
            possible = [json.loads(spell(one[f"{reference}_{aggregation}"])) for one in twins]
            assert cells[key, name] in possible
    assert len(cells) == len(oracle.values) * len({(k, n) for k, n in _places(drawn.rows, oracle)})


def _places(rows, oracle):
    return [(oracle.key(row, oracle.index), oracle.key(row, oracle.dimensions)) for row in rows]


@drawn_pivots
@given(pivots(), st.sampled_from([1, 2, 997]))
def test_ranked_rows_of_a_warehouse_equal_one_cell_at_a_time(drawn, size):
    """Rows that carry their ranks are folded as they come; names are given when a column is first met."""
    assume(drawn.configuration["groupByColumns"])
    oracle = Pivot(drawn.rows, drawn.configuration, nulls=drawn.nulls)
    columns, anchors = oracle.columns()
    position = {id(row): number for number, rows in enumerate(columns) for row in rows}
    ranked = []
    for number, rows in enumerate(oracle.ordered_rows(anchors)):
        for row in sorted(rows, key=lambda row: position[id(row)]):
            column = position[id(row)] + 1
            ranked.append(row | {"row_index": number + 1, "column_index": column if column % 3 else None})
    fields = [*drawn.table.schema, *(pa.field(name, pa.int64()) for name in ("row_index", "column_index"))]
    table = arrow_table(ranked, fields).append_column("total_columns", pa.array([77] * len(ranked), pa.int64()))
    lines, names = expected_fold(ranked, drawn.configuration)
    plan = plan_of(drawn)
    learned = RankedColumns(plan, DISPLAY)
    cells = map(learned.cells, table.to_batches(max_chunksize=size))
    assert lines == lines_of(folded(cells, plan.spec, learned.columns))
    assert names == names_of(learned.in_order())
    assert learned.total == (77 if ranked else None)


def test_fold_rows_larger_than_a_block_give_the_same_lines():
    """Rows of one, of some and of thirty thousand cells come out whole, with right offsets."""
    sizes = [1, 30_000, 3, 9000, 1, 1, 8192, 8191, 5, 20_000]
    rows = np.repeat(np.arange(len(sizes)), sizes)
    columns = np.concatenate([np.arange(size) for size in sizes])
    columns[rows == 4] = -1
    columns[rows == 9] = -1
    table = pa.table({"i": rows * 10, "v_any": np.arange(len(rows))})
    spec = parse_pivot(
        {
            "indexColumn": [{"reference": "i"}],
            "valuesColumns": [{"reference": "v", "aggregation": "any"}],
            "groupByColumns": [{"reference": "g"}],
        }
    )
    names = [f"v_any_{number}" for number in range(30_000)]
    pivot_columns = [PivotColumn(column_index=n + 1, groups=(), names=(name,)) for n, name in enumerate(names)]
    cells = Cells(table=table, rows=rows, columns=columns)
    expected = []
    for number, size in enumerate(sizes):
        first = sum(sizes[:number])
        shown = {} if number in (4, 9) else {names[n]: first + n for n in range(size)}
        expected.append(json.dumps({"i": number * 10} | shown, separators=(",", ":")))
    for size in (1 << 20, 10_000, 4999):
        assert expected == lines_of(folded(recut(cells, size), spec, pivot_columns))


@pytest.mark.parametrize("seed", range(3))
def test_pivot_many_cells_equal_one_cell_at_a_time(seed):
    """Some thousand cells of sixty columns, shuffled, over one and over five partitions."""
    chance = random.Random(seed)
    rows = [
        {"i": number // 60, "g": f"city {number % 60}", "v_any": chance.choice([None, 1.5, 7.0, chance.random()])}
        for number in range(9000)
        if chance.random() < 0.6
    ]
    configuration = {
        "indexColumn": [{"reference": "i"}],
        "valuesColumns": [{"reference": "v", "aggregation": "any"}],
        "groupByColumns": [{"reference": "g"}],
        "sortBy": [{"reference": "v" if seed else "i", "direction": "DESC"}],
    }
    fields = [pa.field("i", pa.int64()), pa.field("g", pa.string()), pa.field("v_any", pa.float64())]
    table = shuffled(rows, fields, seed)
    plan = PivotPlan(spec=parse_pivot(configuration), limits=PivotLimits(rows=None if seed == 2 else 100, columns=50))
    expected = expected_pivot(rows, configuration, limit=plan.limits.rows, column_limit=50)
    found = pivoted(table, plan, DISPLAY)
    assert expected.lines == lines_of(folded(recut(found.cells, 997), plan.spec, found.dictionary.columns))
    assert expected.lines == spread(table, plan, 5, 3)[0]
