"""References in SQL that people write themselves: parameters and the caller's attributes, put in as literals."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects import DIALECTS
from queryfleet.compiler.parameters import check_given, resolve_parameters
from queryfleet.compiler.quoting import Enclosure, enclosures
from queryfleet.errors import ForbiddenError, NotSupportedError, ParameterError
from queryfleet.semantic.parameter import ParameterType
from queryfleet.semantic.references import AttributeName, Literal, ParameterName, UserEmail, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.compiler.dialects import Dialect
    from queryfleet.compiler.parameters import ParameterValue
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.parameter import ParameterDefinition
    from queryfleet.semantic.references import Token
    from serve_app.models import ProjectModels
    from serve_app.questions import Asker

__all__ = ["FilledSql", "filled", "refers"]

_OWN: Final = re.compile(r"\$\{\s*(?:ld|lightdash)\.")
_APART: Final = ("", " ", "\n", "\t", "(", ",", "=", "<", ">")  # a literal means the same after these and alone


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

    Cost: linear in the statement, however many references it has.
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
    return FilledSql(sql=_written(pieces, values, dialect, asker), references=references, used=values)


def _written(pieces: Sequence[Token], values: Mapping[str, ParameterValue], dialect: Dialect, asker: Asker) -> str:
    texts, references = [""], []
    for piece in pieces:
        if isinstance(piece, Literal):
            texts[-1] = piece.text
        else:
            references.append(piece)
            texts.append("")
    written = [texts[0]]
    for piece, place, text in zip(references, enclosures(texts, dialect.name), texts[1:], strict=True):
        literal, name = _literal(piece, values, dialect, asker)
        if place is Enclosure.NOTHING:
            # A sign or letter right before a literal can change what it is: `-` and -1, `E` and text.
            written.append(literal if written[-1][-1:] in _APART else f" {literal}")
        elif place is Enclosure.QUOTES:
            if not (isinstance(piece, ParameterName) and values[name].type is ParameterType.NUMBER):
                raise ParameterError(
                    f"`{name}` stands inside quotes in the SQL: remove them, values bring their own.", field="sql"
                )
            written.append(literal)
        if text:
            written.append(text)
    return "".join(written)


def _literal(piece: Token, values: Mapping[str, ParameterValue], dialect: Dialect, asker: Asker) -> tuple[str, str]:
    """Return what a reference becomes, and its name."""
    match piece:
        case ParameterName():
            return values[piece.name].sql(dialect), piece.name
        case AttributeName():
            return ", ".join(dialect.text(value) for value in _attribute(piece.name, asker)), piece.name
        case UserEmail():
            if asker.email is None:
                raise ForbiddenError("The SQL needs the caller's e-mail address, and the token has none.")
            return dialect.text(asker.email), "the e-mail address"
        case _:
            raise ParameterError(
                "SQL can refer to attributes and parameters only: `${ld.parameters.name}`.", field="sql"
            )


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
