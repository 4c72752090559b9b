"""The JSON text of every value of an Arrow array: how each type is spelled, and how nested values are built.

Nested values are made like lines: the children's texts are assembled with what stands between them, and a
list is then a slice of its children's buffer. No value becomes a Python object, except spans of time and
the few that no vectorised path covers. The spellings are listed in `queryfleet.results.encoder`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TypeAlias, assert_never

import numpy as np

from queryfleet.columns import LogicalType, logical_field, logical_type
from queryfleet.encoding import json_number, json_time
from queryfleet.encoding.arrays import fixed_values, list_bounds, null_mask, string_array, taken
from queryfleet.encoding.json_string import escaped, rows_to_escape
from queryfleet.encoding.texts import (
    BLOCK,
    Texts,
    assemble,
    cells,
    from_strings,
    listed,
    merged,
    picked,
    text_array,
)
from queryfleet.errors import NotSupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from queryfleet.encoding.texts import Bytes, Indices, Mask

    _IsKind: TypeAlias = Callable[[pa.DataType], bool]
    _Spell: TypeAlias = Callable[[pa.Array, pa.Field, Mask | None], Texts]

__all__ = ["column_texts", "json_texts", "line_gaps", "quoted"]

_QUOTES = b'""'
_DATE32_BYTES = 4


def json_texts(array: pa.Array, field: pa.Field) -> pa.LargeStringArray:
    """Return the JSON text of each value of one column, as `Encoder.encode` writes it.

    Args:
        array: The values.
        field: The column's field; its metadata may say that strings hold decimals or JSON documents.

    Returns:
        As many strings as there are values, none of them null: a null value's text is `null`.

    Raises:
        NotSupportedError: The type has no JSON form (a union).
    """
    return text_array(column_texts(array, field))


def quoted(text: str) -> bytes:
    """Return one JSON string, in UTF-8."""
    return json.dumps(text, ensure_ascii=False).encode()


def line_gaps(names: Sequence[str], *, end: bytes) -> list[bytes]:
    """Return what stands before, between and after the values of a JSON object with these keys."""
    keys = [quoted(name) + b":" for name in names]
    return [b"{" + keys[0], *(b"," + key for key in keys[1:]), b"}" + end]


def column_texts(array: pa.Array, field: pa.Field) -> Texts:
    """Return the JSON texts of one column, not yet joined to one buffer; raises like `json_texts`."""
    for is_kind, spell in _spellings():
        if is_kind(array.type):
            return spell(array, field, null_mask(array))
    message = f"Column {field.name!r} has the type {array.type}, which has no JSON form; cast it in the query."
    raise NotSupportedError(message, column=field.name, type=str(array.type))


@cache
def _spellings() -> tuple[tuple[_IsKind, _Spell], ...]:
    """Return which types are spelled how; the first that applies counts."""
    import pyarrow as pa
    import pyarrow.types as t

    return (
        (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension_texts),
        (t.is_dictionary, _dictionary_texts),
        (t.is_run_end_encoded, _run_end_encoded_texts),
        (t.is_boolean, _boolean_texts),
        (t.is_integer, _integer_texts),
        (t.is_floating, _float_texts),
        (t.is_decimal, _decimal_texts),
        (t.is_date, _date_texts),
        (t.is_timestamp, _timestamp_texts),
        (t.is_time, _time_texts),
        (lambda kind: t.is_duration(kind) or t.is_interval(kind), _span_texts),
        (lambda kind: t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind), _string_texts),
        (lambda kind: t.is_binary(kind) or t.is_large_binary(kind), _binary_texts),
        (lambda kind: t.is_binary_view(kind) or t.is_fixed_size_binary(kind), _binary_texts),
        (t.is_null, _null_texts),
        (t.is_struct, _struct_texts),
        (t.is_map, _map_texts),
        (lambda kind: t.is_nested(kind) and not t.is_union(kind), _list_texts),
    )


def _boolean_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    import pyarrow as pa

    codes = fixed_values(array.cast(pa.uint8()), np.dtype(np.uint8), nulls).astype(np.int64)
    return picked(listed([b"false", b"true"]), codes, nulls=nulls)


def _null_texts(array: pa.Array, *_: object) -> Texts:
    codes, nulls = np.zeros(len(array), dtype=np.int64), np.ones(len(array), dtype=np.bool_)
    return picked(listed([b""]), codes, nulls=nulls)


def _integer_dtype(kind: pa.DataType) -> np.dtype[np.integer]:
    """Return the integer type of a value's bytes, for integers, dates and times."""
    import pyarrow as pa

    sign = "u" if pa.types.is_unsigned_integer(kind) else "i"
    return np.dtype(f"{sign}{kind.bit_width // 8}")


