"""Spreadsheet expressions on single values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.formatting import format_value
from queryfleet.formatting.expression import parse_expression


def _shown(value, expression, kind="sum"):
    return format_value(value, {"fieldType": "metric", "type": kind, "format": expression})


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("0.##", 5, "5."),
        ("#.00", 0.5, ".50"),
        ("00000", 42, "00042"),
        ("0,000", 7, "0,007"),
        ("0.0,,", 1_234_567, "1.2"),
        ("#,##0 %", 0.5, "50 %"),
        ("-0", 3, "-3"),
        ('"n/a"', 3, "n/a"),
        ("General", -1.5, "-1.5"),
        ("##0.0E+0", 12_345, "12.3E+3"),
        ("0.0E-0", 9.99, "1.0E1"),
        ("0.00E+00", 0, "0.00E+00"),
        ('0;-0;"zero"', 0, "zero"),
        ("0.0;(0.00)", -1, "(1.00)"),
        ("#,##0.00;(#,##0.00)", -0.001, "(0.00)"),
        ("#,##0.00", -0.001, "0.00"),
        ("[Red]0", 1, "1"),
        ("0_)", 1, "1 "),
        ("0*x", 1, "1"),
        (r"0\K", 1, "1K"),
        ('0;0;0;"text: "@', "abc", "text: abc"),
        ("yy-m-d h:mm AM/PM", 1_714_953_600_000, "24-5-6 12:00 AM"),
        ("dddd, mmmm dd, yyyy hh:mm:ss.000", 1_714_957_323_004, "Monday, May 06, 2024 01:02:03.004"),
        ("ddd mmm mmmmm", 1_714_957_323_004, "Mon May M"),
        ("yyyy", "2024-05-06", "2024"),
        ("0.00", True, "true"),
    ],
)
def test_expression_valid_formats_value(expression, value, expected):
    """Every supported part of an expression does what a spreadsheet does."""
    assert _shown(value, expression) == expected


@pytest.mark.parametrize(
    "expression",
    ["", "# ?/?", "[>100]0", "[h]:mm", "000-0000", "tons", "0;0;0;0;0", "0 @", "0 yyyy", '"open', "x" * 300],
)
def test_parse_expression_unsupported_is_not_valid(expression):
    """What cannot be honoured in full is no expression, so the item's type decides."""
    assert parse_expression(expression) is None


@given(
    st.text(alphabet='0#?.,%E+-;@ymdhs/: "\\_*[]$€()AMPGenral', max_size=20),
    st.floats() | st.text(max_size=5),
)
def test_expression_any_text_never_fails(expression, value):
    """No expression, however odd, keeps a value from being shown."""
    assert isinstance(_shown(value, expression), str)
