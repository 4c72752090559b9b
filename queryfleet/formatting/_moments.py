"""Columns of dates and timestamps as string columns, without a loop over rows.

Days and seconds of a day are looked up in tables of ready text. Only 1899 to 2155 have a line in the table;
other moments are few (a year 1 or 9999 that means "never"), and done one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from queryfleet.formatting._layout import fixed_strings, sliced_strings
from queryfleet.formatting._parts import fill_nulls
from queryfleet.formatting._source import PER_SECOND
from queryfleet.formatting.instant import MS_PER_DAY, offset_seconds, offset_text

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import numpy.typing as npt

    from queryfleet.formatting._layout import Bytes
    from queryfleet.formatting._parts import Mask

    Integers = npt.NDArray[np.int64]

__all__ = ["Moments", "date_strings", "iso_strings", "moments_of", "timestamp_strings"]

_FIRST_DAY = -25_932  # 1899-01-01
_DAY_COUNT = 93_867  # to the end of 2155
_NS_PER_DAY = 86_400_000_000_000
_LENGTHS = {"HOUR": 14, "MINUTE": 17, "SECOND": 20}  # of `YYYY-MM-DD, HH:MM:SS:mmm`, cut behind the interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """A column of moments."""

    days: Integers  # since 1970; 0 in the rows `outside`
    nanoseconds: Integers | None  # of the day; None: midnight everywhere
    outside: Mask | None  # rows without a line in the table, to be done one by one; None: no such row


def _moments(days: Integers, nanoseconds: Integers | None) -> Moments:
    # A zone may move a moment into the day before or after, which must have its line, too.
    outside = (days <= _FIRST_DAY) | (days >= _FIRST_DAY + _DAY_COUNT - 1)
    if not outside.any():
        return Moments(days=days, nanoseconds=nanoseconds, outside=None)
    return Moments(days=np.where(outside, 0, days), nanoseconds=nanoseconds, outside=outside)


def moments_of(array: pa.Array) -> Moments:
    """Read a date or timestamp column. Times without a zone are UTC; nulls are some moment."""
    array, _ = fill_nulls(array)
    if pa.types.is_date32(array.type):
        return _moments(array.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64), None)
    per_second = 1_000 if pa.types.is_date64(array.type) else PER_SECOND[array.type.unit]
    values = array.cast(pa.int64()).to_numpy(zero_copy_only=False)
    per_day = per_second * 86_400
    days = values // per_day
    return _moments(days, (values - days * per_day) * (_NS_PER_DAY // per_day))


def _milliseconds(moments: Moments) -> Integers:
    whole = moments.days * MS_PER_DAY
    return whole if moments.nanoseconds is None else whole + moments.nanoseconds // 1_000_000


@lru_cache(maxsize=1)
def _day_table() -> Bytes:
    """Return `YYYY-MM-DD` for every day in the table, one line each."""
    days = np.arange(_FIRST_DAY, _FIRST_DAY + _DAY_COUNT).astype("datetime64[D]")
    return np.datetime_as_string(days).astype("S10").view(np.uint8).reshape(_DAY_COUNT, 10)


@lru_cache(maxsize=1)
def _quarter_table() -> Bytes:
    """Return `YYYY-Qn` for every day in the table."""
    days = _day_table()
    month = (days[:, 5] - ord("0")) * 10 + days[:, 6] - ord("0")
    lines = np.concatenate([days[:, :5], days[:, 5:7]], axis=1)
    lines[:, 5] = ord("Q")
    lines[:, 6] = (month + 2) // 3 + ord("0")
    return lines


@lru_cache(maxsize=1)
def _year_table() -> Integers:
    """Return the year of every day in the table."""
    digits = _day_table()[:, :4].astype(np.int64) - ord("0")
    years: Integers = digits @ np.array([1000, 100, 10, 1])
    return years


@lru_cache(maxsize=1)
def _second_table() -> Bytes:
    """Return `HH:MM:SS` for every second of a day."""
    seconds = np.arange(86_400)
    pairs = [seconds // 3600, seconds // 60 % 60, seconds % 60]
    columns = [digit + ord("0") for pair in pairs for digit in (pair // 10, pair % 10)]
    colon = np.full(86_400, ord(":"))
    return np.stack([*columns[:2], colon, *columns[2:4], colon, *columns[4:]], axis=1).astype(np.uint8)


@lru_cache(maxsize=1)
def _thousand_table() -> Bytes:
    return np.frombuffer("".join(f"{n:03}" for n in range(1000)).encode(), dtype=np.uint8).reshape(1000, 3)


def date_strings(moments: Moments, interval: str | None) -> pa.StringArray:
    """Write the day, month, quarter or year of each moment, in UTC."""
    if interval == "QUARTER":
        return fixed_strings(_quarter_table().take(moments.days - _FIRST_DAY, axis=0))
    lines = _day_table().take(moments.days - _FIRST_DAY, axis=0)
    return fixed_strings(lines[:, : {"YEAR": 4, "MONTH": 7}.get(interval or "", 10)])


def iso_strings(moments: Moments, *, seconds_only: bool = False) -> pa.StringArray:
    """Write `YYYY-MM-DDTHH:MM:SS.mmmZ`, six or nine digits where there are as many; or no fraction."""
    row_count, nanoseconds = len(moments.days), moments.nanoseconds
    if nanoseconds is None:
        nanoseconds = np.zeros(row_count, dtype=np.int64)
    seconds = nanoseconds // 1_000_000_000
    below = nanoseconds - seconds * 1_000_000_000
    micros = below // 1_000
    millis = micros // 1_000
    finer = 0 if seconds_only else _finer_digits(below, micros, millis)
    most = int(np.max(finer, initial=0))
    chars = np.empty((row_count, 20 if seconds_only else 24 + most), dtype=np.uint8)
    chars[:, :10] = _day_table().take(moments.days - _FIRST_DAY, axis=0)
    chars[:, 10] = ord("T")
    chars[:, 11:19] = _second_table().take(seconds, axis=0)
    if not seconds_only:
        chars[:, 19] = ord(".")
        chars[:, 20:23] = _thousand_table().take(millis, axis=0)
    if most:
        chars[:, 23:26] = _thousand_table().take(micros - millis * 1000, axis=0)
    if most > 3:  # noqa: PLR2004
        chars[:, 26:29] = _thousand_table().take(below - micros * 1000, axis=0)
    if not most:
        chars[:, -1] = ord("Z")
        return fixed_strings(chars)
    ends = 24 + np.asarray(finer, dtype=np.int64)
    chars[np.arange(row_count), ends - 1] = ord("Z")
    return sliced_strings(chars, np.zeros(row_count, dtype=np.int64), ends)


def _finer_digits(below: Integers, micros: Integers, millis: Integers) -> Integers | int:
    """Return how many digits beyond milliseconds each moment has: 0, 3 or 6."""
    nano, micro = below != micros * 1000, micros != millis * 1000
    if not (micro.any() or nano.any()):
        return 0
    digits: Integers = np.where(nano, 6, np.where(micro, 3, 0))
    return digits


def timestamp_strings(moments: Moments, interval: str | None, zone: ZoneInfo | None) -> pa.StringArray:
    """Write each moment as seen in `zone`, as far as `interval` goes, with the zone's distance from UTC."""
    ms = _milliseconds(moments)
    offsets, tails = _offsets(ms, zone)
    if offsets is not None:
        ms = ms + offsets * 1000
    days = ms // MS_PER_DAY
    rest = ms - days * MS_PER_DAY
    seconds = rest // 1000
    length = _LENGTHS.get(interval or "", 24)
    chars = np.empty((len(ms), length + 9), dtype=np.uint8)
    chars[:, :10] = _day_table().take(days - _FIRST_DAY, axis=0)
    chars[:, 10] = ord(",")
    chars[:, 11] = ord(" ")
    chars[:, 12 : min(length, 20)] = _second_table().take(seconds, axis=0)[:, : length - 12]
    if length == 24:  # noqa: PLR2004
        chars[:, 20] = ord(":")
        chars[:, 21:24] = _thousand_table().take(rest - seconds * 1000, axis=0)
    chars[:, length:] = tails
    return fixed_strings(chars)


