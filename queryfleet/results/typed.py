"""Values from their JSON text: one column of texts to one Arrow array; the inverse of `json_text`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from queryfleet.encoding.arrays import string_array
from queryfleet.encoding.json_time import TICKS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import polars as pl
    import pyarrow as pa

    _IsKind: TypeAlias = Callable[[pa.DataType], bool]
    _Convert: TypeAlias = Callable[[pl.Series, pa.Field], pa.Array]

__all__ = ["typed_array"]

_SPAN = re.compile(
    r"P(?:(?P<years>-?\d+)Y)?(?:(?P<months>-?\d+)M)?(?:(?P<days>-?\d+)D)?"
    r"(?:T(?:(?P<hours>-?\d+)H)?(?:(?P<minutes>-?\d+)M)?"
    r"(?:(?P<sign>-?)(?P<seconds>\d+)(?:\.(?P<fraction>\d{1,9}))?S)?)?"
)
# Arrow cannot parse the first second of its nanosecond range, because the whole second lies outside.
_UNCASTABLE = r"^[+-]|^1677-09-21T00:12:43"
_ANY_INSTANT = re.compile(r"([+-]\d{6,}|\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)\.(\d{3,9})Z)?")


def typed_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    """Convert texts to the type of `field`.

    Args:
        texts: Strings: JSON numbers, `true` and `false` as they are written, JSON strings without quotes
        and escapes,
            documents whole; null where the value is.
        field: Its type must not be nested.

    Raises:
        ValueError, pyarrow.ArrowException, polars.exceptions.PolarsError: A text does not fit the type.
    """
    for is_kind, convert in _conversions():
        if is_kind(field.type):
            return convert(texts, field)

    # What is left is cast by Arrow: integers, decimals, booleans, strings.
    return string_array(texts).cast(field.type)


@cache
def _conversions() -> tuple[tuple[_IsKind, _Convert], ...]:
    """Return which types are converted how; the first that applies counts."""
    import pyarrow as pa
    import pyarrow.types as t

    def is_sized(kind: pa.DataType) -> bool:
        return t.is_fixed_size_binary(kind) and not t.is_decimal(kind)

    return (
        (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension_array),
        (t.is_dictionary, _dictionary_array),
        (t.is_run_end_encoded, _run_end_encoded_array),
        (t.is_null, lambda texts, _: pa.nulls(len(texts))),
        (t.is_floating, _float_array),
        (lambda kind: t.is_date(kind) or t.is_timestamp(kind), _instant_array),
        (t.is_time, _time_array),
        (lambda kind: t.is_duration(kind) or t.is_interval(kind), _span_array),
        (lambda kind: t.is_decimal32(kind) or t.is_decimal64(kind), _narrow_decimal_array),
        (lambda kind: t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind), _binary_array),
        (is_sized, _binary_array),
    )


def _dictionary_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    kind = field.type
    found = typed_array(texts, field.with_type(kind.value_type)).dictionary_encode()
    indices = found.indices.cast(kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, found.dictionary, ordered=kind.ordered)


def _run_end_encoded_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    import pyarrow.compute as pc

    values = typed_array(texts, field.with_type(field.type.value_type))
    return pc.run_end_encode(values, run_end_type=field.type.run_end_type)


def _narrow_decimal_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    wide = pa.decimal128(field.type.precision, field.type.scale)
    return string_array(texts).cast(wide).cast(field.type)


def _binary_array(texts: pl.Series, field: pa.Field) -> pa.Array:

    raw = string_array(texts.str.decode("base64"))
    return _sized(raw, field.type)


def _sized(raw: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast binary values; to fixed-size ones by way of 32-bit offsets, which do for a page or a chunk."""
    import pyarrow as pa

    return raw.cast(pa.binary() if pa.types.is_fixed_size_binary(kind) else kind).cast(kind)


def _extension_array(texts: pl.Series, field: pa.Field) -> pa.Array:

    kind = field.type
    if kind.extension_name == "arrow.uuid":
        digits = texts.str.replace_all("-", "", literal=True)
        raw = string_array(digits.str.decode("hex"))
        return kind.wrap_array(_sized(raw, kind.storage_type))
    return kind.wrap_array(typed_array(texts, field.with_type(kind.storage_type)))


def _float_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    import polars as pl
    import pyarrow.types as t

    kind = field.type
    numbers = texts.cast(pl.Float64 if t.is_float64(kind) else pl.Float32)
    return numbers.alias("").to_arrow().cast(kind)


