"""A pivot within one attempt: batches of the warehouse in, lines out, and at the end what pages say of it.

Ranked batches are folded as they come. Flat ones are collected: few are pivoted here, many are handed over to the
cluster piece by piece, so that the actor never holds more than a piece.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from queryfleet.columns import column_of, columns_of
from queryfleet.errors import InternalError, LimitExceededError
from queryfleet.model import Column
from queryfleet.pivot.details import pivot_details, pivot_schema
from queryfleet.pivot.ranked import RankedColumns, ranked_spec
from queryfleet.pivot.task import PivotTask, PivotWay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from actors.messages import Assignment
    from queryfleet.encoding.lines import EncodedBatch
    from queryfleet.errors import JsonValue
    from queryfleet.model import ChunkRef
    from queryfleet.pivot.cells import Cells
    from queryfleet.pivot.naming import PivotColumn
    from queryfleet.results.writer import FinishedResult

__all__ = ["CellStore", "PivotDescription", "Pivoting", "StoredPivot", "pivoting_of"]

_PIECE_CELLS = 131_072  # flat rows that are handed over at once, at least


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredPivot:
    """A pivot whose lines the cluster has stored."""

    result: FinishedResult
    columns: tuple[PivotColumn, ...]  # the shown ones, in order
    total: int | None  # value columns, shown or not


class CellStore(Protocol):
    """Takes flat cells that are too many for one process."""

    def put(self, cells: pa.Table) -> object:
        """Keep some cells; returns what `pivot` knows them by."""
        ...

    async def pivot(
        self, partitions: Sequence[object], task: PivotTask, *, commit: Callable[[ChunkRef], Awaitable[None]]
    ) -> StoredPivot:
        """Pivot all cells that were put, and store the lines; raises `ServiceError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PivotDescription:
    """What is known of a pivot at its end."""

    columns: tuple[Column, ...]
    schema: pa.Schema
    details: dict[str, JsonValue]  # `pivotDetails` of its pages
    warnings: tuple[str, ...]


class Pivoting:
    """One pivot. `lines` is called once, on the work thread; the rest afterwards.

    Args:
        task: What to do.
        cells_max: With more flat cells than that they are handed over.
        cells: Where to; None: nowhere, all is done here.
    """

    def __init__(self, task: PivotTask, *, cells_max: int, cells: CellStore | None) -> None:
        self._task = task
        self._cells_max = cells_max
        self._cells = cells
        self._schema: pa.Schema | None = None  # of the flat cells
        self._ranked: RankedColumns | None = None
        self._columns: tuple[PivotColumn, ...] = ()
        self._total: int | None = None
        self._partitions: list[object] = []

    @property
    def is_handed_over(self) -> bool:
        """Whether there were no lines because `hand_over` will store them."""
        return bool(self._partitions)

    def lines(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[EncodedBatch]:
        """Yield the lines of the pivot.

        Args:
            schema: Of what the warehouse gives.
            batches: Ranked cells in order, or flat ones in any.

        Raises:
            ParameterError: The warehouse's rows lack a column that the pivot names.
            LimitExceededError: There are more columns than a pivot may have.
        """
        return (self._fold if self._task.way is PivotWay.SQL else self._collect)(schema, batches)

    def _fold(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[EncodedBatch]:
        from queryfleet.pivot.flat import flat_schema
        from queryfleet.pivot.fold import folded

        plan = replace(self._task.plan, spec=ranked_spec(self._task.plan.spec), order_by={})
        self._schema = flat_schema(schema, plan)
        self._ranked = RankedColumns(plan, self._task.display)
        yield from folded(self._places(self._ranked, batches), plan.spec, self._ranked.columns)

    def _places(self, ranked: RankedColumns, batches: Iterable[pa.RecordBatch]) -> Iterator[Cells]:
        most = self._task.plan.limits.columns_max
        for cells in ranked.all_cells(batches, ahead_max=self._cells_max):
            if ranked.total is not None and ranked.total > most:
                raise LimitExceededError(
                    f"The pivot has {ranked.total} columns, and {most} are the limit; group by fields with fewer "
                    "values, or filter.",
                    limit="columns",
                    value=most,
                    seen=ranked.total,
                )
            yield cells

    def _collect(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[EncodedBatch]:
        import pyarrow as pa

        from queryfleet.pivot.flat import flat_schema
        from queryfleet.pivot.fold import folded
        from queryfleet.pivot.local import pivoted

        plan = self._task.plan
        self._schema = flat_schema(schema, plan)
        pieces: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            pieces.append(batch)
            size += batch.num_rows
            if self._cells is not None and size > (_PIECE_CELLS if self._partitions else self._cells_max):
                self._partitions.append(self._cells.put(pa.Table.from_batches(pieces, schema)))
                pieces, size = [], 0
        if self._partitions and self._cells is not None:
            if pieces:
                self._partitions.append(self._cells.put(pa.Table.from_batches(pieces, schema)))
            return
        found = pivoted(pa.Table.from_batches(pieces, schema), plan, self._task.display)
        self._columns, self._total = found.dictionary.columns, found.dictionary.total
        yield from folded([found.cells], plan.spec, found.dictionary.columns)

    async def hand_over(self, commit: Callable[[ChunkRef], Awaitable[None]]) -> FinishedResult:
        """Have the cluster make and store the lines; raises `ServiceError`.

        Args:
            commit: Publishes one reference; called in order, for all but the last.
        """
        if self._cells is None:
            raise InternalError("There is no cluster to pivot on.")
        stored = await self._cells.pivot(self._partitions, self._task, commit=commit)
        self._columns, self._total = stored.columns, stored.total
        return stored.result

    def described(self, *, row_count: int) -> PivotDescription:
        """Return what is known of the pivot now.

        Args:
            row_count: Lines of the result; without any there are no columns.
        """
        spec = self._task.plan.spec
        if self._schema is None:
            raise InternalError("The pivot has not begun.")
        if self._ranked is not None:
            self._columns, self._total = self._ranked.in_order(), self._ranked.total
        shown = self._columns if row_count else ()
        schema = pivot_schema(self._schema, spec, shown)
        return PivotDescription(
            columns=tuple(columns_of(schema)) if row_count else (),
            schema=schema,
            details=pivot_details(
                spec, shown, total=self._total if row_count else None, original=self._original(self._schema)
            ),
            warnings=(*self._task.warnings, *self._cut()),
        )

    def _original(self, schema: pa.Schema) -> list[Column]:
        """Return the columns of the flat query: dimensions, and what the values are made of."""
        if not self._task.has_original:
            return []
        spec = self._task.plan.spec
        found = {name: column_of(schema.field(name)) for name in dict.fromkeys((*spec.carried, *spec.groups))}
        for value in spec.values:
            kind = column_of(schema.field(value.name)).type
            found.setdefault(value.reference, Column(reference=value.reference, type=kind))
        return list(found.values())

    def _cut(self) -> tuple[str, ...]:
        spec = self._task.plan.spec
        shown = len(self._columns) * (1 if spec.metrics_as_rows else len(spec.values))
        if self._total is None or self._total <= shown:
            return ()
        return (f"The pivot has {self._total} columns; the first {shown} are shown.",)


def pivoting_of(assignment: Assignment, *, cells_max: int, cells: CellStore | None) -> Pivoting | None:
    """Return the pivot of an attempt; None when its rows stay as they are."""
    if assignment.pivot is None:
        return None
    return Pivoting(PivotTask.from_json(assignment.pivot), cells_max=cells_max, cells=cells)
