"""The short form of filters: every documented spelling, and nothing that is silently taken for text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import CompileError
from queryfleet.semantic.explore import FilterOperator, FilterRule, UnitOfTime
from queryfleet.semantic.mini_language import filter_text, parse_filter

_O = FilterOperator

READ = [
    (None, _O.IS_NULL, ()),
    ("null", _O.IS_NULL, ()),
    ("NULL", _O.IS_NULL, ()),
    ("!null", _O.NOT_NULL, ()),
    ("!NULL", _O.NOT_NULL, ()),
    ("Null", _O.EQUALS, ("Null",)),
    ([], _O.EQUALS, ()),
    (["!a", "%b%", "null", "> 7"], _O.EQUALS, ("!a", "%b%", "null", "> 7")),
    (7, _O.EQUALS, (7,)),
    (1.5, _O.EQUALS, (1.5,)),
    (True, _O.EQUALS, (True,)),
    ("", _O.EQUALS, ()),
    ("done", _O.EQUALS, ("done",)),
    ("7", _O.EQUALS, ("7",)),
    ("!done", _O.NOT_EQUALS, ("done",)),
    ("%one%", _O.INCLUDE, ("one",)),
    ("!%one%", _O.DOES_NOT_INCLUDE, ("one",)),
    ("do%", _O.STARTS_WITH, ("do",)),
    ("%ne", _O.ENDS_WITH, ("ne",)),
    ("50%off", _O.EQUALS, ("50%off",)),
    ("^%abc", _O.EQUALS, ("%abc",)),
    ("abc^%", _O.EQUALS, ("abc%",)),
    ("%abc^%%", _O.INCLUDE, ("abc%",)),
    ("^!abc", _O.EQUALS, ("!abc",)),
    ("^> 7", _O.EQUALS, ("> 7",)),
    ("a^b", _O.EQUALS, ("a^b",)),
    ("^^", _O.EQUALS, ("^",)),
    ("> 7", _O.GREATER_THAN, (7,)),
    (">7", _O.GREATER_THAN, (7,)),
    (">= 7", _O.GREATER_THAN_OR_EQUAL, (7,)),
    ("< -1.5", _O.LESS_THAN, (-1.5,)),
    ("<=3", _O.LESS_THAN_OR_EQUAL, (3,)),
    ("between 2 and 9", _O.IN_BETWEEN, (2, 9)),
    ("between 2025-05-01 and 2025-05-20", _O.IN_BETWEEN, ("2025-05-01", "2025-05-20")),
    ("betweenness", _O.EQUALS, ("betweenness",)),
    ("inthepast 6 weeks", _O.EQUALS, ("inthepast 6 weeks",)),
]


@pytest.mark.parametrize(("written", "operator", "values"), READ, ids=repr)
def test_parse_filter_of_a_documented_spelling_gives_its_rule(written, operator, values):
    """Every row of the language's table means what it says."""
    assert parse_filter("status", written) == FilterRule(field_id="status", operator=operator, values=values)


@pytest.mark.parametrize(
    ("written", "operator", "values", "unit"),
    [
        ("inThePast 6 weeks", _O.IN_THE_PAST, (6,), UnitOfTime.WEEKS),
        ("inThePast 1 day", _O.IN_THE_PAST, (1,), UnitOfTime.DAYS),
        ("notInThePast 2 years", _O.NOT_IN_THE_PAST, (2,), UnitOfTime.YEARS),
        ("inTheNext 3 days", _O.IN_THE_NEXT, (3,), UnitOfTime.DAYS),
        ("inTheCurrent month", _O.IN_THE_CURRENT, (), UnitOfTime.MONTHS),
        ("inTheCurrent quarters", _O.IN_THE_CURRENT, (), UnitOfTime.QUARTERS),
        ("notInTheCurrent year", _O.NOT_IN_THE_CURRENT, (), UnitOfTime.YEARS),
    ],
)
def test_parse_filter_of_a_relative_spelling_has_its_unit(written, operator, values, unit):
    """Singular and plural name the same unit of time."""
    expected = FilterRule(field_id="at", operator=operator, values=values, unit_of_time=unit)
    assert parse_filter("at", written) == expected
    assert expected.to_json()["settings"] == {"unitOfTime": unit.value}


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("> many", "no number follows"),
        ("> 2025-01-01", "`between` for dates"),
        (">", "no number follows"),
        ("> 1e999", "no number follows"),
        ("between 2 and", "two numbers or two dates"),
        ("between a and b", "two numbers or two dates"),
        ("between 2 and 2025-01-01", "two numbers or two dates"),
        ("between 2025-13-01 and 2025-12-01", "two numbers or two dates"),
        ("!between 2 and 9", "negates `between`"),
        ("!inThePast 3 days", "negates `inThePast`"),
        ("inThePast weeks", "`inThePast 6 weeks`"),
        ("inThePast 6 wekes", "did you mean `weeks`"),
        ("inTheCurrent 2 months", "`inTheCurrent month`"),
        ("inTheCurrent", "`inTheCurrent month`"),
        ("!do%", "not possible"),
        ("!%ne", "not possible"),
        ("%", "every text matches"),
        ("%%", "every text matches"),
        ("!%%", "every text matches"),
        ("!", "lone `!`"),
        ([None], "`null`"),
        ([["a"]], "not a value"),
        ({"a": 1}, "is a mapping"),
    ],
)
def test_parse_filter_of_what_only_looks_like_an_operator_is_refused(written, advice):
    """A rule that would silently compare with its own text is an error that says what to write."""
    with pytest.raises(CompileError) as caught:
        parse_filter("status", written)
    assert advice in caught.value.message
    assert "`status`" in caught.value.message