def _instant_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    """Convert dates and timestamps; years that do not have four digits one by one."""
    import polars as pl
    import pyarrow as pa
    import pyarrow.types as t

    kind = field.type
    far = texts.str.contains(_UNCASTABLE).fill_null(value=False)
    rows = np.flatnonzero(far.to_numpy())
    near = texts.zip_with(~far, pl.Series([None], dtype=pl.String)) if rows.size else texts
    strings = string_array(near)
    if t.is_date(kind):
        array = strings.cast(pa.date32())
        per_day, per_second = (1, 0) if t.is_date32(kind) else (86_400_000, 1000)
        array = array if t.is_date32(kind) else array.cast(kind)
    else:
        # Texts have three digits of a second at least, which a unit of seconds would refuse.
        unit = "ms" if kind.unit == "s" else kind.unit
        per_second = TICKS_PER_SECOND[kind.unit]
        per_day = 86_400 * per_second
        array = strings.cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(kind.unit, "UTC")).cast(kind)
    if rows.size:
        ticks = [_far_ticks(text, per_day, per_second) for text in texts.gather(rows).to_list()]
        array = _with_ticks(array, rows, ticks)
    return array


def _far_ticks(text: str, per_day: int, per_second: int) -> int:
    """Count the ticks from 1970-01-01 to an instant of any year. The calendar repeats every 400 years."""
    match = _ANY_INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    cycles, year = divmod(int(match[1]), 400)
    within = np.datetime64(f"{2000 + year}-{match[2]}-{match[3]}", "D").astype(np.int64)
    day = int(within) + (cycles - 5) * 146_097
    if match[4] is None:
        return day * per_day
    seconds = int(match[4]) * 3600 + int(match[5]) * 60 + int(match[6])
    return day * per_day + seconds * per_second + int(match[7].ljust(9, "0")) * per_second // 10**9


def _with_ticks(array: pa.Array, rows: npt.NDArray[np.int64], ticks: list[int]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as t

    whole = pa.int32() if t.is_date32(array.type) else pa.int64()
    values = array.cast(whole).to_pylist()
    for row, value in zip(rows.tolist(), ticks, strict=True):
        values[row] = value
    return pa.array(values, whole).cast(array.type)


def _time_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    """Convert times of day, which all have the same number of digits."""
    import pyarrow as pa

    kind = field.type
    per_second = TICKS_PER_SECOND[kind.unit]
    size = len("HH:MM:SS") + (len(str(per_second)) if per_second > 1 else 0)
    filled = texts.fill_null("00:00:00.000000000"[:size])
    characters = np.frombuffer("".join(filled.to_list()).encode(), dtype=np.uint8).reshape(-1, size)
    digits = characters.astype(np.int64) - ord("0")
    seconds = sum(digits[:, at] * weight for at, weight in ((0, 36_000), (1, 3600), (3, 600), (4, 60), (6, 10), (7, 1)))
    ticks = np.asarray(seconds) * per_second
    for at in range(9, size):
        ticks += digits[:, at] * (per_second // 10 ** (at - 8))
    whole = pa.int32() if pa.types.is_time32(kind) else pa.int64()
    # Through the buffer and not a cast, which would refuse 24:00:00.
    values = pa.array(ticks, whole, mask=texts.is_null().to_numpy())
    return pa.Array.from_buffers(kind, len(values), values.buffers())


def _span_array(texts: pl.Series, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    kind = field.type
    spans = [None if text is None else _span(text) for text in texts.to_list()]
    if not pa.types.is_duration(kind):
        return pa.array(spans, kind)
    nanoseconds_per_tick = 10**9 // TICKS_PER_SECOND[kind.unit]
    ticks = [None if span is None else span[2] // nanoseconds_per_tick for span in spans]
    return pa.array(ticks, pa.int64()).cast(kind)


def _span(text: str) -> tuple[int, int, int]:
    """Return months, days and nanoseconds of an ISO 8601 duration as `json_time.span_text` writes it."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(text)
    parts = {name: int(match[name] or 0) for name in ("years", "months", "days", "hours", "minutes", "seconds")}
    fraction = int((match["fraction"] or "").ljust(9, "0"))
    sign = -1 if match["sign"] else 1
    seconds = parts["hours"] * 3600 + parts["minutes"] * 60 + sign * parts["seconds"]
    return parts["years"] * 12 + parts["months"], parts["days"], seconds * 10**9 + sign * fraction
