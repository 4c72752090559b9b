"""A metric query held against an explore: every id found, every list without repetitions, or an error that names it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from queryfleet.compiler.conditions import enabled_ids
from queryfleet.compiler.metric_query import BinDimension, CustomDimension
from queryfleet.compiler.ordering import SortColumn
from queryfleet.errors import CompileError, FieldReferenceError, ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.explore import Dimension, Metric, MetricClass, MetricType
from queryfleet.semantic.expression import MetricRef
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queryfleet.compiler.metric_query import MetricQuery, PeriodOverPeriod
    from queryfleet.semantic.explore import Explore

__all__ = ["Question", "check_name_lengths", "metric_column_type", "post_calculation_base", "resolved"]

_Item = TypeVar("_Item")

_FORBIDDEN: Final = '"`\\'  # would end a quoted name in one warehouse or another
_NAME_BYTES_MAX: Final = {"postgres": 63, "redshift": 127}
_TYPES: Final = {
    MetricType.STRING: ColumnType.STRING,
    MetricType.DATE: ColumnType.DATE,
    MetricType.TIMESTAMP: ColumnType.TIMESTAMP,
    MetricType.BOOLEAN: ColumnType.BOOLEAN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A metric query and the fields it is about."""

    query: MetricQuery  # ids of dimensions and metrics without repetitions
    explore: Explore  # with the query's own metrics
    dimensions: tuple[Dimension | CustomDimension, ...]  # selected
    metrics: tuple[Metric, ...]  # selected
    filter_metrics: tuple[Metric, ...]  # that enabled rules name

    def needed_metrics(self) -> tuple[Metric, ...]:
        """Return the selected metrics and those needed to filter, each once; selected ones first."""
        found = {each.field_id: each for each in (*self.metrics, *self.filter_metrics)}
        return tuple(found.values())

    def custom(self, field_id: str) -> CustomDimension | None:
        """Return the query's own dimension of that id."""
        return next((each for each in self.query.custom_dimensions if each.id == field_id), None)

    def period_over_period(self, field_id: str) -> PeriodOverPeriod | None:
        """Return what a metric compares, if it is one that compares periods."""
        own = self.query.additional_metrics
        return next((each.period_over_period for each in own if each.field_id == field_id), None)


def metric_column_type(metric: Metric) -> ColumnType:
    """Return the type of a metric's column."""
    if metric.type in (MetricType.MIN, MetricType.MAX) and metric.base_dimension_type is not None:
        return metric.base_dimension_type
    return _TYPES.get(metric.type, ColumnType.NUMBER)


def post_calculation_base(metric: Metric, explore: Explore) -> Metric:
    """Return the metric that a post-calculation is computed from."""
    parts = () if metric.expression is None else metric.expression.parts
    ids = [part.field_id for part in parts if isinstance(part, MetricRef)]
    base = explore.referenced(ids[0]) if len(ids) == 1 else None
    if not isinstance(base, Metric):
        raise FieldReferenceError(f"the metric `{metric.field_id}` must refer to one metric: write `${{name}}`")
    return base


def resolved(query: MetricQuery, explore: Explore) -> Question:
    """Return the query with its fields.

    Args:
        query: As it was asked.
        explore: As the caller may use it, with the query's own metrics.

    Raises:
        FieldReferenceError: An id is no field's, or of the wrong kind; the message has the nearest name.
        ForbiddenError: A field is not the caller's.
        CompileError: A field could not be compiled.
        ParameterError: Nothing is selected, a sort names what is not selected, names clash or cannot be quoted.

    Cost: linear in the query.
    """
    query = replace(query, dimensions=_once(query.dimensions), metrics=_once(query.metrics))
    if not query.dimensions and not query.metrics:
        raise ParameterError("the query selects nothing: name at least one field in `dimensions` or `metrics`")
    _check_names(query, explore)
    own = {each.id: each for each in query.custom_dimensions}
    dimensions = tuple(own.get(field_id) or explore.dimension(field_id) for field_id in query.dimensions)
    metrics = tuple(explore.metric(field_id) for field_id in query.metrics)
    filtered = tuple(explore.metric(field_id) for field_id in enabled_ids(query.metric_filters))
    calculations = [each.name for each in query.calculations]
    for name in enabled_ids(query.calculation_filters):
        if name not in calculations:
            advice = nearest_name(name, calculations)
            raise FieldReferenceError(f"`filters.tableCalculations`: no table calculation is called `{name}`; {advice}")
    _check_sorts(query, explore)
    return Question(query=query, explore=explore, dimensions=dimensions, metrics=metrics, filter_metrics=filtered)


def sort_column(dimension: Dimension | CustomDimension, *, is_numbered: bool = False) -> SortColumn:
    """Return what the order needs to know of a selected dimension.

    Args:
        dimension: Selected.
        is_numbered: Is there a helper column that orders it?
    """
    if isinstance(dimension, Dimension):
        return SortColumn(name=dimension.field_id, type=dimension.type, interval=dimension.interval)
    type_ = ColumnType.STRING if isinstance(dimension, BinDimension) else dimension.type
    return SortColumn(name=dimension.id, type=type_, order_name=f"{dimension.id}_order" if is_numbered else None)


def is_post_calculation(metric: Metric) -> bool:
    """Tell whether a metric is computed over the finished groups."""
    return metric.metric_class is MetricClass.POST_CALCULATION


def _once(items: Iterable[_Item]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys(items))


def _check_names(query: MetricQuery, explore: Explore) -> None:
    """Raise when a name of the query's own is taken, or cannot be a column of every warehouse."""
    taken: dict[str, str] = {}
    named = [
        *((each.id, "customDimensions") for each in query.custom_dimensions),
        *((each.name, "tableCalculations") for each in query.calculations),
    ]
    for name, where in named:
        _check_quotable(name, where)
        if name in explore.fields or name in taken:
            owner = taken.get(name, f"explore `{explore.name}`")
            raise ParameterError(f"`{where}`: the name `{name}` is taken by {owner}: choose another", fieldId=name)
        taken[name] = f"another entry of `{where}`"
    for sort in query.sorts:
        _check_quotable(sort.field_id, "sorts")


def _check_quotable(name: str, where: str) -> None:
    if not name.strip():
        raise ParameterError(f"`{where}` has an entry without a name")
    if any(each in name for each in _FORBIDDEN):
        raise ParameterError(f"`{where}`: a name must not hold a quotation mark, a backtick or a backslash")


def check_name_lengths(query: MetricQuery, warehouse_type: str) -> None:
    """Raise when the warehouse would cut the name of a column, so that the result had another one.

    Args:
        query: Resolved.
        warehouse_type: Name of the dialect.

    Raises:
        CompileError: A name is too long.
    """
    longest = _NAME_BYTES_MAX.get(warehouse_type)
    names = (*query.dimensions, *query.metrics, *(each.name for each in query.calculations))
    for name in names:
        if longest is not None and len(name.encode()) > longest:
            raise CompileError(
                f"`{name}` is longer than {longest} bytes, which is as long as names of columns can be in "
                f"{warehouse_type}: give its table an alias, or the field a shorter name",
                fieldId=name,
            )


def _check_sorts(query: MetricQuery, explore: Explore) -> None:
    selected = [*query.dimensions, *query.metrics, *(each.name for each in query.calculations)]
    for sort in query.sorts:
        if sort.field_id not in selected:
            explore.check_open(sort.field_id)
            advice = nearest_name(sort.field_id, selected)
            raise ParameterError(
                f"`sorts` names `{sort.field_id}`, which is not selected: select it or sort by another; {advice}",
                fieldId=sort.field_id,
            )
