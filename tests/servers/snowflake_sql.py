"""From Snowflake's SQL to DuckDB's, as far as the tests need it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp

COUNTER = re.compile(r"row_number\(\) over \(order by seq8\(\)\)", re.IGNORECASE)
GENERATOR = re.compile(r"table\(generator\(rowcount => (\d+)\)\)", re.IGNORECASE)
LAZY_ROWS = 2_000_000  # a plain counter of more rows than this is made while it is read
# What DuckDB has no type for travels as text.
AS_TEXT = ("TIMESTAMP", "TIME", "VARIANT", "OBJECT", "ARRAY", "MAP", "GEOGRAPHY", "GEOMETRY", "DATETIME")
DECLARED = re.compile(r"([A-Z_]+)(?:\((\d+)(?:, *(\d+))?\))?")


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One statement for DuckDB."""

    sql: str
    types: dict[str, str] = field(default_factory=dict)  # Snowflake's type of each column that was cast to one
    changes: bool = False
    lazy: int = 0  # rows, when the result is a plain counter too long to keep

    def slice(self, first: int, end: int) -> str:
        """Return the SQL for some rows of a lazy result."""
        return re.sub(r"\brange\(\d+\)", f"range({first}, {end})", self.sql)


def translated(sql: str) -> Translation:
    """Translate one statement."""
    sql = re.sub(r"(;\s*)+(--[^\n]*\n?|/\*.*\*/|\s)*$", "", sql)
    sql = sql.replace("current_version()", "'9.9.9'")
    counted = GENERATOR.search(sql)
    plain = GENERATOR.sub(r"range(\1)", COUNTER.sub("range + 1", sql)).replace("seq8()", "range")
    if counted is not None:
        lazy = (
            int(counted[1]) if int(counted[1]) > LAZY_ROWS and "count(" not in sql and 'order by "n"' not in sql else 0
        )
        return Translation(sql=plain, lazy=lazy)
    if re.match(r"\s*insert", sql, re.IGNORECASE):
        return Translation(sql=sql, changes=True)
    if "::" not in sql and "cast(" not in sql.lower():
        return Translation(sql=plain.replace("\\\\", "\\"))
    tree = sqlglot.parse_one(sql, read="snowflake")
    types: dict[str, str] = {}
    for cast in list(tree.find_all(exp.Cast)):
        kind = cast.to.sql("snowflake").upper()
        if isinstance(cast.parent, exp.Alias):
            types[cast.parent.alias] = kind
        if kind in {"BINARY", "VARBINARY"} and isinstance(cast.this, exp.Paren):
            cast.replace(exp.alias_(exp.func("unhex", cast.this.this), "v").this)
        elif kind.startswith(AS_TEXT):
            cast.set("to", exp.DataType.build("text"))
    return Translation(sql=tree.sql("duckdb"), types=types)
