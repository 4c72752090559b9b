"""What a page says about a pivot, and the columns its result has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.pivot.wire import pivot_to_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue
    from queryfleet.model import Column
    from queryfleet.pivot.naming import PivotColumn
    from queryfleet.pivot.spec import PivotSpec

__all__ = ["pivot_details", "pivot_schema", "value_references"]


def pivot_details(
    spec: PivotSpec, columns: Sequence[PivotColumn], *, total: int | None, original: Sequence[Column] = ()
) -> dict[str, JsonValue]:
    """Return the member `pivotDetails` of a page.

    Args:
        spec: The pivot.
        columns: Those that are shown, in order.
        total: How many value columns there are, shown or not; None when there is no row, or without groups.
        original: The columns of the flat query, where they are known.
    """
    wire = pivot_to_wire(spec)
    values: list[JsonValue] = []
    for column in columns:
        for value, name in zip(spec.values, column.names, strict=True):
            entry: dict[str, JsonValue] = {
                "referenceField": value.reference,
                "pivotColumnName": name,
                "aggregation": value.aggregation.value,
                "pivotValues": [
                    {"referenceField": group.reference, "value": group.raw, "formatted": group.formatted}
                    for group in column.groups
                ],
            }
            if column.column_index is not None:
                entry["columnIndex"] = column.column_index
            values.append(entry)
    details: dict[str, JsonValue] = {
        "totalColumnCount": total,
        "indexColumn": wire["indexColumn"] if spec.index else None,
        "valuesColumns": values,
        "groupByColumns": wire["groupByColumns"],
        "sortBy": wire["sortBy"],
        "originalColumns": {
            column.reference: {"reference": column.reference, "type": column.type.value} for column in original
        },
    }
    if spec.passthrough:
        details["passthroughDimensions"] = wire["passthroughDimensions"]
    return details


def pivot_schema(schema: pa.Schema, spec: PivotSpec, columns: Sequence[PivotColumn]) -> pa.Schema:
    """Return the schema of the pivoted result, each column with the type its values have.

    Args:
        schema: Of the flat rows, as `flat_schema` gives it.
        spec: The pivot.
        columns: Those that are shown, in order.
    """
    import pyarrow as pa

    values = [schema.field(value.name).with_nullable(nullable=True) for value in spec.values]
    cells = [field.with_name(name) for column in columns for field, name in zip(values, column.names, strict=True)]
    return pa.schema([*(schema.field(name) for name in spec.carried), *cells])


def value_references(spec: PivotSpec, columns: Sequence[PivotColumn]) -> dict[str, str]:
    """Return for each pivot column the field its cells are formatted with."""
    return {name: value.reference for column in columns for value, name in zip(spec.values, column.names, strict=True)}
