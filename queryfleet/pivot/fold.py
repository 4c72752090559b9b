r"""Cells to JSON lines, without touching a cell in Python.

Cells come in order, so a line is its index columns and then the fragments of its cells, one after the other. Each cell
is a row of three texts, which are joined for all cells at once:

    head                                      key            value
    }\n{"month":"2024-02-01"                  ,"fare_Oslo":  7          first cell of a row
                                              ,"fare_<null>":1          any other cell
    }\n{"month":"2024-01-01"                  ,"fare_Bergen":5

The head ends the line before and begins the next one; it is empty for all cells but the first of a row. A row without
cells is a part of the next head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.arrays import in_one_piece, taken
from queryfleet.encoding.json_text import column_texts, quoted
from queryfleet.encoding.lines import EncodedBatch
from queryfleet.encoding.texts import Texts, assemble, interleaved, listed, overlay, picked
from queryfleet.pivot.cells import joined_cells
from queryfleet.pivot.flat import plain_rows, value_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from queryfleet.pivot.cells import Cells
    from queryfleet.pivot.naming import PivotColumn
    from queryfleet.pivot.ordering import Indices
    from queryfleet.pivot.spec import PivotSpec

    Bytes = npt.NDArray[np.uint8]

__all__ = ["Fold", "folded", "kept_cells", "row_starts", "whole_rows"]

_BLOCK_CELLS = 32768  # cells joined at once: fewer cost more per call, more fall out of the processor's cache
_END = b"}\n"


def folded(cells: Iterable[Cells], spec: PivotSpec, columns: Sequence[PivotColumn]) -> Iterator[EncodedBatch]:
    """Yield the lines of a pivot.

    Args:
        cells: In order; cut anywhere.
        spec: The pivot.
        columns: Those that are shown; may grow while `cells` is read.

    Cost: see `Fold.lines`; holds one of the `cells`, and what it has of a row that goes on in the next.
    """
    fold = Fold(spec, columns)
    for whole in whole_rows(cells):
        yield from fold.lines(whole)


def whole_rows(cells: Iterable[Cells], *, least: int = _BLOCK_CELLS) -> Iterator[Cells]:
    """Cut cells anew, so that no row is in two pieces.

    Args:
        cells: In order; cut anywhere.
        least: How many cells a piece has at least, the last one apart.
    """
    pending: list[Cells] = []
    size = 0
    for part in cells:
        if len(part) == 0:
            continue
        is_one_row = bool(pending) and pending[0].rows[0] == part.rows[-1]
        pending.append(part)
        size += len(part)
        if size < least or is_one_row:
            continue
        joined = joined_cells(pending)
        begin = int(np.searchsorted(joined.rows, joined.rows[-1]))
        if begin:
            yield joined.slice(0, begin)
        pending = [joined.slice(begin, size)]
        size -= begin
    if pending:
        yield joined_cells(pending)


class Fold:
    """Makes the lines of one pivot. Keeps nothing between calls but the texts of the keys."""

    def __init__(self, spec: PivotSpec, columns: Sequence[PivotColumn]) -> None:
        """Prepare.

        Args:
            spec: The pivot.
            columns: Those that are shown; may grow between calls.
        """
        self._carried = spec.carried
        self._values = value_columns(spec)
        self._columns = columns
        self._keys: list[Texts] = []
        self._known = -1

    def lines(self, cells: Cells) -> Iterator[EncodedBatch]:
        """Yield the lines of whole rows, a block of rows at a time.

        Cost: 30 to 60 ns per cell, nearly all of it without the GIL.
        """
        starts = row_starts(cells.rows)
        begin = 0
        while begin < len(cells):
            end = len(cells)
            if end - begin > _BLOCK_CELLS + _BLOCK_CELLS // 2:
                # The last row that begins within the block ends it; a row that is larger is a block of its own.
                at = int(np.searchsorted(starts, begin + _BLOCK_CELLS, side="right"))
                found = int(starts[at - 1])
                end = found if found > begin else int(starts[at]) if at < len(starts) else end
            yield self._block(cells.slice(begin, end))
            begin = end

    def _block(self, cells: Cells) -> EncodedBatch:
        table = cells.table.combine_chunks()
        begins_row = _begins(cells.rows)
        starts = np.flatnonzero(begins_row)
        heads, head_offsets = self._heads(table, starts)
        kept = kept_cells(cells)
        row = np.cumsum(begins_row) - 1
        columns = cells.columns
        if len(kept) < len(row):
            row, columns = row[kept], columns[kept]
        first = np.flatnonzero(_begins(row))  # among the kept cells, the first of each row that has any
        shown = row[first]  # the rows that have any
        covered = np.concatenate([[0], shown + 1])  # the head of shown[i] covers the rows from covered[i] to itself
        head_starts = head_offsets[covered[:-1]]
        head_lengths = head_offsets[covered[1:]] - head_starts
        spaces = np.zeros(len(kept), dtype=np.int64)
        spaces[first] = head_lengths
        out, offsets = interleaved(self._parts(table, columns, kept, first), spaces)
        begins = offsets[first] - head_lengths
        overlay(out, begins, Texts(data=heads, starts=head_starts, lengths=head_lengths))
        size = int(offsets[-1])
        rest = heads[int(head_offsets[covered[-1]]) : int(head_offsets[-1])]  # rows without cells, at the end
        base = np.append(begins, size) - head_offsets[covered]
        lines = head_offsets + base[np.searchsorted(shown, np.arange(len(starts) + 1))]
        end = np.frombuffer(_END, dtype=np.uint8)
        if rest.size:
            out = np.concatenate([out[:size], rest, end])
        else:
            out[size : size + len(_END)] = end  # there is room behind the lines
        return EncodedBatch(data=out[len(_END) : size + rest.size + len(_END)].data, offsets=lines)

    def _heads(self, table: pa.Table, starts: Indices) -> tuple[Bytes, Indices]:
        """Return the end of the line before and the beginning of each line."""
        rows = plain_rows(table.select(self._carried), starts)
        columns = [
            column_texts(in_one_piece(column), field) for column, field in zip(rows.columns, rows.schema, strict=True)
        ]
        keys = [quoted(name) + b":" for name in self._carried]
        if not columns:
            text = np.frombuffer(_END + b"{", dtype=np.uint8)
            return np.tile(text, len(starts) + 32), np.arange(len(starts) + 1, dtype=np.int64) * text.size
        return assemble(columns, [_END + b"{" + keys[0], *(b"," + key for key in keys[1:]), b""])

    def _parts(self, table: pa.Table, columns: Indices, kept: Indices, first: Indices) -> list[Texts]:
        """Return key and value of every value column, for the kept cells."""
        self._learn_keys()
        parts = []
        for number, name in enumerate(self._values):
            field = table.schema.field(name)
            array = in_one_piece(table.column(name))
            if len(kept) < len(array):
                array = taken(array, kept)
            codes = columns
            if number == 0 and not self._carried:
                codes = codes.copy()
                codes[first] += self._known  # the same keys without a comma before them
            parts += [picked(self._keys[number], codes), column_texts(array, field)]
        return parts

    def _learn_keys(self) -> None:
        if self._known == len(self._columns):
            return
        self._known = len(self._columns)
        self._keys = []
        for number in range(len(self._values)):
            keys = [quoted(column.names[number]) + b":" for column in self._columns]
            self._keys.append(listed([*(b"," + key for key in keys), *keys]))


def row_starts(rows: Indices) -> Indices:
    """Return where in cells each row begins."""
    return np.flatnonzero(_begins(rows))


def _begins(rows: Indices) -> npt.NDArray[np.bool_]:
    """Return which cells are the first of their row."""
    begins = np.ones(len(rows), dtype=np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=begins[1:])
    return begins


def kept_cells(cells: Cells) -> Indices:
    """Return which cells count: those that are shown, of several at one place the last."""
    shown = cells.columns >= 0
    shown[:-1] &= (cells.rows[1:] != cells.rows[:-1]) | (cells.columns[1:] != cells.columns[:-1])
    return np.flatnonzero(shown)
