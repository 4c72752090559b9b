"""Which tables a warehouse has and what their columns are: questions to the warehouse like any other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from queryfleet.compiler.dialects import dialect_of
from queryfleet.model import ColumnType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from queryfleet.errors import JsonValue

__all__ = ["columns_by_name", "columns_sql", "tables_by_schema", "tables_sql"]

_OWN_SCHEMAS: Final = "('information_schema', 'INFORMATION_SCHEMA', 'pg_catalog', 'pg_toast')"
_WORDS: Final = (
    (re.compile(r"^timestamp|^datetime", re.IGNORECASE), ColumnType.TIMESTAMP),
    (re.compile(r"^date", re.IGNORECASE), ColumnType.DATE),
    (re.compile(r"^bool", re.IGNORECASE), ColumnType.BOOLEAN),
    (
        re.compile(r"^(u?(tiny|small|big|huge)?int|numeric|decimal|double|float|real|number|money)", re.IGNORECASE),
        ColumnType.NUMBER,
    ),
)


def tables_sql(warehouse_type: str) -> str:
    """Return the question for all tables of the login's database."""
    dialect = dialect_of(warehouse_type)
    names = ", ".join(f"table_{part} AS {dialect.quote(part)}" for part in ("catalog", "schema", "name"))
    return f"SELECT {names} FROM information_schema.tables WHERE table_schema NOT IN {_OWN_SCHEMAS} ORDER BY 1, 2, 3"  # noqa: S608 - constants


def columns_sql(warehouse_type: str, *, table: str, schema: str | None) -> str:
    """Return the question for the columns of one table, in any schema when none is named."""
    dialect = dialect_of(warehouse_type)
    names = f"column_name AS {dialect.quote('name')}, data_type AS {dialect.quote('type')}"
    where = f"table_name = {dialect.text(table)}"
    where += (
        f" AND table_schema NOT IN {_OWN_SCHEMAS}" if schema is None else f" AND table_schema = {dialect.text(schema)}"
    )
    order = "table_schema, ordinal_position"
    return f"SELECT {names} FROM information_schema.columns WHERE {where} ORDER BY {order}"  # noqa: S608 - quoted above


def tables_by_schema(rows: Iterable[Mapping[str, JsonValue]]) -> dict[str, JsonValue]:
    """Return `{database: {schema: {table: {}}}}` of the rows that `tables_sql` gives."""
    found: dict[str, dict[str, dict[str, JsonValue]]] = {}
    for row in rows:
        schemas = found.setdefault(str(row["catalog"]), {})
        schemas.setdefault(str(row["schema"]), {})[str(row["name"])] = {}
    return {database: dict(schemas) for database, schemas in found.items()}


def columns_by_name(rows: Iterable[Mapping[str, JsonValue]]) -> dict[str, JsonValue]:
    """Return `{column: type}`, in order, of the rows that `columns_sql` gives."""
    return {str(row["name"]): _type_of(str(row["type"])).value for row in rows}


def _type_of(word: str) -> ColumnType:
    if "[" in word:  # an array
        return ColumnType.STRING
    return next((type_ for pattern, type_ in _WORDS if pattern.match(word)), ColumnType.STRING)
