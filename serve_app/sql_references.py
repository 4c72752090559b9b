"""References in SQL that people write themselves: parameters and the caller's attributes, put in as literals."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects import DIALECTS
from queryfleet.compiler.parameters import check_given, resolve_parameters
from queryfleet.compiler.quoting import Enclosure, enclosing
from queryfleet.errors import ForbiddenError, NotSupportedError, ParameterError
from queryfleet.semantic.parameter import ParameterType
from queryfleet.semantic.references import AttributeName, Literal, ParameterName, UserEmail, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.parameters import ParameterValue
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.parameter import ParameterDefinition
    from serve_app.models import ProjectModels
    from serve_app.questions import Asker

__all__ = ["FilledSql", "filled", "refers"]

_OWN: Final = re.compile(r"\$\{\s*(?:ld|lightdash)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledSql:
    """A statement without references."""

    sql: str
    references: frozenset[str] = frozenset()  # names of parameters
    used: Mapping[str, ParameterValue] = field(default_factory=dict)

    @property
    def members(self) -> dict[str, JsonValue]:
        """Return what an answer says about them."""
        return {
            "parameterReferences": [*sorted(self.references)],
            "usedParametersValues": {name: value.to_json() for name, value in self.used.items()},
            "resolvedTimezone": None,  # SQL means what the warehouse makes of it
        }


def refers(sql: str) -> bool:
    """Whether a statement refers to a parameter, an attribute or the e-mail address."""
    return _OWN.search(sql) is not None


def filled(sql: str, given: Mapping[str, JsonValue], models: ProjectModels, asker: Asker) -> FilledSql:
    """Put parameters and attributes into a statement, each as a literal with its own quotes.

    Inside quotes only numbers can stand: anything else would end them. In comments nothing is put in.

    Args:
        sql: As written.
        given: Values of parameters, by name.
        models: Of the project, whose parameters it may refer to.
        asker: The caller, whose attributes it may refer to.

    Raises:
        ParameterError: A parameter is unknown, stands inside quotes, or has no value or a wrong one
            (`details.missingReferences`).
        ForbiddenError: The caller has no value of an attribute, or no e-mail address.
        NotSupportedError: The warehouse has no dialect to write literals in.
        CompileError: Braces hold something that is no reference.
    """
    if not refers(sql):
        return FilledSql(sql=sql)
    dialect = DIALECTS.get(models.warehouse_type)
    if dialect is None:
        raise NotSupportedError(f"SQL for a warehouse of type {models.warehouse_type!r} cannot refer to parameters.")
    pieces = tokens(sql)
    references = frozenset(piece.name for piece in pieces if isinstance(piece, ParameterName))
    definitions = _definitions(models)
    for name in references - definitions.keys():
        raise ParameterError(
            f"The SQL refers to the parameter `{name}`, which the project does not define.", field="sql"
        )
    values = resolve_parameters({name: definitions[name] for name in sorted(references)}, given)
    check_given(references, values)
    written = ""
    for piece in pieces:
        match piece:
            case Literal():
                written += piece.text
            case ParameterName():
                value = values[piece.name]
                is_number = value.type is ParameterType.NUMBER
                written += _placed(value.sql(dialect), written, piece.name, dialect, is_number=is_number)
            case AttributeName():
                texts = ", ".join(dialect.text(value) for value in _attribute(piece.name, asker))
                written += _placed(texts, written, piece.name, dialect)
            case UserEmail():
                if asker.email is None:
                    raise ForbiddenError("The SQL needs the caller's e-mail address, and the token has none.")
                written += _placed(dialect.text(asker.email), written, "the e-mail address", dialect)
            case _:
                raise ParameterError(
                    "SQL can refer to attributes and parameters only: `${ld.parameters.name}`.", field="sql"
                )
    return FilledSql(sql=written, references=references, used=values)


def _placed(literal: str, before: str, name: str, dialect: Dialect, *, is_number: bool = False) -> str:
    place = enclosing(before, dialect.name)
    if place is Enclosure.QUOTES and not is_number:
        raise ParameterError(
            f"`{name}` stands inside quotes in the SQL: remove them, values bring their own.", field="sql"
        )
    return "" if place is Enclosure.COMMENT else literal


def _attribute(name: str, asker: Asker) -> tuple[str, ...]:
    values = asker.attributes.get(name, ())
    if not values:
        raise ForbiddenError(f"The SQL needs the user attribute `{name}`: ask who gives out user attributes.")
    return values


def _definitions(models: ProjectModels) -> dict[str, ParameterDefinition]:
    """Return every parameter of the project and its models."""
    found: dict[str, ParameterDefinition] = {}
    for explore in models.catalog.explores.values():
        found |= explore.parameters
    return found
