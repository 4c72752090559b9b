"""What stands in a line: one spelling per value, whatever its neighbours are."""

from __future__ import annotations

import datetime as dt
import json
import threading
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.columns import LogicalType, logical_field
from queryfleet.errors import InternalError, NotSupportedError
from queryfleet.results.encoder import Encoder, json_texts
from tests.strategies.arrow_columns import batches, decimal_texts

NS = [0, 1_700_000_000_678_000_000, 1_700_000_000_678_901_000, 1_700_000_000_000_000_004]
SPELLINGS = {
    "integer": (
        pa.array([0, -7, 9999, 10_000, 2**53 - 1, 2**53, -(2**53), -(2**63), None], pa.int64()),
        '0 -7 9999 10000 9007199254740991 "9007199254740992" "-9007199254740992" "-9223372036854775808" null',
    ),
    "unsigned": (pa.array([2**64 - 1, 255], pa.uint64()), '"18446744073709551615" 255'),
    "float": (
        pa.array([1.0, 0.1, -2.5, 0.0, -0.0, 1e22, 1e-7, 1234.5678, 1e15, 5e-324]),
        "1 0.1 -2.5 0 -0.0 1e+22 1e-7 1234.5678 1000000000000000 5e-324",
    ),
    "not finite": (pa.array([float("nan"), float("inf"), -float("inf")]), '"NaN" "Infinity" "-Infinity"'),
    "float32": (pa.array([0.1, 3.0, -0.0], pa.float32()), "0.1 3 -0.0"),
    "decimal": (
        pa.array([Decimal("1.50"), Decimal("-0.01"), Decimal(100), Decimal(0), None], pa.decimal128(18, 2)),
        "1.5 -0.01 100 0 null",
    ),
    "long decimal": (
        pa.array([Decimal("123456789012345678.90"), Decimal("1234567890123.45")], pa.decimal128(38, 2)),
        '"123456789012345678.90" 1234567890123.45',
    ),
    "date": (
        pa.array([0, 19_782, -719_528, -719_529, 2_932_896, 2_932_897, None], pa.int32()).cast(pa.date32()),
        '"1970-01-01" "2024-02-29" "0000-01-01" "-000001-12-31" "9999-12-31" "+010000-01-01" null',
    ),
    "timestamp": (
        pa.array(NS, pa.int64()).cast(pa.timestamp("ns")),
        (
            '"1970-01-01T00:00:00.000Z" "2023-11-14T22:13:20.678Z" "2023-11-14T22:13:20.678901Z" '
            '"2023-11-14T22:13:20.000000004Z"'
        ),
    ),
    "zoned timestamp": (
        pa.array([1_700_000_000, -1], pa.int64()).cast(pa.timestamp("s", "Europe/Berlin")),
        '"2023-11-14T22:13:20.000Z" "1969-12-31T23:59:59.000Z"',
    ),
    "time": (pa.array([dt.time(3, 4, 5, 678_901), None], pa.time64("us")), '"03:04:05.678901" null'),
    "duration": (
        pa.array([3_661_000, -1, 0], pa.int64()).cast(pa.duration("ms")),
        '"PT1H1M1S" "PT-0.001S" "PT0S"',
    ),
    "interval": (
        pa.array([pa.MonthDayNano([14, -3, 5 * 10**8]), pa.MonthDayNano([0, 1, 0])]),
        '"P1Y2M-3DT0.5S" "P1D"',
    ),
    "binary": (pa.array([b"", b"\x00\xff", None]), '"" "AP8=" null'),
    "boolean": (pa.array([True, False, None]), "true false null"),
    "null": (pa.nulls(2), "null null"),
    "text": (
        pa.array(["", 'a"\\', "\n\x00", "/\u2028\U0001f600", None]),
        '"" "a\\"\\\\" "\\n\\u0000" "/\u2028\U0001f600" null',
    ),
    "dictionary": (pa.array(["a", None, "b", "a"]).dictionary_encode(), '"a" null "b" "a"'),
    "list": (pa.array([[1, None], [], None]), "[1,null] [] null"),
    "struct": (pa.array([{"a": 1, "b": "x"}, None]), '{"a":1,"b":"x"} null'),
    "map": (pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int8())), '{"k":1} {} null'),
    "number-keyed map": (
        pa.array([[(2**60, True)]], pa.map_(pa.int64(), pa.bool_())),
        '{"1152921504606846976":true}',
    ),
}


