"""Conditions on the column of a pivot that a sort is pinned to: a value as a page shows it, found in SQL."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ParameterError
from queryfleet.formatting.json_text import plain_text
from queryfleet.model import ColumnType
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from queryfleet.compiler.dialects import Dialect
    from queryfleet.errors import JsonValue

__all__ = ["pin_condition"]

_NEVER: Final = "1 = 0"


def pin_condition(reference: str, value: JsonValue, type_: ColumnType | None, dialect: Dialect) -> str:
    """Return a condition that holds where a column has the value that a page shows as `raw`.

    Args:
        reference: Name of the column.
        value: As the client sent it: text, a number, a boolean or null.
        type_: Of the column; None: not known.
        dialect: Of the warehouse.

    Raises:
        ParameterError: The type is not known, and the value is not null.
    """
    column = dialect.quote(reference)
    if value is None:
        return f"{column} IS NULL"
    text = plain_text(value)
    match type_:
        case ColumnType.STRING:
            return f"{column} = {dialect.text(text)}"
        case ColumnType.NUMBER:
            return _number(column, text, dialect)
        case ColumnType.BOOLEAN:
            return f"{column} = {dialect.boolean(text == 'true')}" if text in ("true", "false") else _NEVER
        case ColumnType.DATE | ColumnType.TIMESTAMP:
            return _moment(column, text, dialect, is_date=type_ is ColumnType.DATE)
        case None:
            raise ParameterError(
                f"pivotConfiguration.sortBy: the type of {reference!r} is not known before the query runs, so the "
                "warehouse cannot look for the column that a sort is pinned to.",
                field="pivotConfiguration.sortBy",
                reference=reference,
            )


def _number(column: str, text: str, dialect: Dialect) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _NEVER
    return f"{column} = {dialect.number(number)}" if number.is_finite() else _NEVER


def _moment(column: str, text: str, dialect: Dialect, *, is_date: bool) -> str:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return _NEVER
    if is_date:
        return f"{dialect.cast_date(column)} = {dialect.date(moment.date())}"
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    interval = TimeInterval.MILLISECOND if moment.microsecond else TimeInterval.SECOND
    return f"{dialect.truncate_time(column, interval, None)} = {dialect.compared_timestamp(moment)}"
