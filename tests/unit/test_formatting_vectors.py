"""Recorded display texts and raw values of the reference service, and where we differ on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from queryfleet.columns import LogicalType, logical_field
from queryfleet.formatting import format_column, format_value, raw_column, raw_value, rule_of

VECTORS = json.loads(Path(__file__).parents[1].joinpath("fixtures", "format-vectors.json").read_text("utf-8"))

# (id, input as JSON) → (our text, why)
DEVIATIONS = {
    ("no-item", '{"a":1}'): ('{"a":1}', "objects are shown as JSON, not as `[object Object]`"),
    ("no-item", "[1,2]"): ("[1,2]", "lists are shown as JSON, not as `1,2`"),
    ("dim-number", '"9007199254740993"'): (
        "9,007,199,254,740,993",
        "digits beyond 2^53 are kept, not rounded to a double",
    ),
}


def _key(case):
    return case["id"], json.dumps(case["input"], separators=(",", ":"))


def _expected(case):
    return DEVIATIONS.get(_key(case), (case["formatted"],))[0]


def _name(case):
    return f"{case['id']}-{case['input']}"


def _column(value):
    """Return a column of the one value, as a warehouse would have it."""
    if isinstance(value, dict | list):
        return pa.array([json.dumps(value, separators=(",", ":"))]), logical_field("f", LogicalType.JSON)
    kind = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    chosen = kind.get(type(value), pa.string())
    return pa.array([value], chosen), pa.field("f", chosen)


@pytest.mark.parametrize("case", VECTORS, ids=_name)
def test_format_value_recorded_value_gives_recorded_text(case):
    """A value is shown as the reference service shows it, or as a listed deviation says."""
    assert format_value(case["input"], case["item"], timezone=case["timezone"]) == _expected(case)


@pytest.mark.parametrize("case", VECTORS, ids=_name)
def test_raw_value_recorded_value_gives_recorded_raw(case):
    """Raw values are those of the reference service, without exception."""
    raw = raw_value(case["input"], case["item"], timezone=case["timezone"])
    assert (type(raw), raw) == (type(case["raw"]), case["raw"])


@pytest.mark.parametrize("case", VECTORS, ids=_name)
def test_format_column_recorded_value_gives_recorded_text(case):
    """A column shows a recorded value like the value alone."""
    array, field = _column(case["input"])
    texts = format_column(array, field, rule_of(case["item"]), timezone=case["timezone"])
    assert texts.to_pylist() == [_expected(case)]


@pytest.mark.parametrize("case", VECTORS, ids=_name)
def test_raw_column_recorded_value_gives_recorded_raw(case):
    """A column says its raw values only where they are not the stored ones."""
    array, field = _column(case["input"])
    raw = raw_column(array, field, rule_of(case["item"]), timezone=case["timezone"])
    if raw is None:
        assert case["raw"] == case["input"]
    else:
        assert raw.to_pylist() == [case["raw"]]


def test_deviations_are_few_and_real():
    """Fewer than five of 340 recorded texts differ, and each listed one does."""
    assert len(VECTORS) == 340
    recorded = {_key(case): case["formatted"] for case in VECTORS}
    assert len(DEVIATIONS) < 5
    assert all(recorded[key] != text for key, (text, _) in DEVIATIONS.items())
