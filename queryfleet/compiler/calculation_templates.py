"""Ready-made table calculations over one column, as window functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queryfleet.compiler.calculation import Parsed, window
from queryfleet.compiler.metric_query import TemplateType
from queryfleet.compiler.plan import Order
from queryfleet.errors import ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from queryfleet.compiler.calculation import Names, Scope
    from queryfleet.compiler.metric_query import Frame, FrameBound, Template

__all__ = ["parsed_template"]

_RANKS: Final = ("row_number", "rank", "dense_rank", "percent_rank", "cume_dist")  # of rows, without an argument
_AGGREGATES: Final = ("sum", "avg", "count", "min", "max")
_VALUES: Final = ("first_value", "last_value")
_UP_TO_HERE: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
_ALL_ROWS: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"


def parsed_template(name: str, template: Template, names: Names) -> Parsed:
    """Return a ready-made calculation.

    Args:
        name: Of the calculation.
        template: What it is.
        names: What it may mention.

    Raises:
        FieldReferenceError: It mentions what is not selected.
        ParameterError: There is no such window function.
    """
    place = f"the table calculation `{name}`"
    _check_function(template, place)
    value = None if template.field_id is None else names.found(template.field_id, place)
    partition = tuple(names.found(each, place) for each in template.partition_by)
    order = tuple(
        (names.found(each.field_id, place), each.is_descending, each.nulls_first) for each in template.order_by or ()
    )
    reads = {*partition, *(each[0] for each in order)} | (set() if value is None else {value})

    def write(scope: Scope) -> str:
        own = tuple(
            Order(sql=scope.column(column), is_descending=is_descending, nulls_first=nulls_first)
            for column, is_descending, nulls_first in order
        )
        parts = tuple(scope.column(each) for each in partition)
        # What the template leaves equal is in the order of the query.
        return _written(
            template, "" if value is None else scope.column(value), (*own, *scope.order), parts, scope=scope
        )

    is_text = template.type is TemplateType.WINDOW_FUNCTION and template.function not in (
        *_RANKS,
        "sum",
        "avg",
        "count",
    )
    return Parsed(name=name, reads=frozenset(reads), write=write, type=None if is_text else ColumnType.NUMBER)


def _check_function(template: Template, place: str) -> None:
    function = template.function
    if function is None:
        return
    known = (*_RANKS, *_AGGREGATES, *_VALUES)
    if function not in known:
        raise ParameterError(f"{place} uses the window function `{function}`; {nearest_name(function, known)}")
    if function not in _RANKS and template.field_id is None:
        raise ParameterError(f"{place} lacks `template.fieldId`: `{function}` needs a column")


def _written(
    template: Template, value: str, order: tuple[Order, ...], partition: tuple[str, ...], *, scope: Scope
) -> str:
    dialect = scope.context.dialect
    match template.type:
        case TemplateType.PERCENT_CHANGE_FROM_PREVIOUS | TemplateType.PERCENT_OF_PREVIOUS_VALUE:
            previous = dialect.cast_float(f"LAG({value}) OVER {window(order, partition)}")
            share = f"{dialect.cast_float(value)} / NULLIF({previous}, 0)"
            return f"{share} - 1" if template.type is TemplateType.PERCENT_CHANGE_FROM_PREVIOUS else share
        case TemplateType.PERCENT_OF_COLUMN_TOTAL:
            total = dialect.cast_float(f"SUM({value}) OVER {window(partition=partition)}")
            return f"{dialect.cast_float(value)} / NULLIF({total}, 0)"
        case TemplateType.RANK_IN_COLUMN:
            return f"RANK() OVER {window((Order(sql=value),), partition)}"
        case TemplateType.RUNNING_TOTAL:
            return f"SUM({value}) OVER {window(order, partition, _UP_TO_HERE)}"
        case TemplateType.WINDOW_FUNCTION:
            return _window_function(template, value, order, partition)


def _window_function(template: Template, value: str, order: tuple[Order, ...], partition: tuple[str, ...]) -> str:
    function = template.function or ""
    if function in _RANKS:
        # Ranks are by the template's own order: with that of the query behind it no two rows were equal.
        own = order[: len(template.order_by)] if template.order_by and function != "row_number" else order
        return f"{function.upper()}() OVER {window(own, partition)}"
    frame = _ALL_ROWS if template.frame is None else _frame(template.frame)
    if template.frame is not None and template.frame.kind == "range" and template.order_by:
        order = order[: len(template.order_by)]  # rows that are equal in it are in one range
    return f"{function.upper()}({value}) OVER {window(order, partition, frame)}"


def _frame(frame: Frame) -> str:
    kind = frame.kind.upper()
    start = "UNBOUNDED PRECEDING" if frame.start is None else _bound(frame.start)
    return f"{kind} BETWEEN {start} AND {_bound(frame.end)}"


def _bound(bound: FrameBound) -> str:
    words = bound.kind.upper().replace("_", " ")
    return words if bound.offset is None else f"{bound.offset} {words}"
