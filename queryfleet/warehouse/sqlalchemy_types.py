"""What a DBAPI cursor says of its columns, as columns of Arrow; one table per dialect that says enough.

| MySQL, MariaDB | delivered as |
|---|---|
| tinyint to bigint, unsigned too, year | integer of its width |
| float, double | itself |
| decimal | decimal of up to 38 digits, beyond that a number of any length |
| char, varchar, text, enum, set | text |
| binary, varbinary, blob, geometry | binary |
| bit | unsigned integer |
| date, datetime | itself |
| timestamp | instant in UTC |
| time | text: it may be negative, or longer than a day |
| json | JSON (of MySQL; MariaDB has it as text) |

PostgreSQL's cursors name the type as well. Of every other dialect the values decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.warehouse.columnar import Form, RowColumn, decimal_column, inferred_column

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cursor_columns", "mysql_decoders"]

_MYSQL_UNSIGNED = 32  # a flag of a column
_MYSQL_BINARY = 63  # the character set of bytes
_MYSQL_INTEGERS = {1: 8, 2: 16, 9: 32, 3: 32, 8: 64}  # code → bits
_MYSQL_YEAR, _MYSQL_FLOAT, _MYSQL_DOUBLE, _MYSQL_BIT, _MYSQL_JSON = 13, 4, 5, 16, 245
_MYSQL_DECIMALS = (0, 246)
_MYSQL_DATES, _MYSQL_DATETIME, _MYSQL_TIMESTAMP = (10, 14), 12, 7
_MYSQL_TEXTS = (15, 249, 250, 251, 252, 253, 254)
_MYSQL_GEOMETRY = 255
_POSTGRES_JSON = (114, 3802)
_POSTGRES_NUMERIC = 1700


def mysql_decoders() -> dict[object, object]:
    """Return PyMySQL's conversions less all of values it reads: Arrow reads a column's texts at once."""
    from pymysql.converters import conversions, through

    return {key: through if isinstance(key, int) else value for key, value in conversions.items()}


def cursor_columns(cursor: object, rows: Sequence[Sequence[object]], *, dialect: str) -> list[RowColumn]:
    """Return the columns of a cursor that has a result.

    Args:
        cursor: Of the driver, after `execute`.
        rows: The first rows, from which is inferred what the cursor does not say.
        dialect: SQLAlchemy's name of it, such as `mysql`.
    """
    fields = getattr(getattr(cursor, "_result", None), "fields", None)
    if dialect in {"mysql", "mariadb"} and fields:
        return [_mysql_column(field) for field in fields]
    columns = []
    for number, described in enumerate(getattr(cursor, "description", None) or ()):
        name = str(described[0])
        column = _postgres_column(name, described) if dialect == "postgresql" else None
        columns.append(column or inferred_column(name, [row[number] for row in rows]))
    return columns


def _mysql_column(field: object) -> RowColumn:  # noqa: PLR0911, C901 - a table of types, one line each
    import pyarrow as pa

    name, code = str(getattr(field, "name", "")), getattr(field, "type_code", None)
    unsigned = bool(getattr(field, "flags", 0) & _MYSQL_UNSIGNED)
    if code in _MYSQL_INTEGERS:
        bits = _MYSQL_INTEGERS[code]
        kinds = {
            8: (pa.int8(), pa.uint8()),
            16: (pa.int16(), pa.uint16()),
            32: (pa.int32(), pa.uint32()),
            64: (pa.int64(), pa.uint64()),
        }
        return RowColumn(field=pa.field(name, kinds[bits][unsigned]), form=Form.PARSED)
    if code in _MYSQL_DECIMALS:
        scale = int(getattr(field, "scale", 0))
        digits = int(getattr(field, "length", 0)) - (scale > 0) - (not unsigned)  # less the point and the sign
        return decimal_column(name, precision=digits, scale=scale, form=Form.PARSED)
    if code in _MYSQL_TEXTS or code == _MYSQL_GEOMETRY:
        kind = pa.binary() if getattr(field, "charsetnr", 0) == _MYSQL_BINARY else pa.string()
        return RowColumn(field=pa.field(name, kind))
    if code == _MYSQL_YEAR:
        return RowColumn(field=pa.field(name, pa.int16()), form=Form.PARSED)
    if code == _MYSQL_FLOAT:
        return RowColumn(field=pa.field(name, pa.float32()), form=Form.PARSED)
    if code == _MYSQL_DOUBLE:
        return RowColumn(field=pa.field(name, pa.float64()), form=Form.PARSED)
    if code in _MYSQL_DATES:
        return RowColumn(field=pa.field(name, pa.date32()), form=Form.PARSED)
    if code == _MYSQL_DATETIME:
        return RowColumn(field=pa.field(name, pa.timestamp("us")), form=Form.PARSED)
    if code == _MYSQL_TIMESTAMP:
        return RowColumn(field=pa.field(name, pa.timestamp("us", "UTC")), form=Form.PARSED)
    if code == _MYSQL_BIT:
        return RowColumn(field=pa.field(name, pa.uint64()), form=Form.BITS)
    if code == _MYSQL_JSON:
        return RowColumn(field=logical_field(name, LogicalType.JSON))
    return RowColumn(field=pa.field(name, pa.string()), form=Form.TEXT)


def _postgres_column(name: str, described: Sequence[object]) -> RowColumn | None:
    """Return the column of a type whose number is known; None: let the values decide."""
    import pyarrow as pa

    code, precision, scale = described[1], described[4], described[5]
    if code == _POSTGRES_NUMERIC:
        known = isinstance(precision, int) and isinstance(scale, int)
        # A column with a precision has no Infinity, and NaN is refused by name.
        return decimal_column(
            name,
            precision=precision if known and isinstance(precision, int) else 0,
            scale=scale if known and isinstance(scale, int) else 0,
        )
    if code in _POSTGRES_JSON:
        return RowColumn(field=logical_field(name, LogicalType.JSON), form=Form.JSON)
    kinds = {
        16: pa.bool_(),
        17: pa.binary(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        700: pa.float32(),
        701: pa.float64(),
        1082: pa.date32(),
        1083: pa.time64("us"),
        1114: pa.timestamp("us"),
        1184: pa.timestamp("us", "UTC"),
    }
    if code in (25, 1042, 1043):
        return RowColumn(field=pa.field(name, pa.string()))
    if code == 2950:  # noqa: PLR2004 - the number of uuid
        return RowColumn(field=pa.field(name, pa.string()), form=Form.TEXT)
    return RowColumn(field=pa.field(name, kinds[code])) if isinstance(code, int) and code in kinds else None
