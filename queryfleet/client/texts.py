"""What a person reads of a query and its rows: as text in a terminal, as HTML in a notebook. Nothing steers either."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from queryfleet.model import ColumnType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from queryfleet.client.answers import QuerySnapshot, ResultPage, Timings

__all__ = ["megabytes", "page_html", "page_text", "printable", "progress_text", "result_line", "snapshot_text"]

SHOWN_ROWS: Final = 10
_CELL_CHARACTERS: Final = 40  # longer texts are cut, with an ellipsis
_SHOWN_COLUMNS: Final = 20

# Everything a terminal might obey instead of show. Line ends and tabs stay.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_LINE_ENDS: Final = {ord("\n"): "⏎", ord("\t"): " "}


def printable(text: str) -> str:
    """Return `text` with control characters spelled out, so that data cannot steer the terminal."""
    return text.translate(_CONTROLS)


def megabytes(byte_count: int) -> str:
    """Return a size for people, in units of a million bytes."""
    return f"{byte_count / 1e6:,.1f} MB"


def progress_text(snapshot: QuerySnapshot, *, seconds: float) -> str:
    """Return what is known about a running query, in one line."""
    return printable(" · ".join([*_state(snapshot), f"{seconds:.1f} s"]))


def snapshot_text(snapshot: QuerySnapshot) -> str:
    """Return what a query is and how far it was, in one line."""
    parts = [snapshot.query_uuid, *_state(snapshot)]
    if snapshot.failure is not None:
        parts.append(_cut(snapshot.failure.message.translate(_LINE_ENDS), 200))
    return printable(" · ".join(parts))


def result_line(*, row_count: int, column_count: int, timings: Timings, cache_hit: bool | None, truncated: bool) -> str:
    """Return how large a result is and how long it took, in one line."""
    parts = [f"{_counted(row_count, 'row')} of {_counted(column_count, 'column')}"]
    if truncated:
        parts.append("cut short by a limit")
    if cache_hit:
        parts.append("from an earlier result")
    elif timings.total_ms is not None:
        parts.append(f"{timings.total_ms / 1000:.2f} s")
    return " · ".join(parts)


def page_text(page: ResultPage, caption: str) -> str:
    """Return the first rows of a page as a table of text, with the types of the columns; `caption` stands below."""
    columns = page.columns[:_SHOWN_COLUMNS]
    heads = [printable(_cut(column.reference.translate(_LINE_ENDS), _CELL_CHARACTERS)) for column in columns]
    kinds = [column.type.value for column in columns]
    rows = [[printable(text) for text in row] for row in _first_rows(page)]
    widths = [max(map(len, texts)) for texts in zip(heads, kinds, *rows, strict=True)]
    is_number = [column.type is ColumnType.NUMBER for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, is_number, strict=True)
        )
        return "  ".join(padded).rstrip()

    lines = [line(heads), line(kinds), line(["─" * width for width in widths]), *map(line, rows)]
    return "\n".join([*lines, *_missing(page), caption])


def page_html(page: ResultPage, caption: str) -> str:
    """Return the first rows of a page as an HTML table, with the types of the columns; every text is escaped."""
    columns = page.columns[:_SHOWN_COLUMNS]
    sides = ["right" if column.type is ColumnType.NUMBER else "left" for column in columns]
    head = "".join(
        f'<th style="text-align: {side}">{_escaped(column.reference)}<br><small>{column.type.value}</small></th>'
        for column, side in zip(columns, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: {side}">{_escaped(text)}</td>' for text, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in _first_rows(page)
    )
    notes = "".join(f"<div>{_escaped(note)}</div>" for note in [*_missing(page), caption])
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}</div>"


def _escaped(text: str) -> str:
    return escape(printable(text))


def _first_rows(page: ResultPage) -> list[list[str]]:
    first = (row[:_SHOWN_COLUMNS] for _, row in zip(range(SHOWN_ROWS), page.formatted(), strict=False))
    return [[_cut(text.translate(_LINE_ENDS), _CELL_CHARACTERS) for text in row] for row in first]


def _missing(page: ResultPage) -> list[str]:
    total = page.total_rows if page.total_rows is not None else len(page.rows)
    shown_rows, shown_columns = min(len(page.rows), SHOWN_ROWS), min(len(page.columns), _SHOWN_COLUMNS)
    notes = [f"first {shown_rows:,} rows"] if shown_rows < total else []
    notes += [f"first {shown_columns:,} columns"] if shown_columns < len(page.columns) else []
    return [", ".join(notes)] if notes else []


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _state(snapshot: QuerySnapshot) -> list[str]:
    parts = [snapshot.phase or snapshot.status.value]
    if snapshot.queue_position is not None:
        parts.append(f"number {snapshot.queue_position} in the queue")
    progress = snapshot.progress
    if progress.rows:
        parts += [f"{progress.rows:,} rows", megabytes(progress.bytes), f"{progress.chunks:,} chunks"]
    if snapshot.attempt is not None and snapshot.attempt > 1:
        parts.append(f"attempt {snapshot.attempt}")
    return parts