def _offsets(ms: Integers, zone: ZoneInfo | None) -> tuple[Integers | None, Bytes]:
    """Return the seconds each moment is shifted by, and how that is written behind it."""
    if zone is None or len(ms) == 0:
        return None, np.frombuffer(b" (+00:00)", dtype=np.uint8)
    years = np.flatnonzero(np.bincount(_year_table().take(ms // MS_PER_DAY - _FIRST_DAY)))
    changes = [change for year in years.tolist() for change in _changes(zone, year)]
    instants = np.array([at for at, _ in changes], dtype=np.int64)
    kinds = [offset for _, offset in changes]
    tails = np.frombuffer("".join(f" ({offset_text(kind)})" for kind in kinds).encode(), dtype=np.uint8)
    which = np.searchsorted(instants, ms, side="right") - 1
    return np.array(kinds, dtype=np.int64).take(which), tails.reshape(-1, 9).take(which, axis=0)


@lru_cache(maxsize=4096)
def _changes(zone: ZoneInfo, year: int) -> tuple[tuple[int, int], ...]:
    """Return the moments of a year, in milliseconds, from which a new offset holds; the first is its start.

    Offsets that hold for less than a day between two others can be missed; the timezone database has none
    since 1900 that matters to a clock.
    """
    start, end = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) * 1000 for y in (year, year + 1))
    changes = [(start, offset_seconds(start, zone))]
    for day in range(start, end, MS_PER_DAY):
        after = offset_seconds(day + MS_PER_DAY, zone)
        if after != changes[-1][1]:
            changes.append((_first_with(zone, after, day, day + MS_PER_DAY), after))
    return tuple(changes)


def _first_with(zone: ZoneInfo, offset: int, before: int, after: int) -> int:
    """Find the first second with an offset, known to hold at `after` and not at `before`."""
    low, high = before // 1000, after // 1000
    while high - low > 1:
        middle = (low + high) // 2
        if offset_seconds(middle * 1000, zone) == offset:
            high = middle
        else:
            low = middle
    return high * 1000
