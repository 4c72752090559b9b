"""What in SQL text is quoted: where a literal may be put in, and what two readers could take for different things.

A literal that is put inside quotes ends them, and what was data becomes SQL. So values of callers are put in only where
the text is plain SQL; see `enclosing`.
"""

from __future__ import annotations

import re
from collections import deque
from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BACKSLASH_ESCAPES", "Enclosure", "ambiguity", "enclosing", "enclosures"]

BACKSLASH_ESCAPES: Final = frozenset({"bigquery", "clickhouse", "databricks", "redshift", "snowflake"})
_BACKTICK_NAMES: Final = frozenset({"bigquery", "clickhouse", "databricks"})
_PREFIXED: Final = r"(?<![\w$])[eE]'(?:[^'\\]|''|\\.)*(?P<open_escaped>'|\Z)"
_DOLLARS: Final = r"(?<![\w$])\$(?P<tag>[A-Za-z_]\w*|)\$.*?(?P<open_dollars>\$(?P=tag)\$|\Z)"
_NAME: Final = r"\"[^\"]*(?P<open_name>\"|\Z)"
_TICKED: Final = r"`[^`]*(?P<open_tick>`|\Z)"
_COMMENTS: Final = r"--[^\n]*(?P<open_line>\n|\Z)|/\*.*?(?P<open_block>\*/|\Z)"
_STRING: Final = r"'(?:[^']|'')*(?P<open_string>'|\Z)"
_BACKSLASH_STRING: Final = r"'(?:[^'\\]|''|\\.)*(?P<open_string>'|\Z)"


class Enclosure(StrEnum):
    """What a place in a text is inside of."""

    NOTHING = "nothing"
    QUOTES = "quotes"  # of a string or a name
    COMMENT = "comment"


def _scanner(dialect: str) -> re.Pattern[str]:
    string = _BACKSLASH_STRING if dialect in BACKSLASH_ESCAPES else f"{_PREFIXED}|{_STRING}"
    ticked = f"|{_TICKED}" if dialect in _BACKTICK_NAMES else ""
    return re.compile(f"{_COMMENTS}|{_DOLLARS}|{string}|{_NAME}{ticked}", re.DOTALL | re.ASCII)


_SCANNERS: Final[dict[str, re.Pattern[str]]] = {}


def _scanner_of(dialect: str) -> re.Pattern[str]:
    scanner = _SCANNERS.get(dialect)
    if scanner is None:
        scanner = _SCANNERS[dialect] = _scanner(dialect)
    return scanner


def enclosing(text: str, dialect: str) -> Enclosure:
    """Return what the end of a text is inside of.

    Args:
        text: SQL up to some place.
        dialect: Name of the warehouse's dialect.

    Cost: linear in the text.
    """
    found = deque(_scanner_of(dialect).finditer(text), maxlen=1)
    if not found or found[0].end() < len(text):
        return Enclosure.NOTHING
    is_open = any(name.startswith("open_") and closing == "" for name, closing in found[0].groupdict().items())
    return _kind(found[0]) if is_open else Enclosure.NOTHING


def enclosures(pieces: Sequence[str], dialect: str) -> list[Enclosure]:
    """Return what each place between two neighbours of `pieces` is inside of, whatever whole literal is put in there.

    Args:
        pieces: SQL in order, cut at the places.
        dialect: Name of the warehouse's dialect.

    Cost: linear in the text, however many places there are.
    """
    places = [end + number for number, end in enumerate(accumulate(map(len, pieces[:-1])))]
    found = [Enclosure.NOTHING] * len(places)
    number = 0
    for match in _scanner_of(dialect).finditer("\0".join(pieces)):
        while number < len(places) and places[number] < match.start():
            number += 1
        while number < len(places) and places[number] < match.end():
            found[number] = _kind(match)
            number += 1
    return found


def _kind(match: re.Match[str]) -> Enclosure:
    return Enclosure.COMMENT if match[0].startswith(("--", "/*")) else Enclosure.QUOTES


def ambiguity(pieces: Sequence[str], dialect: str) -> str | None:
    """Return what in a text a warehouse might read in another way than we do; None: nothing.

    Whoever may not write SQL is held to text that every reader cuts into the same pieces: without comments, escapes,
    other kinds of quotes, or quotes that have no end.

    Args:
        pieces: The text cut up: strings and quoted names whole, every other sign alone.
        dialect: Name of the warehouse's dialect.
    """
    for place, piece in enumerate(pieces):
        pair = piece + (pieces[place + 1] if place + 1 < len(pieces) else "")
        if piece.startswith(("--", "/*")) or pair in ("/*", "*/") or (pair == "//" and dialect != "duckdb"):
            return "a comment"
        if piece in ("#", "$", "'", '"', "`") or (piece[0] == "`" and dialect not in _BACKTICK_NAMES):
            return f"`{piece[0]}`"
        if "\\" in piece:
            return "a backslash"
        is_quoted = piece[0] in "'\"`"
        before = pieces[place - 1] if place else ""
        # Letters right before quotes make another kind of string of them; two of them side by side, a third.
        if is_quoted and (before[-1:] in ("&", "'", '"', "`") or before[-1:].isalnum() or before[-1:] == "_"):
            return f"`{piece[0]}` right behind `{before[-1]}`"
        if dialect == "bigquery" and len(piece) > 2 and piece.startswith(("''", '""')):  # noqa: PLR2004 - an empty text
            return "quotes side by side"
    return None
