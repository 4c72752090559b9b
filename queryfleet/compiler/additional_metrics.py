"""Metrics of one question, made fields of its explore: from then on they are like those of the models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.conditions import enabled_ids
from queryfleet.compiler.custom_sql import custom_expression, is_known_sql, referenced_field, table_of
from queryfleet.errors import CompileError, ForbiddenError, ParameterError, RequestError
from queryfleet.semantic.explore import Dimension, Format, Metric, MetricClass, MetricType
from queryfleet.semantic.expression import Expression, MetricRef

if TYPE_CHECKING:
    from queryfleet.compiler.metric_query import AdditionalMetric, MetricQuery
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.explore import Explore, Table

__all__ = ["FORMAT_KEYS", "with_additional_metrics"]

_BEFORE_PERIODS: Final = (MetricClass.AGGREGATE, MetricClass.DEDUPLICATED, MetricClass.EXPRESSION)
FORMAT_KEYS: Final = ("format", "round", "compact", "separator", "formatOptions")


def with_additional_metrics(explore: Explore, query: MetricQuery, *, can_write_sql: bool = True) -> Explore:
    """Return the explore with the question's own metrics among its fields; what is wrong and not used is left out.

    Args:
        explore: As the caller may use it.
        query: The question.
        can_write_sql: False refuses SQL that no dimension has.

    Raises:
        ParameterError: A metric has the id of another field.
        FieldReferenceError: One mentions a field that is not there.
        ForbiddenError: One mentions a field that is not the caller's, or has SQL that the caller may not write.
        CompileError: Its table or its SQL cannot be used.

    Cost: linear in the fields of the explore, if there are any.
    """
    used = {*query.metrics, *enabled_ids(query.metric_filters)}
    for metric in query.additional_metrics:
        try:
            made = _metric(metric, explore, can_write_sql=can_write_sql)
            _check_mentions(made, query)
        except RequestError:
            if metric.field_id in used:
                raise
            continue  # clients keep sending metrics that they no longer use
        if made.field_id in explore.fields:
            raise ParameterError(
                f"`additionalMetrics`: explore `{explore.name}` has a field `{made.field_id}` already: rename it",
                fieldId=made.field_id,
            )
        table = explore.tables[made.table]
        grown = replace(table, metrics={**table.metrics, made.name: made})
        explore = replace(explore, tables={**explore.tables, made.table: grown})
    return explore


def _metric(metric: AdditionalMetric, explore: Explore, *, can_write_sql: bool) -> Metric:
    table = explore.tables[table_of(metric.table, explore)]
    if metric.period_over_period is not None:
        return _shifted(metric, table, explore)
    kind = metric.type.metric_class
    if not can_write_sql and not is_known_sql(metric.sql, table.name, explore):
        raise ForbiddenError(
            f"`additionalMetrics`: the SQL of `{metric.field_id}` is no dimension's, and you may not write SQL: "
            "refer to a dimension, such as `${amount}`"
        )
    filters = tuple(
        replace(rule, field_id=_dimension_id(rule.field_id, explore, table.name)) for rule in metric.filters
    )
    if filters and kind not in (MetricClass.AGGREGATE, MetricClass.DEDUPLICATED):
        raise CompileError(f"the metric `{metric.field_id}` is of type {metric.type}, which takes no filters")
    keys = tuple(_dimension_id(written, explore, table.name) for written in metric.distinct_keys)
    base = table.dimensions.get(metric.base_dimension or "")
    if base is not None:
        explore.dimension(base.field_id)  # it must be the caller's
    expression = custom_expression(metric.sql, table.name, explore, kind)
    needed = set(expression.tables)
    for field_id in (*(rule.field_id for rule in filters), *keys):
        found = explore.dimension(field_id).expression
        needed.update(found.tables if found is not None else ())
    return replace(
        _described(metric, table),
        expression=replace(expression, tables=tuple(sorted(needed))),
        filters=filters,
        distinct_keys=keys,
        base_dimension=None if base is None else base.name,
        base_dimension_type=None if base is None else base.type,
    )


def _check_mentions(metric: Metric, query: MetricQuery) -> None:
    """Raise when an expression mentions a metric of an earlier period: it is there only after all expressions."""
    compared = {each.field_id for each in query.additional_metrics if each.period_over_period is not None}
    parts = () if metric.expression is None or metric.field_id in compared else metric.expression.parts
    for part in parts:
        if isinstance(part, MetricRef) and part.field_id in compared and metric.type.metric_class in _BEFORE_PERIODS:
            raise CompileError(
                f"the metric `{metric.field_id}` mentions `{part.field_id}`, which compares periods and is computed "
                "later: use a table calculation",
                fieldId=metric.field_id,
            )


def _shifted(metric: AdditionalMetric, table: Table, explore: Explore) -> Metric:
    """Return a metric that is another one some periods earlier: it refers to that one, and is computed apart."""
    if metric.period_over_period is None:
        raise AssertionError
    base = explore.metric(metric.period_over_period.base_metric_id)
    if base.metric_class is MetricClass.POST_CALCULATION:
        raise CompileError(f"`{metric.field_id}` compares `{base.field_id}`, which is computed after everything else")
    tables = () if base.expression is None else base.expression.tables
    expression = Expression(parts=(MetricRef(field_id=base.field_id),), tables=tables)
    described = _described(metric, table)
    is_plain = not any(key in metric.sent for key in FORMAT_KEYS)
    return replace(
        described,
        type=MetricType.NUMBER,
        sql=base.sql,
        expression=expression,
        format=base.format if is_plain else described.format,
        base_dimension_type=base.base_dimension_type,
    )


def _described(metric: AdditionalMetric, table: Table) -> Metric:
    sent = metric.sent
    return Metric(
        name=metric.name,
        table=table.name,
        type=metric.type,
        label=metric.label or metric.name.replace("_", " ").strip().capitalize(),
        sql=metric.sql,
        table_label=table.label,
        description=_text(sent.get("description")),
        percentile=metric.percentile,
        format=Format(
            format=_text(sent.get("format")),
            round=_whole(sent.get("round")),
            compact=_text(sent.get("compact")),
            separator=_text(sent.get("separator")),
        ),
    )


def _dimension_id(written: str, explore: Explore, table: str) -> str:
    found = referenced_field(written, explore, table)
    if not isinstance(found, Dimension):
        raise CompileError(f"`{written}` is a metric; name a dimension")
    return found.field_id


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: JsonValue) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
