"""SQL text of a model, taken apart: what is plain text, and what is decided only when a query runs.

    ${TABLE}.amount * ${ld.parameters.rate}
    └ TableRef ┘└ SqlText ┘└ ParameterRef ┘

Model SQL is written in the warehouse's own dialect and never parsed: between references it is opaque text.
References to other fields stay references (`DimensionRef`, `MetricRef`), so that one compiled explore serves
every dialect and every caller, and an expression never grows by what it mentions. Values of attributes and
parameters never enter the text here; whoever renders it puts them in, quoted for the dialect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "AttributeRef",
    "DimensionRef",
    "Expression",
    "LiquidTag",
    "MetricRef",
    "ParameterRef",
    "SqlPart",
    "SqlText",
    "TableRef",
    "UserEmailRef",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlText:
    """Text in the warehouse's dialect, inserted as it is."""

    text: str  # never empty


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRef:
    """`${TABLE}`: rendered as the table's alias in the dialect's quotes."""

    table: str  # alias inside the explore


@dataclass(frozen=True, slots=True, kw_only=True)
class DimensionRef:
    """`${name}` of a dimension: rendered as its compiled SQL in parentheses, without an alias."""

    field_id: str  # found by `Explore.referenced`, which knows intervals that no model lists, too


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRef:
    """`${name}` of a metric: rendered as its aggregate in parentheses, or as its column in a later stage."""

    field_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeRef:
    """`${ld.attr.name}`: rendered as the caller's values of an attribute, each quoted, joined by `, `."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEmailRef:
    """`${ld.user.email}`: rendered as the caller's e-mail address, quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRef:
    """`${ld.parameters.name}`: rendered as a parameter's value by its type."""

    name: str  # key of `Explore.parameters`: `x`, or `model.x` for a parameter of a model


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidTag:
    """`{% if … %}`: decides which of the parts up to its `{% endif %}` are rendered.

    Tags are balanced and are of `if`, `elsif`, `else`, `endif`, `unless`, `endunless`.
    """

    name: str  # the tag's first word
    condition: str  # the rest, for example `ld.parameters.x == 'y'`; empty for else and the ends


SqlPart: TypeAlias = (
    SqlText | TableRef | DimensionRef | MetricRef | AttributeRef | UserEmailRef | ParameterRef | LiquidTag
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One SQL fragment with its references resolved, and what it needs through all of them."""

    parts: tuple[SqlPart, ...]  # in the order of the text; texts are never adjacent
    tables: tuple[str, ...] = ()  # aliases it needs, through every field it mentions too; sorted
    attributes: tuple[str, ...] = ()  # user attributes it needs, likewise
    parameters: tuple[str, ...] = ()  # parameters it needs, conditions of Liquid included, likewise
