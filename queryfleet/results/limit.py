"""Where a result ends because a limit says so, in rows or in bytes, and how its reader learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import LimitExceededError

if TYPE_CHECKING:
    import pyarrow as pa

    from queryfleet.results.encoder import EncodedBatch

__all__ = ["ResultLimit"]


class ResultLimit:
    """Counts what passes and cuts what is too much. Used by one thread.

    Args:
        rows_max: Most rows; None: no limit.
        bytes_max: Most bytes of JSONL; None: no limit.
        is_error: At a limit raise instead of cutting.
    """

    def __init__(self, *, rows_max: int | None, bytes_max: int | None, is_error: bool) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._is_error = is_error
        self._rows = 0
        self._bytes = 0
        self.reached: str | None = None  # the limit that cut the result, as a sentence for its reader

    def continue_after(self, *, rows: int, bytes: int) -> None:  # noqa: A002 - the limit's own words
        """Count what has passed before; before the first batch."""
        self._rows, self._bytes = rows, bytes

    def row_limit(self, wanted: int | None) -> int | None:
        """Return how many rows to ask the warehouse for: one more than allowed, to see whether there are more."""
        if self._rows_max is None:
            return wanted
        return self._rows_max + 1 if wanted is None else min(wanted, self._rows_max + 1)

    def cut_rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return `batch`, or its beginning when the limit on rows lies in it; `reached` is set then.

        Raises:
            LimitExceededError: The limit lies in it, and is to be an error.
        """
        kept = self.cut_count(batch.num_rows)
        return batch if kept == batch.num_rows else batch.slice(0, kept)

    def cut_count(self, count: int) -> int:
        """Return how many of the next `count` rows the limit on rows lets through; else as `cut_rows`."""
        if self._rows_max is not None and self._rows + count > self._rows_max:
            self._reach("rows", self._rows_max)
            count = self._rows_max - self._rows
        self._rows += count
        return count

    def cut_bytes(self, batch: EncodedBatch) -> EncodedBatch:
        """Return `batch`, or as many whole lines of it as the limit on bytes lets through; raises like `cut_rows`."""
        from queryfleet.results.encoder import EncodedBatch

        size = int(batch.offsets[-1])
        if self._bytes_max is not None and self._bytes + size > self._bytes_max:
            self._reach("bytes", self._bytes_max)
            kept = int((batch.offsets <= self._bytes_max - self._bytes).sum()) - 1
            size = int(batch.offsets[kept])
            batch = EncodedBatch(data=batch.data[:size], offsets=batch.offsets[: kept + 1])
        self._bytes += size
        return batch

    def _reach(self, unit: str, limit: int) -> None:
        if self._is_error:
            raise LimitExceededError(
                f"The result has more than {limit} {unit}, the project's limit; ask for less, or raise "
                f"`limits.{unit}`.",
                limit=unit,
                value=limit,
            )
        self.reached = f"The result was cut at {limit} {unit}, the project's limit; there is more."
