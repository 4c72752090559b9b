"""Dimensions and metrics: what a person can ask for, frozen.

The same classes serve two moments. As a model is read, `table` is the model's name, `sql` is what was written
and `expression` is None. In an explore, `table` is the alias there, and `expression` is the compiled SQL, or
None with the reason in `error`.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the stored form is derived from the annotations at run time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from queryfleet.model import ColumnType  # noqa: TC001 - likewise
from queryfleet.semantic.expression import Expression  # noqa: TC001 - likewise
from queryfleet.semantic.filter_rule import FilterRule  # noqa: TC001 - likewise
from queryfleet.semantic.intervals import TimeInterval  # noqa: TC001 - likewise

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = [
    "AccessRule",
    "Dimension",
    "Field",
    "FilterAutocomplete",
    "Format",
    "Metric",
    "MetricClass",
    "MetricType",
    "UrlTemplate",
]


class MetricClass(StrEnum):
    """How a metric comes about; decides what it may refer to and where in a statement it is computed."""

    AGGREGATE = "aggregate"  # an aggregate function over its SQL; refers to dimensions only
    DEDUPLICATED = "deduplicated"  # an aggregate over one row for each key; refers to dimensions only
    EXPRESSION = "expression"  # SQL over other metrics, or SQL that holds its own aggregate
    POST_CALCULATION = "postCalculation"  # over the finished result of exactly one other metric


class MetricType(StrEnum):
    """Every type a metric can have, in the words of the wire."""

    COUNT = "count"
    COUNT_DISTINCT = "count_distinct"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    AVERAGE = "average"
    MEDIAN = "median"
    PERCENTILE = "percentile"
    SUM_DISTINCT = "sum_distinct"
    AVERAGE_DISTINCT = "average_distinct"
    NUMBER = "number"
    STRING = "string"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"
    PERCENT_OF_PREVIOUS = "percent_of_previous"
    PERCENT_OF_TOTAL = "percent_of_total"
    RUNNING_TOTAL = "running_total"

    @property
    def metric_class(self) -> MetricClass:
        """Return how metrics of this type come about."""
        return _CLASSES.get(self, MetricClass.AGGREGATE)


_CLASSES: Final = {
    MetricType.SUM_DISTINCT: MetricClass.DEDUPLICATED,
    MetricType.AVERAGE_DISTINCT: MetricClass.DEDUPLICATED,
    MetricType.NUMBER: MetricClass.EXPRESSION,
    MetricType.STRING: MetricClass.EXPRESSION,
    MetricType.DATE: MetricClass.EXPRESSION,
    MetricType.TIMESTAMP: MetricClass.EXPRESSION,
    MetricType.BOOLEAN: MetricClass.EXPRESSION,
    MetricType.PERCENT_OF_PREVIOUS: MetricClass.POST_CALCULATION,
    MetricType.PERCENT_OF_TOTAL: MetricClass.POST_CALCULATION,
    MetricType.RUNNING_TOTAL: MetricClass.POST_CALCULATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Which user attributes a caller needs to know that a table or field exists. Empty: everybody may."""

    required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # all must match, one value of each
    any: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # one must match, unless there are none

    def allows(self, attributes: Mapping[str, tuple[str, ...]]) -> bool:
        """Tell whether a caller with these attributes may see it.

        Args:
            attributes: The caller's values by attribute name; a name that is missing has no value.
        """

        def matches(name: str, allowed: tuple[str, ...]) -> bool:
            return any(value in allowed for value in attributes.get(name, ()))

        return all(matches(name, allowed) for name, allowed in self.required.items()) and (
            not self.any or any(matches(name, allowed) for name, allowed in self.any.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How values are shown; `queryfleet.formatting.rule_of` reads it from the item."""

    format: str | None = None  # a legacy word (`usd`, `percent`, `id`) or a spreadsheet expression
    round: int | None = None  # decimals; below 0: digits before the point that become 0
    compact: str | None = None  # `thousands`, `millions`, … or `auto`
    separator: str | None = None  # `commaPeriod`, `periodComma`, …


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlTemplate:
    """A link that a client offers on a value."""

    label: str
    url: str  # with the client's placeholders, such as `${value.raw}`; never rendered here


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterAutocomplete:
    """Where the suggestions for a filter on this dimension come from."""

    values: tuple[str, ...] = ()  # fixed ones
    fetch_from_warehouse: bool = True  # may the warehouse be asked?
    label_dimension: str | None = None  # dimension of the same table shown instead of the value


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A field to group by and to filter on."""

    name: str  # in its table; unique there, metrics included
    table: str  # alias inside the explore
    type: ColumnType
    label: str  # for people
    sql: str  # as written, with references; of an interval: that of its base
    expression: Expression | None = None  # compiled; of an interval: of its BASE, still to be cut (see `interval`)
    error: str | None = None  # why it cannot be used; then `expression` is None and selecting it is an error
    table_label: str = ""  # of the table it is listed under
    description: str | None = None
    hidden: bool = False  # not listed; can be selected and referred to
    groups: tuple[str, ...] = ()  # headings it is listed under, outermost first, at most 5
    format: Format = field(default_factory=Format)
    urls: tuple[UrlTemplate, ...] = ()
    colors: Mapping[str, str] = field(default_factory=dict)  # colour by value
    tags: tuple[str, ...] = ()
    access: AccessRule = field(default_factory=AccessRule)
    case_sensitive: bool | None = None  # of text filters; None: as the table, then the project says
    filter_autocomplete: FilterAutocomplete | None = None
    convert_timezone: bool = True  # False: never shifted into the query's zone
    timestamp_domain: str | None = None  # what the column's moments mean, as written; carried for the dialect
    time_intervals: tuple[str, ...] = ()  # intervals listed for it, built-in or custom, upper case as named
    interval: TimeInterval | None = None  # set: the expression must be cut to it; of custom granularities None
    custom_granularity: str | None = None  # set: made by this granularity; the expression is complete
    base_dimension: str | None = None  # of an interval: name of the dimension in the same table it belongs to
    base_type: ColumnType | None = None  # of an interval: type of that dimension

    @property
    def field_id(self) -> str:
        """Return its flat name in results: `<table>_<name>`."""
        return f"{self.table}_{self.name}"

    @property
    def is_interval_base(self) -> bool:
        """Tell whether intervals are listed for it."""
        return bool(self.time_intervals)

    def item(self) -> dict[str, JsonValue]:
        """Return the wire description of the field, as `fields` of an answer holds it; unset keys left out."""
        item = _common_item(self, "dimension", self.type.value)
        granularity = self.interval.value if self.interval is not None else self.custom_granularity
        if granularity is not None:
            item["timeInterval"] = granularity
            item["timeIntervalBaseDimensionName"] = self.base_dimension
            if self.base_type is not None:
                item["timeIntervalBaseDimensionType"] = self.base_type.value
        if self.is_interval_base:
            item["isIntervalBase"] = True
        if not self.convert_timezone:
            item["skipTimezoneConversion"] = True
        if self.colors:
            item["colors"] = dict(self.colors)
        if self.case_sensitive is not None:
            item["caseSensitive"] = self.case_sensitive
        return item


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A field that aggregates."""

    name: str  # in its table; unique there, dimensions included
    table: str  # alias inside the explore
    type: MetricType
    label: str  # for people
    sql: str  # as written, with references; what is aggregated, not the aggregate
    expression: Expression | None = None  # compiled `sql`; the aggregate function is still to be put around it
    error: str | None = None  # why it cannot be used; then `expression` is None and selecting it is an error
    table_label: str = ""  # of the table it is listed under
    description: str | None = None
    hidden: bool = False  # not listed; can be selected and referred to
    groups: tuple[str, ...] = ()  # headings it is listed under, outermost first, at most 5
    format: Format = field(default_factory=Format)
    urls: tuple[UrlTemplate, ...] = ()
    tags: tuple[str, ...] = ()
    access: AccessRule = field(default_factory=AccessRule)
    filters: tuple[FilterRule, ...] = ()  # ANDed; only rows that match are aggregated; always case sensitive
    percentile: float = 50.0  # of type percentile: 0 to 100
    distinct_keys: tuple[str, ...] = ()  # of deduplicated ones: field ids of dimensions, together one row's key
    show_underlying_values: tuple[str, ...] = ()  # of a drill-down: `field`, `table.field`, `set*`, as written
    drivers: tuple[str, ...] = ()  # metrics this one follows from, as written; for clients
    default_time_dimension: str | None = None  # dimension of the same table it is usually looked at over
    default_time_interval: str | None = None  # with it: interval's name
    base_dimension: str | None = None  # name of the dimension it is written under, when it is
    base_dimension_type: ColumnType | None = None  # with it: its type; decides how MIN and MAX are shown

    @property
    def field_id(self) -> str:
        """Return its flat name in results: `<table>_<name>`."""
        return f"{self.table}_{self.name}"

    @property
    def metric_class(self) -> MetricClass:
        """Return how it comes about."""
        return self.type.metric_class

    def item(self) -> dict[str, JsonValue]:
        """Return the wire description of the field, as `fields` of an answer holds it; unset keys left out."""
        item = _common_item(self, "metric", self.type.value)
        if self.base_dimension_type is not None:
            item["baseDimensionType"] = self.base_dimension_type.value
        if self.type is MetricType.PERCENTILE:
            item["percentile"] = self.percentile
        if self.filters:
            item["filters"] = [rule.to_json() for rule in self.filters]
        if self.show_underlying_values:
            item["showUnderlyingValues"] = list(self.show_underlying_values)
        return item


Field: TypeAlias = Dimension | Metric


def _common_item(each: Field, kind: str, type_: str) -> dict[str, JsonValue]:
    item: dict[str, JsonValue] = {
        "fieldType": kind,
        "type": type_,
        "name": each.name,
        "label": each.label,
        "table": each.table,
        "tableLabel": each.table_label,
        "sql": each.sql,
        "hidden": each.hidden,
    }
    shown = each.format
    optional: dict[str, JsonValue] = {
        "description": each.description,
        "format": shown.format,
        "round": shown.round,
        "compact": shown.compact,
        "separator": shown.separator,
        "groups": list(each.groups) or None,
        "tags": list(each.tags) or None,
        "urls": [{"label": url.label, "url": url.url} for url in each.urls] or None,
    }
    return item | {key: value for key, value in optional.items() if value is not None}