@pytest.mark.parametrize(("array", "expected"), SPELLINGS.values(), ids=SPELLINGS)
def test_json_texts_every_type_as_documented(array, expected):
    """Each type is written as the table of the encoder says."""
    assert expected.split(" ") == json_texts(array, pa.field("c", array.type)).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.50", "12.5"),
        ("100.00", "100"),
        ("-0.00", "0"),
        ("007", "7"),
        ("0.0000001", "0.0000001"),
        ("4.985333333333333", "4.985333333333333"),
        ("4.9853333333333333", '"4.9853333333333333"'),
        ("10000000000000000000000", "1e+22"),
        ("12345678901234567890.10", '"12345678901234567890.10"'),
        ("NaN", '"NaN"'),
        ("-Infinity", '"-Infinity"'),
        ("12 apples", '"12 apples"'),
    ],
)
def test_json_texts_decimal_text_is_number_only_without_loss(text, expected):
    """Decimal text becomes a JSON number exactly when a double keeps its value."""
    field = logical_field("c", LogicalType.DECIMAL)
    assert [expected, "null", "1.5"] == json_texts(pa.array([text, None, "1.50"]), field).to_pylist()


@settings(deadline=None)
@given(st.lists(decimal_texts, min_size=1, max_size=20))
def test_json_texts_decimal_text_follows_the_rule(texts):
    """A decimal is a number iff the nearest double prints the same value again; a string keeps all digits."""
    spelled = json_texts(pa.array(texts), logical_field("c", LogicalType.DECIMAL)).to_pylist()
    for text, found in zip(texts, spelled, strict=True):
        value = Decimal(text)
        survives = value.is_finite() and Decimal(repr(float(value))) == value
        assert survives == (not found.startswith('"'))
        if survives:
            assert value == Decimal(found) == Decimal(repr(json.loads(found)))
        else:
            assert text == json.loads(found)


@settings(deadline=None)
@given(st.lists(st.floats() | st.integers(-(10**9), 10**9).map(lambda n: n / 1000), min_size=1, max_size=50))
def test_json_texts_float_is_the_shortest_that_reads_back(values):
    """A float's text reads back as the same float and has no more digits than Python's shortest text."""
    array = pa.array(values, pa.float64())
    for value, found in zip(values, json_texts(array, pa.field("c", array.type)).to_pylist(), strict=True):
        read = float(json.loads(found))
        assert np.float64(value).tobytes() == np.float64(read).tobytes() or np.isnan([value, read]).all()
        if np.isfinite(value):
            assert Decimal(found).normalize() == Decimal(repr(value)).normalize()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":\n  [1.10, 12345678901234567890123]\r\n}', '{"a":  [1.10, 12345678901234567890123]}'),
        ("null", "null"),
        ('"\\ud800"', '"\\ud800"'),
        ("1e999", "1e999"),
        ("undefined", '"undefined"'),
        ("NaN", '"NaN"'),
        ('1,"other":2', '"1,\\"other\\":2"'),
        ("", '""'),
    ],
)
def test_encoder_document_cannot_break_a_line(text, expected):
    """A document is spliced in without line breaks; what is no document is a string."""
    field = logical_field("c", LogicalType.JSON)
    batch = pa.record_batch([pa.array([text, None])], schema=pa.schema([field]))
    assert f'{{"c":{expected}}}\n{{"c":null}}\n' == bytes(Encoder(batch.schema).encode(batch).data).decode()


@settings(deadline=None)
@given(batches())
def test_encoder_any_batch_gives_one_json_object_per_row(batch):
    """Offsets cut the bytes into one strict JSON object per row: keys in order, values as in `json_texts`."""
    encoded = Encoder(batch.schema).encode(batch)
    assert encoded.offsets.dtype == np.int64
    assert batch.num_rows + 1 == len(encoded.offsets)
    assert len(encoded.data) == encoded.offsets[-1]
    texts = [json_texts(array, field).to_pylist() for array, field in zip(batch.columns, batch.schema, strict=True)]
    bounds = encoded.offsets.tolist()
    for row, (first, last) in enumerate(pairwise(bounds)):
        line = bytes(encoded.data[first:last]).decode()
        members = [
            f"{json.dumps(name, ensure_ascii=False)}:{column[row]}"
            for name, column in zip(batch.schema.names, texts, strict=True)
        ]
        assert "{" + ",".join(members) + "}\n" == line
        assert line.count("\n") == 1
        assert batch.schema.names == list(json.loads(line, parse_constant=pytest.fail))