TEXTS = st.text(st.sampled_from("ab%!<>^ 7-nulbetweinThPas"), max_size=12)
NUMBERS = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9).filter(lambda number: number != int(number))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=12) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(VALUES)
def test_parse_filter_of_anything_gives_a_rule_or_an_error_with_words(value):
    """Whatever a model says is understood or refused, never a crash, and the rule has a wire form."""
    try:
        rule = parse_filter("status", value)
    except CompileError:
        return
    assert rule.to_json()["operator"] in {each.value for each in FilterOperator}


def rule(operator, *values, unit=None):
    """Make a rule on one field."""
    return FilterRule(field_id="orders.status", operator=operator, values=values, unit_of_time=unit)


RULES = (
    st.builds(lambda values: rule(_O.EQUALS, *values), st.lists(TEXTS | NUMBERS | st.booleans(), max_size=4))
    | st.sampled_from([rule(_O.IS_NULL), rule(_O.NOT_NULL)])
    | st.builds(rule, st.sampled_from([_O.INCLUDE, _O.DOES_NOT_INCLUDE]), TEXTS.filter(bool))
    | st.builds(
        rule,
        st.sampled_from([_O.GREATER_THAN, _O.GREATER_THAN_OR_EQUAL, _O.LESS_THAN, _O.LESS_THAN_OR_EQUAL]),
        NUMBERS,
    )
    | st.builds(lambda low, high: rule(_O.IN_BETWEEN, low, high), NUMBERS, NUMBERS)
    | st.builds(lambda low, high: rule(_O.IN_BETWEEN, low.isoformat(), high.isoformat()), st.dates(), st.dates())
    | st.builds(
        lambda operator, count, unit: rule(operator, count, unit=unit),
        st.sampled_from([_O.IN_THE_PAST, _O.NOT_IN_THE_PAST, _O.IN_THE_NEXT]),
        st.integers(0, 999_999_999),
        st.sampled_from(UnitOfTime),
    )
    | st.builds(
        lambda operator, unit: rule(operator, unit=unit),
        st.sampled_from([_O.IN_THE_CURRENT, _O.NOT_IN_THE_CURRENT]),
        st.sampled_from(UnitOfTime),
    )
)


@given(RULES)
def test_filter_text_of_a_rule_is_read_back_to_the_same_rule(made):
    """What the language writes for a rule means that rule."""
    assert parse_filter(made.field_id, filter_text(made)) == made


def affixes(text):
    """Tell whether a text can stand at an end of `%`: it must not be taken for an operator."""
    return text and not text.startswith(("between", "inThe", "notInThe"))


@given(st.sampled_from([_O.NOT_EQUALS, _O.STARTS_WITH, _O.ENDS_WITH]), TEXTS.filter(affixes))
def test_filter_text_of_a_text_rule_is_read_back_or_refused(operator, text):
    """A text with special characters keeps every one of them; only words of the language itself cannot be negated."""
    made = rule(operator, text)
    if operator is _O.NOT_EQUALS and text in ("null", "NULL"):
        with pytest.raises(CompileError, match="cannot be written"):
            filter_text(made)
    else:
        assert parse_filter(made.field_id, filter_text(made)) == made


def test_filter_text_of_a_rule_the_language_lacks_is_refused():
    """Nothing is written that would mean something else."""
    for made in (rule(_O.NOT_IN_BETWEEN, 1, 2), rule(_O.NOT_EQUALS, "a", "b"), rule(_O.INCLUDE, "")):
        with pytest.raises(CompileError, match="cannot be written"):
            filter_text(made)
