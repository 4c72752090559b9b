"""SQL that a question brings along: what its names may tell."""

from __future__ import annotations

import pytest

from queryfleet.compiler.custom_sql import table_of
from queryfleet.errors import CompileError
from queryfleet.semantic.access import permitted_explore


def test_table_that_is_not_the_callers_is_never_suggested(catalog_of) -> None:
    """A mistyped name finds only tables of which the caller may see something."""
    pay = "type: model\nname: pay\nsql_from: pay\nrequired_attributes: {team: boss}\n"
    pay += "dimensions: [{name: id, type: number, sql: x}]\n"
    base = "type: model\nname: a\nsql_from: a\njoins: [{join: pay, sql_on: '1 = 1'}]\n"
    base += "dimensions: [{name: id, type: number, sql: x}]\n"
    explore = permitted_explore(catalog_of({"a.yml": base, "pay.yml": pay}).explore("a"), {})
    with pytest.raises(CompileError) as raised:
        table_of("payy", explore)
    assert "`pay`" not in raised.value.message
    assert "choose one of: a" in raised.value.message