def _integer_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    return json_number.integer_texts(fixed_values(array, _integer_dtype(array.type), nulls), nulls)


def _float_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    import pyarrow as pa

    wide = array.cast(pa.float32()) if pa.types.is_float16(array.type) else array
    dtype: np.dtype[np.floating] = np.dtype(f"f{wide.type.bit_width // 8}")
    return json_number.float_texts(wide, fixed_values(wide, dtype, nulls), nulls)


def _decimal_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    import pyarrow as pa

    kind = array.type
    narrow = pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind)
    wide = array.cast(pa.decimal128(kind.precision, kind.scale)) if narrow else array
    return json_number.decimal_texts(wide, nulls)


def _date_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    values = fixed_values(array, _integer_dtype(array.type), nulls)
    return json_time.date_texts(values if values.itemsize == _DATE32_BYTES else values // 86_400_000, nulls)


def _timestamp_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    return json_time.timestamp_texts(fixed_values(array, np.dtype(np.int64), nulls), array.type.unit, nulls)


def _time_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    values = fixed_values(array, _integer_dtype(array.type), nulls)
    return json_time.time_texts(values, array.type.unit, nulls)


def _span_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    return json_time.span_texts(array, nulls)


def _run_end_encoded_texts(array: pa.Array, field: pa.Field, _: Mask | None) -> Texts:
    import pyarrow.compute as pc

    return column_texts(pc.run_end_decode(array), field.with_type(array.type.value_type))


def _dictionary_texts(array: pa.Array, field: pa.Field, nulls: Mask | None) -> Texts:
    import pyarrow as pa

    values, indices = array.dictionary, array.indices
    inner = field.with_type(array.type.value_type)
    if len(values) > len(array) or values.null_count:
        return column_texts(array.dictionary_decode(), inner)
    if len(values) == 0:
        return _null_texts(array)
    codes = fixed_values(indices.cast(pa.int64()), np.dtype(np.int64), nulls)
    return picked(column_texts(values, inner), codes, nulls=nulls)


def _string_texts(array: pa.Array, field: pa.Field, nulls: Mask | None) -> Texts:
    import pyarrow as pa

    plain = array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array
    match logical_type(field):
        case LogicalType.DECIMAL:
            return json_number.decimal_string_texts(plain, nulls)
        case LogicalType.JSON:
            return _document_texts(plain, nulls)
        case None:
            return _plain_string_texts(plain, nulls)
        case other:
            assert_never(other)


def _plain_string_texts(plain: pa.Array, nulls: Mask | None) -> Texts:
    texts = from_strings(plain, wrap=_QUOTES, nulls=nulls)
    rows = rows_to_escape(texts)
    if rows.size == 0:
        return texts
    if rows.size == len(texts):
        return escaped(texts)
    return merged(texts, rows, escaped(from_strings(taken(plain, rows), wrap=_QUOTES)))


def _document_texts(array: pa.Array, nulls: Mask | None) -> Texts:
    """Splice JSON documents in as they are, without line breaks; what is no JSON becomes a JSON string."""
    import polars as pl
    import pyarrow.compute as pc

    data = from_strings(array).region()
    if ((data == ord("\n")) | (data == ord("\r"))).any():
        # Between tokens a line break means nothing, and within a string JSON does not allow it.
        for line_break in ("\n", "\r"):
            array = pc.replace_substring(array, line_break, "")
    texts = from_strings(array, nulls=nulls)
    doubtful = pl.Series(pl.from_arrow(array)).str.json_path_match("$").is_null().to_numpy()
    rows = np.flatnonzero(doubtful if nulls is None else doubtful & ~nulls)
    if rows.size:
        found = taken(array, rows).to_pylist()
        spelled = [text.encode() if _is_json(text) else quoted(text) for text in found]
        texts = merged(texts, rows, listed(spelled))
    return texts


def _is_json(text: str) -> bool:
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _binary_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    import polars as pl
    import pyarrow as pa

    # Fixed-size values have no direct way to 64-bit offsets; a batch of them is small enough for 32 bits.
    plain = array.cast(pa.binary()) if pa.types.is_fixed_size_binary(array.type) else array
    text = pl.Series(pl.from_arrow(plain)).bin.encode("base64")
    return from_strings(string_array(text), wrap=_QUOTES, nulls=nulls)


def _extension_texts(array: pa.Array, field: pa.Field, nulls: Mask | None) -> Texts:
    """Spell an extension type like its storage, except UUIDs and JSON documents."""
    name, storage = array.type.extension_name, array.storage
    if name == "arrow.uuid":
        return _uuid_texts(storage, nulls)
    if name == "arrow.json":
        return _string_texts(storage, logical_field(field.name, LogicalType.JSON), nulls)
    return column_texts(storage, field.with_type(storage.type))


def _uuid_texts(array: pa.Array, nulls: Mask | None) -> Texts:
    """Spell 16 bytes as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`."""
    count = len(array)
    raw = fixed_values(array, np.dtype("V16"), None).view(np.uint8)
    nibbles = np.stack([raw >> 4, raw & 15], axis=1).reshape(count, 32)
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[nibbles]
    data = np.full(count * 40 + BLOCK, ord("-"), dtype=np.uint8)
    rows = data[: count * 40].reshape(count, 40)
    for group, (first, last) in enumerate(((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))):
        rows[:, first + group : last + group] = digits[:, first:last]
    return cells(data, 40, np.full(count, 36, dtype=np.int64), wrap=_QUOTES, nulls=nulls)


def _list_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    """Spell every kind of list: a list's text is a slice of its values' texts, which a comma follows each."""
    begins, ends = list_bounds(array)
    if nulls is not None:
        ends[nulls] = begins[nulls]  # a null list may have values that nobody shall see
    return _slices(_list_values(array, begins, ends), begins, ends, nulls)


def _list_values(array: pa.Array, begins: Indices, ends: Indices) -> tuple[Bytes, Indices]:
    """Return the texts of the values in use, a comma after each; shift the bounds to count from the first."""
    used = begins < ends
    first, last = (int(begins[used].min()), int(ends[used].max())) if used.any() else (0, 0)
    begins -= np.where(used, first, begins)
    ends -= np.where(used, first, ends)
    texts = column_texts(array.values.slice(first, last - first), array.type.value_field)
    return assemble([texts], [b"", b","])


def _slices(values: tuple[Bytes, Indices], begins: Indices, ends: Indices, nulls: Mask | None) -> Texts:
    """Take the texts of values from `begins` to `ends`, without the comma after the last of them."""
    data, offsets = values
    starts = offsets[begins]
    lengths = np.maximum(offsets[ends] - starts - 1, 0)
    if nulls is not None:
        lengths[nulls] = 4 - len(b"[]")
    return Texts(data=data, starts=starts, lengths=lengths, wrap=b"[]", nulls=nulls)


def _struct_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    kind = array.type
    fields = [kind.field(index) for index in range(kind.num_fields)]
    if not fields:
        return picked(listed([b""], wrap=b"{}"), np.zeros(len(array), dtype=np.int64), nulls=nulls)
    children = [column_texts(child, field) for child, field in zip(array.flatten(), fields, strict=True)]
    data, offsets = assemble(children, line_gaps([field.name for field in fields], end=b""))
    lengths = np.diff(offsets)
    if nulls is not None:
        lengths[nulls] = 4
    return Texts(data=data, starts=offsets[:-1], lengths=lengths, nulls=nulls)


def _map_texts(array: pa.Array, _: pa.Field, nulls: Mask | None) -> Texts:
    """Spell a map as an object; keys that are not text are the text of their JSON form."""
    import pyarrow.compute as pc

    kind = array.type
    begins, ends = list_bounds(array)
    first, count = (int(begins[0]), int(ends[-1] - begins[0])) if len(array) else (0, 0)
    keys = column_texts(array.keys.slice(first, count), kind.key_field)
    if keys.wrap != _QUOTES:
        bare = pc.utf8_trim(text_array(keys), characters='"')  # integers beyond 2^53 have their quotes already
        keys = _plain_string_texts(bare, None)
    values = column_texts(array.items.slice(first, count), kind.item_field)
    entries = assemble([keys, values], [b"", b":", b","])
    return replace(_slices(entries, begins - first, ends - first, nulls), wrap=b"{}")
