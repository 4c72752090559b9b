"""Display rules: what items mean, and that a bad one never fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import ParameterError
from queryfleet.formatting import format_value, raw_value, rule_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = [
    *("type", "fieldType", "format", "round", "compact", "separator", "formatOptions", "timeInterval"),
    *("currency", "custom", "prefix", "suffix", "skipTimezoneConversion", "baseDimensionType"),
]
any_options = st.dictionaries(st.sampled_from(keys), json_values, max_size=6)


def _number(**options):
    return {"fieldType": "metric", "type": "sum", **options}


def _options(**options):
    return _number(formatOptions=options)


@given(any_options, any_options, json_values)
def test_rule_of_any_item_never_fails(item, options, value):
    """No item, however wrong, keeps a value from being shown."""
    for wrong in (item, {**item, "formatOptions": options}, _number(format=options)):
        assert isinstance(format_value(value, wrong), str)
        assert rule_of(wrong) == rule_of(wrong)
        raw_value(value, wrong)


@pytest.mark.parametrize(
    ("value", "item", "expected"),
    [
        (1234.5, _number(format="no such format"), "1,234.5"),
        (1234.5, _number(format="0.0 tons"), "1,234.5"),
        (1234.5, _options(type="currency", currency="Euro"), "1,234.5"),
        (1234.5, _options(type="no such type"), "1,234.5"),
        (1234.5, _options(type="number", separator="none", compact="dozens", round="two"), "1,234.5"),
        (1234.5, {"type": "no such type"}, "1,234.5"),
    ],
)
def test_rule_of_invalid_format_falls_back(value, item, expected):
    """What is not valid in an item counts as absent."""
    assert format_value(value, item) == expected


@pytest.mark.parametrize(
    ("value", "item", "expected"),
    [
        (0.285, _number(format="percent", round=0), "29%"),
        (0.575, _number(format="percent", round=0), "58%"),
        (-0.4, _number(round=0), "-0"),
        (-1234.5, _number(round=-2), "-1,200"),
        (-1234.5, _options(type="number", prefix="~", round=1), "~-1,234.5"),
        (999_999.9, _options(type="number", compact="auto", round=0), "1,000K"),
        (1_000_000, _options(type="bytes_si", compact="auto"), "1MB"),
        (1_048_576, _options(type="bytes_iec", compact="auto"), "1MiB"),
        (512, _options(type="bytes_iec", compact="auto"), "512B"),
        (2**80, _options(type="bytes_iec", compact="yobibytes"), "1YiB"),
        (
            1_234_567,
            _options(type="currency", currency="EUR", separator="periodComma", compact="K"),
            "1.234,57 €K",
        ),
        (-1234.5678, _options(type="currency", currency="KWD"), "-KWD 1,234.568"),
        (1234.5, _options(type="custom", custom="0.00"), "1234.50"),
        (float("inf"), _number(format="usd"), "$∞"),
        (float("nan"), _number(format="usd"), "NaN"),
        ("Infinity", _number(), "∞"),
        ("", _number(round=2), ""),
        ("1e3", _number(), "1,000"),
        (1e21, {"type": "string"}, "1e+21"),
        (1e-7, {"type": "string"}, "1e-7"),
        (0.000001, {"type": "string"}, "0.000001"),
        (2.0**60, {"type": "string"}, "1152921504606847000"),
        (-0.0, {"type": "string"}, "0"),
        ({"ü": [1, None]}, {"type": "string"}, '{"ü":[1,null]}'),
    ],
)
def test_format_value_beyond_recorded_cases(value, item, expected):
    """Texts the recorded cases do not cover."""
    assert format_value(value, item) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 15))
def test_format_value_rounding_is_within_half_a_unit(value, decimals):
    """A rounded text is never further from the number than half its last decimal."""
    from decimal import Decimal, localcontext

    text = format_value(value, _number(round=decimals)).replace(",", "")
    with localcontext(prec=400):
        assert abs(Decimal(text) - Decimal(repr(value))) * 2 <= Decimal(1).scaleb(-decimals)


def test_format_value_unknown_timezone_is_refused():
    """A timezone that does not exist is the caller's error."""
    with pytest.raises(ParameterError, match="Use an IANA name"):
        format_value(1, None, timezone="../etc/passwd")
