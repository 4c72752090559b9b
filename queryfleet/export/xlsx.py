"""Sheets of Excel, written row by row: memory does not grow with the result.

Texts are written as texts, so none of them can become a formula or a link.
"""

from __future__ import annotations

import contextlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queryfleet.errors import NotSupportedError, ParameterError
from queryfleet.export.plan import XLSX_ROWS_MAX
from queryfleet.export.xlsx_cells import CellKind, cell_kind, number_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queryfleet.export.plan import ExportPlan

__all__ = ["XlsxBuilder", "check_sheet_rows"]

_CELL_CHARACTERS_MAX = 32_767
_PIECE_BYTES = 4 * 1024 * 1024
_BLOCK_ROWS = 2000  # turned into Python values at once
_CREATED = datetime(2000, 1, 1, tzinfo=UTC)  # a file's own date would make it another one each time
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


def check_sheet_rows(row_count: int) -> None:
    """Raise `ParameterError` when a sheet cannot hold so many rows below its header."""
    if row_count > XLSX_ROWS_MAX:
        raise ParameterError(
            f"An Excel sheet has at most {XLSX_ROWS_MAX} rows below its header and this result has {row_count}; "
            "limit the query, or use csv or parquet.",
            field="type",
            rowCount=row_count,
            maxRows=XLSX_ROWS_MAX,
        )


class XlsxBuilder:
    """Builds one workbook of one sheet; see `FileBuilder`.

    Raises:
        NotSupportedError: The package XlsxWriter is not installed.

    Cost: some 7 µs a cell, in Python. Rows go to a temporary file, so the workbook's size is needed on disk twice.
    """

    def __init__(self, plan: ExportPlan) -> None:
        try:
            from xlsxwriter import Workbook
        except ImportError:
            raise NotSupportedError(
                "Excel files need the package XlsxWriter on the cluster; use csv, or install queryfleet[server].",
                field="type",
            ) from None
        self._folder = tempfile.TemporaryDirectory(prefix="queryfleet-xlsx-")
        self._path = Path(self._folder.name) / "file.xlsx"
        self._book: Any = Workbook(str(self._path), {**_OPTIONS, "tmpdir": self._folder.name})
        self._book.set_properties({"created": _CREATED})
        self._sheet: Any = self._book.add_worksheet("Results")
        self._next_row = 1
        self._is_closed = False
        self._labels = [column.label for column in plan.columns]
        stored, only_raw = plan.stored_schema(), plan.options.only_raw
        self._kinds = [cell_kind(stored.field(column.index)) for column in plan.columns]
        codes = [
            number_format(column, kind, only_raw=only_raw)
            for column, kind in zip(plan.columns, self._kinds, strict=True)
        ]
        self._formats = [None if code is None else self._book.add_format({"num_format": code}) for code in codes]
        self._totals = [
            self._book.add_format({"bold": True, "top": 1} | ({} if code is None else {"num_format": code}))
            for code in (codes if plan.options.totals_query else ())
        ]
        head = self._book.add_format({"bold": True})
        for place, label in enumerate(self._labels):
            self._sheet.write_string(0, place, label[:_CELL_CHARACTERS_MAX], head)
        self._sheet.freeze_panes(1, 0)

    def add(self, part: bytes) -> bytes:
        """Write the rows of one part; see `FileBuilder.add`.

        Raises:
            ParameterError: A text is longer than a cell may be, or the sheet is full.
        """
        import pyarrow as pa

        with pa.ipc.open_stream(pa.py_buffer(part)) as reader:
            for batch in reader:
                check_sheet_rows(self._next_row - 1 + batch.num_rows)
                for first in range(0, batch.num_rows, _BLOCK_ROWS):
                    self._write(batch.slice(first, _BLOCK_ROWS))
        return b""

    def add_total(self, part: bytes) -> bytes:
        """Write the row of totals; see `FileBuilder.add_total`."""
        self._formats = self._totals
        return self.add(part)

    def end(self) -> Iterator[bytes]:
        """Close the workbook and yield its bytes; see `FileBuilder.end`."""
        self._is_closed = True
        self._book.close()
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def close(self) -> None:
        """Remove the temporary files; see `FileBuilder.close`."""
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(Exception):  # there is no other way to close the files it has open
                self._book.close()
        self._folder.cleanup()

    def _write(self, block: Any) -> None:
        numbers = [block.column(f"n{place}").to_pylist() for place in range(len(self._labels))]
        texts = [block.column(f"t{place}").to_pylist() for place in range(len(self._labels))]
        sheet = self._sheet
        columns = list(zip(self._kinds, self._formats, numbers, texts, strict=True))
        for offset in range(block.num_rows):
            row = self._next_row + offset
            for place, (kind, style, doubles, strings) in enumerate(columns):
                number = doubles[offset]
                if number is not None:
                    if kind is CellKind.BOOLEAN:
                        sheet.write_boolean(row, place, bool(number), style)
                    else:
                        sheet.write_number(row, place, number, style)
                elif (text := strings[offset]) is not None and self._write_text(row, place, text, style) < 0:
                    raise ParameterError(
                        f"Row {row} has a text of {len(text)} characters in {self._labels[place]!r}; a cell of Excel "
                        f"holds {_CELL_CHARACTERS_MAX}. Use csv or parquet, or hide the column.",
                        field="type",
                        rowNumber=row,
                        maxCharacters=_CELL_CHARACTERS_MAX,
                    )
        self._next_row += block.num_rows

    def _write_text(self, row: int, place: int, text: str, style: Any) -> int:
        """Write a text, in bold in the row of totals; returns less than 0 where it is too long."""
        written: int = self._sheet.write_string(row, place, text, style if self._formats is self._totals else None)
        return written
