"""Lists, structs and maps from parsed JSON: taken apart by columns, so that only leaves are converted."""

from __future__ import annotations

import json
from itertools import accumulate, chain
from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_type
from queryfleet.results.typed import typed_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["JsonNumber", "is_nested_type", "nested_array"]


class JsonNumber(str):
    """The text of a JSON number, to be told from a JSON string."""

    __slots__ = ()


def is_nested_type(kind: pa.DataType) -> bool:
    """Say whether values of this type are JSON arrays or objects."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return is_nested_type(kind.storage_type)
    wrapped = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return is_nested_type(kind.value_type) if wrapped else bool(pa.types.is_nested(kind))


def nested_array(values: Sequence[object], field: pa.Field) -> pa.Array:
    """Build an array of `field`'s type.

    Args:
        values: As `json.loads` returns them, with numbers as `JsonNumber`.
        field: Its type may be nested to any depth, or not at all.

    Raises:
        TypeError, ValueError, pyarrow.ArrowException: A value does not fit.
    """
    import pyarrow as pa
    import pyarrow.types as t

    kind = field.type
    if not is_nested_type(kind):
        return _leaf_array(values, field)
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(nested_array(values, field.with_type(kind.storage_type)))
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return _indirect(nested_array(values, field.with_type(kind.value_type)), kind)
    if t.is_struct(kind):
        return _struct_array(values, kind)
    if t.is_map(kind):
        return _map_array(values, kind)
    return _list_array(values, kind)


def _indirect(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Encode nested values by row number: Arrow cannot look for equal ones among them."""
    import pyarrow as pa

    positions = pa.array(range(len(values)), pa.int32())
    if pa.types.is_run_end_encoded(kind):
        ends = pa.array(range(1, len(values) + 1), kind.run_end_type)
        return pa.RunEndEncodedArray.from_arrays(ends, values, kind)
    return pa.DictionaryArray.from_arrays(positions.cast(kind.index_type), values, ordered=kind.ordered)


def _leaf_array(values: Sequence[object], field: pa.Field) -> pa.Array:
    import polars as pl

    is_document = logical_type(field) is LogicalType.JSON or getattr(field.type, "extension_name", "") == "arrow.json"
    spell = _document if is_document else _text
    texts = [None if value is None else spell(value) for value in values]
    return typed_array(pl.Series(texts, dtype=pl.String), field)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    message = f"a {type(value).__name__} where a plain value should be"
    raise ValueError(message)


def _document(value: object) -> str:
    """Write a parsed document again, numbers as they stood there."""
    match value:
        case JsonNumber():
            return str(value)
        case list():
            return f"[{','.join(map(_document, value))}]"
        case dict():
            pairs = (f"{json.dumps(key, ensure_ascii=False)}:{_document(item)}" for key, item in value.items())
            return f"{{{','.join(pairs)}}}"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _null_mask(values: Sequence[object]) -> pa.Array:
    import pyarrow as pa

    return pa.array([value is None for value in values], pa.bool_())


def _list_array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.types as t

    empty = [None] * kind.list_size if t.is_fixed_size_list(kind) else []
    lists = [value if isinstance(value, list) else empty for value in values]
    items = nested_array(list(chain.from_iterable(lists)), kind.value_field)
    mask = _null_mask(values)
    if t.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(items, type=kind, mask=mask)
    sizes = [len(value) for value in lists]
    is_large = t.is_large_list(kind) or t.is_large_list_view(kind)
    offsets = pa.array(accumulate(sizes, initial=0), pa.int64() if is_large else pa.int32())
    if t.is_list_view(kind) or t.is_large_list_view(kind):
        build = pa.LargeListViewArray if is_large else pa.ListViewArray
        return build.from_arrays(offsets[:-1], pa.array(sizes, offsets.type), items, type=kind, mask=mask)
    build = pa.LargeListArray if is_large else pa.ListArray
    return build.from_arrays(offsets, items, type=kind, mask=mask)


def _struct_array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    fields = [kind.field(index) for index in range(kind.num_fields)]
    rows: list[dict[str, object]] = [value if isinstance(value, dict) else {} for value in values]
    if not fields:
        return pa.array([None if value is None else {} for value in values], kind)
    children = [nested_array([row.get(field.name) for row in rows], field) for field in fields]
    return pa.StructArray.from_arrays(children, fields=fields, mask=_null_mask(values))


def _map_array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    pairs = [pair for value in values if isinstance(value, dict) for pair in value.items()]
    names: list[object] = [key for key, _ in pairs]
    if is_nested_type(kind.key_type):
        names = [json.loads(str(name), parse_float=JsonNumber, parse_int=JsonNumber) for name in names]
    keys = nested_array(names, kind.key_field)
    items = nested_array([item for _, item in pairs], kind.item_field)
    sizes = [len(value) if isinstance(value, dict) else 0 for value in values]
    offsets = pa.array(accumulate(sizes, initial=0), pa.int32())
    entries = pa.StructArray.from_arrays([keys, items], fields=[kind.key_field, kind.item_field])
    buffers = [_validity(values), offsets.buffers()[1]]
    return pa.Array.from_buffers(kind, len(values), buffers, children=[entries])


def _validity(values: Sequence[object]) -> pa.Buffer | None:
    import pyarrow as pa

    if not any(value is None for value in values):
        return None
    return pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
