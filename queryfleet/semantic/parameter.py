"""Parameters: values a person sets for a whole query, defined by a project or a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = ["ParameterDefinition", "ParameterScalar", "ParameterType"]

ParameterScalar: TypeAlias = str | int | float


class ParameterType(StrEnum):
    """What a value must be, and how it becomes SQL."""

    STRING = "string"  # quoted
    NUMBER = "number"  # finite, inserted bare
    DATE = "date"  # an ISO day, cast to DATE


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDefinition:
    """What a parameter may be. Its name is the key it is kept under."""

    type: ParameterType = ParameterType.STRING
    label: str = ""
    description: str | None = None
    default: tuple[ParameterScalar, ...] = ()  # empty: a query must give a value; several only if `multiple`
    multiple: bool = False  # may it have several values?
    allow_custom_values: bool = False  # are values outside of `options` accepted?
    options: tuple[ParameterScalar, ...] = ()  # empty: any value, unless `options_model` is set
    options_model: str | None = None  # options are the values of a dimension: its model
    options_dimension: str | None = None  # with it: the dimension's name

    def item(self) -> dict[str, JsonValue]:
        """Return the wire description; unset keys left out."""
        item: dict[str, JsonValue] = {"type": self.type.value, "label": self.label}
        if self.description is not None:
            item["description"] = self.description
        if self.default:
            item["default"] = list(self.default) if self.multiple else self.default[0]
        if self.options:
            item["options"] = list(self.options)
        if self.options_model is not None:
            item["options_from_dimension"] = {"model": self.options_model, "dimension": self.options_dimension}
        return item | {"multiple": self.multiple, "allow_custom_values": self.allow_custom_values}
