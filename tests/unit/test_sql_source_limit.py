"""The outer limit of a statement, taken off and written again."""

from __future__ import annotations

import pytest

from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.sql_source import OuterLimit, without_limit


@pytest.mark.parametrize(
    ("sql", "inner", "outer"),
    [
        ("select 1", "select 1", OuterLimit()),
        ("select 1 order by 1 limit 5", "select 1 order by 1", OuterLimit(limit=5)),
        ("select 1 LIMIT 5\noffset 7", "select 1", OuterLimit(limit=5, offset=7)),
        ("select 1 offset 7 limit 5", "select 1", OuterLimit(limit=5, offset=7, is_offset_first=True)),
        ("select 1 offset 7", "select 1", OuterLimit(offset=7)),
        ("select 'limit 5'", "select 'limit 5'", OuterLimit()),
        ("select * from (select 1 limit 5)", "select * from (select 1 limit 5)", OuterLimit()),
        ("select '--' as x limit 3 -- limit 4", "select '--' as x", OuterLimit(limit=3)),
        ("select 1 limit 2 + 3", "select 1 limit 2 + 3", OuterLimit()),
    ],
)
def test_outer_limit_is_taken_off_whatever_its_order(sql, inner, outer):
    """Literals, comments, inner limits and expressions are no outer limit."""
    assert without_limit(sql, dialect_of("duckdb")) == (inner, outer)


def test_outer_limit_is_written_again_with_its_offset():
    """In the order that the statement had; without an offset nothing is needed."""
    assert OuterLimit(limit=5).written(3) == ""
    assert OuterLimit(limit=5, offset=7).written(3) == "\nLIMIT 3 OFFSET 7"
    assert OuterLimit(offset=7, is_offset_first=True).written(3) == "\nOFFSET 7 LIMIT 3"
