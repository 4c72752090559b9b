"""What every warehouse does to its batches: unique names, sizes that suit the encoder, a limit on rows.

Drivers give pieces of any size, from one row to a hundred thousand. The encoder is fastest on a few MiB at a
time, and a reader wants the first rows at once: so the first piece passes as it is, later ones are gathered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

__all__ = ["TARGET_BYTES", "shaped_batches", "unique_names"]

TARGET_BYTES = 2 * 1024 * 1024  # of Arrow memory per batch; measured best for encoding is 2 to 4 MB of text


def unique_names(names: Sequence[str]) -> list[str]:
    """Give every column a name of its own: `a, a, a_1` becomes `a, a_2, a_1`.

    The first bearer keeps its name; a later one gets the lowest `_1`, `_2`, … that no column has, given or
    made. Names differ by case, as keys of a JSON object do.

    Returns:
        As many names as given, in order, all different; names that were unique are unchanged.
    """
    taken = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 0
        if name in seen:
            while candidate in taken:
                number += 1
                candidate = f"{name}_{number}"
            taken.add(candidate)
        seen.add(candidate)
        result.append(candidate)
    return result


def shaped_batches(
    pieces: Iterable[pa.RecordBatch],
    *,
    max_rows: int,
    row_limit: int | None = None,
    target_bytes: int = TARGET_BYTES,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `pieces` in order, in batches of 1 to `max_rows` rows.

    Args:
        pieces: Batches of one schema; consumed one at a time, and not beyond the one that reaches
            `row_limit`.
        max_rows: At least 1.
        row_limit: Stop after this many rows; None: all of them.
        target_bytes: Small pieces are gathered until they hold about this much; the first is never held back.

    Cost: one copy of what is gathered; at most `target_bytes` and one piece in memory.
    """
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    first = True
    for piece in _limited(pieces, row_limit):
        gathered.append(piece)
        rows += piece.num_rows
        size += piece.nbytes
        if first or rows >= max_rows or size >= target_bytes:
            yield from _split(gathered, max_rows)
            gathered, rows, size, first = [], 0, 0, False
    if gathered:
        yield from _split(gathered, max_rows)


def _limited(pieces: Iterable[pa.RecordBatch], row_limit: int | None) -> Iterator[pa.RecordBatch]:
    left = row_limit
    if left is not None and left <= 0:
        return
    for piece in pieces:
        taken = piece if left is None or piece.num_rows <= left else piece.slice(0, left)
        if taken.num_rows:
            yield taken
        if left is not None:
            left -= taken.num_rows
            if left <= 0:
                return


def _split(gathered: list[pa.RecordBatch], max_rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    whole = gathered[0] if len(gathered) == 1 else pa.concat_batches(gathered)
    for start in range(0, whole.num_rows, max_rows):
        yield whole.slice(start, max_rows)
