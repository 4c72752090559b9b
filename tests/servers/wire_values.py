"""How a warehouse's values are spelled on the wire, written a second time and independently of the service."""

from __future__ import annotations

import base64
import math
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal

_LARGEST_NUMBER = 2**53 - 1


def spelled(value: object) -> object:
    """Return what `json.loads` gives for a value that a driver returned as `value`."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= _LARGEST_NUMBER else str(value)
        case float():
            return value if math.isfinite(value) else _WORDS.get(value, "NaN")
        case Decimal():
            return _decimal(value)
        case datetime():
            return _instant(value)
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("microseconds")
        case bytes():
            return base64.b64encode(value).decode()
        case uuid.UUID():
            return str(value)
        case list() | tuple():
            return [spelled(item) for item in value]
        case dict():
            return {str(key): spelled(item) for key, item in value.items()}
        case _:
            message = f"no spelling is known for {type(value).__name__}"
            raise TypeError(message)


_WORDS = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _decimal(value: Decimal) -> object:
    if value.is_nan():
        return "NaN"
    number = float(value)
    return number if Decimal(repr(number)) == value else format(value, "f")


def _instant(value: datetime) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    digits = "microseconds" if value.microsecond % 1000 else "milliseconds"
    return value.isoformat(timespec=digits) + "Z"
