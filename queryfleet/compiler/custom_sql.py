"""SQL that a question brings along, with its references found in an explore as the caller may use it.

The text is opaque like that of a model. What it mentions must be open to the caller; the text between references is
the caller's own, so whoever may not write SQL may send only what models say already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError
from queryfleet.semantic.explore import Dimension, MetricClass
from queryfleet.semantic.expression import (
    AttributeRef,
    DimensionRef,
    Expression,
    LiquidTag,
    MetricRef,
    ParameterRef,
    SqlText,
    TableRef,
    UserEmailRef,
)
from queryfleet.semantic.nearest_name import nearest_name
from queryfleet.semantic.references import (
    AttributeName,
    Literal,
    ParameterName,
    Reference,
    TableSelf,
    Tag,
    UserEmail,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from queryfleet.semantic.explore import Explore, Field, Table
    from queryfleet.semantic.expression import SqlPart

__all__ = ["custom_expression", "is_known_sql", "referenced_field", "table_of"]

_PARAMETER_IN_TAG: Final = re.compile(r"\b(?:lightdash|ld)\.parameters\.([\w-]+(?:\.[\w-]+)?)")
_STRINGS: Final = re.compile(r"'[^']*'")


def table_of(written: str, explore: Explore) -> str:
    """Return the alias that a name of a table in SQL of a question means: an alias, or a model that has one alias.

    Raises:
        CompileError: It means none, or several.
    """
    if written in explore.tables:
        return written
    of_model = [alias for alias, table in explore.tables.items() if table.model == written]
    if len(of_model) == 1:
        return of_model[0]
    if of_model:
        raise CompileError(f"`{written}` may mean {' or '.join(of_model)}: write which")
    # A table of which nothing is the caller's is not suggested: its name says something, too.
    known = [alias for alias, table in explore.tables.items() if not _is_closed(table, explore)]
    raise CompileError(f"`{written}` is no table of explore `{explore.name}`; {nearest_name(written, known)}")


def _is_closed(table: Table, explore: Explore) -> bool:
    ids = {each.field_id for each in table.dimensions.values()} | {each.field_id for each in table.metrics.values()}
    return bool(ids) and ids <= set(explore.denied)


def referenced_field(written: str, explore: Explore, table: str) -> Field:
    """Return the field that `field`, `table.field` or a field id means.

    Args:
        written: As the client sent it.
        explore: As the caller may use it.
        table: Alias of the table that a name alone belongs to.

    Raises:
        FieldReferenceError: There is none; the message has the nearest name.
        ForbiddenError: There is, but not for this caller.
        CompileError: It means no table, or the field cannot be used.
    """
    owner, _, name = written.rpartition(".")
    if owner:
        return explore.field(f"{table_of(owner, explore)}_{name}")
    known = explore.tables[table]
    if name in known.dimensions or name in known.metrics or name not in explore.fields:
        return explore.field(f"{table}_{name}")
    return explore.field(name)


def custom_expression(sql: str, table: str, explore: Explore, kind: MetricClass | None = None) -> Expression:
    """Return SQL of a question with its references resolved.

    Args:
        sql: As the client sent it.
        table: Alias of the table that `${TABLE}` and a name alone mean.
        explore: As the caller may use it.
        kind: Of the metric it is for; None: it has rows, not groups.

    Raises:
        FieldReferenceError: A reference names no field.
        ForbiddenError: One names a field that is not the caller's.
        CompileError: One names what it cannot mention here.
    """
    parts: list[SqlPart] = []
    tables, attributes, parameters = {table}, set[str](), set[str]()
    for token in tokens(sql):
        match token:
            case Literal():
                parts.append(SqlText(text=token.text))
            case TableSelf():
                parts.append(TableRef(table=table))
            case Reference():
                named = referenced_field(token.text, explore, table)
                _check_kind(token.text, named, kind)
                if named.expression is not None:
                    tables.update(named.expression.tables)
                    attributes.update(named.expression.attributes)
                    parameters.update(named.expression.parameters)
                part = DimensionRef if isinstance(named, Dimension) else MetricRef
                parts.append(part(field_id=named.field_id))
            case AttributeName():
                attributes.add(token.name)
                parts.append(AttributeRef(name=token.name))
            case UserEmail():
                parts.append(UserEmailRef())
            case ParameterName():
                parameters.add(token.name)
                parts.append(ParameterRef(name=token.name))
            case Tag():
                parameters.update(_PARAMETER_IN_TAG.findall(_STRINGS.sub("''", token.condition)))
                parts.append(LiquidTag(name=token.name, condition=token.condition))
    _check_parameters(parameters, explore)
    return Expression(
        parts=tuple(parts),
        tables=tuple(sorted(tables)),
        attributes=tuple(sorted(attributes)),
        parameters=tuple(sorted(parameters)),
    )


def is_known_sql(sql: str, table: str, explore: Explore) -> bool:
    """Tell whether SQL says no more than a dimension of a table that the caller may use.

    Args:
        sql: As the client sent it.
        table: Alias of its table.
        explore: As the caller may use it.
    """
    stripped = sql.strip()
    found = tokens(stripped)
    if len(found) == 1 and isinstance(found[0], Reference):
        return True  # access is checked where it is resolved
    own = explore.tables[table].dimensions.values()
    return any(each.sql.strip() == stripped and each.field_id not in explore.denied for each in own)


def _check_kind(written: str, named: Field, kind: MetricClass | None) -> None:
    if isinstance(named, Dimension):
        if kind is MetricClass.POST_CALCULATION:
            raise CompileError(f"`{written}` is a dimension: this type is computed from a metric")
        return
    if kind is None:
        raise CompileError(f"`{written}` is a metric: a dimension has rows, not groups")
    if kind in (MetricClass.AGGREGATE, MetricClass.DEDUPLICATED):
        raise CompileError(f"`{written}` is a metric, and an aggregate cannot hold another: use type number")
    if named.metric_class is MetricClass.POST_CALCULATION:
        raise CompileError(f"`{written}` is computed after everything else: no metric can refer to it")


def _check_parameters(names: Iterable[str], explore: Explore) -> None:
    for name in sorted(names):
        if name not in explore.parameters:
            raise CompileError(f"there is no parameter `{name}`; {nearest_name(name, explore.parameters)}")
