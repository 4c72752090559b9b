"""Table calculations in SQL: text of the client's own, with references to columns and some functions of ours.

    row()  offset(x, n)  index(x, n)  offset_list(x, from, count)  list(x, …)  lookup(value, column, result)
    total(x)  row_total(x)

Everything else is the warehouse's SQL and is passed on as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.calculation import Parsed
from queryfleet.compiler.calculation_nodes import (
    CallNode,
    ColumnNode,
    NodeWriter,
    TextNode,
    calls_in,
    columns_in,
    flattened,
    integers_of,
)
from queryfleet.compiler.quoting import BACKSLASH_ESCAPES, ambiguity
from queryfleet.compiler.safe_functions import SAFE_WORDS, SUBQUERY_WORDS
from queryfleet.errors import CompileError, ForbiddenError
from queryfleet.semantic.expression import AttributeRef, Expression, ParameterRef, UserEmailRef
from queryfleet.semantic.references import (
    AttributeName,
    Literal,
    ParameterName,
    Reference,
    UserEmail,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queryfleet.compiler.calculation import Names
    from queryfleet.compiler.calculation_nodes import Node
    from queryfleet.compiler.rendering import Renderer
    from queryfleet.semantic.expression import SqlPart

__all__ = ["parsed_sql"]

_FUNCTIONS: Final = {  # how many arguments
    "row": (0, 0),
    "offset": (2, 2),
    "index": (2, 2),
    "offset_list": (3, 3),
    "list": (1, 100),
    "lookup": (3, 3),
    "total": (1, 1),
    "row_total": (1, 1),
}
_PIVOT: Final = frozenset(
    {"pivot_column", "pivot_index", "pivot_offset", "pivot_offset_list", "pivot_row", "pivot_where"}
)
_WINDOWED: Final = frozenset({"row", "offset", "index", "offset_list"})
_LIST_MAX: Final = 1000
_DEPTH_MAX: Final = 50
_MARK: Final = "\x00"
_BARE: Final = re.compile(r"[\w.+-]*", re.ASCII)  # of parameters: what is a number means the same inside quotes
_STRING: Final = r"'(?:[^']|'')*'"
_ESCAPED_STRING: Final = r"'(?:[^'\\]|''|\\.)*'"
_REST: Final = (
    r"|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|(?P<mark>\x00\d+\x00)|(?P<word>[A-Za-z_]\w*)|(?P<space>\s+)|(?P<other>.)"
)


def parsed_sql(name: str, sql: str, names: Names, renderer: Renderer, *, can_write_sql: bool = True) -> Parsed:
    """Return a calculation in SQL.

    Args:
        name: Of the calculation.
        sql: As it was sent.
        names: What it may mention.
        renderer: Of the question; puts in attributes and parameters.
        can_write_sql: False refuses SQL that reads other tables.

    Raises:
        FieldReferenceError: It mentions what is not selected.
        ForbiddenError: It reads other tables, and the caller may not write SQL.
        CompileError: A function of ours is used wrongly, or is not supported.
    """
    nodes = _Parser(f"the table calculation `{name}`", names, renderer, can_write_sql=can_write_sql).nodes(sql)
    totals, row_totals = (
        frozenset(each for call in calls_in(nodes) if call.function == kind for each in columns_in(call.arguments[0]))
        for kind in ("total", "row_total")
    )
    return Parsed(
        name=name,
        reads=frozenset(columns_in(nodes)),
        totals=totals,
        row_totals=row_totals,
        write=lambda scope: NodeWriter(scope).written(nodes),
    )


class _Parser:
    """Parses one text."""

    def __init__(self, place: str, names: Names, renderer: Renderer, *, can_write_sql: bool) -> None:
        self._place = place
        self._names = names
        self._renderer = renderer
        self._can_write_sql = can_write_sql
        string = _ESCAPED_STRING if renderer.context.dialect.name in BACKSLASH_ESCAPES else _STRING
        self._piece = re.compile(f"{string}{_REST}", re.DOTALL | re.ASCII)
        self._marked: list[Node] = []

    def nodes(self, sql: str) -> tuple[Node, ...]:
        """Return the text in pieces."""
        if not sql.strip():
            raise CompileError(f"{self._place} is empty")
        text = "".join(self._flat(sql))
        pieces = list(self._piece.finditer(text))
        self._check_quotes([piece[0] for piece in pieces])
        found, end = self._sequence(pieces, 0, depth=0, is_argument=False)
        if end != len(pieces):
            raise CompileError(f"{self._place} has a bracket that closes nothing")
        return found

    def _check_quotes(self, pieces: list[str]) -> None:
        """Raise when a value would be put inside quotes, or a caller who may not write SQL quotes in odd ways."""
        for piece in pieces:
            inside = piece.split(_MARK)[1::2] if piece[0] in "'\"`" or piece.startswith(("--", "/*")) else []
            for number in inside:
                node = self._marked[int(number)]
                if not isinstance(node, TextNode) or _BARE.fullmatch(node.text) is None:
                    raise CompileError(f"{self._place} has a reference inside quotes or a comment: put it outside")
        if self._can_write_sql:
            return
        fault = ambiguity(pieces, self._renderer.context.dialect.name)
        if fault is not None:
            raise ForbiddenError(f"{self._place} has {fault}, which only those who may write SQL can use")

    def _flat(self, sql: str) -> Iterator[str]:
        """Yield the text with a mark in the place of each reference."""
        for token in tokens(sql):
            match token:
                case Literal():
                    yield token.text.replace(_MARK, "")
                case Reference():
                    yield self._mark(ColumnNode(name=self._names.found(token.text, self._place)))
                case AttributeName():
                    yield self._mark(self._rendered(AttributeRef(name=token.name)))
                case UserEmail():
                    yield self._mark(self._rendered(UserEmailRef()))
                case ParameterName():
                    yield self._mark(self._rendered(ParameterRef(name=token.name)))
                case _:
                    raise CompileError(f"{self._place}: tags and `${{TABLE}}` have no meaning in a table calculation")

    def _mark(self, node: Node) -> str:
        self._marked.append(node)
        return f"{_MARK}{len(self._marked) - 1}{_MARK}"

    def _rendered(self, part: SqlPart) -> TextNode:
        parameters = (part.name,) if isinstance(part, ParameterRef) else ()
        expression = Expression(parts=(part,), parameters=parameters)
        return TextNode(text=self._renderer.expression(expression, self._names.explore.base_table))

    def _sequence(
        self, pieces: list[re.Match[str]], start: int, *, depth: int, is_argument: bool
    ) -> tuple[tuple[Node, ...], int]:
        """Return the nodes up to the end, to a bracket that closes, or to a comma between arguments."""
        if depth > _DEPTH_MAX:
            raise CompileError(f"{self._place} has more than {_DEPTH_MAX} brackets in one another")
        found: list[Node] = []
        place, opened = start, 0
        while place < len(pieces):
            piece = pieces[place]
            word = piece["word"]
            if word is not None:
                after = self._next(pieces, place + 1)
                self._check_word(pieces, place, after)
                if word.lower() in _FUNCTIONS and after < len(pieces) and pieces[after][0] == "(":
                    call, place = self._call(word.lower(), pieces, after + 1, depth)
                    found.append(call)
                    continue
            self._check_quoted_call(pieces, place)
            if piece[0] == ")" and not opened:
                break
            if piece[0] == "," and is_argument and not opened:
                break
            opened += (piece[0] == "(") - (piece[0] == ")")
            found += self._plain(piece)
            place += 1
        return tuple(found), place

    def _check_word(self, pieces: list[re.Match[str]], place: int, after: int) -> None:
        """Raise when a word means something that is not available, or not to this caller."""
        word = pieces[place]["word"].lower()
        if word in _PIVOT:
            raise CompileError(f"{self._place} uses `{word}()`, which is not available yet")
        if self._can_write_sql:
            return
        before = self._next(pieces, place - 1, step=-1)
        begins = before < 0 or pieces[before][0] in ("(", ",", ";")
        if word in SUBQUERY_WORDS and (word != "from" or begins):
            raise ForbiddenError(f"{self._place} reads tables by `{word}`, and you may not write SQL")
        if word == "in" and self._renderer.context.dialect.name == "clickhouse":
            self._check_in(pieces, after)
        is_call = after < len(pieces) and pieces[after][0] == "("
        if is_call and word not in SAFE_WORDS and word not in _FUNCTIONS:
            raise ForbiddenError(f"{self._place} calls `{word}()`, which only those who may write SQL can use")

    def _check_in(self, pieces: list[re.Match[str]], after: int) -> None:
        """Raise when what stands behind IN is a name: it may be that of a table, whose rows would be read."""
        first = self._next(pieces, after + 1) if after < len(pieces) and pieces[after][0] == "(" else after
        if first < len(pieces) and (pieces[first]["word"] is not None or pieces[first][0][0] in '"`'):
            raise ForbiddenError(f"{self._place} has a name behind IN, which only those who may write SQL can use")

    def _check_quoted_call(self, pieces: list[re.Match[str]], place: int) -> None:
        """Raise when a function is called by a name in quotes, which may be any function."""
        if self._can_write_sql or pieces[place][0][0] not in '"`':
            return
        after = self._next(pieces, place + 1)
        if after < len(pieces) and pieces[after][0] == "(":
            raise ForbiddenError(
                f"{self._place} calls a function in quotes, which only those who may write SQL can use"
            )

    @staticmethod
    def _next(pieces: list[re.Match[str]], place: int, step: int = 1) -> int:
        """Return the place of the next piece that is neither space nor comment."""
        while 0 <= place < len(pieces) and pieces[place][0].lstrip()[:2] in ("", "--", "/*"):
            place += step
        return place

    def _plain(self, piece: re.Match[str]) -> list[Node]:
        """Return a piece; a number of a parameter inside quotes is put in there, too."""
        found: list[Node] = []
        for number, part in enumerate(piece[0].split(_MARK)):
            if number % 2:
                found.append(self._marked[int(part)])
            elif part:
                found.append(TextNode(text=part))
        return found

    def _call(self, function: str, pieces: list[re.Match[str]], start: int, depth: int) -> tuple[CallNode, int]:
        """Return a call, and the place after its closing bracket."""
        arguments: list[tuple[Node, ...]] = []
        place = start
        while True:
            argument, place = self._sequence(pieces, place, depth=depth + 1, is_argument=True)
            arguments.append(argument)
            if place >= len(pieces):
                raise CompileError(f"{self._place}: `{function}(` has no closing bracket")
            place += 1
            if pieces[place - 1][0] == ")":
                break
        if len(arguments) == 1 and not any(
            isinstance(node, ColumnNode | CallNode) or node.text.strip() for node in arguments[0]
        ):
            arguments = []
        least, most = _FUNCTIONS[function]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise CompileError(f"{self._place}: `{function}()` takes {wanted} arguments, not {len(arguments)}")
        call = CallNode(function=function, arguments=tuple(arguments))
        self._check_call(call)
        return call, place

    def _check_call(self, call: CallNode) -> None:
        if call.function in _WINDOWED:
            inner = next((each for each in calls_in(flattened(call.arguments)) if each.function in _WINDOWED), None)
            if inner is not None:
                raise CompileError(
                    f"{self._place}: `{call.function}()` cannot hold `{inner.function}()`: make a calculation of the "
                    "inner one and refer to it"
                )
        for number in integers_of(call):
            if number is None:
                raise CompileError(f"{self._place}: `{call.function}()` needs whole numbers after its first argument")
        if call.function in ("total", "row_total"):
            self._check_total(call)
        if call.function == "offset_list" and not 1 <= (integers_of(call)[1] or 0) <= _LIST_MAX:
            raise CompileError(f"{self._place}: `offset_list()` returns 1 to {_LIST_MAX} values")
        if call.function == "index" and (integers_of(call)[0] or 0) < 1:
            raise CompileError(f"{self._place}: `index()` counts rows from 1")

    def _check_total(self, call: CallNode) -> None:
        if any(True for _ in calls_in(call.arguments[0])):
            raise CompileError(f"{self._place}: `{call.function}()` cannot hold another function of its kind")
        columns = set(columns_in(call.arguments[0]))
        metrics = {each for table in self._names.explore.tables.values() for each in _metric_ids(table)}
        if not columns or not columns <= metrics:
            raise CompileError(f"{self._place}: `{call.function}()` takes metrics only")


def _metric_ids(table: object) -> Iterator[str]:
    yield from (each.field_id for each in getattr(table, "metrics", {}).values())
