"""A question to the models of a project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from queryfleet.errors import JsonValue, ParameterError

__all__ = [
    "Filter",
    "Filters",
    "Names",
    "Question",
    "Sort",
    "Sorts",
    "filter_of_text",
    "filter_rules",
    "filters_of",
    "names_of",
    "sort_of_text",
    "sorts_of",
]

# What a caller may give, and what is made of it.
Names: TypeAlias = "str | Iterable[str]"
Filters: TypeAlias = "str | Filter | Iterable[str | Filter] | Mapping[str, JsonValue]"
Sorts: TypeAlias = "str | Sort | Iterable[str | Sort]"
JsonFilters: TypeAlias = "Sequence[Filter] | Mapping[str, JsonValue]"

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
    # All must hold; each is on a dimension, on a metric that is selected, or on a table calculation. Or the wire form.
    filters: JsonFilters = ()
    sorts: Sequence[Sort] = ()  # empty: newest, or largest, first
    limit: int | None = 500  # most rows; None: as many as the service allows
    table_calculations: Sequence[Mapping[str, JsonValue]] = ()  # as on the wire
    additional_metrics: Sequence[Mapping[str, JsonValue]] = ()  # the same; fields of this question alone
    custom_dimensions: Sequence[Mapping[str, JsonValue]] = ()  # the same
    timezone: str | None = None  # IANA name; None: the project's

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form, `query` of the request."""
        wire: dict[str, JsonValue] = {
            "exploreName": self.explore,
            "dimensions": list(self.dimensions),
            "metrics": list(self.metrics),
            "filters": self.to_filters(),
            "sorts": [{"fieldId": each.field_id, "descending": each.descending} for each in self.sorts],
            "limit": self.limit,
            "tableCalculations": [dict(each) for each in self.table_calculations],
        }
        if self.additional_metrics:
            wire["additionalMetrics"] = [dict(each) for each in self.additional_metrics]
        if self.custom_dimensions:
            wire["customDimensions"] = [dict(each) for each in self.custom_dimensions]
        return wire if self.timezone is None else wire | {"timezone": self.timezone}

    def to_filters(self) -> dict[str, JsonValue]:
        """Return the wire form of the filters."""
        if isinstance(self.filters, Mapping):
            return dict(self.filters)
        groups: dict[str, list[JsonValue]] = {"dimensions": [], "metrics": [], "tableCalculations": []}
        calculations = [each.get("name") for each in self.table_calculations]
        for each in self.filters:
            is_metric = each.field_id in self.metrics
            kind = "tableCalculations" if each.field_id in calculations else "metrics" if is_metric else "dimensions"
            groups[kind].append(each.to_json())
        return {kind: {"and": rules} for kind, rules in groups.items() if rules}


def filters_of(filters: Filters) -> JsonFilters:
    """Return conditions as values: texts are read by `filter_of_text`, the wire form stays as it is.

    Raises:
        ParameterError: A text is no condition.
    """
    if isinstance(filters, Mapping):
        return filters
    listed = [filters] if isinstance(filters, str | Filter) else filters
    return tuple(filter_of_text(each) if isinstance(each, str) else each for each in listed)


def filter_rules(filters: Filters) -> dict[str, JsonValue]:
    """Return conditions on dimensions in the wire form."""
    return Question(explore="", filters=filters_of(filters)).to_filters()


def sorts_of(sorts: Sorts) -> tuple[Sort, ...]:
    """Return an order as values; texts are read by `sort_of_text`."""
    listed = [sorts] if isinstance(sorts, str | Sort) else sorts
    return tuple(sort_of_text(each) if isinstance(each, str) else each for each in listed)


def names_of(names: Names) -> tuple[str, ...]:
    """Return field ids; a text alone is one."""
    return (names,) if isinstance(names, str) else tuple(names)


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
