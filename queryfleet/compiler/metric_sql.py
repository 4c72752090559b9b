"""The SQL of metrics: aggregates over rows, and expressions over aggregates or over their columns.

    leaf        computed from rows: an aggregate, or an expression that holds its own
    composite   an expression over other metrics and nothing else: `${revenue} / ${order_count}`
    nested      a composite that aggregates another metric: `max(${revenue})`

In a query of one stage a composite is written out over rows; with several stages, over the columns of its leaves.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError
from queryfleet.semantic.explore import Metric, MetricClass
from queryfleet.semantic.expression import DimensionRef, Expression, MetricRef, SqlText, TableRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from queryfleet.compiler.rendering import Renderer
    from queryfleet.semantic.explore import Explore
    from queryfleet.semantic.expression import SqlPart

__all__ = ["MetricSql", "compiled", "is_composite", "is_nested", "leaves", "nested_within", "referenced_metrics"]

# What may stand around a metric to aggregate it once more, in the dialects we know.
_AGGREGATES: Final = frozenset(
    {
        "any_value", "approx_count_distinct", "array_agg", "avg", "count", "count_if", "countif", "group", "listagg",
        "max", "median", "min", "mode", "quantile_cont", "stddev", "stddev_pop", "stddev_samp", "string_agg", "sum",
        "var_pop", "var_samp", "variance",
    }
)  # fmt: skip
_PIECE: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|([A-Za-z_]\w*)?\s*\(|\)|\x00", re.DOTALL)
_OVER: Final = re.compile(r"\s*(?:filter\s*\([^()]*\)\s*)?over\b", re.IGNORECASE)


def compiled(metric: Metric) -> Expression:
    """Return what a metric computes with.

    Raises:
        CompileError: It could not be compiled; the message says why.
    """
    if metric.expression is None:
        raise CompileError(f"the metric `{metric.field_id}` cannot be used: {metric.error}", fieldId=metric.field_id)
    return metric.expression


def referenced_metrics(metric: Metric, explore: Explore) -> tuple[Metric, ...]:
    """Return the metrics that a metric mentions itself."""
    found = (explore.referenced(part.field_id) for part in compiled(metric).parts if isinstance(part, MetricRef))
    return tuple(each for each in found if isinstance(each, Metric))


def is_composite(metric: Metric) -> bool:
    """Tell whether a metric can be computed from the columns of other metrics alone."""
    if metric.metric_class is not MetricClass.EXPRESSION:
        return False
    parts = compiled(metric).parts
    return any(isinstance(part, MetricRef) for part in parts) and not any(
        isinstance(part, (DimensionRef, TableRef)) for part in parts
    )


def leaves(metric: Metric, explore: Explore) -> Iterator[Metric]:
    """Yield the metrics over rows that a metric comes from, itself included when it is one."""
    if not is_composite(metric):
        yield metric
        return
    for each in referenced_metrics(metric, explore):
        yield from leaves(each, explore)


def is_nested(metric: Metric) -> bool:
    """Tell whether a metric aggregates another one, other than over a window."""
    if not is_composite(metric):
        return False
    # A metric becomes one character that no SQL holds; what stands around it is then found by its brackets.
    text = "".join(_stand_in(part) for part in compiled(metric).parts)
    opened: list[tuple[str, bool]] = []  # function before each open bracket, and whether a metric is inside
    for piece in _PIECE.finditer(text):
        if piece[0].endswith("("):
            opened.append(((piece[1] or "").lower(), False))
        elif piece[0] == ")" and opened:
            function, holds = opened.pop()
            if holds and function in _AGGREGATES and _OVER.match(text, piece.end()) is None:
                return True
            if holds and opened:
                opened[-1] = (opened[-1][0], True)
        elif piece[0] == "\x00" and opened:
            opened[-1] = (opened[-1][0], True)
    return False


def nested_within(metrics: tuple[Metric, ...], explore: Explore) -> tuple[Metric, ...]:
    """Return the nested ones among metrics and those they come from, each once."""
    found: dict[str, Metric] = {}
    for metric in metrics:
        if is_nested(metric):
            found[metric.field_id] = metric
        if is_composite(metric):
            found |= {each.field_id: each for each in nested_within(referenced_metrics(metric, explore), explore)}
    return tuple(found.values())


class MetricSql:
    """Writes metrics of one question.

    Args:
        explore: With the question's own metrics.
        renderer: Of the question.
    """

    def __init__(self, explore: Explore, renderer: Renderer) -> None:
        self._explore = explore
        self._renderer = renderer
        self._inline: dict[str, str] = {}  # by id: an expression over expressions asks for the same ones again

    @property
    def explore(self) -> Explore:
        """Return the explore."""
        return self._explore

    @property
    def renderer(self) -> Renderer:
        """Return the renderer."""
        return self._renderer

    def tables(self, metric: Metric) -> frozenset[str]:
        """Return the aliases that a metric needs, through everything it mentions."""
        return frozenset(compiled(metric).tables)

    def grains(self, metric: Metric) -> tuple[frozenset[str], ...]:
        """Return the tables whose rows are aggregated, for each aggregate in a leaf.

        Filters do not count: they choose rows and do not make more of them.
        """
        own = {metric.table}
        found: list[frozenset[str]] = []
        for part in compiled(metric).parts:
            if isinstance(part, TableRef):
                own.add(part.table)
            elif isinstance(part, DimensionRef):
                expression = self._explore.referenced(part.field_id).expression
                own.update(expression.tables if expression is not None else ())
        for each in referenced_metrics(metric, self._explore):
            for leaf in leaves(each, self._explore):
                found += self.grains(leaf)
        return tuple(dict.fromkeys([frozenset(own), *found]))

    def argument(self, metric: Metric) -> str:
        """Return what is aggregated, its filters applied; of `count(*)` without filters, the star."""
        parts = compiled(metric).parts
        is_star = len(parts) == 1 and isinstance(parts[0], SqlText) and parts[0].text.strip() == "*"
        if is_star and not metric.filters:
            return "*"
        if is_star:
            metric = replace(metric, expression=replace(compiled(metric), parts=(SqlText(text="1"),)))
        return self._renderer.argument(metric)

    def inline(self, metric: Metric) -> str:
        """Return a metric as one expression over rows, everything it mentions written out.

        Raises:
            CompileError: It mentions a deduplicated metric, which needs a stage of its own.
        """
        known = self._inline.get(metric.field_id)
        if known is None:
            known = self._inline[metric.field_id] = self._written(metric)
        return known

    def _written(self, metric: Metric) -> str:
        match metric.metric_class:
            case MetricClass.AGGREGATE:
                return self.aggregate(metric, self.argument(metric))
            case MetricClass.EXPRESSION:
                found = {each.field_id: self.inline(each) for each in referenced_metrics(metric, self._explore)}
                return self._substituted(metric, found)
            case _:
                raise CompileError(
                    f"`{metric.field_id}` cannot be part of an expression that aggregates by itself: "
                    "make a metric of each half, and one that combines them"
                )

    def aggregate(self, metric: Metric, argument: str) -> str:
        """Return a metric's aggregate of an argument."""
        return self._renderer.context.dialect.aggregate(metric.type, argument, metric.percentile)

    def from_columns(self, metric: Metric, columns: Mapping[str, str]) -> str:
        """Return a metric over columns that hold what it comes from.

        Args:
            metric: One that is in the columns, or a composite.
            columns: SQL by metric id; at least every leaf of it.
        """
        known = columns.get(metric.field_id)
        if known is not None:
            return known
        mentioned = referenced_metrics(metric, self._explore)
        return self._substituted(metric, {each.field_id: self.from_columns(each, columns) for each in mentioned})

    def _substituted(self, metric: Metric, found: Mapping[str, str]) -> str:
        expression = compiled(metric)
        parts: list[SqlPart] = [
            SqlText(text=f"({found[part.field_id]})") if isinstance(part, MetricRef) else part
            for part in expression.parts
        ]
        return self._renderer.expression(replace(expression, parts=tuple(parts)), metric.table)


def _stand_in(part: SqlPart) -> str:
    if isinstance(part, SqlText):
        return part.text.replace("\x00", "")
    return "\x00" if isinstance(part, MetricRef) else "0"
