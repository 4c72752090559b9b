"""Values of parameters: which one holds, whether it is allowed, and how it becomes SQL.

    default of the definition  <  saved with a chart or dashboard  <  the request

A value is checked once, when it is resolved; everything later can rely on its type.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ParameterError
from queryfleet.semantic.parameter import ParameterType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from queryfleet.compiler.dialects import Dialect
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.parameter import ParameterDefinition, ParameterScalar

__all__ = [
    "ParameterValue",
    "check_given",
    "missing_parameters",
    "resolve_parameters",
]

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SHOWN_MAX: Final = 10  # options listed in a message
_VALUES_MAX: Final = 1000
_LENGTH_MAX: Final = 10_000  # characters of one value


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterValue:
    """The checked value of one parameter."""

    type: ParameterType
    values: tuple[ParameterScalar, ...]  # at least one; of type number int or float, else text
    multiple: bool = False  # is it a list for the client, even of one?

    def sql(self, dialect: Dialect) -> str:
        """Return the literals, joined by `, `."""
        return ", ".join(_literal(self.type, value, dialect) for value in self.values)

    def to_json(self) -> JsonValue:
        """Return the value as the wire shows it: a list if it may have several."""
        return list(self.values) if self.multiple else self.values[0]


def _literal(type_: ParameterType, value: ParameterScalar, dialect: Dialect) -> str:
    if type_ is ParameterType.NUMBER and not isinstance(value, str):
        return dialect.number(value)
    if type_ is ParameterType.DATE:
        return dialect.date(dt.date.fromisoformat(str(value)))
    return dialect.text(str(value))


def resolve_parameters(
    definitions: Mapping[str, ParameterDefinition], *layers: Mapping[str, JsonValue]
) -> dict[str, ParameterValue]:
    """Return the value of every parameter that has one.

    Args:
        definitions: By name, as of an explore.
        layers: What was said at each level, weakest first: saved values, then those of the request. Null and the empty
            list say nothing. A name without a definition is left alone: it may be another explore's.

    Returns:
        By name, in the order of the definitions; a parameter without any value is not in it.

    Raises:
        ParameterError: A value does not fit its type, is not among the options, or is one of several where one is
            allowed. The message names the parameter.
    """
    found: dict[str, ParameterValue] = {}
    for name, definition in definitions.items():
        said: JsonValue = [*definition.default]
        for layer in layers:
            if layer.get(name) not in (None, []):
                said = layer[name]
        values: list[JsonValue] = said if isinstance(said, list) else [said]
        if values:
            found[name] = _checked(name, definition, values)
    return found


def missing_parameters(references: Iterable[str], values: Mapping[str, ParameterValue]) -> tuple[str, ...]:
    """Return the names of referenced parameters that have no value, sorted."""
    return tuple(sorted(set(references) - set(values)))


def check_given(references: Iterable[str], values: Mapping[str, ParameterValue]) -> None:
    """Raise when a referenced parameter has no value.

    Raises:
        ParameterError: `Missing parameters: a, b`; `details.missingReferences` lists them.
    """
    missing = missing_parameters(references, values)
    if missing:
        raise ParameterError(f"Missing parameters: {', '.join(missing)}", missingReferences=list(missing))


def _checked(name: str, definition: ParameterDefinition, given: list[JsonValue]) -> ParameterValue:
    if len(given) > 1 and not definition.multiple:
        raise ParameterError(f"the parameter `{name}` has {len(given)} values, but takes one", parameter=name)
    if len(given) > _VALUES_MAX:
        raise ParameterError(f"the parameter `{name}` has more than {_VALUES_MAX} values", parameter=name)
    values = tuple(_scalar(name, definition.type, value) for value in given)
    is_closed = bool(definition.options) and not definition.allow_custom_values
    if is_closed:
        allowed = {_scalar(name, definition.type, option) for option in definition.options}
        for value in values:
            if value not in allowed:
                raise _not_allowed(name, definition, value)
    return ParameterValue(type=definition.type, values=values, multiple=definition.multiple)


def _not_allowed(name: str, definition: ParameterDefinition, value: ParameterScalar) -> ParameterError:
    shown = ", ".join(map(str, definition.options[:_SHOWN_MAX]))
    more = ", …" if len(definition.options) > _SHOWN_MAX else ""
    return ParameterError(
        f"the parameter `{name}` cannot be {_shown(value)}; its options are: {shown}{more}", parameter=name
    )


def _scalar(name: str, type_: ParameterType, value: JsonValue) -> ParameterScalar:
    """Return one value in its type.

    Raises:
        ParameterError: It does not fit.
    """
    if isinstance(value, (list, dict)) or value is None:
        raise ParameterError(f"the parameter `{name}` holds something that is no single value", parameter=name)
    match type_:
        case ParameterType.NUMBER:
            number = _number(value)
            if number is None:
                raise ParameterError(
                    f"the parameter `{name}` is {_shown(value)}, which is no finite number", parameter=name
                )
            return number
        case ParameterType.DATE:
            if not isinstance(value, str) or not _is_day(value):
                raise ParameterError(
                    f"the parameter `{name}` is {_shown(value)}, which is no date: write it as 2025-05-20",
                    parameter=name,
                )
            return value
        case ParameterType.STRING:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if len(text) > _LENGTH_MAX:
                raise ParameterError(f"the parameter `{name}` is longer than {_LENGTH_MAX} characters", parameter=name)
            return text


def _number(value: float | str) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 100 or _NUMBER.fullmatch(text) is None:  # noqa: PLR2004 - as long as a literal may be
            return None
        exact = Decimal(text)
        value = int(exact) if exact == exact.to_integral_value() and exact.adjusted() < 100 else float(exact)  # noqa: PLR2004
    return value if isinstance(value, int) or math.isfinite(value) else None


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and bool(dt.date.fromisoformat(text))
    except ValueError:
        return False


def _shown(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - enough to find it in a request
