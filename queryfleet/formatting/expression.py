"""Spreadsheet number formats (ECMA-376): read once into sections, then applied to single values.

    #,##0.00;(#,##0.00)      0.0%      0.00E+00      #,##0.0,"K"      [$€]#,##0.00      mmm d, yyyy      @

Supported: up to four sections (positive; negative; zero; text), literals, thousands and scaling commas,
percent, scientific notation, dates and times, currencies in brackets, colours (ignored). Not supported, so
no valid expression: fractions, conditions, elapsed time, literals between digits, and letters that stand
for nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict

from queryfleet.formatting.instant import Clock, clock_of
from queryfleet.formatting.style import NumberStyle, Sign, number_text

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "Expression",
    "Section",
    "SectionKind",
    "expression_text_of_number",
    "expression_text_of_text",
    "moment_text",
    "parse_expression",
]

_TOKEN = re.compile(
    r"""
    "(?P<quoted>[^"]*)" | \\(?P<escaped>.) | _(?P<space>.) | \*(?P<fill>.)
    | \[\$(?P<currency>[^\]-]*)(?:-[^\]]*)?\]
    | \[(?P<colour>(?:black|blue|cyan|green|magenta|red|white|yellow|colou?r\ ?\d+))\]
    | (?P<general>general) | (?P<exponent>e[+-]) | (?P<ampm>am/pm|a/p) | (?P<subsecond>(?<=s)\.0{1,3})
    | (?P<date>y+|m+|d+|h+|s+) | (?P<placeholder>[0#?]) | (?P<point>\.) | (?P<comma>,) | (?P<percent>%)
    | (?P<text>@)
    | (?P<literal>[-$+/():!^&'~{}<>=\s]|[^\x00-\x7f])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MAX_LENGTH = 255
_MOST_SECTIONS = 4
_MAX_DIGITS = 30  # placeholders on either side of the point
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

_Token = tuple[str, str]


class _Affixes(TypedDict):
    prefix: str
    suffix: str
    negative_prefix: str
    negative_suffix: str


_NO_AFFIXES: _Affixes = {"prefix": "", "suffix": "", "negative_prefix": "", "negative_suffix": ""}


_DEFAULT_STYLE = NumberStyle()


class SectionKind(StrEnum):
    """What a section formats."""

    NUMBER = "number"
    SCIENTIFIC = "scientific"
    GENERAL = "general"
    DATE = "date"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of an expression."""

    kind: SectionKind
    style: NumberStyle = _DEFAULT_STYLE  # of the number, or of its mantissa; affixes of GENERAL
    exponent_step: int = 1  # SCIENTIFIC: the exponent is a multiple of this
    exponent_digits: int = 0  # SCIENTIFIC: digits of the exponent, at least
    exponent_plus: bool = False  # SCIENTIFIC: a plus is written before exponents that are not negative
    tokens: tuple[_Token, ...] = ()  # of DATE and TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A valid expression: at least one section."""

    sections: tuple[Section, ...]  # for positive, negative and zero, as far as given
    text: Section | None = None  # for text

    @property
    def is_date(self) -> bool:
        """Whether values are moments."""
        return self.sections[0].kind is SectionKind.DATE

    @property
    def style(self) -> NumberStyle | None:
        """The one style that does the whole work, when there is one: the usual case, and the fast one."""
        if any(section.kind is not SectionKind.NUMBER for section in self.sections) or self.text:
            return None
        first = self.sections[0].style
        if len(self.sections) == 1:
            return first
        negative = self.sections[1].style
        both = replace(first, sign=Sign.VALUE, negative_prefix=negative.prefix, negative_suffix=negative.suffix)
        # The same digits in both, whatever stands around them.
        same = replace(negative, **_NO_AFFIXES) == replace(first, **_NO_AFFIXES)
        return both if same and len(self.sections) == 2 else None  # noqa: PLR2004


class _InvalidError(Exception):
    """The text is no expression we know; never leaves this module."""


def parse_expression(text: str, *, group: str = ",", point: str = ".") -> Expression | None:
    """Read an expression; None if it is not valid. `group` and `point` are what comma and point become."""
    if not text or len(text) > _MAX_LENGTH:
        return None
    try:
        sections = [_section(tokens, group, point) for tokens in _split(text)]
    except _InvalidError:
        return None
    if len(sections) > _MOST_SECTIONS:
        return None
    # The fourth section is for text; a shorter list may end in one that shows text.
    if len(sections) == _MOST_SECTIONS or (len(sections) > 1 and _shows_text(sections[-1])):
        return Expression(sections=tuple(sections[:-1]), text=sections[-1])
    return Expression(sections=tuple(sections))


def _shows_text(section: Section) -> bool:
    return any(kind == "text" for kind, _ in section.tokens)


def _split(text: str) -> list[list[_Token]]:
    sections: list[list[_Token]] = [[]]
    position = 0
    while position < len(text):
        if text[position] == ";":
            sections.append([])
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None:
            raise _InvalidError
        kind = match.lastgroup or ""
        sections[-1].append((kind, match[kind]))
        position = match.end()
    return sections


def _section(tokens: list[_Token], group: str, point: str) -> Section:
    tokens = [token for token in map(_as_literal, tokens) if token is not None]
    kinds = {kind for kind, _ in tokens}
    digits = bool(kinds & {"placeholder", "point", "comma", "percent", "exponent"})
    if kinds & {"date", "ampm", "subsecond"}:
        if kinds & {"placeholder", "percent", "exponent", "text", "general"}:
            raise _InvalidError
        return Section(kind=SectionKind.DATE, tokens=_with_minutes(tokens))
    if "text" in kinds:
        if digits or "general" in kinds:
            raise _InvalidError
        return Section(kind=SectionKind.TEXT, tokens=tuple(tokens))
    if "general" in kinds:
        if digits:
            raise _InvalidError
        return Section(kind=SectionKind.GENERAL, tokens=tuple(tokens))
    return _number_section(tokens, group, point)


def _as_literal(token: _Token) -> _Token | None:
    """Reduce the many spellings of a literal to one; None for what shows nothing."""
    kind, text = token
    if kind in ("colour", "fill"):
        return None
    if kind == "space":
        return "literal", " "
    return ("literal", text) if kind in ("quoted", "escaped", "currency") else token


def _with_minutes(tokens: list[_Token]) -> tuple[_Token, ...]:
    """Mark the `m` that mean minutes: those after hours or before seconds."""
    marked = list(tokens)
    parts = [i for i, (kind, _) in enumerate(tokens) if kind == "date"]
    for place, i in enumerate(parts):
        before = tokens[parts[place - 1]][1][0].lower() if place else ""
        after = tokens[parts[place + 1]][1][0].lower() if place + 1 < len(parts) else ""
        if tokens[i][1].lower() in ("m", "mm") and (before == "h" or after == "s"):
            marked[i] = ("minute", tokens[i][1])
    return tuple(marked)


def _number_section(tokens: list[_Token], group: str, point: str) -> Section:
    prefix, block, suffix = _affixes(tokens)
    pattern = "".join("E" + text[1] if kind == "exponent" else text for kind, text in block)
    match = re.fullmatch(r"([#0?,]*?)(,*)(?:(\.)([#0?]*)(,*))?(?:E([+-])([#0?]+))?", pattern)
    if match is None or match[1].startswith(","):
        raise _InvalidError
    whole, fraction = match[1].replace(",", ""), match[4] or ""
    if len(whole) > _MAX_DIGITS or len(fraction) > _MAX_DIGITS or "0" in (match[7] or "").lstrip("0"):
        raise _InvalidError
    percents = sum(kind == "percent" for kind, _ in tokens)
    scaling = len(match[2]) + len(match[5] or "")
    style = NumberStyle(
        shift=2 * percents - 3 * scaling,
        min_integer=whole.count("0"),
        min_fraction=len(fraction.rstrip("#?")),
        max_fraction=len(fraction),
        group=group if "," in match[1] else "",
        point=point,
        bare_point=match[3] is not None,
        prefix=prefix,
        suffix=suffix,
        negative_prefix=f"-{prefix}",
        negative_suffix=suffix,
        sign=Sign.ROUNDED,
    )
    if not block:
        # Literals only: the number is not shown at all.
        return Section(kind=SectionKind.TEXT, tokens=(("literal", prefix + suffix),))
    if match[6] is None:
        return Section(kind=SectionKind.NUMBER, style=style)
    return Section(
        kind=SectionKind.SCIENTIFIC,
        style=style,
        exponent_step=max(len(whole), 1),
        exponent_digits=len(match[7]),
        exponent_plus=match[6] == "+",
    )


def _affixes(tokens: list[_Token]) -> tuple[str, list[_Token], str]:
    """Split a number section into the text before its digits, the digits, and the text behind them."""
    literals = ("literal", "percent")
    places = [i for i, (kind, _) in enumerate(tokens) if kind not in literals]
    if not places:
        return "".join(text for _, text in tokens), [], ""
    first, last = places[0], places[-1] + 1
    block = tokens[first:last]
    if any(kind in literals for kind, _ in block):
        raise _InvalidError
    return "".join(t for _, t in tokens[:first]), block, "".join(t for _, t in tokens[last:])


def expression_text_of_number(number: Decimal, expression: Expression, *, plain: str) -> str:
    """Apply an expression that is not a date to a number. `plain` is its text without any format."""
    sections = expression.sections
    section = sections[0]
    if number < 0 and len(sections) > 1:
        # The section says by itself how negative numbers look.
        section, number, plain = sections[1], -number, plain.removeprefix("-")
    elif number == 0 and len(sections) > 2:  # noqa: PLR2004
        section = sections[2]
    match section.kind:
        case SectionKind.NUMBER:
            return number_text(number, section.style)
        case SectionKind.SCIENTIFIC if number.is_finite():
            return _scientific_text(number, section)
        case SectionKind.DATE:
            return "Invalid Date"
        case _:
            return _text_section(plain, section)


def _text_section(value: str, section: Section) -> str:
    """Write text where a section has its `@` (or `General`), between the section's literals."""
    return "".join(value if kind in ("text", "general") else text for kind, text in section.tokens) or (
        value if section.kind is SectionKind.SCIENTIFIC else ""
    )


def _scientific_text(number: Decimal, section: Section) -> str:
    style, step = section.style, section.exponent_step
    bare = replace(style, shift=0, **_NO_AFFIXES)
    size = abs(number).scaleb(style.shift)
    exponent = size.adjusted() // step * step if size else 0
    mantissa = number_text(size.scaleb(-exponent), bare)
    if size and len(re.split(r"\D", mantissa)[0].lstrip("0")) > step:
        # Rounding carried into one more digit: 9.999 becomes 1.00 of the next power.
        exponent += step
        mantissa = number_text(size.scaleb(-exponent), bare)
    sign = "-" if exponent < 0 else ("+" if section.exponent_plus else "")
    prefix = style.negative_prefix if number < 0 and re.search("[1-9]", mantissa) else style.prefix
    return f"{prefix}{mantissa}E{sign}{str(abs(exponent)).rjust(section.exponent_digits, '0')}{style.suffix}"


def moment_text(ms: int, expression: Expression) -> str:
    """Apply a date expression to a moment that is already in the zone to show."""
    section = expression.sections[0]
    clock = clock_of(ms)
    twelve = any(kind == "ampm" for kind, _ in section.tokens)
    return "".join(_moment_part(kind, text, clock, twelve=twelve) for kind, text in section.tokens)


def _moment_part(kind: str, text: str, clock: Clock, *, twelve: bool) -> str:
    if kind == "minute":
        return str(clock.minute).rjust(len(text), "0")
    if kind == "subsecond":
        return f".{clock.millisecond:03}"[: len(text)]
    if kind == "ampm":
        half = "AM" if clock.hour < 12 else "PM"  # noqa: PLR2004
        return half if len(text) > len("A/P") else half[0]
    return _date_part(text.lower(), clock, twelve=twelve) if kind == "date" else text


def _date_part(text: str, clock: Clock, *, twelve: bool) -> str:  # noqa: PLR0911  # a table of cases
    hour = (clock.hour + 11) % 12 + 1 if twelve else clock.hour
    match text[0], len(text):
        case "y", width:
            return f"{clock.year % 100:02}" if width <= 2 else f"{clock.year:04}"  # noqa: PLR2004
        case "m", 3:
            return _MONTHS[clock.month - 1][:3]
        case "m", 5:
            return _MONTHS[clock.month - 1][0]
        case "m", width if width > 3:  # noqa: PLR2004
            return _MONTHS[clock.month - 1]
        case "d", 3:
            return _DAYS[clock.weekday][:3]
        case "d", width if width > 3:  # noqa: PLR2004
            return _DAYS[clock.weekday]
        case letter, width:
            number = {"m": clock.month, "d": clock.day, "h": hour, "s": clock.second}[letter]
            return str(number).rjust(min(width, 2), "0")


def expression_text_of_text(value: str, expression: Expression) -> str:
    """Apply an expression to text that is no number: only a text section changes it."""
    section = expression.text
    if section is None and len(expression.sections) == 1:
        section = expression.sections[0]
    if section is None or not _shows_text(section):
        return value
    return _text_section(value, section)
