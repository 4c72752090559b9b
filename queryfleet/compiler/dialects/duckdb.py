"""DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.compiler.dialects.base import Dialect, fraction
from queryfleet.semantic.intervals import TimeInterval

if TYPE_CHECKING:
    from queryfleet.model import ColumnType

__all__ = ["DuckDBDialect"]


class DuckDBDialect(Dialect):
    """DuckDB."""

    name = "duckdb"
    grammar = "duckdb"
    float_type = "DOUBLE"

    def null_safe_equal(self, left: str, right: str, type_: ColumnType | None = None) -> str:  # noqa: ARG002
        """Return the warehouse's own operator, which it hashes."""
        return f"{left} IS NOT DISTINCT FROM {right}"

    def _median(self, sql: str) -> str:
        return f"MEDIAN({self.cast_float(sql)})"  # of decimals it would cut the digits between two of them

    def _percentile(self, sql: str, percentile: float) -> str:
        return f"QUANTILE_CONT({self.cast_float(sql)}, {fraction(percentile)})"  # likewise

    def _name_part(self, sql: str, interval: TimeInterval) -> str:
        pattern = "%B" if interval is TimeInterval.MONTH_NAME else "%A"
        return f"STRFTIME({sql}, '{pattern}')"

    def days_between(self, first: str, last: str) -> str:
        """Return the number of midnights between two dates."""
        return f"DATE_DIFF('DAY', {first}, {last})"
