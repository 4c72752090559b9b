"""The column face of formatting: it agrees with the reference, on every type and rule."""

from __future__ import annotations

import json
from decimal import Context, Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from queryfleet.columns import LogicalType, column_of, logical_field
from queryfleet.encoding.json_text import json_texts
from queryfleet.errors import InternalError, ParameterError
from queryfleet.formatting import format_column, format_value, is_formattable, raw_column, raw_value, rule_of
from queryfleet.model import ColumnType

EXPRESSIONS = [
    *("#,##0.00", "0%", "0.0%", "$#,##0", '#,##0.0,"K"', "0.00E+00", "[$€]#,##0.00", "yyyy-mm-dd", "@"),
    *("#,##0.00;(#,##0.00)", "mmm d, yyyy", "hh:mm:ss AM/PM", "0.##", "#.00", "00000", "0,000", "General"),
    *("##0.0E+0", '0;-0;"zero";@!', "0.00;0.0", "0.0,,", "#%", '"n/a"', "not valid", "0.00 %;[Red](0.00 %)"),
]
SEPARATORS = ["commaPeriod", "spacePeriod", "periodComma", "noSeparatorPeriod", "apostrophePeriod"]
INTERVALS = [
    *("RAW", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "YEAR_NUM"),
    *("HOUR", "MINUTE", "SECOND", "MILLISECOND"),
]
LEGACY = ["usd", "eur", "gbp", "jpy", "dkk", "percent", "km", "mi", "si", "id", "no such format"]
COMPACT = [
    "thousands",
    "millions",
    "billions",
    "trillions",
    "auto",
    "K",
    "megabytes",
    "mebibytes",
    "yottabytes",
]
ZONES = [None, "UTC", "America/New_York", "Asia/Kolkata", "Europe/Oslo", "Australia/Lord_Howe"]


def _some(**choices):
    """Draw a mapping with any part of these keys."""
    return st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in choices.items()})


def _merged(fixed, options):
    return options.map(lambda found: {**found, **fixed})


ROUND = [0, 1, 2, 3, 6, 12, 16, 20, -1, -2, -3]
custom_formats = st.builds(
    lambda kind, rest: {"type": kind, **rest},
    st.sampled_from(["number", "currency", "percent", "bytes_si", "bytes_iec", "default", "id", "date", "timestamp"]),
    _some(
        round=ROUND,
        compact=COMPACT,
        separator=SEPARATORS,
        prefix=["~", "€ "],
        suffix=[" u", "°"],
        currency=["USD", "EUR", "JPY", "CHF", "KWD", "??"],
        timeInterval=INTERVALS,
    ),
)
items = st.one_of(
    st.none(),
    _merged(
        {"fieldType": "metric", "type": "sum"},
        _some(format=LEGACY, round=ROUND, compact=COMPACT, separator=SEPARATORS),
    ),
    custom_formats.map(lambda options: {"fieldType": "metric", "type": "number", "formatOptions": options}),
    custom_formats.map(lambda options: {"name": "calculation", "format": options}),
    st.builds(
        lambda kind, rest: {"fieldType": "dimension", "type": kind, **rest},
        st.sampled_from(["date", "timestamp", "boolean", "string", "number"]),
        _some(timeInterval=INTERVALS, skipTimezoneConversion=[True], format=EXPRESSIONS, separator=SEPARATORS),
    ),
    st.builds(
        lambda kind, rest: {"fieldType": "metric", "type": kind, **rest},
        st.sampled_from(["min", "max", "count"]),
        _some(baseDimensionType=["date"], round=[2], format=["usd", *EXPRESSIONS]),
    ),
)

ties = st.builds(lambda n, places: n / 10**places, st.integers(-(10**9), 10**9), st.integers(0, 8))
floats = st.one_of(
    ties,
    st.floats(),
    st.floats(-1e6, 1e6),
    st.integers(-(10**17), 10**17).map(float),
    st.sampled_from([2.5, 1.005, -0.4, 0.285, 0.0005, 999.9995, 1e14, 1e21, 1e-7, 2.0**53, 123456789012.25]),
)
integers = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-(10**6), 10**6), st.sampled_from([999, 1024, 2**53])
)
decimal_texts = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9).map(
        "{:f}".format
    ),
    st.from_regex(r"-?(0|[1-9][0-9]{0,45})(\.[0-9]{1,25})?", fullmatch=True),
    st.sampled_from(
        [
            "NaN",
            "Infinity",
            "-Infinity",
            "12.50",
            "-0.00",
            "007",
            "1e5",
            "abc",
            "",
            "5.",
            ".5",
            "9" * 40 + ".9999",
        ]
    ),
)
texts = st.one_of(
    decimal_texts,
    st.text(max_size=8),
    st.sampled_from(["2024-01-02", "2024-05-06T01:02:03.000Z", "2024-02-30", "true", "Yes", " 12 "]),
)


