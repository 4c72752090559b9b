"""What can be said of a SQL text without asking the warehouse.

This is the polite answer at the door, in a few microseconds per word; the warehouse's own read-only mode is
the lock. So anything unclear passes: a text that cannot be cut into words is left to the warehouse to judge.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import ForbiddenError, InvalidRequestError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_statement", "is_plain_query", "leading_word", "strip_terminator"]

_QUERY_WORDS = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})
_ABOUT_WORDS = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN"})
_DIALECT_WORDS = {"duckdb": frozenset({"FROM", "SUMMARIZE", "PIVOT", "UNPIVOT", "PIVOT_WIDER", "PIVOT_LONGER"})}
_CHANGE_WORDS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_PIPE = "->>"  # in Snowflake: what follows is another statement, which reads the first one's rows
# Where the warehouse itself has a read-only mode only these are refused here; a word nobody knows is most
# likely misspelt, and the warehouse says so better. Elsewhere everything is refused that is not known to
# read.
_READ_ONLY_DIALECTS = frozenset({"duckdb", "postgres"})
# fmt: off
_OTHER_WORDS = _CHANGE_WORDS | {
    "ABORT", "ALTER", "ANALYZE", "ATTACH", "BEGIN", "CALL", "CHECKPOINT", "CLOSE", "CLUSTER", "COMMENT",
    "COMMIT", "COPY", "CREATE", "DEALLOCATE", "DECLARE", "DETACH", "DISCARD", "DO", "DROP", "END",
    "EXECUTE", "EXPORT", "FETCH", "FORCE", "GRANT", "IMPORT", "INSTALL", "LISTEN", "LOAD", "LOCK", "MOVE",
    "NOTIFY", "PRAGMA", "PREPARE", "REASSIGN", "REFRESH", "REINDEX", "RELEASE", "REPACK", "REPLACE",
    "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SECURITY", "SET", "START", "TRUNCATE", "UNINSTALL",
    "UNLISTEN", "USE", "VACUUM",
}
# fmt: on
_READING_PRAGMAS = frozenset(
    {
        "DATABASE_LIST",
        "DATABASE_SIZE",
        "PLATFORM",
        "SHOW",
        "SHOW_TABLES",
        "SHOW_TABLES_EXPANDED",
        "STORAGE_INFO",
        "TABLE_INFO",
        "USER_AGENT",
        "VERSION",
    }
)
_PREFIX = "( "  # a word after this is a word: at the very start the tokenizer swallows the rest of some commands
_FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*([A-Za-z_]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Word:
    text: str  # upper case for bare words and signs; "" for literals and quoted names
    start: int  # offset in the SQL, from 0
    depth: int  # parentheses open around it


def check_statement(sql: str, *, dialect: str, allow_writes: bool) -> None:
    """Refuse early what would be refused anyway.

    Args:
        sql: As the user wrote it; a trailing semicolon and comments are fine.
        dialect: The warehouse's type, as in the project's settings: `duckdb`, `postgres`, …
        allow_writes: The project's setting; True lets every kind of statement pass.

    Raises:
        InvalidRequestError: There is no statement, or a NUL character in it; `details` says so under `sql`.
        ParameterError: There is more than one statement.
        ForbiddenError: The statement does something else than reading; the message names the keyword.

    Cost: about 1 µs per character; no I/O. The first call imports the SQL tokenizer, about 0.2 s.
    """
    if "\0" in sql:
        raise InvalidRequestError(
            "The SQL contains a NUL character; remove it.", sql={"message": "contains a NUL character"}
        )
    words = _words(sql, dialect)
    if words is None:
        return
    bare = [word for word in words if word.text != ";"]
    if not bare:
        raise InvalidRequestError(
            "The SQL is empty; write one statement.", sql={"message": "is empty or holds only comments"}
        )
    end = next((word.start for word in words if word.text == ";"), len(sql))
    if bare[-1].start > end:
        raise ParameterError("The SQL holds more than one statement; send them one by one.", field="sql")
    if not allow_writes:
        forbidden = _changing_word(bare, dialect)
        if forbidden is not None:
            raise ForbiddenError(
                f"This project only reads, and {forbidden} is not reading. "
                f"The project setting `allow_writes: true` would allow it.",
                keyword=forbidden,
            )


def strip_terminator(sql: str, *, dialect: str) -> str:
    """Return the statement without trailing semicolons and what follows; other offsets stay.

    A trailing `--` comment may stay: put a line break after the result before anything else.
    """
    words = _words(sql, dialect)
    if words is None:
        return sql.rstrip().rstrip(";")
    end = next((word.start for word in words if word.text == ";"), len(sql))
    return sql[:end].rstrip()


def is_plain_query(sql: str, *, dialect: str) -> bool:
    """Tell whether the statement may stand in parentheses after `from`: it only reads, and yields a table."""
    words = _words(sql, dialect)
    if words is None:
        match = _FIRST_WORD.match(sql)
        return match is not None and match.group(1).upper() in _QUERY_WORDS
    bare = [word for word in words if word.text not in {";", "("}]
    allowed = _QUERY_WORDS | (_DIALECT_WORDS.get(dialect, frozenset()) - {"PIVOT", "PIVOT_WIDER"})
    return (
        bool(bare)
        and bare[0].text in allowed
        and _changing_word(words, dialect) is None
        and not _changes_in_parentheses(words)
    )


def leading_word(sql: str, *, dialect: str) -> str:
    """Return the first keyword in upper case, looking through parentheses; "" when there is none."""
    words = _words(sql, dialect)
    if words is None:
        match = _FIRST_WORD.match(sql)
        return match.group(1).upper() if match else ""
    return next((word.text for word in words if word.text not in {"(", ";"}), "")


def _words(sql: str, dialect: str) -> list[_Word] | None:
    """Cut the text into words; None when the tokenizer cannot."""
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import SqlglotError
    from sqlglot.tokens import TokenType

    known = Dialect.get(dialect)
    try:
        tokens = (known() if known is not None else Dialect()).tokenize(_PREFIX + sql)[1:]
    except SqlglotError:
        return None
    signs = {TokenType.L_PAREN: "(", TokenType.R_PAREN: ")", TokenType.SEMICOLON: ";"}
    quoted = {TokenType.STRING, TokenType.IDENTIFIER, TokenType.HEREDOC_STRING, TokenType.RAW_STRING}
    words, depth = [], 0
    for token in tokens:
        sign = signs.get(token.token_type)
        depth -= sign == ")"
        text = "" if token.token_type in quoted else sign or token.text.upper()
        words.append(_Word(text, token.start - len(_PREFIX), depth))
        depth += sign == "("
    return words


def _changing_word(words: Sequence[_Word], dialect: str) -> str | None:
    """Return the keyword that makes the statement more than reading, or None."""
    body = [word for word in words if word.text != ";"]
    while body and body[0].text == "(":
        body = body[1:]
    if not body:
        return None
    if dialect == "snowflake":
        parts = _piped(body)
        if len(parts) > 1:
            return next(filter(None, (_changing_word(part, dialect) for part in parts)), None)
    return _changing_alone(body, dialect)


def _piped(body: Sequence[_Word]) -> list[Sequence[_Word]]:
    """Cut a statement at its pipes."""
    edges = [-1, *(number for number, word in enumerate(body) if word.text == _PIPE), len(body)]
    return [body[begin + 1 : end] for begin, end in itertools.pairwise(edges)]


def _changing_alone(body: Sequence[_Word], dialect: str) -> str | None:
    first, level = body[0].text, body[0].depth
    if first == "EXPLAIN":
        return _explained_change(body[1:], dialect)
    if first == "WITH" and dialect == "snowflake" and _has_own_procedure(body):
        return "CALL"
    if first in {"SELECT", "WITH"}:
        return _changing_query(body, level)
    if first == "PRAGMA" and len(body) > 1 and body[1].text in _READING_PRAGMAS:
        return "PRAGMA" if any(word.text == "=" for word in body) else None
    if dialect in _READ_ONLY_DIALECTS:
        return first if first in _OTHER_WORDS else None
    return None if first in _QUERY_WORDS | _ABOUT_WORDS else first or "this"


def _has_own_procedure(body: Sequence[_Word]) -> bool:
    """Look for `with p as procedure () … call p()`, whose text is a program."""
    texts = [word.text for word in body]
    return any(texts[i : i + 3] == ["AS", "PROCEDURE", "("] for i in range(len(texts)))


def _changing_query(body: Sequence[_Word], level: int) -> str | None:
    """Look for `with … insert` and `select … into` outside all parentheses."""
    for before, word in itertools.pairwise(body):
        if word.depth == level and before.text == ")" and word.text in _CHANGE_WORDS:
            return word.text
        if word.depth == level and word.text == "INTO":
            return "SELECT INTO"
    return None


def _explained_change(body: Sequence[_Word], dialect: str) -> str | None:
    """Judge what follows EXPLAIN: only ANALYZE runs the statement, so only then it matters what it is."""
    analyze = False
    rest = list(body)
    while rest:
        if rest[0].text in {"ANALYZE", "ANALYSE", "VERBOSE"}:
            analyze = analyze or rest[0].text != "VERBOSE"
            rest = rest[1:]
        elif rest[0].text == "(" and len(rest) > 1 and rest[1].text not in _QUERY_WORDS | {"(", "FROM"}:
            level = rest[0].depth
            end = next((i for i, word in enumerate(rest) if word.text == ")" and word.depth == level), len(rest) - 1)
            analyze = analyze or any(word.text in {"ANALYZE", "ANALYSE"} for word in rest[:end])
            rest = rest[end + 1 :]
        else:
            break
    found = _changing_word(rest, dialect) if analyze else None
    return f"EXPLAIN ANALYZE {found}" if found else None


def _changes_in_parentheses(words: Sequence[_Word]) -> bool:
    """Tell whether a common table expression changes data: such a statement may only stand alone."""
    return any(before.text == "(" and word.text in _CHANGE_WORDS for before, word in itertools.pairwise(words))
