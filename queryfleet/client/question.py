"""A question to the models of a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.errors import JsonValue, ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Filter", "Question", "Sort", "filter_of_text", "sort_of_text"]

# Longer ones first: `>=` begins with `>`.
_OPERATORS: Final = {
    "!~": "doesNotInclude",
    "!=": "notEquals",
    ">=": "greaterThanOrEqual",
    "<=": "lessThanOrEqual",
    "~": "include",
    "=": "equals",
    ">": "greaterThan",
    "<": "lessThan",
}
_LISTS: Final = ("equals", "notEquals")  # any of several values


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition on one field."""

    field_id: str
    operator: str  # in the words of the wire: `equals`, `inThePast`, …
    values: Sequence[JsonValue] = ()
    settings: Mapping[str, JsonValue] | None = None  # `unitOfTime` and `completed` of relative operators

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form."""
        rule: dict[str, JsonValue] = {
            "target": {"fieldId": self.field_id},
            "operator": self.operator,
            "values": list(self.values),
        }
        return rule if self.settings is None else rule | {"settings": dict(self.settings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One entry of the order of the rows."""

    field_id: str
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask: fields of an explore by their ids, `<table>_<name>`."""

    explore: str
    dimensions: Sequence[str] = ()
    metrics: Sequence[str] = ()
    filters: Sequence[Filter] = ()  # all must hold; each is on a dimension, or on a metric that is selected
    sorts: Sequence[Sort] = ()  # empty: newest, or largest, first
    limit: int = 500  # most rows
    table_calculations: Sequence[Mapping[str, JsonValue]] = ()  # as on the wire
    parameters: Mapping[str, JsonValue] | None = None
    timezone: str | None = None  # IANA name; None: the project's

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form, `query` of the request."""
        filters: dict[str, JsonValue] = {}
        of_metrics = [each.to_json() for each in self.filters if each.field_id in self.metrics]
        of_dimensions = [each.to_json() for each in self.filters if each.field_id not in self.metrics]
        filters |= {"dimensions": {"and": [*of_dimensions]}} if of_dimensions else {}
        filters |= {"metrics": {"and": [*of_metrics]}} if of_metrics else {}
        wire: dict[str, JsonValue] = {
            "exploreName": self.explore,
            "dimensions": list(self.dimensions),
            "metrics": list(self.metrics),
            "filters": filters,
            "sorts": [{"fieldId": each.field_id, "descending": each.descending} for each in self.sorts],
            "limit": self.limit,
            "tableCalculations": [dict(each) for each in self.table_calculations],
        }
        return wire if self.timezone is None else wire | {"timezone": self.timezone}


def filter_of_text(text: str) -> Filter:
    """Read a condition that a person typed: `orders_status=placed,shipped`, `orders_amount>=100`, `customers_name~ann`.

    `=null` and `!=null` ask for missing values. Values are texts; the service reads numbers and dates from them.

    Raises:
        ParameterError: There is no operator in it.
    """
    places = [(text.index(sign), -len(sign), sign) for sign in _OPERATORS if sign in text]
    place, _, sign = min(places, default=(0, 0, ""))
    field_id, value = text[:place].strip(), text[place + len(sign) :].strip()
    if not sign or not field_id:
        signs = " ".join(sorted(_OPERATORS))
        raise ParameterError(
            f"{text!r} is no filter: write a field, one of {signs}, and a value, such as orders_amount>=100"
        )
    operator = _OPERATORS[sign]
    if value == "null" and operator in _LISTS:
        return Filter(field_id=field_id, operator="isNull" if operator == "equals" else "notNull")
    values = [part.strip() for part in value.split(",")] if operator in _LISTS else [value]
    return Filter(field_id=field_id, operator=operator, values=values)


def sort_of_text(text: str) -> Sort:
    """Read an order that a person typed: `orders_status`, or `-orders_revenue` for the largest first."""
    return Sort(field_id=text.strip().lstrip("-"), descending=text.strip().startswith("-"))
