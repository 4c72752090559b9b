"""The last row of a sheet or of comma-separated values: one total for each column that has one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from queryfleet.export.csv_text import csv_rows
from queryfleet.export.options import ExportFormat
from queryfleet.export.parts import arrow_stream
from queryfleet.export.xlsx_cells import sheet_cells

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.export.plan import ExportPlan

__all__ = ["TOTAL_LABEL", "total_part"]

TOTAL_LABEL: Final = "Total"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """One cell of the row."""

    field: pa.Field
    values: pa.Array  # one


def total_part(plan: ExportPlan, totals: pa.RecordBatch | None) -> bytes:
    """Return the part of a file that is its row of totals.

    The first column without a total says what the row is; other columns without one are empty.

    Args:
        plan: Of a file of csv or xlsx.
        totals: One row, whose columns are named as those of the result; None: there are no totals.
    """
    import pyarrow as pa

    if not plan.columns:
        return b""
    stored = plan.stored_schema()
    cells = [_cell(field, totals) for field in stored]
    label = next((column for column in plan.columns if not _has_total(column.reference, totals)), None)
    columns = plan.columns
    if label is not None:
        cells[label.index] = _Cell(
            field=pa.field(stored.field(label.index).name, pa.string()), values=pa.array([TOTAL_LABEL])
        )
        # As a text it is shown as it is, whatever the column's own values look like.
        columns = tuple(replace(each, rule=None) if each is label else each for each in columns)
    schema = pa.schema([cell.field for cell in cells])
    row = pa.RecordBatch.from_arrays([cell.values for cell in cells], schema=schema)
    shown = replace(plan, columns=columns)
    return csv_rows(row, shown) if plan.options.format is ExportFormat.CSV else arrow_stream(sheet_cells(row, shown))


def _has_total(name: str, totals: pa.RecordBatch | None) -> bool:
    return totals is not None and name in totals.schema.names


def _cell(field: pa.Field, totals: pa.RecordBatch | None) -> _Cell:
    import pyarrow as pa

    if totals is None or not _has_total(field.name, totals):
        return _Cell(field=field, values=pa.nulls(1, field.type))
    place = totals.schema.get_field_index(field.name)
    return _Cell(field=totals.schema.field(place), values=totals.column(place))
