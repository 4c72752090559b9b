"""PostgreSQL, 13 and later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.dialects.base import Dialect

if TYPE_CHECKING:
    from queryfleet.model import ColumnType

__all__ = ["PostgresDialect"]


class PostgresDialect(Dialect):
    """PostgreSQL."""

    name = "postgres"
    grammar = "postgres"
    text_type = "TEXT"

    def _text_literal(self, value: str) -> str:
        doubled = value.replace("'", "''")
        if "\\" not in doubled:
            return f"'{doubled}'"
        # In a plain literal a backslash means what the server's `standard_conforming_strings` says; here it is fixed.
        escaped = doubled.replace("\\", "\\\\")
        return f"E'{escaped}'"

    def null_safe_equal(self, left: str, right: str, type_: ColumnType | None = None) -> str:  # noqa: ARG002
        """Return a condition on arrays of one element: their NULLs are equal, and they hash, whatever the type."""
        return f"ARRAY[{left}] = ARRAY[{right}]"

    def _average(self, sql: str) -> str:
        return f"AVG({self.cast_float(sql)})"

    def any_value(self, sql: str) -> str:
        """Return the first element of all: the function for it came only with version 16."""
        return f"(ARRAY_AGG({sql}))[1]"

    def days_between(self, first: str, last: str) -> str:
        """Return the difference of two dates, which is a number here."""
        return f"({last} - {first})"
