"""The JSON text of dates, timestamps, times of day and spans of time.

Dates of two centuries are looked up in a table of ready texts, times of day are put together from small
tables. All instants are written in UTC. The spellings are listed in `queryfleet.results.encoder`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from queryfleet.encoding.texts import BLOCK, Texts, cells, listed, merged, picked

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import pyarrow as pa

    from queryfleet.encoding.texts import Bytes, Indices, Mask

_Integer = TypeVar("_Integer", bound=np.integer)

__all__ = ["TICKS_PER_SECOND", "date_texts", "span_text", "span_texts", "time_texts", "timestamp_texts"]

TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_TABLE_FIRST, _TABLE_LAST = -25_567, 47_481  # 1900-01-01 to 2099-12-31, in days since 1970-01-01
_FIRST, _LAST = -719_528, 2_932_896  # 0000-01-01 to 9999-12-31: years of four digits
_JANUARY_FROM_MARCH = 10
_QUOTES = b'""'
_DAY_CELL = 16  # `2024-02-29T00:00:`
_INSTANT_CELL = 32  # `2024-02-29T03:04:05.678901234Z`
_MIDNIGHT = b"T00:00:00.000Z"


def _day_cells(days: npt.NDArray[np.integer]) -> Bytes:
    """Write `YYYY-MM-DDT` into cells of 16 bytes, for years 0 to 9999; one cell a row, then BLOCK bytes.

    The calendar arithmetic counts years from 1 March, so that the leap day is the last day of a year, in
    eras of 400 years.
    """
    shifted = days.astype(np.int64) + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    ends_year = month_from_march >= _JANUARY_FROM_MARCH
    month = month_from_march + np.where(ends_year, -9, 3)
    year = year_of_era + era * 400 + ends_year
    flat = np.zeros(len(days) * _DAY_CELL + BLOCK, dtype=np.uint8)
    rows = flat[: len(days) * _DAY_CELL].reshape(-1, _DAY_CELL)
    digits = (
        year // 1000,
        year // 100 % 10,
        year // 10 % 10,
        year % 10,
        month // 10,
        month % 10,
        day // 10,
        day % 10,
    )
    for at, digit in zip((0, 1, 2, 3, 5, 6, 8, 9), digits, strict=True):
        rows[:, at] = digit + ord("0")
    rows[:, 4] = rows[:, 7] = ord("-")
    rows[:, 10] = ord("T")
    return flat


@cache
def _day_table() -> npt.NDArray[np.void]:
    """Return `YYYY-MM-DDT` of every day from 1900 to 2099, 1.2 MB."""
    days = np.arange(_TABLE_FIRST, _TABLE_LAST + 1)
    return np.ndarray((len(days),), f"V{_DAY_CELL}", buffer=_day_cells(days))


def _looked_up_days(days: npt.NDArray[np.integer]) -> npt.NDArray[np.void]:
    """Return one cell `YYYY-MM-DDT` a row; years 0 to 9999."""
    if len(days) and int(days.min()) >= _TABLE_FIRST and int(days.max()) <= _TABLE_LAST:
        return _day_table()[days - days.dtype.type(_TABLE_FIRST)]
    return np.ndarray((len(days),), f"V{_DAY_CELL}", buffer=_day_cells(days))


def _beyond(days: npt.NDArray[np.integer]) -> Indices | None:
    """Return the rows whose year does not have four digits; None when there are none."""
    if not len(days) or (int(days.min()) >= _FIRST and int(days.max()) <= _LAST):
        return None
    return np.flatnonzero((days < _FIRST) | (days > _LAST))


def _far_day(day: int) -> str:
    """Spell a day of any year: `+YYYYYY-MM-DD` or `-YYYYYY-MM-DD`, with more digits where they are needed."""
    cycles, day_in_cycle = divmod(day - _FIRST, 146_097)  # 400 years are 146,097 days
    text = bytes(_day_cells(np.array([day_in_cycle + _FIRST]))[:10]).decode()
    year = int(text[:4]) + 400 * cycles
    return f"{'-' if year < 0 else '+'}{abs(year):06d}{text[4:]}"


def _with_far_rows(texts: Texts, far: Indices | None, spell: Callable[[int], str]) -> Texts:
    if far is None:
        return texts
    values = [spell(row).encode() for row in far.tolist()]
    return merged(texts, far, listed(values, wrap=_QUOTES))


def date_texts(days: npt.NDArray[np.integer], nulls: Mask | None) -> Texts:
    """Spell days since 1970-01-01, of any year; null rows must hold a day near it."""
    far = _beyond(days)
    near = days if far is None else _without(days, far)
    padded = np.empty(len(days) + BLOCK // _DAY_CELL, dtype=f"V{_DAY_CELL}")
    padded[: len(days)] = _looked_up_days(near)
    lengths = np.full(len(days), 10, dtype=np.int64)
    texts = cells(padded.view(np.uint8), _DAY_CELL, lengths, wrap=_QUOTES, nulls=nulls)
    return _with_far_rows(texts, far, lambda row: _far_day(int(days[row])))


def timestamp_texts(values: npt.NDArray[np.int64], unit: str, nulls: Mask | None) -> Texts:
    """Spell instants in UTC with 3 digits of a second; 6 or 9 where the value itself has more.

    Args:
        values: Ticks since 1970-01-01; null rows must hold a small number.
        unit: `s`, `ms`, `us` or `ns`.
        nulls: See `Texts.nulls`.
    """
    per_second = TICKS_PER_SECOND[unit]
    per_day = 86_400 * per_second
    days = values // per_day
    far = _beyond(days)
    ticks = values - days * per_day
    if far is not None:
        days, ticks = _without(days, far), _without(ticks, far)
    data, lengths = _instant_cells(days.astype(np.int32), ticks, per_second)
    texts = cells(data, _INSTANT_CELL, lengths, wrap=_QUOTES, nulls=nulls)
    return _with_far_rows(texts, far, lambda row: _far_instant(int(values[row]), per_second))


def _without(values: npt.NDArray[_Integer], rows: Indices) -> npt.NDArray[_Integer]:
    kept = values.copy()
    kept[rows] = 0
    return kept


def _instant_cells(days: npt.NDArray[np.int32], ticks: npt.NDArray[np.int64], per_second: int) -> tuple[Bytes, Indices]:
    count = len(days)
    data = np.empty(count * _INSTANT_CELL + BLOCK, dtype=np.uint8)

    def at(begin: int, kind: str) -> npt.NDArray[np.generic]:
        return np.ndarray((count,), kind, buffer=data, offset=begin, strides=(_INSTANT_CELL,))

    at(0, f"V{_DAY_CELL}")[:] = _looked_up_days(days)
    lengths = np.full(count, 24, dtype=np.int64)
    if not ticks.any():  # truncated to whole days, as grouped results often are
        at(10, f"V{len(_MIDNIGHT)}")[:] = np.frombuffer(_MIDNIGHT, dtype=f"V{len(_MIDNIGHT)}")
        return data, lengths
    if per_second > TICKS_PER_SECOND["ms"]:
        milliseconds = ticks // (per_second // 1000)
        finer = (ticks - milliseconds * (per_second // 1000)).astype(np.uint32)
    else:
        milliseconds, finer = ticks * (1000 // per_second), None
    rest = milliseconds.astype(np.uint32)
    minute = rest // 60_000
    rest -= minute * 60_000
    second = rest // 1000
    rest -= second * 1000
    # From left to right: every word is a little too long, and the next one takes back what it covered.
    at(11, "<u8")[:] = _minute_table()[minute]
    at(17, "<u4")[:] = _number_table(2, ".")[second]
    at(20, "<u4")[:] = _number_table(3, "Z")[rest]
    if finer is not None and finer.any():
        lengths += _write_finer(at, finer, per_second)
    return data, lengths


def _write_finer(
    at: Callable[[int, str], npt.NDArray[np.generic]], finer: npt.NDArray[np.uint32], per_second: int
) -> Indices:
    """Write what is finer than a millisecond over the `Z` of rows that have it; return how much they grew."""
    micros = finer // 1000 if per_second == 10**9 else finer
    rows = np.flatnonzero(finer)
    table = _number_table(3, "Z")
    grown = np.zeros(len(finer), dtype=np.int64)
    at(23, "<u4")[rows] = table[micros[rows]]
    grown[rows] = 3
    if per_second == 10**9:
        nanos = finer - micros * 1000
        rows = np.flatnonzero(nanos)
        at(26, "<u4")[rows] = table[nanos[rows]]
        grown[rows] = 6
    return grown


@cache
def _minute_table() -> npt.NDArray[np.uint64]:
    """Return `HH:MM:` of every minute of a day and of the leap hour 24."""
    texts = b"".join(b"%02d:%02d:xx" % divmod(minute, 60) for minute in range(25 * 60))
    return np.frombuffer(texts, dtype="<u8").astype(np.uint64)


@cache
def _number_table(digits: int, end: str) -> npt.NDArray[np.uint32]:
    """Return all numbers of so many digits, zeros in front, followed by `end`; four bytes each."""
    texts = "".join((f"{number:0{digits}d}{end}xx")[:4] for number in range(10**digits))
    return np.frombuffer(texts.encode(), dtype="<u4").astype(np.uint32)


def _far_instant(value: int, per_second: int) -> str:
    day, ticks = divmod(value, 86_400 * per_second)
    data, lengths = _instant_cells(np.zeros(1, np.int32), np.array([ticks]), per_second)
    return _far_day(day) + bytes(data[10 : int(lengths[0])]).decode()


def time_texts(values: npt.NDArray[np.integer], unit: str, nulls: Mask | None) -> Texts:
    """Spell times of day with as many digits of a second as the unit has; null rows must hold 0.

    `24:00:00`, which some warehouses know, is one of them.
    """
    per_second = TICKS_PER_SECOND[unit]
    digits = len(str(per_second)) - 1
    ticks = values.astype(np.int64)
    seconds = ticks // per_second
    fraction = ticks - seconds * per_second
    cell_bytes = 24
    data = np.empty(len(ticks) * cell_bytes + BLOCK, dtype=np.uint8)
    minutes = np.clip(seconds // 60, 0, 25 * 60 - 1)

    def at(begin: int, kind: str) -> npt.NDArray[np.generic]:
        return np.ndarray((len(ticks),), kind, buffer=data, offset=begin, strides=(cell_bytes,))

    at(0, "<u8")[:] = _minute_table()[minutes]
    at(6, "<u4")[:] = _number_table(2, ".")[seconds - seconds // 60 * 60]
    for group in range(digits // 3):
        power = 10 ** (digits - 3 * group - 3)
        at(9 + 3 * group, "<u4")[:] = _number_table(3, "x")[fraction // power % 1000]
    lengths = np.full(len(ticks), 8 + (digits + 1 if digits else 0), dtype=np.int64)
    return cells(data, cell_bytes, lengths, wrap=_QUOTES, nulls=nulls)


def span_text(months: int, days: int, nanoseconds: int) -> str:
    """Spell a span of time as ISO 8601 duration: `P1Y2M3DT4H5M6.789S`; each part keeps its own sign.

    Months, days and the time never mix: `P1M` is not a number of days, and 36 hours stay `PT36H`.
    """
    years, months = _split(months, 12)
    seconds, fraction = _split(nanoseconds, 10**9)
    minutes, seconds = _split(seconds, 60)
    hours, minutes = _split(minutes, 60)
    date = "".join(f"{number}{letter}" for number, letter in ((years, "Y"), (months, "M"), (days, "D")) if number)
    time = "".join(f"{number}{letter}" for number, letter in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction or not (date or time):
        sign = "-" if seconds < 0 or fraction < 0 else ""
        digits = f"{abs(fraction):09d}".rstrip("0")
        time += f"{sign}{abs(seconds)}{'.' if digits else ''}{digits}S"
    return f"P{date}{'T' if time else ''}{time}"


def _split(number: int, unit: int) -> tuple[int, int]:
    """Divide towards zero, so that both parts have the sign of the number."""
    quotient, rest = divmod(abs(number), unit)
    return (quotient, rest) if number >= 0 else (-quotient, -rest)


def span_texts(array: pa.Array, nulls: Mask | None) -> Texts:
    """Spell durations and month-day-nanosecond intervals. Cost: about 2 µs per value, in Python."""
    import pyarrow as pa

    if pa.types.is_duration(array.type):
        factor = 10**9 // TICKS_PER_SECOND[array.type.unit]
        ticks = array.cast(pa.int64()).to_pylist()
        spans = [(0, 0, (value or 0) * factor) for value in ticks]
    else:
        spans = [tuple(value) if value is not None else (0, 0, 0) for value in array.to_pylist()]
    values = [span_text(*span).encode() for span in spans]
    return picked(listed(values, wrap=_QUOTES), np.arange(len(values)), nulls=nulls)
