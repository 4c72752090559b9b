"""SQL text taken apart: what is opaque, and what refers to a table, a field, a caller or a parameter.

    ${TABLE}.amount * ${ld.parameters.rate}

is a `TableSelf`, a `Literal` and a `ParameterName`. What the names stand for is found by `Resolver`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from queryfleet.errors import CompileError

__all__ = [
    "AttributeName",
    "Literal",
    "ParameterName",
    "Reference",
    "TableSelf",
    "Tag",
    "Token",
    "UserEmail",
    "tokens",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """Opaque text."""

    text: str  # never empty
    start: int  # index of its first character in the SQL, from 0; so in all tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSelf:
    """`${TABLE}`."""

    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """`${name}` or `${table.name}`."""

    table: str | None
    name: str
    start: int

    @property
    def text(self) -> str:
        """Return what stands in the braces."""
        return self.name if self.table is None else f"{self.table}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeName:
    """`${ld.attr.name}` and its other spellings."""

    name: str
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEmail:
    """`${ld.user.email}`."""

    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterName:
    """`${ld.parameters.name}`."""

    name: str  # `x` or `model.x`
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """`{% name condition %}`."""

    name: str
    condition: str
    start: int


Token: TypeAlias = Literal | TableSelf | Reference | AttributeName | UserEmail | ParameterName | Tag

# A dollar and a brace begin a reference wherever they stand, in quotes too; a tag is one only when it is closed.
_PIECE: Final = re.compile(r"\$\{([^{}]*)\}|\{%-?\s*(\w+)(.*?)-?%\}|\$\{", re.DOTALL)
_REFERENCE: Final = re.compile(r"(?:([\w-]+)\.)?([\w-]+)")
_ATTRIBUTE: Final = re.compile(r"(?:lightdash|ld)\.(?:attributes|attribute|attr)\.([\w-]+)")
_EMAIL: Final = re.compile(r"(?:lightdash|ld)\.user\.email")
_PARAMETER: Final = re.compile(r"(?:lightdash|ld)\.parameters\.([\w-]+(?:\.[\w-]+)?)")
_OWN_PREFIX: Final = re.compile(r"(?:lightdash|ld)\.")
_TAGS: Final = ("if", "elsif", "else", "endif", "unless", "endunless")
_LENGTH_MAX: Final = 1_000_000  # characters of one SQL text


def tokens(sql: str) -> tuple[Token, ...]:
    """Split SQL text into literal text and references, in order; put together they cover it without gaps.

    Args:
        sql: At most a million characters. Not parsed: a reference counts inside quotes and comments, too.

    Raises:
        CompileError: Braces hold something that is no reference, or tags do not match. The message has the line of the
            text, from 1, and repeats only the braces.

    Cost: linear in the text.
    """
    if len(sql) > _LENGTH_MAX:
        raise CompileError(f"the SQL is longer than {_LENGTH_MAX} characters")
    found: list[Token] = []
    end = 0
    for match in _PIECE.finditer(sql):
        if match.start() > end:
            found.append(Literal(text=sql[end : match.start()], start=end))
        end = match.end()
        if match[2] is not None:
            found.append(_tag(sql, match[2], match[3].strip(), match.start()))
        elif match[1] is not None:
            found.append(_reference(sql, match[1].strip(), match.start()))
        else:
            raise CompileError(f"the `${{` {_position(sql, match.start())} has no end: close it with a brace")
    if end < len(sql):
        found.append(Literal(text=sql[end:], start=end))
    _check_balance(sql, found)
    return tuple(found)


def _position(sql: str, start: int) -> str:
    line = sql.count("\n", 0, start) + 1
    column = start - (sql.rfind("\n", 0, start) + 1) + 1
    return f"at line {line}, column {column} of the SQL" if "\n" in sql else f"at character {column} of the SQL"


def _reference(sql: str, inside: str, start: int) -> Token:
    if inside == "TABLE":
        return TableSelf(start=start)
    attribute = _ATTRIBUTE.fullmatch(inside)
    if attribute is not None:
        return AttributeName(name=attribute[1], start=start)
    if _EMAIL.fullmatch(inside):
        return UserEmail(start=start)
    parameter = _PARAMETER.fullmatch(inside)
    if parameter is not None:
        return ParameterName(name=parameter[1], start=start)
    if _OWN_PREFIX.match(inside):
        raise CompileError(
            f"`${{{inside}}}` {_position(sql, start)} is not known; write `${{ld.attr.name}}`, `${{ld.user.email}}` or "
            "`${ld.parameters.name}`"
        )
    match = _REFERENCE.fullmatch(inside)
    if match is None:
        raise CompileError(
            f"`${{{inside}}}` {_position(sql, start)} is not a reference; write `${{field}}` or "
            "`${table.field}`, with letters, digits, `_` and `-` only"
        )
    return Reference(table=match[1], name=match[2], start=start)


def _tag(sql: str, name: str, condition: str, start: int) -> Tag:
    if name not in _TAGS:
        raise CompileError(f"the tag `{name}` {_position(sql, start)} is not supported; use one of: {', '.join(_TAGS)}")
    if bool(condition) != (name in ("if", "elsif", "unless")):
        fault = "lacks a condition" if not condition else "takes no condition"
        raise CompileError(f"the tag `{name}` {_position(sql, start)} {fault}")
    return Tag(name=name, condition=condition, start=start)


def _check_balance(sql: str, found: list[Token]) -> None:
    """Raise when tags do not match: an `else` has no `if`, or an `if` no end."""
    open_tags: list[tuple[str, bool, int]] = []  # name, whether its `else` has come, where
    for token in found:
        if not isinstance(token, Tag):
            continue
        if token.name in ("if", "unless"):
            open_tags.append((token.name, False, token.start))
            continue
        name, has_else, start = open_tags.pop() if open_tags else ("", True, 0)
        is_end = token.name.startswith("end")
        if (is_end and token.name != f"end{name}") or (not is_end and has_else):
            raise CompileError(f"the tag `{token.name}` {_position(sql, token.start)} does not fit what is before it")
        if not is_end:
            open_tags.append((name, token.name == "else", start))
    if open_tags:
        name, _, start = open_tags[-1]
        raise CompileError(f"the tag `{name}` {_position(sql, start)} has no `end{name}`")
