"""Hypothesis strategies: Arrow columns of every type that a result may have."""

from __future__ import annotations

import json
import math

import pyarrow as pa
from hypothesis import strategies as st

from queryfleet.columns import LogicalType, logical_field

MAX_ROWS = 9
_DEPTH = 2  # levels of nesting
_INT64 = st.integers(-(2**63), 2**63 - 1)
_TEXT = (
    st.text(max_size=80)
    | st.text('ab"\\\n\x00/\u2028\U0001f600', max_size=8)
    | st.text("xy", min_size=60, max_size=200)
)
_FLOAT = st.floats(allow_nan=False) | st.integers(-(10**15), 10**15).map(lambda n: n / 100) | st.just(-0.0)
_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_document_values = _json_values.filter(lambda value: value is not None)
documents = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only),
    _document_values,
    st.none() | st.integers(0, 2),
    st.booleans(),
)
compact_documents = _document_values.map(lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False))
decimal_texts = st.decimals(allow_nan=True, allow_infinity=True).map(
    lambda value: (
        "NaN"
        if value.is_nan()
        else "Infinity"
        if value == math.inf
        else "-Infinity"
        if value == -math.inf
        else format(value, "f")
    )
) | st.builds("{}.{:0{}d}".format, st.integers(-(10**12), 10**12), st.integers(0, 99), st.integers(2, 6))


def _instants(unit):
    near = st.integers(-(10**10), 10**10).map(lambda seconds: seconds * _TICKS_PER_SECOND[unit])
    fine = _INT64.map(lambda ticks: ticks % (4 * 10**9 * _TICKS_PER_SECOND[unit]))
    return (_INT64 | near | fine).filter(lambda ticks: unit != "ns" or abs(ticks) < 2**63).map(_as_int64)


def _as_int64(ticks):
    return max(-(2**63), min(2**63 - 1, ticks))


def _viewed(kind, storage):
    return lambda values: pa.array(values, storage).cast(kind)


def _plain_kinds():
    """List (field, strategy of one value, values to array) of every type that is not nested."""

    def plain(kind, values):
        return pa.field("c", kind), values, lambda items: pa.array(items, kind)

    for bits, kinds in {
        8: (pa.int8(), pa.uint8()),
        16: (pa.int16(), pa.uint16()),
        32: (pa.int32(), pa.uint32()),
        64: (pa.int64(), pa.uint64()),
    }.items():
        yield plain(kinds[0], st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) | st.integers(-100, 100))
        yield plain(kinds[1], st.integers(0, 2**bits - 1) | st.integers(0, 100))
    yield plain(pa.float64(), _FLOAT)
    yield plain(pa.float32(), st.floats(width=32, allow_nan=False))
    for precision, scale in ((18, 2), (38, 2), (38, 0), (15, 15), (38, 20), (9, 4)):
        digits = st.integers(-(10**precision) + 1, 10**precision - 1) | st.integers(-9999, 9999)
        values = digits.map(lambda number, scale=scale: _decimal(number, scale))
        yield plain(pa.decimal128(precision, scale), values)
    yield plain(pa.decimal256(76, 10), st.integers(-(10**76) + 1, 10**76 - 1).map(lambda number: _decimal(number, 10)))
    yield plain(pa.decimal64(12, 3), st.integers(-(10**12) + 1, 10**12 - 1).map(lambda number: _decimal(number, 3)))
    yield plain(pa.bool_(), st.booleans())
    yield plain(pa.null(), st.none())
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield plain(kind, _TEXT)
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        yield plain(kind, st.binary(max_size=70))
    yield plain(pa.binary(3), st.binary(min_size=3, max_size=3))
    yield (
        pa.field("c", pa.date32()),
        st.integers(-(2**31), 2**31 - 1) | st.integers(-800_000, 3_000_000),
        _viewed(pa.date32(), pa.int32()),
    )
    yield (
        pa.field("c", pa.date64()),
        st.integers(-(10**8), 10**8).map(lambda day: day * 86_400_000),
        _viewed(pa.date64(), pa.int64()),
    )
    for unit, per_second in _TICKS_PER_SECOND.items():
        for zone in (None, "UTC", "Europe/Berlin"):
            kind = pa.timestamp(unit, zone)
            yield pa.field("c", kind), _instants(unit), _viewed(kind, pa.int64())
        yield pa.field("c", pa.duration(unit)), _INT64, _viewed(pa.duration(unit), pa.int64())
        kind, whole = (pa.time32(unit), pa.int32()) if unit in ("s", "ms") else (pa.time64(unit), pa.int64())
        yield pa.field("c", kind), st.integers(0, 86_400 * per_second - 1), _viewed(kind, whole)
    small = st.integers(-(2**31), 2**31 - 1)
    yield plain(pa.month_day_nano_interval(), st.builds(lambda *parts: pa.MonthDayNano(parts), small, small, _INT64))
    yield logical_field("c", LogicalType.DECIMAL), decimal_texts, lambda items: pa.array(items, pa.string())
    uuids = st.binary(min_size=16, max_size=16)
    yield pa.field("c", pa.uuid()), uuids, lambda items: pa.uuid().wrap_array(pa.array(items, pa.binary(16)))


