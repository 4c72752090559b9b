"""Reads a result file of Athena: every value in quotes, NULL as nothing at all, an empty text as two quotes.

The file is fetched in ranges, and each range is cut after the last row that it holds whole: a line break inside
quotes ends no row. So rows may be of any length, memory holds two ranges and one row, and a range that fails is
fetched again.

    range ──▶ left over + bytes ──▶ cut after the last whole row ──▶ columns of text ──▶ typed columns
                   ▲───────────────────── the rest ──╯
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from queryfleet.errors import WarehouseConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    import pyarrow as pa

    from queryfleet.warehouse.background import BackgroundCalls

__all__ = ["RangeReader", "result_rows", "text_columns", "whole_rows"]

FIRST_BYTES = 256 * 1024  # so that the first rows come soon
RANGE_BYTES = 2 * 1024 * 1024


class RangeReader(Protocol):
    """Reads pieces of one file."""

    def __call__(self, start: int, end: int) -> tuple[bytes, int]:
        """Return the bytes from `start` to before `end`, or to the file's end, and the file's size."""
        ...


def result_rows(read: RangeReader, calls: BackgroundCalls, *, columns: int, first_row: int) -> Iterator[pa.Table]:
    """Yield the rows of a file as columns of text, without its header.

    Args:
        read: Fetches a range; called in the background, one range ahead of whoever reads.
        calls: Where it runs; stopping it ends every wait here.
        columns: How many there are.
        first_row: Rows before it are passed over, from 0.

    Raises:
        WarehouseConnectionError: The file ends inside a row.
    """
    held, header, skip = b"", True, first_row
    for data in _ranges(read, calls):
        held += data
        end = whole_rows(held)
        if not end:
            continue
        table = text_columns(held[:end], columns)
        held = held[end:]
        if header:
            table, header = table.slice(1), False
        passed = min(skip, table.num_rows)
        skip -= passed
        if table.num_rows > passed:
            yield table.slice(passed)
    if held or header:
        raise WarehouseConnectionError("The result file in S3 ends inside a row: it is not whole.", transient=True)


def _ranges(read: RangeReader, calls: BackgroundCalls) -> Iterator[bytes]:
    """Yield the file's bytes, the next range under way meanwhile."""
    start, end = 0, FIRST_BYTES
    under_way: Future[tuple[bytes, int]] | None = calls.start(lambda: read(0, FIRST_BYTES))
    while under_way is not None:
        data, size = calls.result(under_way)
        if len(data) != min(end, size) - start:
            raise WarehouseConnectionError("A piece of the result file in S3 arrived incomplete.", transient=True)
        start, end = end, end + RANGE_BYTES
        under_way = calls.start(lambda start=start, end=end: read(start, end)) if start < size else None  # type: ignore[misc]
        yield data


def whole_rows(data: bytes) -> int:
    """Return after how many bytes the last whole row of `data` ends; 0 when there is none.

    Args:
        data: Begins with a row.

    Cost: looks at every byte once or twice.
    """
    end = len(data)
    quotes = data.count(b'"')
    while True:
        found = data.rfind(b"\n", 0, end)
        quotes -= data.count(b'"', found + 1, end)
        if found < 0 or quotes % 2 == 0:  # quotes inside a value are doubled, so they do not matter
            return found + 1
        end = found


def text_columns(data: bytes, columns: int) -> pa.Table:
    """Read whole rows as columns of text, named by their numbers."""
    import pyarrow as pa
    from pyarrow import csv

    names = [str(number) for number in range(columns)]
    table: pa.Table = csv.read_csv(
        pa.BufferReader(data),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),  # an empty line: one NULL
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return table
