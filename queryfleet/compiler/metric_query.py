"""A question to an explore, frozen: fields, filters, sorts and what is computed on the way. Nothing here is SQL yet.

Ids are as the client sent them; whether the explore has them is found out by `question.resolved`. What a client said
of a calculation or custom field is kept as it was sent (`sent`), for the answer that repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from queryfleet.semantic.filter_rule import FilterRule

if TYPE_CHECKING:
    from queryfleet.compiler.filters import FilterGroup
    from queryfleet.errors import JsonValue
    from queryfleet.model import ColumnType
    from queryfleet.semantic.explore import MetricType

__all__ = [
    "AdditionalMetric",
    "BinDimension",
    "BinRange",
    "BinType",
    "CustomDimension",
    "DateZoom",
    "Frame",
    "FrameBound",
    "GroupMatch",
    "MatchType",
    "MetricQuery",
    "NamedGroup",
    "PeriodOverPeriod",
    "Sort",
    "SqlDimension",
    "TableCalculation",
    "Template",
    "TemplateType",
    "filter_json",
]

Sent: TypeAlias = Mapping[str, "JsonValue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One entry of the order of the rows."""

    field_id: str  # of a selected field or calculation
    is_descending: bool = False
    nulls_first: bool | None = None  # None: as the warehouse does
    pivot_values: tuple[Sent, ...] = ()  # the column of a pivot whose cells order the rows; of no meaning without one

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form."""
        sort: dict[str, JsonValue] = {"fieldId": self.field_id, "descending": self.is_descending}
        if self.nulls_first is not None:
            sort["nullsFirst"] = self.nulls_first
        if self.pivot_values:
            sort["pivotValues"] = [dict(each) for each in self.pivot_values]
        return sort


class TemplateType(StrEnum):
    """Ready-made calculations over one column."""

    PERCENT_CHANGE_FROM_PREVIOUS = "percent_change_from_previous"
    PERCENT_OF_PREVIOUS_VALUE = "percent_of_previous_value"
    PERCENT_OF_COLUMN_TOTAL = "percent_of_column_total"
    RANK_IN_COLUMN = "rank_in_column"  # the smallest value is 1
    RUNNING_TOTAL = "running_total"
    WINDOW_FUNCTION = "window_function"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBound:
    """One end of a window's frame."""

    kind: str  # `unbounded_preceding`, `preceding`, `current_row`, `following`, `unbounded_following`
    offset: int | None = None  # rows, of `preceding` and `following`


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Which rows around the current one a window function sees."""

    kind: str  # `rows` or `range`
    start: FrameBound | None  # None: up to `end` only
    end: FrameBound


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A ready-made calculation and what it is about."""

    type: TemplateType
    field_id: str | None = None  # what it computes with; only some window functions need none
    function: str | None = None  # of WINDOW_FUNCTION: `sum`, `row_number`, …
    order_by: tuple[Sort, ...] | None = None  # None: as the query is sorted
    partition_by: tuple[str, ...] = ()
    frame: Frame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCalculation:
    """A column computed over the finished rows. Exactly one of `sql`, `template` and `formula` is set."""

    name: str  # its id in the result
    display_name: str
    type: ColumnType | None = None
    sql: str | None = None
    template: Template | None = None
    formula: str | None = None  # begins with `=`
    sent: Sent = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodOverPeriod:
    """Makes a metric the value of another one, some periods earlier."""

    base_metric_id: str
    time_dimension_id: str  # must be selected
    granularity: str  # name of an interval: what is counted
    offset: int  # periods, at least 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditionalMetric:
    """A metric of one query."""

    table: str
    name: str
    type: MetricType
    sql: str  # with references, as in a model
    label: str | None = None
    filters: tuple[FilterRule, ...] = ()  # each names its dimension as `table.field` or by field id
    percentile: float = 50.0
    distinct_keys: tuple[str, ...] = ()  # likewise
    base_dimension: str | None = None  # name of the dimension it is made from
    period_over_period: PeriodOverPeriod | None = None
    sent: Sent = field(default_factory=dict)

    @property
    def field_id(self) -> str:
        """Return its id in the result: `<table>_<name>`."""
        return f"{self.table}_{self.name}"


class BinType(StrEnum):
    """How a dimension is divided."""

    FIXED_NUMBER = "fixed_number"
    FIXED_WIDTH = "fixed_width"
    CUSTOM_RANGE = "custom_range"
    CUSTOM_GROUP = "custom_group"


