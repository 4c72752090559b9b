"""What is doubtful about an answer, said beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = ["QueryWarning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryWarning:
    """One doubt."""

    message: str  # for people: what may be wrong, and what to declare or change
    fields: tuple[str, ...] = ()  # ids it is about
    tables: tuple[str, ...] = ()  # aliases it is about

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form; empty lists are left out."""
        form: dict[str, JsonValue] = {"message": self.message}
        if self.fields:
            form["fields"] = list(self.fields)
        if self.tables:
            form["tables"] = list(self.tables)
        return form
