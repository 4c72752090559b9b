"""SQL text taken apart: nothing lost, nothing guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import CompileError
from queryfleet.semantic.references import (
    AttributeName,
    Literal,
    ParameterName,
    Reference,
    TableSelf,
    Tag,
    UserEmail,
    tokens,
)


@pytest.mark.parametrize(
    ("sql", "token"),
    [
        ("${TABLE}", TableSelf(start=0)),
        ("${ TABLE }", TableSelf(start=0)),
        ("${name}", Reference(table=None, name="name", start=0)),
        ("${a_b.c-d}", Reference(table="a_b", name="c-d", start=0)),
        ("${lightdash.attributes.x}", AttributeName(name="x", start=0)),
        ("${lightdash.attribute.x}", AttributeName(name="x", start=0)),
        ("${ld.attributes.x}", AttributeName(name="x", start=0)),
        ("${ld.attr.x}", AttributeName(name="x", start=0)),
        ("${lightdash.user.email}", UserEmail(start=0)),
        ("${ld.user.email}", UserEmail(start=0)),
        ("${lightdash.parameters.x}", ParameterName(name="x", start=0)),
        ("${ld.parameters.orders.x}", ParameterName(name="orders.x", start=0)),
    ],
)
def test_tokens_of_a_reference_is_what_it_refers_to(sql, token):
    """Every spelling of a reference is known."""
    assert tokens(sql) == (token,)


def test_tokens_keep_text_and_positions():
    """Text between references is kept to the letter, with the index where it stands."""
    assert tokens("sum(${TABLE}.x) -- {a}") == (
        Literal(text="sum(", start=0),
        TableSelf(start=4),
        Literal(text=".x) -- {a}", start=12),
    )
    assert tokens("") == ()


def test_tokens_of_tags_keep_their_conditions():
    """Tags are parts of their own, so that both branches are seen."""
    sql = "{% if ld.parameters.x == 'y' %}a{%- else -%}b{% endif %}"
    assert [token for token in tokens(sql) if isinstance(token, Tag)] == [
        Tag(name="if", condition="ld.parameters.x == 'y'", start=0),
        Tag(name="else", condition="", start=32),
        Tag(name="endif", condition="", start=45),
    ]


@pytest.mark.parametrize(
    ("sql", "advice"),
    [
        ("${", "has no end"),
        ("${a", "has no end"),
        ("x\n  ${a.b.c}", "at line 2, column 3"),
        ("${}", "is not a reference"),
        ("${a b}", "is not a reference"),
        ("${ld.atr.x}", "ld.attr.name"),
        ("${ld.attr.}", "ld.attr.name"),
        ("${lightdash.x}", "ld.attr.name"),
        ("{% for x in y %}{% endfor %}", "`for`"),
        ("{% if x %}", "has no `endif`"),
        ("{% endif %}", "does not fit"),
        ("{% else %}", "does not fit"),
        ("{% if x %}{% endunless %}", "does not fit"),
        ("{% if x %}{% else %}{% else %}{% endif %}", "does not fit"),
        ("{% if %}{% endif %}", "lacks a condition"),
        ("{% if x %}{% else y %}{% endif %}", "takes no condition"),
        ("x" * 1_000_001, "longer than"),
    ],
)
def test_tokens_of_what_is_no_reference_is_refused_with_its_place(sql, advice):
    """A typing error never reaches the warehouse as text."""
    with pytest.raises(CompileError) as caught:
        tokens(sql)
    assert advice in caught.value.message


PIECES = st.sampled_from(
    [
        "${TABLE}",
        "${a}",
        "${a.b}",
        "${ld.attr.x}",
        "${ld.user.email}",
        "$",
        "{",
        "}",
        "%",
        "'",
        "--",
        "\n",
        " x ",
        "{{y}}",
    ]
)


@given(st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join))
def test_tokens_cover_the_text_without_gaps_or_refuse_it(sql):
    """Put together, texts and references are the SQL that was read; nothing crashes."""
    try:
        found = tokens(sql)
    except CompileError:
        return
    end = 0
    for index, token in enumerate(found):
        assert token.start == end
        following = found[index + 1].start if index + 1 < len(found) else len(sql)
        text = sql[token.start : following]
        if isinstance(token, Literal):
            assert token.text == text
        else:
            assert text.startswith(("${", "{%"))
            assert text.endswith("}")
        end = following
    assert end == len(sql)
