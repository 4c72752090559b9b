"""Conditions of tags in SQL: what they may say, and which parts they keep."""

from __future__ import annotations

import pytest

from queryfleet.compiler.liquid import holds, kept_parts
from queryfleet.errors import CompileError
from queryfleet.semantic.expression import LiquidTag, SqlText

VALUES = {
    ("parameter", "status"): "open",
    ("parameter", "orders.rate"): 5,
    ("parameter", "regions"): ("north", "south"),
    ("parameter", "one"): ("north",),
    ("query", "fields"): frozenset({"orders_status", "orders.status"}),
    ("query", "filters"): frozenset(),
}


def _value(kind: str, name: str):
    return VALUES.get((kind, name))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("ld.parameters.status == 'open'", True),
        ('lightdash.parameters.status != "open"', False),
        ("ld.parameters.status <> 'closed'", True),
        ("ld.parameters.status == 'a == b'", False),
        ("ld.parameters.status contains 'pe'", True),
        ("ld.parameters.regions contains 'south'", True),
        ("ld.parameters.regions contains 'sout'", False),
        ("ld.parameters.regions == 'north'", False),
        ("ld.parameters.one == 'north'", True),
        ("ld.parameters.orders.rate == 5", True),
        ("ld.parameters.orders.rate > 4.5", True),
        ("ld.parameters.orders.rate <= 4", False),
        ("ld.parameters.orders.rate < 'x'", False),
        ("ld.parameters.nosuch", False),
        ("ld.parameters.nosuch == nil", True),
        ("ld.parameters.status", True),
        ("ld.query.fields contains 'orders.status'", True),
        ("ld.query.filters contains 'orders_status'", False),
        ("true and false or true", True),
        ("false and true or true", False),  # read from the right: false and (true or true)
        ("true or false and false", True),
    ],
)
def test_condition_holds_as_liquid_says(condition: str, expected: bool) -> None:
    """Comparisons, `contains`, truth, and `and` and `or` read from the right."""
    assert expected is holds(condition, _value)


@pytest.mark.parametrize(
    "condition",
    ["nosuch == 1", "ld.user.email == 'a'", "1 == ", "== 1", "1 1", "'a", "a = b", "true and", "1 == 1 == 1",
     "x | upcase", "; drop table t"],
)  # fmt: skip
def test_condition_that_is_none_is_refused_and_shown(condition: str) -> None:
    """The message repeats the condition and shows a right one."""
    with pytest.raises(CompileError, match=r"ld\.parameters") as caught:
        holds(condition, _value)
    assert condition in caught.value.message


def _kept(text: str) -> str:
    """Render `[tag condition]` and single letters."""
    parts = []
    for piece in text.split("|"):
        if piece.startswith("["):
            name, _, condition = piece[1:-1].partition(" ")
            parts.append(LiquidTag(name=name, condition=condition))
        elif piece:
            parts.append(SqlText(text=piece))
    return "".join(part.text for part in kept_parts(parts, _value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|[if true]|b|[else]|c|[endif]|d", "abd"),
        ("[if false]|b|[else]|c|[endif]", "c"),
        ("[if false]|a|[elsif true]|b|[elsif true]|c|[else]|d|[endif]", "b"),
        ("[if false]|a|[elsif false]|b|[else]|d|[endif]", "d"),
        ("[unless true]|a|[else]|b|[endunless]", "b"),
        ("[if false]|[if true]|a|[else]|b|[endif]|c|[else]|d|[endif]", "d"),
        ("[if true]|[if false]|a|[else]|b|[endif]|c|[else]|d|[endif]", "bc"),
    ],
)
def test_only_the_first_branch_that_holds_is_kept(text: str, expected: str) -> None:
    """Branches exclude one another, at every depth."""
    assert expected == _kept(text)


def test_condition_out_of_reach_is_not_evaluated() -> None:
    """What stands in a branch that is not taken asks for nothing."""
    assert "b" == _kept("[if true]|b|[elsif ld.nosuch]|c|[endif]")
    assert "" == _kept("[if false]|[if ld.nosuch]|a|[endif]|[endif]")
