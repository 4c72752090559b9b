"""A pivot within one attempt: batches of the warehouse in, lines out, and what pages say of it.

Ranked batches are folded as they come. Flat ones are collected, text once for each distinct one. As many as the
settings let this process hold are pivoted here; more are handed over to the cluster piece by piece. Once it is known
which columns the pivot has, that is announced, and its first rows can be read while the rest is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from queryfleet.columns import column_of, columns_of
from queryfleet.errors import InternalError, LimitExceededError
from queryfleet.model import Column
from queryfleet.pivot.collation import TextOrder
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
    from queryfleet.pivot.dictionary import ColumnDictionary
    from queryfleet.pivot.naming import PivotColumn
    from queryfleet.results.writer import FinishedResult
    from queryfleet.settings import Settings

__all__ = ["CellStore", "PivotDescription", "Pivoting", "pivoting_of"]

_PIECE_CELLS = 262_144  # flat rows that are kept, and handed over, in one piece, at least


class CellStore(Protocol):
    """Takes flat cells that are too many for one process."""

    def put(self, cells: pa.Table) -> object:
        """Keep some cells; returns what `pivot` knows them by."""
        ...

    async def pivot(
        self,
        partitions: Sequence[object],
        task: PivotTask,
        *,
        announce: Callable[[ColumnDictionary], None],
        commit: Callable[[ChunkRef], Awaitable[None]],
    ) -> FinishedResult:
        """Pivot all cells that were put, and store the lines; raises `ServiceError`.

        Args:
            partitions: What `put` returned.
            task: What to do.
            announce: Is told the columns; called once, before `commit`.
            commit: Publishes one reference; called in order, for all but the last.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PivotDescription:
    """What is known of a pivot once its columns are."""

    columns: tuple[Column, ...]
    schema: pa.Schema
    details: dict[str, JsonValue]  # `pivotDetails` of its pages
    warnings: tuple[str, ...]


class Pivoting:
    """One pivot. `lines` is called once, on the work thread; the rest afterwards.

    Args:
        task: What to do.
        cells_max: With more flat cells than that they are handed over; of ranked ones, how many may be held back.
        cells: Where they are handed to; None: nowhere, all is done here.
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
        self._texts = TextOrder(task.plan) if task.has_collation and task.way is PivotWay.DISTRIBUTED else None

    @property
    def is_handed_over(self) -> bool:
        """Whether there were no lines because `hand_over` will store them."""
        return bool(self._partitions)

    def lines(
        self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], announce: Callable[[PivotDescription], None]
    ) -> Iterator[EncodedBatch]:
        """Yield the lines of the pivot.

        Args:
            schema: Of what the warehouse gives.
            batches: Ranked cells in order, or flat ones in any.
            announce: Is told the columns, before the first line where they are known by then; called at most once.

        Raises:
            ParameterError: The warehouse's rows lack a column that the pivot names.
            LimitExceededError: There are more columns than a pivot may have.
        """
        is_announced = False
        for lines in (self._fold if self._task.way is PivotWay.SQL else self._collect)(schema, batches):
            if not is_announced and (self._ranked is None or self._ranked.is_complete):
                is_announced = True
                announce(self.described(row_count=1))
            yield lines

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
        held: list[pa.Table] = []
        size = 0
        for piece in self._pieces(schema, batches):
            if self._texts is not None:
                self._texts.observe(piece)
            held.append(piece)
            size += piece.num_rows
            if self._cells is not None and size > self._cells_max:
                self._partitions += [self._cells.put(each) for each in held]
                held.clear()
        if self._partitions:
            return
        table = pa.concat_tables(held) if held else self._schema.empty_table()
        held.clear()
        found = pivoted(table, plan, self._task.display)
        del table
        self._columns, self._total = found.dictionary.columns, found.dictionary.total
        yield from folded([found.cells], plan.spec, found.dictionary.columns)

    def _pieces(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """Yield flat cells in compact pieces of some size."""
        import pyarrow as pa

        from queryfleet.pivot.flat import compacted

        pending: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            pending.append(batch)
            size += batch.num_rows
            if size >= _PIECE_CELLS:
                yield compacted(pa.Table.from_batches(pending, schema), self._task.plan)
                pending, size = [], 0
        if pending:
            yield compacted(pa.Table.from_batches(pending, schema), self._task.plan)

    async def hand_over(
        self, announce: Callable[[PivotDescription], None], commit: Callable[[ChunkRef], Awaitable[None]]
    ) -> FinishedResult:
        """Have the cluster make and store the lines; raises `ServiceError`.

        Args:
            announce: As for `lines`.
            commit: Publishes one reference; called in order, for all but the last.
        """
        if self._cells is None:
            raise InternalError("There is no cluster to pivot on.")

        def known(dictionary: ColumnDictionary) -> None:
            self._columns, self._total = dictionary.columns, dictionary.total
            announce(self.described(row_count=1))

        return await self._cells.pivot(self._partitions, self._task, announce=known, commit=commit)

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
            warnings=(*self._task.warnings, *(self._texts.warnings if self._texts is not None else ()), *self._cut()),
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


def pivoting_of(assignment: Assignment, settings: Settings, *, cells: CellStore | None) -> Pivoting | None:
    """Return the pivot of an attempt; None when its rows stay as they are."""
    if assignment.pivot is None:
        return None
    return Pivoting(PivotTask.from_json(assignment.pivot), cells_max=settings.pivot_actor_cells_max, cells=cells)