def _decimals(precision, scale):
    bound = 10**precision - 1
    unscaled = st.one_of(st.integers(-bound, bound), st.integers(-min(bound, 10**9), min(bound, 10**9)))
    return unscaled.map(lambda n: Decimal(n).scaleb(-scale, Context(prec=80)))


def _moments(unit):
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    seconds = st.integers(-2_300_000_000, 5_900_000_000)
    parts = st.one_of(
        st.just(0), st.integers(0, per_second - 1), st.integers(0, 999).map(lambda n: n * per_second // 1000)
    )
    usual = st.builds(lambda whole, part: whole * per_second + part, seconds, parts)
    if unit == "ns":
        return usual
    far = [
        -62_135_596_800,
        253_402_300_799,
        253_402_300_800,
        -2_208_988_800,
        9_000_000_000_000,
        -62_167_219_201,
    ]
    return st.one_of(usual, st.sampled_from([second * per_second for second in far]))


KINDS = [
    *((pa.field("f", pa.float64()), floats), (pa.field("f", pa.float32()), st.floats(width=32))),
    *((pa.field("f", pa.int64()), integers), (pa.field("f", pa.uint64()), st.integers(0, 2**64 - 1))),
    *((pa.field("f", pa.int8()), st.integers(-128, 127)), (pa.field("f", pa.bool_()), st.booleans())),
    *(
        (pa.field("f", pa.decimal128(*size)), _decimals(*size))
        for size in [(9, 2), (18, 4), (38, 10), (38, 0), (38, 25)]
    ),
    (pa.field("f", pa.decimal256(60, 30)), _decimals(60, 30)),
    *((logical_field("f", LogicalType.DECIMAL), decimal_texts), (pa.field("f", pa.string()), texts)),
    *(
        (pa.field("f", pa.date32()), st.integers(-30_000, 70_000)),
        (pa.field("f", pa.binary()), st.binary(max_size=6)),
    ),
    *(
        (pa.field("f", pa.timestamp(unit, zone)), _moments(unit))
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC")
    ),
    (
        logical_field("f", LogicalType.JSON),
        st.sampled_from(['{"a":1}', "[1,2]", '"text"', "1234.5", "true", "null", "[]"]),
    ),
]
columns = st.sampled_from(KINDS).flatmap(
    lambda kind: st.lists(st.one_of(st.none(), kind[1]), max_size=12).map(
        lambda found: (pa.array(found, kind[0].type), kind[0])
    )
)


@settings(max_examples=400, deadline=None)
@given(columns, items, st.sampled_from(ZONES), st.integers(0, 2))
@example((pa.array([-0.4, -0.0, 2.5]), pa.field("f", pa.float64())), {"type": "sum", "round": 0}, None, 0)
def test_format_column_any_column_agrees_with_format_value(column, item, timezone, first):
    """Whatever the type and the rule, a column's text is that of the JSON value in the stored line."""
    array, field = column[0].slice(first), column[1]
    rule = None if item is None else rule_of(item)
    # Without an item, the type of the column still says which texts are numbers.
    known = {"type": "number"} if item is None and column_of(field).type is ColumnType.NUMBER else item
    values = [json.loads(text) for text in json_texts(array, field).to_pylist()]
    expected = [format_value(value, known, timezone=timezone) for value in values]
    formatted = format_column(array, field, rule, timezone=timezone)
    formatted.validate(full=True)
    assert formatted.type == pa.string()
    assert formatted.to_pylist() == expected


@settings(max_examples=150, deadline=None)
@given(columns, st.sampled_from(["date", "timestamp"]), st.sampled_from(ZONES))
def test_raw_column_any_column_agrees_with_raw_value(column, kind, timezone):
    """Raw values of date and timestamp fields are the same made by column and one by one."""
    array, field = column
    item = {"fieldType": "dimension", "type": kind}
    values = [json.loads(text) for text in json_texts(array, field).to_pylist()]
    raw = raw_column(array, field, rule_of(item), timezone=timezone)
    assert raw.to_pylist() == [raw_value(value, item, timezone=timezone) for value in values]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([2**63 - 1, -(2**63)]), ["9,223,372,036,854,775,807", "-9,223,372,036,854,775,808"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18,446,744,073,709,551,615"]),
        (
            pa.array([Decimal("9999999999999999999999999999.9995"), Decimal("-1.0005")], pa.decimal128(38, 10)),
            ["10,000,000,000,000,000,000,000,000,000", "-1.001"],
        ),
        (pa.array([float("nan"), float("inf"), float("-inf"), -0.0]), ["NaN", "∞", "-∞", "-0"]),
        (pa.array([1.005, 1e21, 1e-7, None]), ["1.005", "1,000,000,000,000,000,000,000", "0", "∅"]),
        (pa.array([True, None]), ["true", "∅"]),
        (pa.array([b"\x00\xff", None]), ["AP8=", "∅"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([None, None]), ["∅", "∅"]),
        (pa.array([0.1], pa.float32()), ["0.1"]),
        (pa.array([19_782], pa.date32()), ["2024-02-29"]),
        (
            pa.array([1_001, 1_000_000], pa.timestamp("us")),
            ["1970-01-01T00:00:00.001001Z", "1970-01-01T00:00:01.000Z"],
        ),
        (pa.array([1], pa.timestamp("ns", "Asia/Tokyo")), ["1970-01-01T00:00:00.000000001Z"]),
        (pa.array([3_723_000_001], pa.time64("us")), ["01:02:03.000001"]),
    ],
)
def test_format_column_without_rule_gives_default_of_type(array, expected):
    """A query without items shows numbers grouped and exact, everything else as it is stored."""
    assert format_column(array, pa.field("f", array.type), None).to_pylist() == expected


def test_format_column_decimal_text_is_exact_in_any_precision():
    """Decimals of unlimited precision are formatted as numbers, no digit lost."""
    array = pa.array(["123456789012345678901234567890.1235", "-0.00049", "12.50", "NaN", "Infinity", None])
    shown = format_column(array, logical_field("f", LogicalType.DECIMAL), None).to_pylist()
    assert shown == ["123,456,789,012,345,678,901,234,567,890.124", "-0", "12.5", "NaN", "∞", "∅"]


def test_format_column_daylight_saving_moves_with_each_moment():
    """Each timestamp has the offset its zone had at that moment, to the second of the change."""
    moments = ["2024-03-31T00:59:59", "2024-03-31T01:00:00", "2024-10-27T00:59:59", "2024-10-27T01:00:00"]
    array = pa.array(moments).cast(pa.timestamp("us"))
    rule = rule_of({"fieldType": "dimension", "type": "timestamp", "timeInterval": "SECOND"})
    shown = format_column(array, pa.field("f", array.type), rule, timezone="Europe/Oslo").to_pylist()
    assert shown == [
        "2024-03-31, 01:59:59 (+01:00)",
        "2024-03-31, 03:00:00 (+02:00)",
        "2024-10-27, 02:59:59 (+02:00)",
        "2024-10-27, 02:00:00 (+01:00)",
    ]


def test_format_column_unknown_timezone_is_refused():
    """A timezone that does not exist is the caller's error, and is named."""
    array = pa.array([1])
    with pytest.raises(ParameterError, match="Mars/Olympus"):
        format_column(array, pa.field("f", array.type), None, timezone="Mars/Olympus")


def test_format_column_nested_type_is_refused():
    """Lists must come as JSON text; the column is named."""
    array = pa.array([[1]])
    assert not is_formattable(array.type)
    with pytest.raises(InternalError, match="'f'"):
        format_column(array, pa.field("f", array.type), None)


def test_format_column_json_texts_of_nested_type_are_kept():
    """JSON texts stand for the values of a column whose type cannot be formatted."""
    field = pa.field("f", pa.list_(pa.int64()))
    assert format_column(pa.array(["[1,2]", None]), field, None).to_pylist() == ["[1,2]", "∅"]


def test_raw_column_without_date_field_is_the_stored_value():
    """Only date and timestamp fields have raw values of their own."""
    array = pa.array([0], pa.timestamp("us"))
    field = pa.field("f", array.type)
    assert raw_column(array, field, None) is None
    assert raw_column(array, field, rule_of({"fieldType": "metric", "type": "max"})) is None
    assert raw_column(array, field, rule_of({"name": "f", "type": "date"})) is None
