"""Values of parameters: precedence, checks, and how they become SQL."""

from __future__ import annotations

import pytest

from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.parameters import ParameterValue, check_given, missing_parameters, resolve_parameters
from queryfleet.errors import ParameterError
from queryfleet.semantic.parameter import ParameterDefinition, ParameterType

TEXT = ParameterDefinition()
NUMBER = ParameterDefinition(type=ParameterType.NUMBER)
DATE = ParameterDefinition(type=ParameterType.DATE)
MANY = ParameterDefinition(multiple=True)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], ("d",)),
        ([{"x": "saved"}], ("saved",)),
        ([{"x": "saved"}, {"x": "asked"}], ("asked",)),
        ([{"x": "saved"}, {"x": None}], ("saved",)),
        ([{"x": []}], ("d",)),
        ([{"other": "asked"}], ("d",)),
    ],
)
def test_resolve_takes_the_strongest_level_that_says_something(layers, expected) -> None:
    """Defaults yield to saved values, these to the request; null and the empty list say nothing."""
    assert expected == resolve_parameters({"x": ParameterDefinition(default=("d",))}, *layers)["x"].values


def test_resolve_without_any_value_leaves_the_parameter_out() -> None:
    """What has no value is missing, and so is only what nobody defined."""
    assert {} == resolve_parameters({"x": TEXT}, {"y": "1"})
    assert ("x",) == missing_parameters(
        ["x", "z", "z"], {"z": ParameterValue(type=ParameterType.STRING, values=("1",))}
    )


@pytest.mark.parametrize(
    ("definition", "value", "sql"),
    [
        (TEXT, "it's", "'it''s'"),
        (TEXT, 5, "'5'"),
        (TEXT, True, "'true'"),
        (NUMBER, "1.50", "1.5"),
        (NUMBER, "-2", "(-2)"),
        (NUMBER, 10**20, "100000000000000000000"),
        (DATE, "2025-05-20", "DATE '2025-05-20'"),
        (MANY, ["a", "b'"], "'a', 'b'''"),
        (MANY, "a", "'a'"),
    ],
)
def test_value_is_rendered_by_its_type(definition, value, sql) -> None:
    """Texts are quoted, numbers bare, dates typed, lists joined by commas."""
    assert sql == resolve_parameters({"x": definition}, {"x": value})["x"].sql(dialect_of("duckdb"))


@pytest.mark.parametrize(
    ("definition", "value", "fault"),
    [
        (NUMBER, "1; drop table t", "no finite number"),
        (NUMBER, "", "no finite number"),
        (NUMBER, True, "no finite number"),
        (NUMBER, "nan", "no finite number"),
        (NUMBER, "1e9999", "no finite number"),
        (DATE, "2025-02-30", "no date"),
        (DATE, "20250520", "no date"),
        (DATE, 5, "no date"),
        (TEXT, ["a", "b"], "takes one"),
        (TEXT, [["a"]], "no single value"),
        (MANY, [{"a": 1}], "no single value"),
        (MANY, [None], "no single value"),
        (ParameterDefinition(options=("a", "b")), "c", "its options are: a, b"),
        (ParameterDefinition(type=ParameterType.NUMBER, options=(1, 2)), "3", "its options are: 1, 2"),
        (MANY, ["x"] * 1001, "more than 1000"),
        (TEXT, "x" * 10_001, "longer"),
    ],
)
def test_value_that_does_not_fit_is_refused_by_name(definition, value, fault) -> None:
    """The message names the parameter and what it may be."""
    with pytest.raises(ParameterError, match=fault) as caught:
        resolve_parameters({"rate": definition}, {"rate": value})
    assert "`rate`" in caught.value.message
    assert 400 == caught.value.status


def test_options_do_not_bind_where_custom_values_are_allowed() -> None:
    """Options of a definition that allows others are suggestions; a number matches however it is written."""
    assert resolve_parameters({"x": ParameterDefinition(options=("a",), allow_custom_values=True)}, {"x": "c"})
    assert resolve_parameters({"x": ParameterDefinition(type=ParameterType.NUMBER, options=(1, 2))}, {"x": "2.0"})


def test_check_given_names_every_missing_parameter() -> None:
    """The error lists them in order, for people and for the machine."""
    with pytest.raises(ParameterError, match="Missing parameters: a, b") as caught:
        check_given(["b", "a", "b"], {})
    assert ["a", "b"] == caught.value.details["missingReferences"]
    check_given([], {})


def test_value_goes_back_to_the_wire_as_it_may_be_sent() -> None:
    """A parameter that may have several is a list, even of one."""
    assert ["a"] == resolve_parameters({"x": MANY}, {"x": "a"})["x"].to_json()
    assert 1.5 == resolve_parameters({"x": NUMBER}, {"x": "1.5"})["x"].to_json()
