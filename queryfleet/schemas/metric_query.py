"""A metric query as clients write it. Members that are not listed are ignored, as other clients expect.

Filters are read by `queryfleet.compiler.request` itself: they nest, and what is wrong with a rule is told with its
field.
"""

# ruff: noqa: N815 - the wire's spelling
from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AdditionalMetricBody",
    "CustomDimensionBody",
    "DateZoomBody",
    "MetricQueryBody",
    "SortBody",
    "TableCalculationBody",
    "TemplateBody",
]

_STRICT = ConfigDict(strict=True)
_NAME_MAX = 255
_ENTRIES_MAX = 1000

FieldType = Literal["string", "number", "timestamp", "date", "boolean"]


def _number(value: object) -> object:
    """Pass a JSON number on: 5.0 is a whole one, `true` and `"5"` are none."""
    if isinstance(value, (bool, str)):
        raise ValueError("Input should be a valid integer")  # noqa: TRY004 - what the model turns into a 422
    return value


class SortBody(BaseModel):
    """One entry of `sorts`."""

    model_config = _STRICT

    fieldId: str
    descending: bool = False
    nullsFirst: bool | None = Field(default=None, description="Absent: as the warehouse does.")
    pivotValues: list[dict[str, Any]] | None = Field(default=None, description="Which column of a pivot is meant.")


class TemplateOrderBody(BaseModel):
    """One entry of a template's `orderBy`."""

    model_config = _STRICT

    fieldId: str
    order: Literal["asc", "desc"] | None = None


class FrameBoundBody(BaseModel):
    """One end of a frame."""

    model_config = _STRICT

    type: str = Field(description="unbounded_preceding, preceding, current_row, following or unbounded_following.")
    offset: int | None = Field(default=None, ge=0, description="Rows, of `preceding` and `following`.")


class FrameBody(BaseModel):
    """Rows around the current one."""

    model_config = _STRICT

    frameType: Literal["rows", "range", "ROWS", "RANGE"]
    start: FrameBoundBody | None = None
    end: FrameBoundBody


class TemplateBody(BaseModel):
    """A ready-made table calculation."""

    model_config = _STRICT

    type: str = Field(
        description="percent_change_from_previous, percent_of_previous_value, percent_of_column_total, "
        "rank_in_column, running_total or window_function."
    )
    fieldId: str | None = None
    windowFunction: str | None = Field(default=None, description="Of window_function: sum, row_number, …")
    orderBy: list[TemplateOrderBody] | None = Field(default=None, description="Absent: as the query is sorted.")
    partitionBy: list[str] | None = None
    frame: FrameBody | None = None


class TableCalculationBody(BaseModel):
    """A column computed over the finished rows: one of `sql`, `template` and `formula`."""

    model_config = _STRICT

    name: str = Field(min_length=1, max_length=_NAME_MAX, description="Its id in the result.")
    displayName: str | None = None
    type: FieldType | None = None
    sql: str | None = None
    template: TemplateBody | None = None
    formula: str | None = Field(default=None, description="Begins with `=`.")


class AdditionalMetricBody(BaseModel):
    """A metric of this query; its id is `<table>_<name>`."""

    model_config = _STRICT

    table: str
    name: str = Field(min_length=1, max_length=_NAME_MAX)
    type: str = Field(description="A metric type of the models.")
    sql: str = Field(default="", description="With references, as in a model.")
    label: str | None = None
    filters: list[dict[str, Any]] | None = Field(
        default=None, description='Rules; `target` is `{"fieldRef": "table.dimension"}`.'
    )
    percentile: float | None = Field(default=None, ge=0, le=100, strict=False)
    distinctKeys: list[str] | None = None
    baseDimensionName: str | None = None
    generationType: str | None = Field(default=None, description="periodOverPeriod, or absent.")
    baseMetricId: str | None = None
    timeDimensionId: str | None = None
    granularity: str | None = None
    periodOffset: int | None = Field(default=None, ge=1, le=10_000)


class BinRangeBody(BaseModel):
    """From a number, included, to another, not included."""

    model_config = ConfigDict(strict=True, populate_by_name=True)

    from_: float | None = Field(default=None, alias="from", strict=False)
    to: float | None = Field(default=None, strict=False)


class GroupValueBody(BaseModel):
    """One way into a group."""

    model_config = _STRICT

    matchType: Literal["exact", "startsWith", "endsWith", "includes"] = "exact"
    value: str


class CustomGroupBody(BaseModel):
    """Texts under one name."""

    model_config = _STRICT

    name: str
    values: list[GroupValueBody] = Field(max_length=_ENTRIES_MAX)


class BinType(StrEnum):
    """How a dimension is divided."""

    FIXED_NUMBER = "fixed_number"
    FIXED_WIDTH = "fixed_width"
    CUSTOM_RANGE = "custom_range"
    CUSTOM_GROUP = "custom_group"


class CustomDimensionBody(BaseModel):
    """A dimension of this query: bins of another one, or SQL."""

    model_config = _STRICT

    id: str = Field(min_length=1, max_length=_NAME_MAX)
    name: str | None = None
    type: Literal["bin", "sql"]
    table: str | None = None
    dimensionId: str | None = None
    binType: BinType | None = Field(default=None, strict=False)
    binNumber: int | None = None
    binWidth: float | None = Field(default=None, strict=False)
    customRange: list[BinRangeBody] | None = Field(default=None, max_length=_ENTRIES_MAX)
    customGroups: list[CustomGroupBody] | None = Field(default=None, max_length=_ENTRIES_MAX)
    sql: str | None = None
    dimensionType: FieldType = "string"


class DateZoomBody(BaseModel):
    """Shows a date at another interval."""

    model_config = _STRICT

    granularity: str | None = None
    xAxisFieldId: str | None = Field(default=None, description="Which date; absent or not selected: the first.")


class MetricQueryBody(BaseModel):
    """The question itself."""

    model_config = _STRICT

    exploreName: str
    dimensions: list[str] = Field(default_factory=list, max_length=_ENTRIES_MAX, description="Field ids.")
    metrics: list[str] = Field(default_factory=list, max_length=_ENTRIES_MAX, description="Field ids.")
    filters: dict[str, Any] | None = Field(
        default=None, description="`dimensions`, `metrics` and `tableCalculations`, each a group `and` or `or`."
    )
    sorts: list[SortBody] = Field(default_factory=list, max_length=_ENTRIES_MAX)
    limit: Annotated[int | None, BeforeValidator(_number)] = Field(
        default=500, strict=False, description="Rows; null: as many as are allowed."
    )
    tableCalculations: list[TableCalculationBody] = Field(default_factory=list, max_length=_ENTRIES_MAX)
    additionalMetrics: list[AdditionalMetricBody] | None = Field(default=None, max_length=_ENTRIES_MAX)
    customDimensions: list[CustomDimensionBody] | None = Field(default=None, max_length=_ENTRIES_MAX)
    metricOverrides: dict[str, dict[str, Any]] | None = Field(default=None, description="Formats by metric id.")
    dimensionOverrides: dict[str, dict[str, Any]] | None = Field(default=None, description="Formats by dimension id.")
    timezone: str | None = Field(default=None, description="IANA name.")
    pivotDimensions: list[str] | None = None
