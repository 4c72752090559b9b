"""Calculations in SQL, taken apart: text, columns and calls of our functions; and how those become SQL again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from queryfleet.compiler.calculation import window
from queryfleet.errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queryfleet.compiler.calculation import Scope

__all__ = [
    "CallNode",
    "ColumnNode",
    "Node",
    "NodeWriter",
    "TextNode",
    "calls_in",
    "columns_in",
    "flattened",
    "integers_of",
]

_INTEGER: Final = re.compile(r"\s*([+-]?)\s*(\d{1,9})\s*", re.ASCII)
_LOOKUP: Final = "qf_lookup"
_ARRAYS: Final = {
    "athena": "ARRAY[{}]",
    "bigquery": "[{}]",
    "clickhouse": "[{}]",
    "databricks": "ARRAY({})",
    "duckdb": "[{}]",
    "postgres": "ARRAY[{}]",
    "redshift": "ARRAY({})",
    "snowflake": "ARRAY_CONSTRUCT({})",
    "trino": "ARRAY[{}]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNode:
    """SQL that is passed on as it is."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNode:
    """A column of the result so far."""

    name: str  # its id


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNode:
    """A call of one of our functions."""

    function: str  # lower case
    arguments: tuple[tuple[Node, ...], ...]


Node: TypeAlias = TextNode | ColumnNode | CallNode


def flattened(arguments: tuple[tuple[Node, ...], ...]) -> tuple[Node, ...]:
    """Return the pieces of all arguments of a call."""
    return tuple(node for argument in arguments for node in argument)


def calls_in(nodes: tuple[Node, ...]) -> Iterator[CallNode]:
    """Yield every call, those inside others included."""
    for node in nodes:
        if isinstance(node, CallNode):
            yield node
            yield from calls_in(flattened(node.arguments))


def columns_in(nodes: tuple[Node, ...]) -> Iterator[str]:
    """Yield what is read, other than by totals."""
    for node in nodes:
        if isinstance(node, ColumnNode):
            yield node.name
        elif isinstance(node, CallNode) and node.function not in ("total", "row_total"):
            yield from columns_in(flattened(node.arguments))


def integers_of(call: CallNode) -> list[int | None]:
    """Return the arguments that must be whole numbers; None for one that is none."""
    if call.function not in ("offset", "index", "offset_list"):
        return []
    found: list[int | None] = []
    for argument in call.arguments[1:]:
        text = "".join(node.text if isinstance(node, TextNode) else "?" for node in argument)
        match = _INTEGER.fullmatch(text)
        found.append(None if match is None else int(match[1] + match[2]))
    return found


class NodeWriter:
    """Writes pieces in a scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._over = f"OVER {window(scope.order)}"

    def written(self, nodes: tuple[Node, ...], column: Callable[[str], str] | None = None) -> str:
        """Return the pieces as SQL.

        Args:
            nodes: In order.
            column: Says where a column is found; None: in the stage that is read.
        """
        found: list[str] = []
        for node in nodes:
            match node:
                case TextNode():
                    found.append(node.text)
                case ColumnNode():
                    found.append((column or self._scope.column)(node.name))
                case CallNode():
                    found.append(self._call(node))
        return "".join(found)

    def _call(self, call: CallNode) -> str:  # noqa: PLR0911 - one for each function
        arguments = call.arguments
        match call.function:
            case "row":
                return f"ROW_NUMBER() {self._over}"
            case "offset":
                return self._offset(self.written(arguments[0]).strip(), integers_of(call)[0] or 0)
            case "index":
                frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
                over = f"OVER {window(self._scope.order, frame=frame)}"
                return f"NTH_VALUE({self.written(arguments[0]).strip()}, {integers_of(call)[0]}) {over}"
            case "offset_list":
                first, count = integers_of(call)
                value = self.written(arguments[0]).strip()
                start = first or 0
                return self._array([self._offset(value, start + place) for place in range(count or 0)])
            case "list":
                return self._array([self.written(argument).strip() for argument in arguments])
            case "lookup":
                return self._lookup(arguments)
            case kind:
                scope = self._scope
                source = scope.total_source if kind == "total" else scope.row_total_source
                return f"({self.written(arguments[0], lambda name: scope.column(name, source)).strip()})"

    def _offset(self, value: str, rows: int) -> str:
        if rows == 0:
            return f"({value})"
        return f"{'LEAD' if rows > 0 else 'LAG'}({value}, {abs(rows)}) {self._over}"

    def _array(self, items: list[str]) -> str:
        dialect = self._scope.context.dialect
        form = _ARRAYS.get(dialect.name)
        if form is None:
            raise CompileError(f"`list()` and `offset_list()` need lists, which {dialect.name} does not have")
        return form.format(", ".join(items))

    def _lookup(self, arguments: tuple[tuple[Node, ...], ...]) -> str:
        quote = self._scope.context.dialect.quote
        wanted, column, result = arguments

        def inner(name: str) -> str:
            return self._scope.column(name, _LOOKUP)

        source = f"{quote(self._scope.source)} AS {quote(_LOOKUP)}"
        condition = f"{self.written(column, inner).strip()} = {self.written(wanted).strip()}"
        found = f"MIN({self.written(result, inner).strip()})"
        return f"(SELECT {found} FROM {source} WHERE {condition})"  # noqa: S608 - the client's own, as told