class MatchType(StrEnum):
    """How a value belongs to a named group."""

    EXACT = "exact"
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    INCLUDES = "includes"


@dataclass(frozen=True, slots=True, kw_only=True)
class BinRange:
    """Numbers from `low` to below `high`; None: without an end there. One of them is set."""

    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMatch:
    """One way into a named group."""

    type: MatchType
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedGroup:
    """Texts under one name; one of the matches is enough."""

    name: str
    matches: tuple[GroupMatch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BinDimension:
    """A dimension of one query that divides another into bins or groups."""

    id: str
    name: str
    dimension_id: str
    bin_type: BinType
    bin_number: int | None = None  # of FIXED_NUMBER, at least 1
    bin_width: float | None = None  # of FIXED_WIDTH, above 0
    ranges: tuple[BinRange, ...] = ()  # of CUSTOM_RANGE
    groups: tuple[NamedGroup, ...] = ()  # of CUSTOM_GROUP
    sent: Sent = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlDimension:
    """A dimension of one query over SQL of the client's own."""

    id: str
    name: str
    table: str  # what `${TABLE}` and a name alone mean
    sql: str
    type: ColumnType
    sent: Sent = field(default_factory=dict)


CustomDimension: TypeAlias = BinDimension | SqlDimension


@dataclass(frozen=True, slots=True, kw_only=True)
class DateZoom:
    """Shows a selected date at another interval, under its own id."""

    granularity: str | None = None  # name of an interval or custom granularity; None: no zoom
    field_id: str | None = None  # which; None or not selected: the first date


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQuery:
    """One question."""

    explore: str  # name
    dimensions: tuple[str, ...] = ()  # ids of dimensions and custom dimensions; what is named twice counts once
    metrics: tuple[str, ...] = ()
    dimension_filters: FilterGroup | None = None
    metric_filters: FilterGroup | None = None
    calculation_filters: FilterGroup | None = None
    sorts: tuple[Sort, ...] = ()  # empty: the default order
    limit: int | None = 500  # rows; None: as many as the limits allow
    calculations: tuple[TableCalculation, ...] = ()
    additional_metrics: tuple[AdditionalMetric, ...] = ()
    custom_dimensions: tuple[CustomDimension, ...] = ()
    metric_overrides: Mapping[str, Sent] = field(default_factory=dict)  # how it is shown, by metric id
    dimension_overrides: Mapping[str, Sent] = field(default_factory=dict)  # likewise
    timezone: str | None = None  # IANA name
    pivot_dimensions: tuple[str, ...] = ()  # what a pivot spreads into columns

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form, as an answer repeats it; optional members that are empty are left out."""
        filters: dict[str, JsonValue] = {}
        lists = (
            ("dimensions", self.dimension_filters),
            ("metrics", self.metric_filters),
            ("tableCalculations", self.calculation_filters),
        )
        for name, group in lists:
            if group is not None:
                filters[name] = filter_json(group)
        wire: dict[str, JsonValue] = {
            "exploreName": self.explore,
            "dimensions": list(self.dimensions),
            "metrics": list(self.metrics),
            "filters": filters,
            "sorts": [sort.to_json() for sort in self.sorts],
            "limit": self.limit,
            "tableCalculations": [dict(each.sent) for each in self.calculations],
        }
        optional: dict[str, JsonValue] = {
            "additionalMetrics": [dict(each.sent) for each in self.additional_metrics],
            "customDimensions": [dict(each.sent) for each in self.custom_dimensions],
            "metricOverrides": {name: dict(each) for name, each in self.metric_overrides.items()},
            "dimensionOverrides": {name: dict(each) for name, each in self.dimension_overrides.items()},
            "timezone": self.timezone,
            "pivotDimensions": list(self.pivot_dimensions),
        }
        return wire | {name: value for name, value in optional.items() if value}


def filter_json(node: FilterGroup | FilterRule) -> dict[str, JsonValue]:
    """Return a filter in its wire form: `{and: […]}`, `{or: […]}` or a rule."""
    if isinstance(node, FilterRule):
        return node.to_json()
    group: dict[str, JsonValue] = {} if node.id is None else {"id": node.id}
    return group | {"or" if node.is_any else "and": [filter_json(member) for member in node.members]}
