"""What a query actor is told about a pivot: stored with the query, so that every attempt does the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from queryfleet.formatting import rule_of
from queryfleet.pivot.naming import Display
from queryfleet.pivot.spec import NullOrder, PivotLimits, PivotPlan
from queryfleet.pivot.wire import parse_pivot, pivot_to_wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue

__all__ = ["PivotTask", "PivotWay"]


class PivotWay(StrEnum):
    """Who puts rows and columns in order."""

    SQL = "sql"  # the warehouse: its rows come ranked
    DISTRIBUTED = "distributed"  # we: its rows come flat, in any order


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotTask:
    """One pivot, ready to be carried out."""

    way: PivotWay
    plan: PivotPlan
    items: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)  # wire descriptions of group columns
    timezone: str | None = None  # in which times of such columns are shown
    has_collation: bool = False  # the warehouse may order text otherwise than by code point
    has_original: bool = False  # pages tell the columns of the flat query, which nothing else does
    warnings: tuple[str, ...] = ()  # said with the result

    @property
    def display(self) -> Display:
        """Return how group values are shown."""
        return Display(rules={name: rule_of(item) for name, item in self.items.items()}, timezone=self.timezone)

    def to_json(self) -> dict[str, JsonValue]:
        """Return what is stored; `from_json` reads it back."""
        limits = self.plan.limits
        return {
            "way": self.way.value,
            "configuration": pivot_to_wire(self.plan.spec),
            "limits": {"rows": limits.rows, "columns": limits.columns, "columns_max": limits.columns_max},
            "nulls": self.plan.nulls.value,
            "order_by": dict(self.plan.order_by),
            "items": {name: dict(item) for name, item in self.items.items()},
            "timezone": self.timezone,
            "has_collation": self.has_collation,
            "has_original": self.has_original,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, JsonValue]) -> PivotTask:
        """Read what `to_json` returned."""
        task = cast("Mapping[str, Any]", stored)
        plan = PivotPlan(
            spec=parse_pivot(task["configuration"]),
            limits=PivotLimits(**task["limits"]),
            nulls=NullOrder(task["nulls"]),
            order_by=task["order_by"],
        )
        return cls(
            way=PivotWay(task["way"]),
            plan=plan,
            items=task["items"],
            timezone=task["timezone"],
            has_collation=task.get("has_collation", False),  # queries of an earlier release lack it
            has_original=task["has_original"],
            warnings=tuple(task["warnings"]),
        )