def _decimal(number, scale):
    from decimal import Decimal

    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -scale))


PLAIN_KINDS = list(_plain_kinds())


@st.composite
def plain_columns(draw, rows=None):
    """Draw (field, array) of a type that is not nested, with nulls."""
    field, values, build = draw(st.sampled_from(PLAIN_KINDS))
    count = draw(st.integers(0, MAX_ROWS)) if rows is None else rows
    items = draw(st.lists(st.none() | values, min_size=count, max_size=count))
    return field, build(items)


@st.composite
def columns(draw, rows=None, depth=_DEPTH):
    """Draw (field, array) of any type."""
    count = draw(st.integers(0, MAX_ROWS)) if rows is None else rows
    shape = draw(st.sampled_from(["plain", "plain", "document", "dictionary", "list", "large_list", "struct", "map"]))
    if depth == 0 or shape == "plain":
        return draw(plain_columns(count))
    if shape == "document":
        values = documents if depth == _DEPTH else compact_documents
        items = draw(st.lists(st.none() | values, min_size=count, max_size=count))
        return logical_field("c", LogicalType.JSON), pa.array(items, pa.string())
    if shape == "dictionary":
        items = draw(st.lists(st.none() | _TEXT, min_size=count, max_size=count))
        array = pa.array(items, pa.string()).dictionary_encode()
        return pa.field("c", array.type), array
    nulls = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    mask = pa.array(nulls, pa.bool_())
    if shape == "struct":
        children = [draw(columns(count, depth - 1)) for _ in range(draw(st.integers(1, 3)))]
        fields = [field.with_name(f'k"{index}') for index, (field, _) in enumerate(children)]
        array = pa.StructArray.from_arrays([child for _, child in children], fields=fields, mask=mask)
        return pa.field("c", array.type), array
    sizes = [0 if null else draw(st.integers(0, 3)) for null in nulls]
    offsets = [sum(sizes[:index]) for index in range(count + 1)]
    item_field, items = draw(columns(offsets[-1], depth - 1))
    if shape == "map":
        keys = pa.array([f'{index}é"' for index in range(offsets[-1])], pa.string())
        kind = pa.map_(pa.field("key", pa.string(), nullable=False), item_field.with_name("value"))
        array = pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items, type=kind)
        return pa.field("c", kind), array
    is_large = shape == "large_list"
    kind = (pa.large_list if is_large else pa.list_)(item_field)
    build = pa.LargeListArray if is_large else pa.ListArray
    positions = pa.array(offsets, pa.int64() if is_large else pa.int32())
    return pa.field("c", kind), build.from_arrays(positions, items, type=kind, mask=mask)


@st.composite
def batches(draw):
    """Draw a batch of one to four columns of any type, with unusual names."""
    rows = draw(st.integers(0, MAX_ROWS))
    count = draw(st.integers(1, 4))
    names = draw(st.lists(_TEXT, min_size=count, max_size=count, unique=True))
    drawn = [draw(columns(rows)) for _ in names]
    schema = pa.schema([field.with_name(name) for name, (field, _) in zip(names, drawn, strict=True)])
    return pa.RecordBatch.from_arrays([array for _, array in drawn], schema=schema)
