"""Amazon Redshift: PostgreSQL of long ago, with functions of its own for moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.dialects.base import Dialect
from queryfleet.model import ColumnType

if TYPE_CHECKING:
    from queryfleet.semantic.intervals import TimeInterval

__all__ = ["RedshiftDialect"]


class RedshiftDialect(Dialect):
    """Amazon Redshift."""

    name = "redshift"
    grammar = "redshift"

    def _text_literal(self, value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace("'", "''")
        return f"'{escaped}'"

    def _average(self, sql: str) -> str:
        return f"AVG({self.cast_float(sql)})"

    def _hashable(self, sql: str, type_: ColumnType | None) -> str:
        # A boolean cannot become a text here.
        return self.cast_text(f"CAST({sql} AS INTEGER)" if type_ is ColumnType.BOOLEAN else sql)

    def _minus_elapsed(self, sql: str, clock: str, start: str) -> str:
        return f"DATEADD(MICROSECOND, DATEDIFF(MICROSECOND, {clock}, {start}), CAST({sql} AS TIMESTAMPTZ))"

    def _moved(self, sql: str, count: int, unit: TimeInterval) -> str:
        return f"DATEADD({unit.value}, {count}, {sql})"
