"""What a client sent, as a frozen question: shapes checked here, names when the question meets an explore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

from queryfleet.compiler.filter_request import parse_filter_group, parse_rules
from queryfleet.compiler.metric_query import (
    AdditionalMetric,
    BinDimension,
    BinRange,
    BinType,
    DateZoom,
    Frame,
    FrameBound,
    GroupMatch,
    MatchType,
    MetricQuery,
    NamedGroup,
    PeriodOverPeriod,
    Sort,
    SqlDimension,
    TableCalculation,
    Template,
    TemplateType,
)
from queryfleet.errors import InvalidRequestError, ParameterError
from queryfleet.model import ColumnType
from queryfleet.schemas.metric_query import DateZoomBody, MetricQueryBody
from queryfleet.semantic.explore import MetricType
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.compiler.metric_query import CustomDimension, Sent
    from queryfleet.errors import JsonValue
    from queryfleet.schemas.metric_query import (
        AdditionalMetricBody,
        CustomDimensionBody,
        FrameBoundBody,
        TableCalculationBody,
        TemplateBody,
    )

__all__ = ["parse_date_zoom", "parse_filter_group", "parse_metric_query"]

_Body = TypeVar("_Body", bound=BaseModel)

_LISTS: Final = ("dimensions", "metrics", "tableCalculations")
_BOUNDS: Final = ("unbounded_preceding", "preceding", "current_row", "following", "unbounded_following")
_PERIOD_OVER_PERIOD: Final = "periodOverPeriod"
_TEMPLATES: Final = {each.value: each for each in TemplateType}
_METRIC_TYPES: Final = {each.value: each for each in MetricType}


def parse_metric_query(sent: Mapping[str, JsonValue]) -> MetricQuery:
    """Return the question of a request.

    Args:
        sent: The member `query` of a request, as JSON.

    Raises:
        InvalidRequestError: A member is missing or of the wrong type; details map paths to what is wrong.
        ParameterError: A member has a value that means nothing, such as an operator that does not exist.
    """
    body = _checked(MetricQueryBody, sent, "query")
    filters = body.filters or {}
    for name in filters:
        if name not in _LISTS:
            advice = nearest_name(name, _LISTS)
            raise ParameterError(f"`filters.{name}` is not known; {advice}", field=f"filters.{name}")
    groups = {name: parse_filter_group(filters[name], f"filters.{name}") for name in _LISTS if filters.get(name)}
    return MetricQuery(
        explore=body.exploreName,
        dimensions=tuple(body.dimensions),
        metrics=tuple(body.metrics),
        dimension_filters=groups.get("dimensions"),
        metric_filters=groups.get("metrics"),
        calculation_filters=groups.get("tableCalculations"),
        sorts=tuple(
            Sort(
                field_id=each.fieldId,
                is_descending=each.descending,
                nulls_first=each.nullsFirst,
                pivot_values=tuple(each.pivotValues or ()),
            )
            for each in body.sorts
        ),
        limit=body.limit,
        calculations=tuple(
            _calculation(each, raw)
            for each, raw in zip(body.tableCalculations, _raw(sent, "tableCalculations"), strict=True)
        ),
        additional_metrics=tuple(
            _metric(each, raw)
            for each, raw in zip(body.additionalMetrics or (), _raw(sent, "additionalMetrics"), strict=True)
        ),
        custom_dimensions=tuple(
            _custom(each, raw)
            for each, raw in zip(body.customDimensions or (), _raw(sent, "customDimensions"), strict=True)
        ),
        metric_overrides=body.metricOverrides or {},
        dimension_overrides=body.dimensionOverrides or {},
        timezone=body.timezone,
        pivot_dimensions=tuple(body.pivotDimensions or ()),
    )


def parse_date_zoom(sent: Mapping[str, JsonValue]) -> DateZoom:
    """Return the member `dateZoom` of a request.

    Raises:
        InvalidRequestError: It is of the wrong shape.
    """
    body = _checked(DateZoomBody, sent, "dateZoom")
    return DateZoom(granularity=body.granularity, field_id=body.xAxisFieldId)


def _checked(model: type[_Body], sent: Mapping[str, JsonValue], where: str) -> _Body:
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        details: dict[str, JsonValue] = {}
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            path = ".".join((where, *(str(part) for part in problem["loc"])))
            details[path] = {"message": problem["msg"].removeprefix("Value error, ")}
        summary = "; ".join(f"{path}: {each['message']}" for path, each in details.items() if isinstance(each, dict))
        raise InvalidRequestError(f"The request is not valid: {summary}.", **details) from None


def _raw(sent: Mapping[str, JsonValue], name: str) -> list[Sent]:
    """Return the entries of a list that the model has accepted, as they were sent."""
    entries = sent.get(name) or []
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _calculation(body: TableCalculationBody, sent: Sent) -> TableCalculation:
    where = f"`tableCalculations`: `{body.name}`"
    given = [name for name in ("sql", "template", "formula") if getattr(body, name) is not None]
    if len(given) != 1:
        has = "nothing to compute" if not given else f"{' and '.join(given)}"
        raise ParameterError(f"{where} has {has}: give one of `sql`, `template` and `formula`", fieldId=body.name)
    return TableCalculation(
        name=body.name,
        display_name=body.displayName or body.name,
        type=None if body.type is None else ColumnType(body.type),
        sql=body.sql,
        template=None if body.template is None else _template(body.template, where),
        formula=body.formula,
        sent=sent,
    )


def _template(body: TemplateBody, where: str) -> Template:
    if body.type not in _TEMPLATES:
        advice = nearest_name(body.type, _TEMPLATES)
        raise ParameterError(f"{where} has the template `{body.type}`, which is not known; {advice}")
    type_ = _TEMPLATES[body.type]
    if body.fieldId is None and type_ is not TemplateType.WINDOW_FUNCTION:
        raise ParameterError(f"{where} lacks `template.fieldId`")
    if (body.windowFunction is None) == (type_ is TemplateType.WINDOW_FUNCTION):
        fault = "lacks" if body.windowFunction is None else "has no use for"
        raise ParameterError(f"{where} {fault} `template.windowFunction`")
    frame = body.frame
    return Template(
        type=type_,
        field_id=body.fieldId,
        function=body.windowFunction,
        order_by=tuple(Sort(field_id=each.fieldId, is_descending=each.order == "desc") for each in body.orderBy)
        if body.orderBy
        else None,
        partition_by=tuple(body.partitionBy or ()),
        frame=None
        if frame is None
        else Frame(
            kind=frame.frameType.lower(),
            start=None if frame.start is None else _bound(frame.start, where),
            end=_bound(frame.end, where),
        ),
    )


def _bound(body: FrameBoundBody, where: str) -> FrameBound:
    kind = body.type.lower().replace(" ", "_")
    if kind not in _BOUNDS:
        raise ParameterError(f"{where} has a frame with the bound `{body.type}`; {nearest_name(kind, _BOUNDS)}")
    if (body.offset is None) == (kind in ("preceding", "following")):
        fault = "lacks" if body.offset is None else "has no use for"
        raise ParameterError(f"{where}: the bound `{kind}` of its frame {fault} an `offset`")
    return FrameBound(kind=kind, offset=body.offset)


def _metric(body: AdditionalMetricBody, sent: Sent) -> AdditionalMetric:
    where = f"`additionalMetrics`: `{body.table}_{body.name}`"
    if body.type not in _METRIC_TYPES:
        advice = nearest_name(body.type, _METRIC_TYPES)
        raise ParameterError(f"{where} has the type `{body.type}`, which is not known; {advice}")
    compared: PeriodOverPeriod | None = None
    if body.generationType == _PERIOD_OVER_PERIOD:
        compared = _compared(body, where)
    elif body.generationType is not None:
        raise ParameterError(f"{where} has the generationType `{body.generationType}`; write `{_PERIOD_OVER_PERIOD}`")
    elif not body.sql.strip():
        raise ParameterError(f"{where} lacks `sql`")
    return AdditionalMetric(
        table=body.table,
        name=body.name,
        type=_METRIC_TYPES[body.type],
        sql=body.sql,
        label=body.label,
        filters=parse_rules(body.filters or [], f"{where}.filters"),
        percentile=50.0 if body.percentile is None else body.percentile,
        distinct_keys=tuple(body.distinctKeys or ()),
        base_dimension=body.baseDimensionName,
        period_over_period=compared,
        sent=sent,
    )


def _compared(body: AdditionalMetricBody, where: str) -> PeriodOverPeriod:
    if body.baseMetricId is None or body.timeDimensionId is None or body.granularity is None:
        raise ParameterError(f"{where} needs `baseMetricId`, `timeDimensionId` and `granularity` to compare periods")
    return PeriodOverPeriod(
        base_metric_id=body.baseMetricId,
        time_dimension_id=body.timeDimensionId,
        granularity=body.granularity,
        offset=1 if body.periodOffset is None else body.periodOffset,
    )


def _custom(body: CustomDimensionBody, sent: Sent) -> CustomDimension:
    where = f"`customDimensions`: `{body.id}`"
    name = body.name or body.id
    if body.type == "sql":
        if body.sql is None or body.table is None:
            raise ParameterError(f"{where} of type sql needs `sql` and `table`")
        return SqlDimension(
            id=body.id, name=name, table=body.table, sql=body.sql, type=ColumnType(body.dimensionType), sent=sent
        )
    if body.binType is None or body.dimensionId is None:
        raise ParameterError(f"{where} of type bin needs `binType` and `dimensionId`")
    return BinDimension(
        id=body.id,
        name=name,
        dimension_id=body.dimensionId,
        bin_type=BinType(body.binType.value),
        bin_number=body.binNumber,
        bin_width=body.binWidth,
        ranges=tuple(BinRange(low=each.from_, high=each.to) for each in body.customRange or ()),
        groups=tuple(
            NamedGroup(
                name=group.name,
                matches=tuple(GroupMatch(type=MatchType(each.matchType), value=each.value) for each in group.values),
            )
            for group in body.customGroups or ()
        ),
        sent=sent,
    )
