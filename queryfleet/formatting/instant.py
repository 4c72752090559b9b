"""Moments in time, as milliseconds since 1970: read from JSON values, written as dates and times.

Times without a zone are UTC. A display timezone only moves what is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from queryfleet.errors import ParameterError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from queryfleet.errors import JsonValue

__all__ = [
    "Clock",
    "clock_of",
    "date_text",
    "is_datetime_text",
    "iso_seconds",
    "offset_seconds",
    "offset_text",
    "parse_instant",
    "stored_text",
    "timestamp_text",
    "zone_of",
]

MS_PER_DAY = 86_400_000
_LIMIT_MS = 8_640_000_000_000_000  # the range of a JavaScript date, either side of 1970
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_YEAR = 9999
_TEXT = re.compile(
    r"([+-][0-9]{6}|[0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:[T ]([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?)?"
    r" ?(Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?)?)?"
)
_DATETIME = re.compile(r"[+-]?[0-9]{4,6}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A moment taken apart. Months and days count from 1."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    millisecond: int
    weekday: int  # 0 is Sunday


def zone_of(name: str) -> ZoneInfo:
    """Return a timezone by its IANA name.

    Raises:
        ParameterError: There is no such timezone.
    """
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ParameterError(
            f"There is no timezone {name!r}. Use an IANA name such as Europe/Oslo or UTC.", timezone=name
        ) from error


def offset_seconds(ms: int, zone: ZoneInfo | None) -> int:
    """Return how far `zone` is ahead of UTC at a moment. Moments outside years 1 to 9999 have no offset."""
    if zone is None:
        return 0
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
        offset = moment.astimezone(zone).utcoffset()
    except OverflowError:
        return 0
    return 0 if offset is None else round(offset.total_seconds())


def parse_instant(value: JsonValue) -> int | None:
    """Read a moment from a number of milliseconds or from ISO 8601 text; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        if value != value or abs(value) > _LIMIT_MS:  # noqa: PLR0124  # NaN
            return None
        return int(value)
    return _parse_text(value) if isinstance(value, str) else None


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> int | None:
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    month, day = month or (1 if match[2] is None else 0), day or (1 if match[3] is None else 0)
    if not _is_date(year, month, day) or hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004
        return None
    millisecond = int(((match[7] or "") + "000")[:3])
    clock = ((hour * 60 + minute) * 60 + second) * 1000 + millisecond
    ms = _days_of(year, month, day) * MS_PER_DAY + clock - _zone_ms(match[8])
    return ms if abs(ms) <= _LIMIT_MS else None


def _zone_ms(text: str | None) -> int:
    if text in (None, "Z", "UTC"):
        return 0
    digits = text[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return minutes * 60_000 * (-1 if text[0] == "-" else 1)


def is_datetime_text(value: JsonValue) -> bool:
    """Tell whether a value is text with a date and a time of day."""
    return isinstance(value, str) and _DATETIME.match(value) is not None and parse_instant(value) is not None


def clock_of(ms: int) -> Clock:
    """Take a moment apart, in UTC. Works for any year."""
    days, rest = divmod(ms, MS_PER_DAY)
    year, month, day = _civil(days)
    seconds, millisecond = divmod(rest, 1000)
    return Clock(
        year=year,
        month=month,
        day=day,
        hour=seconds // 3600,
        minute=seconds // 60 % 60,
        second=seconds % 60,
        millisecond=millisecond,
        weekday=(days + 4) % 7,
    )


def date_text(ms: int, interval: str | None) -> str:
    """Write the day of a moment, or the month, quarter or year it lies in (`2024-05`, `2024-Q2`, `2024`)."""
    clock = clock_of(ms)
    year = _year_text(clock.year)
    match interval:
        case "YEAR":
            return year
        case "QUARTER":
            return f"{year}-Q{(clock.month + 2) // 3}"
        case "MONTH":
            return f"{year}-{clock.month:02}"
        case _:
            return f"{year}-{clock.month:02}-{clock.day:02}"


def timestamp_text(ms: int, interval: str | None, zone: ZoneInfo | None) -> str:
    """Write a moment as seen in `zone`, down to `interval`: `2024-01-01, 22:04 (-05:00)` for MINUTE."""
    offset = offset_seconds(ms, zone)
    clock = clock_of(ms + offset * 1000)
    text = f"{_year_text(clock.year)}-{clock.month:02}-{clock.day:02}, {clock.hour:02}"
    if interval != "HOUR":
        text += f":{clock.minute:02}"
        if interval != "MINUTE":
            text += f":{clock.second:02}"
            if interval != "SECOND":
                text += f":{clock.millisecond:03}"
    return f"{text} ({offset_text(offset)})"


def offset_text(seconds: int) -> str:
    """Write a distance from UTC in hours and minutes: `+05:30`."""
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def iso_seconds(ms: int) -> str:
    """Write a moment as `YYYY-MM-DDTHH:MM:SSZ`; what is below a second is dropped."""
    clock = clock_of(ms)
    return f"{date_text(ms, None)}T{clock.hour:02}:{clock.minute:02}:{clock.second:02}Z"


def stored_text(value: int, per_second: int) -> str:
    """Write a moment, counted in parts of a second since 1970, as stored lines hold it.

    `YYYY-MM-DDTHH:MM:SS.mmmZ`, with six or nine digits of the second where there are as many.
    """
    seconds, part = divmod(value, per_second)
    digits = f"{part * (1_000_000_000 // per_second):09}"
    shown = digits[:3] if digits.endswith("000000") else digits[:6] if digits.endswith("000") else digits
    return f"{iso_seconds(seconds * 1000).removesuffix('Z')}.{shown}Z"


def _year_text(year: int) -> str:
    return f"{year:04}" if 0 <= year <= _MAX_YEAR else f"{year:+07}"


def _is_date(year: int, month: int, day: int) -> bool:
    if not (1 <= month <= 12 and 1 <= day <= 31):  # noqa: PLR2004
        return False
    return _civil(_days_of(year, month, day)) == (year, month, day)


def _days_of(year: int, month: int, day: int) -> int:
    """Count days since 1970-01-01 (Gregorian). Years begin in March here, so the leap day comes last."""
    shifted = year - (month <= 2)  # noqa: PLR2004
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _civil(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a count of days since 1970-01-01; the inverse of `_days_of`."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + (3 if month_from_march < 10 else -9)  # noqa: PLR2004
    return year_of_era + era * 400 + (month <= 2), month, day  # noqa: PLR2004
