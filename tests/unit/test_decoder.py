"""Lines back to Arrow: the values and types that were encoded."""

from __future__ import annotations

import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings

from queryfleet.columns import LogicalType, logical_field, logical_type
from queryfleet.errors import ResultCorruptError
from queryfleet.results.decoder import decode_lines
from queryfleet.results.encoder import Encoder
from tests.strategies.arrow_columns import batches, columns, plain_columns


def _round_trip(batch):
    lines = Encoder(batch.schema).encode(batch).data
    decoded = decode_lines(lines, batch.schema)
    decoded.validate(full=True)
    assert bytes(lines) == bytes(Encoder(batch.schema).encode(decoded).data)
    return decoded


def _one_column(field, array):
    return pa.RecordBatch.from_arrays([array], schema=pa.schema([field]))


def _has_marked_text(field):
    kind = field.type
    inner = [kind.field(index) for index in range(kind.num_fields)]
    return logical_type(field) is not None or any(map(_has_marked_text, inner))


@settings(deadline=None)
@given(plain_columns())
def test_decode_lines_plain_column_gives_values_back(column):
    """Every value of every plain type comes back with its type."""
    field, array = column
    decoded = _round_trip(_one_column(field, array)).column(0)
    if logical_type(field) is LogicalType.DECIMAL:
        pairs = zip(array.to_pylist(), decoded.to_pylist(), strict=True)
        assert all(old == new or Decimal(old) == Decimal(new) for old, new in pairs)
    else:
        assert array.equals(decoded)


@settings(deadline=None)
@given(columns())
def test_decode_lines_any_column_gives_values_back(column):
    """Nested values, documents and dictionaries come back too."""
    field, array = column
    decoded = _round_trip(_one_column(field, array)).column(0)
    assert array.type == decoded.type
    if pa.types.is_dictionary(array.type):
        assert array.dictionary_decode().equals(decoded.dictionary_decode())
    elif logical_type(field) is LogicalType.JSON:
        pairs = zip(array.to_pylist(), decoded.to_pylist(), strict=True)
        assert all(old == new or json.loads(old) == json.loads(new) for old, new in pairs)
    elif not _has_marked_text(field) and not _has_dictionary(array.type):
        assert array.equals(decoded)


def _has_dictionary(kind):
    return pa.types.is_dictionary(kind) or any(_has_dictionary(kind.field(n).type) for n in range(kind.num_fields))


@settings(deadline=None)
@given(batches())
def test_decode_lines_any_batch_gives_the_same_bytes_again(batch):
    """Decoding and encoding again gives the same bytes, whatever the columns and their names are."""
    _round_trip(batch)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([float("nan"), float("inf"), -float("inf"), -0.0, None]),
        pa.array([float("nan"), 0.1, -0.0], pa.float32()),
        pa.array([2**63 - 1, -(2**63), 2**53], pa.int64()),
        pa.array([-(2**63), 2**63 - 1, 0], pa.int64()).cast(pa.timestamp("ns")),
        pa.array([[1, None], None, []], pa.list_view(pa.int16())),
        pa.array([[1, None], None], pa.list_(pa.int16(), 2)),
        pa.array(
            [[("a", {"b": [b"\x00"]})], None, []],
            pa.map_(pa.string(), pa.struct([("b", pa.list_(pa.binary()))])),
        ),
        pa.array([[(2**60, "x")], []], pa.map_(pa.int64(), pa.string())),
        pa.array(["a", "b", None, "a"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        pa.array([{}, None], pa.struct([])),
    ],
    ids=lambda array: str(array.type),
)
def test_decode_lines_special_values_survive(array):
    """Values that JSON has no word for, and types that JSON does not know, survive."""
    decoded = _round_trip(_one_column(pa.field("c", array.type), array)).column(0)
    assert (str(array.type), str(array)) == (str(decoded.type), str(decoded))


def test_decode_lines_run_end_encoded_survives():
    """A run-end encoded column comes back as one."""
    array = pa.RunEndEncodedArray.from_arrays([2, 3], [7, None])
    decoded = _round_trip(_one_column(pa.field("c", array.type), array)).column(0)
    assert array.type == decoded.type
    assert [7, 7, None] == decoded.to_pylist()


def test_decode_lines_no_rows_gives_typed_columns():
    """No bytes are no rows, of the right schema."""
    schema = pa.schema([("a", pa.int64()), logical_field("b", LogicalType.JSON)])
    decoded = decode_lines(b"", schema)
    assert (0, schema) == (decoded.num_rows, decoded.schema)


def test_decode_lines_no_columns_keeps_the_row_count():
    """Rows without columns are still counted."""
    assert decode_lines(b"{}\n{}\n", pa.schema([])).num_rows == 2


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (b'{"c":"abc"}\n', pa.int64()),
        (b'{"c":1', pa.int64()),
        (b'{"c":"2024-13-01"}\n', pa.date32()),
        (b'{"c":"P1X"}\n', pa.duration("s")),
        (b'{"c":[1}\n', pa.list_(pa.int64())),
        (b'{"d":[1]}\n', pa.list_(pa.int64())),
        (b'{"c":[[1]]}\n', pa.list_(pa.int64())),
        (b'{"c":[1],"d":2}\n', pa.list_(pa.int64())),
    ],
)
def test_decode_lines_damaged_lines_are_an_error(lines, kind):
    """Lines that do not fit their schema are an error, never wrong rows."""
    with pytest.raises(ResultCorruptError, match="do not fit"):
        decode_lines(lines, pa.schema([("c", kind)]))
