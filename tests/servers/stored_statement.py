"""One statement of a stub whose result is whole before it can be read, and stays."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    import pyarrow as pa

    from tests.servers.duckdb_service import DuckDBService

PIECE_ROWS = 5_000
_SERIES = re.compile(r"from \(select range \+ 1 as n from range\((\d+)\)\)")
_LONG = 100_000
_LONGEST = 100_000_000  # rows that are promised at most
_CHANGES = ("insert", "delete", "update", "with gone as (select 1) insert")


@dataclass(frozen=True)
class Piece:
    """Some rows of a result, perhaps not made yet."""

    row_count: int
    make: Callable[[], pa.RecordBatch]


class StoredStatement:
    """Runs from the moment it is made. A series of 100,000 rows and more is made piece by piece when it is read.

    Args:
        reference: Its id.
        sql: DuckDB's.
        service: Where it runs.
        row_limit: Of the result.
    """

    def __init__(
        self, reference: str, sql: str, service: DuckDBService, *, row_limit: int | None = None, comment: str = ""
    ) -> None:
        self.id, self.sql, self.tag = reference, sql, comment
        self.over = threading.Event()
        self.error: Exception | None = None
        self.stopped: str | None = None  # why
        self.changed: int | None = None  # rows, of a statement that changes some
        self.names: list[str] = []
        self.types: list[duckdb.DuckDBPyType] = []
        self.pieces: list[Piece] = []
        self._row_limit = row_limit
        self._cursor = service.database.cursor()
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def row_count(self) -> int:
        """Of the result."""
        return sum(piece.row_count for piece in self.pieces)

    def stop(self, reason: str) -> None:
        """End it, for a reason of the service's."""
        if not self.over.is_set():
            self.stopped = reason
            while not self.over.wait(0.01):
                self._cursor.interrupt()

    def _run(self) -> None:
        try:
            if self.sql.lower().startswith(_CHANGES):
                self.changed = int(self._cursor.execute(self.sql).fetchone()[0])
                return
            relation = self._cursor.sql(self.sql)
            if "hugeint" in [str(kind).lower() for kind in relation.types]:  # as sums of whole numbers are in DuckDB
                relation = relation.project(", ".join(map(_narrowed, relation.columns, relation.types)))
            self.names, self.types = relation.columns, relation.types
            series = _SERIES.search(self.sql)
            if series is not None and int(series[1]) >= _LONG:
                self._promise(int(series[1]))
                return
            if self._row_limit is not None:
                relation = relation.limit(self._row_limit)
            for batch in relation.to_arrow_reader(PIECE_ROWS):
                if batch.num_rows:
                    self.pieces.append(Piece(batch.num_rows, lambda batch=batch: batch))
        except Exception as error:  # noqa: BLE001 - whatever DuckDB says is the client's to hear
            self.error = error
        finally:
            self.over.set()

    def _promise(self, count: int) -> None:
        total = count if self._row_limit is None else min(count, self._row_limit)
        self.pieces = [
            Piece(min(PIECE_ROWS, total - start), lambda start=start: self._made(start, min(start + PIECE_ROWS, total)))
            for start in range(0, min(total, _LONGEST), PIECE_ROWS)
        ]

    def _made(self, start: int, end: int) -> pa.RecordBatch:
        series = f"from (select range + 1 as n from range({start}, {end}))"
        cursor = self._cursor.cursor()
        try:
            batches = list(cursor.sql(_SERIES.sub(series, self.sql)).to_arrow_reader(PIECE_ROWS))
        finally:
            cursor.close()
        (batch,) = [each for each in batches if each.num_rows]
        return batch


def _narrowed(name: str, kind: duckdb.DuckDBPyType) -> str:
    return f'"{name}"::bigint as "{name}"' if str(kind).lower() == "hugeint" else f'"{name}"'
