"""One condition on one field, in the words of the wire: `{target: {fieldId}, operator, values, settings}`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from queryfleet.model import ColumnType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue

__all__ = ["OPERATORS", "FilterOperator", "FilterRule", "FilterValue", "UnitOfTime"]

FilterValue: TypeAlias = str | int | float | bool | None


class FilterOperator(StrEnum):
    """What a rule asks; what it means in SQL is the compiler's matter."""

    IS_NULL = "isNull"
    NOT_NULL = "notNull"
    EQUALS = "equals"  # any of the values; without values: no condition
    NOT_EQUALS = "notEquals"
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    INCLUDE = "include"
    DOES_NOT_INCLUDE = "doesNotInclude"
    LESS_THAN = "lessThan"
    LESS_THAN_OR_EQUAL = "lessThanOrEqual"
    GREATER_THAN = "greaterThan"
    GREATER_THAN_OR_EQUAL = "greaterThanOrEqual"
    IN_THE_PAST = "inThePast"  # the value counts units
    NOT_IN_THE_PAST = "notInThePast"
    IN_THE_NEXT = "inTheNext"
    IN_THE_CURRENT = "inTheCurrent"
    NOT_IN_THE_CURRENT = "notInTheCurrent"
    IN_BETWEEN = "inBetween"  # two values, both included
    NOT_IN_BETWEEN = "notInBetween"
    IN_PERIOD_TO_DATE = "inPeriodToDate"


_EQUALITY: Final = frozenset({FilterOperator.EQUALS, FilterOperator.NOT_EQUALS})
_TEXT: Final = _EQUALITY | {
    FilterOperator.INCLUDE,
    FilterOperator.DOES_NOT_INCLUDE,
    FilterOperator.STARTS_WITH,
    FilterOperator.ENDS_WITH,
}
_ORDER: Final = _EQUALITY | {
    FilterOperator.LESS_THAN,
    FilterOperator.LESS_THAN_OR_EQUAL,
    FilterOperator.GREATER_THAN,
    FilterOperator.GREATER_THAN_OR_EQUAL,
    FilterOperator.IN_BETWEEN,
    FilterOperator.NOT_IN_BETWEEN,
}
_MOMENT: Final = _ORDER | {
    FilterOperator.IN_THE_PAST,
    FilterOperator.NOT_IN_THE_PAST,
    FilterOperator.IN_THE_NEXT,
    FilterOperator.IN_THE_CURRENT,
    FilterOperator.NOT_IN_THE_CURRENT,
    FilterOperator.IN_PERIOD_TO_DATE,
}
# Which operators a type of field has, besides those of NULL, which every type has.
OPERATORS: Final[Mapping[ColumnType, frozenset[FilterOperator]]] = {
    ColumnType.STRING: _TEXT,
    ColumnType.NUMBER: _ORDER,
    ColumnType.BOOLEAN: _EQUALITY,
    ColumnType.DATE: _MOMENT,
    ColumnType.TIMESTAMP: _MOMENT,
}


class UnitOfTime(StrEnum):
    """What relative operators count in."""

    MILLISECONDS = "milliseconds"
    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    QUARTERS = "quarters"
    YEARS = "years"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """One condition. Values are data: they are never SQL."""

    field_id: str  # of a compiled explore: a field id; as a model is read: `field` or `table.field` as written
    operator: FilterOperator
    values: tuple[FilterValue, ...] = ()
    unit_of_time: UnitOfTime | None = None  # of relative operators; None: days
    is_completed: bool = False  # relative operators: whole units only
    is_disabled: bool = False  # no condition
    includes_null: bool = False  # rows without a value match too
    case_sensitive: bool | None = None  # None: as the field, the explore or the project says
    is_required: bool | None = None  # of an explore's own rules: must a query have it? None: not such a rule
    id: str | None = None  # the client's name for it

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form; what is not set is left out, but `values` is always there."""
        rule: dict[str, JsonValue] = {} if self.id is None else {"id": self.id}
        rule |= {
            "target": {"fieldId": self.field_id},
            "operator": self.operator.value,
            "values": list(self.values),
        }
        settings: dict[str, JsonValue] = {}
        if self.unit_of_time is not None:
            settings["unitOfTime"] = self.unit_of_time.value
        if self.is_completed:
            settings["completed"] = True
        if settings:
            rule["settings"] = settings
        if self.is_disabled:
            rule["disabled"] = True
        if self.includes_null:
            rule["includeNull"] = True
        if self.case_sensitive is not None:
            rule["caseSensitive"] = self.case_sensitive
        if self.is_required is not None:
            rule["required"] = self.is_required
        return rule