@settings(deadline=None)
@given(batches(), st.data())
def test_encoder_other_batches_give_the_same_bytes(batch, data):
    """The bytes of a row do not depend on the batch it is in."""
    encoder = Encoder(batch.schema)
    cut = data.draw(st.integers(0, batch.num_rows))
    parts = [batch.slice(0, cut), batch.slice(cut)]
    assert bytes(encoder.encode(batch).data) == b"".join(bytes(encoder.encode(part).data) for part in parts)
    alone = [bytes(encoder.encode(batch.slice(row, 1)).data) for row in range(batch.num_rows)]
    assert bytes(encoder.encode(batch).data) == b"".join(alone)


def _mixed_batch(rows):
    numbers = np.arange(rows)
    return pa.record_batch(
        {
            "id": pa.array(numbers * 1_000_003),
            "price": pa.array(numbers / 7),
            "note": pa.array([None if n % 5 == 0 else f"row {n}" * (n % 40) for n in range(rows)]),
            "at": pa.array(numbers * 10**12 + numbers, pa.int64()).cast(pa.timestamp("us")),
        }
    )


def test_encoder_large_batch_equals_its_parts():
    """A batch larger than what is encoded at once gives the lines and offsets of its parts."""
    batch = _mixed_batch(40_000)
    encoder = Encoder(batch.schema)
    encoded = encoder.encode(batch)
    parts = [encoder.encode(batch.slice(first, 1000)) for first in range(0, 40_000, 1000)]
    assert bytes(encoded.data) == b"".join(bytes(part.data) for part in parts)
    ends = np.flatnonzero(np.frombuffer(encoded.data, dtype=np.uint8) == ord("\n")) + 1
    assert [0, *ends.tolist()] == encoded.offsets.tolist()


def test_encoder_shared_by_threads_gives_the_same_bytes():
    """Threads may use one encoder at the same time."""
    batch = _mixed_batch(3000)
    encoder = Encoder(batch.schema)
    expected, found = bytes(encoder.encode(batch).data), []
    threads = [threading.Thread(target=lambda: found.append(bytes(encoder.encode(batch).data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [expected] * 4 == found


def test_encoder_no_columns_gives_empty_objects():
    """Rows without columns are empty objects."""
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    encoded = Encoder(batch.schema).encode(batch)
    assert (b"{}\n{}\n", [0, 3, 6]) == (bytes(encoded.data), encoded.offsets.tolist())


def test_encoder_union_is_refused_before_any_batch():
    """A type without JSON form is refused when the encoder is made, by name."""
    kind = pa.dense_union([pa.field("a", pa.int8())])
    with pytest.raises(NotSupportedError, match="'mixed'"):
        Encoder(pa.schema([pa.field("mixed", pa.list_(pa.field("mixed", kind)))]))


def test_encoder_other_schema_is_refused():
    """A batch of another schema is an error, never wrong lines."""
    encoder = Encoder(pa.schema([("a", pa.int64())]))
    with pytest.raises(InternalError, match="columns"):
        encoder.encode(pa.record_batch({"a": ["x"]}))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.none() | st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=30),
    st.sampled_from(["us", "ns"]),
)
def test_json_texts_timestamp_agrees_with_numpy(ticks, unit):
    """Instants of four-digit years agree with NumPy's calendar."""
    near = [None if tick is None else tick % (250_000_000_000 * 10**6) if unit == "us" else tick for tick in ticks]
    array = pa.array(near, pa.int64()).cast(pa.timestamp(unit))
    for tick, found in zip(near, json_texts(array, pa.field("c", array.type)).to_pylist(), strict=True):
        if tick is None:
            assert found == "null"
        else:
            assert np.datetime64(tick, unit) == np.datetime64(json.loads(found).removesuffix("Z"), unit)
            assert len(found) == 26 + 3 * ((tick * (1000 if unit == "us" else 1)) % 10**6 != 0) + 3 * (
                unit == "ns" and tick % 1000 != 0
            )
