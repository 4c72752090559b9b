"""Trino's types as Arrow. Its answers are JSON: most values are texts, which Arrow reads a column at a time.

| Trino | delivered as |
|---|---|
| boolean, tinyint to bigint, real, double, varchar, char, varbinary | itself |
| decimal | decimal |
| date, time, timestamp with up to 9 digits of a fraction | itself, to the second, ms, µs or ns |
| timestamp with time zone | instant in UTC; one in the repeated hour of a named zone is refused |
| array of boolean, whole numbers or text | list |
| any other array, map, row, json | JSON; a row with the names of its fields |
| time with time zone, more digits, intervals, uuid, ipaddress and everything else | text as Trino writes it |
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_field
from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.columnar import Form, RowColumn, column_array, decimal_column
from queryfleet.warehouse.ranges import cast_advice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue

__all__ = ["TEXT_CAST", "TrinoColumn", "instants", "trino_column"]

TEXT_CAST = "cast({} as varchar)"
_UNITS = ((0, "s"), (3, "ms"), (6, "us"), (9, "ns"))  # digits of a fraction → Arrow's unit
_ZONED = re.compile(r"timestamp(?:\((\d+)\))? with time zone")
_MOMENT = re.compile(r"(time|timestamp)(?:\((\d+)\))?")
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_DEFAULT_DIGITS = 3  # of a time whose type does not say


class TrinoColumn:
    """One column of an answer."""

    def __init__(self, column: RowColumn, *, kind: str, signature: Mapping[str, JsonValue]) -> None:
        self.column = column
        self._kind = kind  # Trino's
        self._signature = signature

    def array(self, values: Sequence[object]) -> pa.Array:
        """Turn JSON values into Arrow.

        Raises:
            WarehouseQueryError: One does not fit; names the column and the cast that avoids it.
        """
        import pyarrow as pa

        if self._kind in {"real", "double"}:
            values = [float(value) if isinstance(value, str) else value for value in values]
        elif self._kind == "varbinary":
            values = [None if value is None else base64.b64decode(str(value)) for value in values]
        elif self.column.form is Form.JSON:
            values = [None if value is None else _document(value, self._signature) for value in values]
        elif _ZONED.fullmatch(self._kind):
            return instants(pa.array(values, pa.string()), self.column.field)
        return column_array(values, self.column, TEXT_CAST)


def trino_column(described: Mapping[str, JsonValue]) -> TrinoColumn:
    """Return the column that one entry of an answer's `columns` describes: name, type and signature."""
    name, kind = str(described["name"]), str(described["type"])
    given = described.get("typeSignature")
    signature: Mapping[str, JsonValue] = given if isinstance(given, dict) else {}
    return TrinoColumn(_row_column(name, kind, signature), kind=kind, signature=signature)


def _row_column(  # noqa: PLR0911 - a table of types, one line each
    name: str, kind: str, signature: Mapping[str, JsonValue]
) -> RowColumn:
    import pyarrow as pa

    simple = _simple_kind(kind)
    if simple is not None:
        return RowColumn(field=pa.field(name, simple))
    decimal = _DECIMAL.fullmatch(kind)
    if decimal is not None:
        return decimal_column(name, precision=int(decimal[1]), scale=int(decimal[2]), form=Form.PARSED)
    moment = _moment_kind(kind)
    if moment is not None:
        return RowColumn(field=pa.field(name, moment), form=Form.PARSED)
    if kind.startswith("array("):
        element = _simple_kind(kind.removeprefix("array(").removesuffix(")"))
        if element is not None and not pa.types.is_floating(element) and not pa.types.is_binary(element):
            return RowColumn(field=pa.field(name, pa.list_(element)))
    if signature.get("rawType") in {"array", "map", "row"}:
        return RowColumn(field=logical_field(name, LogicalType.JSON), form=Form.JSON)
    if kind == "json":
        return RowColumn(field=logical_field(name, LogicalType.JSON))
    return RowColumn(field=pa.field(name, pa.string()), form=Form.TEXT)


