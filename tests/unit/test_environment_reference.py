"""References to the environment in configuration text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.environment_reference import has_reference, is_malformed, is_only_references, substituted
from queryfleet.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "some", "only", "malformed"),
    [
        ("", False, False, False),
        ("plain", False, False, False),
        ("${A}", True, True, False),
        ("${A}${_b2}", True, True, False),
        ("x${A}", True, False, False),
        ("${A", False, False, True),
        ("${}", False, False, True),
        ("${2A}", False, False, True),
        ("${A} ${B C}", True, False, True),
        ("$A $", False, False, False),
    ],
)
def test_reference_questions_are_answered(text: str, some: bool, only: bool, malformed: bool) -> None:
    """The three questions about a text have the documented answers."""
    assert (has_reference(text), is_only_references(text), is_malformed(text)) == (some, only, malformed)


def test_substituted_puts_values_in_and_does_not_look_into_them() -> None:
    """A value that looks like a reference is inserted as it is."""
    assert substituted("a${X}b${Y}", {"X": "${Y}", "Y": "2"}, field="f") == "a${Y}b2"


@pytest.mark.parametrize("environ", [{}, {"SHOP_PASSWORD": ""}])
def test_substituted_missing_variable_is_named(environ: dict[str, str]) -> None:
    """A variable that is not set, or empty, is named together with what refers to it."""
    with pytest.raises(ConfigurationError, match=r"SHOP_PASSWORD, which `warehouse\.password` refers to") as caught:
        substituted("${SHOP_PASSWORD}", environ, field="warehouse.password")
    assert caught.value.details == {"variable": "SHOP_PASSWORD", "field": "warehouse.password"}


@given(text=st.text())
def test_substituted_without_references_changes_nothing(text: str) -> None:
    """Text without a reference is returned as it is."""
    if not has_reference(text):
        assert substituted(text, {}, field="f") == text
