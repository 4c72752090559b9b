"""A statement of the client's own as the beginning of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.plan import Output, Plan, Select, TableSource
from queryfleet.errors import ParameterError
from queryfleet.warehouse.statement import is_plain_query, strip_terminator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.compiler.dialects import Dialect

__all__ = ["OuterLimit", "sql_plan", "without_limit", "without_order_and_limit"]

_CLAUSES: Final = frozenset(
    {"EXCEPT", "FETCH", "FOR", "FORMAT", "INTERSECT", "INTO", "LIMIT", "OFFSET", "SETTINGS", "UNION", "WITH"}
)  # after an ORDER BY these may belong to the statement, and then the order means something


def sql_plan(sql: str, names: Sequence[str], dialect: Dialect) -> Plan:
    """Return a plan that reads columns of a statement.

    Its outer `LIMIT` is dropped, and with it the order of its rows: what stands around it orders and limits anew.

    Args:
        sql: As the client wrote it.
        names: The columns that are read, in their order; at least one.
        dialect: Of the warehouse.

    Raises:
        ParameterError: It is no statement that can be read from, such as SHOW.
    """
    if not is_plain_query(sql, dialect=dialect.grammar):
        raise ParameterError(
            "pivotConfiguration needs SQL that can stand in a FROM clause: write one SELECT or WITH … SELECT.",
            field="sql",
        )
    inner = without_order_and_limit(strip_terminator(sql, dialect=dialect.grammar), dialect)
    source = TableSource(sql=f"(\n{inner}\n)", alias="qf_sql")
    outputs = tuple(Output(name=name, sql=dialect.quote(name)) for name in dict.fromkeys(names))
    return Plan(stages=(), final=Select(outputs=outputs, source=source))


def without_order_and_limit(sql: str, dialect: Dialect) -> str:
    """Return a statement without the `LIMIT` at its end, and without the `ORDER BY` that nothing depends on then.

    What is not clear stays: an `OFFSET`, a limit that is no plain number, an order that `DISTINCT ON` needs, and text
    that cannot be cut into words.

    Args:
        sql: One statement without a terminator.
        dialect: Of the warehouse.

    Cost: about 1 µs per character.
    """
    words = _outer_words(sql, dialect)
    if words is None:
        return sql
    texts = [text for text, _ in words]
    if len(texts) > 1 and texts[-2] == "LIMIT" and (texts[-1].isdigit() or texts[-1] == "ALL"):
        sql = sql[: words[-2][1]]
        words, texts = words[:-2], texts[:-2]
    order = max((n for n in range(len(texts) - 1) if texts[n : n + 2] == ["ORDER", "BY"]), default=None)
    is_distinct_on = any(texts[n : n + 2] == ["DISTINCT", "ON"] for n in range(len(texts)))
    if order is None or is_distinct_on or _CLAUSES & set(texts[order:]):
        return sql.rstrip()
    return sql[: words[order][1]].rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterLimit:
    """The `LIMIT` and `OFFSET` at the end of a statement, where they are plain numbers."""

    limit: int | None = None
    offset: int | None = None
    is_offset_first: bool = False  # as the statement has them, which is how its warehouse wants them

    def written(self, limit: int) -> str:
        """Return them again with another limit; empty without an offset."""
        if self.offset is None:
            return ""
        parts = (f"OFFSET {self.offset}", f"LIMIT {limit}")
        return "\n" + " ".join(parts if self.is_offset_first else reversed(parts))


def without_limit(sql: str, dialect: Dialect) -> tuple[str, OuterLimit]:
    """Return a statement without the `LIMIT` and `OFFSET` at its end, and those; the order of its rows stays.

    Args:
        sql: One statement without a terminator.
        dialect: Of the warehouse.

    Cost: about 1 µs per character.
    """
    words = _outer_words(sql, dialect) or []
    found: dict[str, int] = {}
    while len(words) > 1 and words[-2][0] in {"LIMIT", "OFFSET"} - found.keys() and words[-1][0].isdigit():
        found[words[-2][0]] = int(words[-1][0])
        sql = sql[: words[-2][1]].rstrip()
        words = words[:-2]
    return sql, OuterLimit(
        limit=found.get("LIMIT"),
        offset=found.get("OFFSET"),
        is_offset_first=list(found) == ["LIMIT", "OFFSET"],  # they were found from the end
    )


def _outer_words(sql: str, dialect: Dialect) -> list[tuple[str, int]] | None:
    """Return the words outside all parentheses in capital letters, each with its offset; None: it cannot be cut.

    What is quoted, text or name, is an empty word.
    """
    from sqlglot.dialects.dialect import Dialect as Grammar
    from sqlglot.errors import SqlglotError
    from sqlglot.tokens import TokenType

    quoted = {TokenType.STRING, TokenType.IDENTIFIER, TokenType.HEREDOC_STRING, TokenType.RAW_STRING}
    try:
        tokens = Grammar.get_or_raise(dialect.grammar).tokenize(sql)
    except SqlglotError:
        return None
    found: list[tuple[str, int]] = []
    depth = 0
    for token in tokens:
        depth -= token.token_type is TokenType.R_PAREN
        if depth == 0 and token.token_type is not TokenType.R_PAREN:
            words = "" if token.token_type in quoted else token.text.upper()
            found += [(word, token.start) for word in words.split() or [""]]  # `ORDER BY` is one token of some grammars
        depth += token.token_type is TokenType.L_PAREN
    return found if depth == 0 else None