def _simple_kind(kind: str) -> pa.DataType | None:
    import pyarrow as pa

    kinds = {
        "boolean": pa.bool_(),
        "tinyint": pa.int8(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double": pa.float64(),
        "varbinary": pa.binary(),
    }
    return pa.string() if kind.partition("(")[0] in {"varchar", "char"} else kinds.get(kind)


def _moment_kind(kind: str) -> pa.DataType | None:
    import pyarrow as pa

    if kind == "date":
        return pa.date32()
    zoned, plain = _ZONED.fullmatch(kind), _MOMENT.fullmatch(kind)
    if zoned is None and plain is None:
        return None
    wanted = int((zoned[1] if zoned else plain[2] if plain else None) or _DEFAULT_DIGITS)
    unit = next((unit for digits, unit in _UNITS if digits >= wanted), None)
    if unit is None:
        return None
    if plain is not None and plain[1] == "time":
        return pa.time32(unit) if unit in {"s", "ms"} else pa.time64(unit)
    return pa.timestamp(unit, "UTC") if zoned else pa.timestamp(unit)


def instants(texts: pa.Array, field: pa.Field) -> pa.Array:
    """Read texts such as `2024-01-31 12:00:00.000 Europe/Berlin`, a zone at a time: there are few in a column.

    Raises:
        WarehouseQueryError: One is no instant, or in a repeated or left out hour of its zone; names the column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    unit = field.type.unit
    try:
        parts = pc.extract_regex(texts, r"^(?P<wall>\S+ \S+) (?P<zone>\S+)$")
        walls, zones = pc.struct_field(parts, "wall").cast(pa.timestamp(unit)), pc.struct_field(parts, "zone")
        result = pa.nulls(len(texts), pa.timestamp(unit, "UTC"))
        for zone in pc.unique(zones).drop_null().to_pylist():
            mine = pc.fill_null(pc.equal(zones, zone), fill_value=False)
            result = pc.if_else(mine, _in_utc(walls, zone, mine), result)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise WarehouseQueryError(
            f'Column "{field.name}" holds an instant that cannot be read, or that is in a repeated or left out hour '
            f"of its zone. Select it as text: {cast_advice(TEXT_CAST, field.name)}.",
            column=field.name,
        ) from error
    return result


def _in_utc(walls: pa.Array, zone: str, mine: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.timestamp(walls.type.unit, "UTC")
    offset = _OFFSET.fullmatch(zone)
    if offset is not None:
        minutes = (int(offset[2]) * 60 + int(offset[3])) * (-1 if offset[1] == "-" else 1)
        shift = pa.scalar(minutes * 60, pa.duration("s")).cast(pa.duration(walls.type.unit))
        return pc.subtract(walls, shift).cast(kind)
    if zone in {"UTC", "Z"}:
        return walls.cast(kind)
    own = pc.if_else(mine, walls, pa.scalar(None, walls.type))  # others' times may not exist in this zone
    return pc.assume_timezone(own, zone, ambiguous="raise", nonexistent="raise").cast(kind)


def _document(value: object, signature: Mapping[str, JsonValue]) -> object:
    """Return a nested value with names in place of a row's positions."""
    raw = signature.get("rawType")
    arguments = signature.get("arguments")
    inner = [each.get("value") for each in arguments if isinstance(each, dict)] if isinstance(arguments, list) else []
    if value is None or not inner:
        return value
    if raw == "array" and isinstance(value, list):
        return [_document(each, _signature(inner[0])) for each in value]
    if raw == "map" and isinstance(value, dict):
        return {key: _document(each, _signature(inner[-1])) for key, each in value.items()}
    if raw == "row" and isinstance(value, list):
        named = {}
        for number, (each, part) in enumerate(zip(value, inner, strict=True)):
            described = part if isinstance(part, dict) else {}
            name = described.get("fieldName")
            label = str(name["name"]) if isinstance(name, dict) else f"field{number}"
            named[label] = _document(each, _signature(described.get("typeSignature")))
        return named
    return value


def _signature(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}
