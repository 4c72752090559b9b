"""A pivot on the whole cluster: the steps of `queryfleet.pivot.distributed` as Ray tasks, spread over the nodes.

Flat rows stay in Ray's object store, where a task finds them on its own node or fetches them. The lines never go
through it: the task that makes a range of rows also uploads it, as chunks of its own. Only what is small comes to the
caller: columns, row keys, counts, references of chunks. These it commits in the order of the rows.

What a lost node held is made again from what it was made of, and so are the ranges that it had not finished. Its
finished ranges are in the store and stay. A range that is written twice has the same bytes under the same keys.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray

from actors.pool import awaitable
from actors.ray_tasks import step_back, task_errors
from queryfleet.errors import InternalError, StorageError
from queryfleet.results.writer import FinishedResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from queryfleet.model import ChunkRef
    from queryfleet.pivot.cells import Cells
    from queryfleet.pivot.dictionary import ColumnDictionary
    from queryfleet.pivot.distributed import RowPlan
    from queryfleet.pivot.naming import Display
    from queryfleet.pivot.spec import PivotPlan
    from queryfleet.results.chunking import ChunkLimits
    from queryfleet.settings import Settings

__all__ = ["FinishedPivot", "PivotJob", "pivot_on_cluster"]

_RETRIES = 3  # of a task whose process or node dies


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotJob:
    """What every task of one pivot is told."""

    query_uuid: str
    attempt: int
    plan: PivotPlan
    display: Display
    chunk_limits: ChunkLimits
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedPivot:
    """All lines are durable; what is left to publish is in `result`."""

    result: FinishedResult
    dictionary: ColumnDictionary  # the columns, shown or not
    schema: pa.Schema  # of the pivoted result
    is_cut: bool  # there are more rows than the limit lets through
    node_ids: tuple[str, ...]  # for each range, the node that wrote it
    stage_seconds: Mapping[str, float]  # wall time of each stage, in the order they ran; one follows the other


async def pivot_on_cluster(
    partitions: Sequence[Any],
    job: PivotJob,
    *,
    range_count: int,
    commit: Callable[[ChunkRef], Awaitable[None]],
    announce: Callable[[ColumnDictionary], None] = lambda _: None,
    at_once: int | None = None,
) -> FinishedPivot:
    """Pivot flat rows that lie anywhere on the cluster, and store the lines.

    Args:
        partitions: Ray references of tables of flat rows, at least one; cut anywhere, in any order. Only those that
            tasks made survive the loss of their node.
        job: What to do.
        range_count: Into how many ranges of rows the result is cut; two for each core is a good number.
        commit: Publishes one reference; called in the order of the rows, after the object is durable, for all but the
            last.
        announce: Is told the columns; called once, before `commit`.
        at_once: How many tasks may run at the same time; None: as many as the cluster has cores, two at least.

    Raises:
        ServiceError: What a task or `commit` failed with. Objects already written stay; see `delete_attempt`.
        StorageError: Nodes were lost more often than tasks are repeated.
    """
    run = _Run(job, at_once or max(2, int(ray.cluster_resources().get("CPU", 2))))
    try:
        with task_errors(
            failed=lambda cause: InternalError(
                f"A step of the pivot failed: {type(cause).__name__}.", cause=str(cause)[:300]
            ),
            lost=lambda reason: StorageError(f"The cluster could not finish the pivot: {reason}."),
        ):
            return await run.all_steps(partitions, range_count, announce=announce, commit=commit)
    finally:
        run.cancel()


class _Run:
    """The steps of one pivot. Lives on one event loop."""

    def __init__(self, job: PivotJob, at_once: int) -> None:
        self._job = job
        self._references: list[Any] = []  # of all tasks
        # As many at once as there are cores: query actors take them too, so tasks do not ask Ray for any.
        self._room = asyncio.Semaphore(at_once)
        self._stages: dict[str, float] = {}

    async def all_steps(
        self,
        partitions: Sequence[Any],
        range_count: int,
        *,
        announce: Callable[[ColumnDictionary], None],
        commit: Callable[[ChunkRef], Awaitable[None]],
    ) -> FinishedPivot:
        from queryfleet.pivot.details import pivot_schema
        from queryfleet.pivot.dictionary import merged_columns, ordered_columns
        from queryfleet.pivot.distributed import needs_hash_parts, row_plan, shown_columns

        plan = self._job.plan
        # Each group of tables is what one task reads.
        groups: list[tuple[Any, ...]] = [(partition,) for partition in partitions]
        if needs_hash_parts(plan) and len(partitions) > 1:
            groups, found = await self._regrouped(partitions)
        else:
            with self._stage("columns"):
                found = await self._each("columns", _columns, [(plan, *group) for group in groups])
        with self._stage("dictionary"):
            partials, schemas = zip(*found, strict=True)
            partial = await asyncio.to_thread(merged_columns, partials, plan)
            dictionary = await asyncio.to_thread(ordered_columns, partial, plan, self._job.display)
            known = ray.put(dictionary)
        with self._stage("keys"):
            keys = await self._each("keys", _keys, [(plan, known, range_count, *group) for group in groups])
        with self._stage("row plan"):
            rows: RowPlan = await asyncio.to_thread(row_plan, keys, plan, range_count=range_count)
        with self._stage("split"):
            parts, seen = await self._split(groups, known, rows)
        dictionary = shown_columns(dictionary, plan, rows, seen)
        announce(dictionary)
        chunks, node_ids = await self._stored(parts, dictionary, commit)
        return FinishedPivot(
            result=FinishedResult(
                uncommitted=tuple(chunks[-1:]),
                row_count=sum(chunk.row_count for chunk in chunks),
                byte_count=sum(chunk.byte_count for chunk in chunks),
                chunk_count=len(chunks),
            ),
            dictionary=dictionary,
            schema=pivot_schema(schemas[0], plan.spec, dictionary.columns),
            is_cut=rows.is_cut,
            node_ids=tuple(node_ids),
            stage_seconds=self._stages,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Take the time of a stage."""
        began = time.monotonic()
        yield
        self._stages[name] = time.monotonic() - began

    async def _regrouped(self, partitions: Sequence[Any]) -> tuple[list[tuple[Any, ...]], list[Any]]:
        """Return the same rows in groups of tables, all cells of a row in one group; and the columns of each partition.

        Columns are merged whatever partitions they are of, so they are found in the same tasks.
        """
        plan, count = self._job.plan, len(partitions)
        with self._stage("hash, columns"):
            hashed = await self._each("hash", _hash, [(plan, count, part) for part in partitions], returns=count + 1)
        return list(zip(*(parts[:-1] for parts in hashed), strict=True)), [parts[-1] for parts in hashed]

    async def _split(self, groups: Sequence[tuple[Any, ...]], known: Any, rows: RowPlan) -> tuple[list[Any], list[Any]]:
        """Return for each range its share of every group, and which columns each group shows."""
        where, plan = ray.put(rows), self._job.plan
        given = [(plan, known, where, *group) for group in groups]
        splits = await self._each("split", _split_rows, given, returns=rows.range_count + 1)
        return list(zip(*(split[:-1] for split in splits), strict=True)), [split[-1] for split in splits]

    async def _stored(
        self,
        parts: Sequence[Sequence[Any]],
        dictionary: ColumnDictionary,
        commit: Callable[[ChunkRef], Awaitable[None]],
    ) -> tuple[list[ChunkRef], list[str]]:
        """Write every range; returns all references, in order, and the node of each range."""
        shown = ray.put(dictionary)
        # A page is found by row numbers: those of a range are known once the ranges before it are sorted and counted.
        first_rows = [asyncio.get_running_loop().create_future() for _ in range(len(parts) + 1)]
        first_rows[0].set_result(0)
        work = [
            asyncio.ensure_future(self._one_range(number, share, shown, first_rows))
            for number, share in enumerate(parts)
        ]
        chunks: list[ChunkRef] = []
        node_ids = []
        try:
            with self._stage("range, write"):
                for each in work:
                    found, node_id = await each
                    node_ids.append(node_id)
                    for chunk in found:
                        if chunks:
                            await commit(chunks[-1])
                        chunks.append(replace(chunk, index=len(chunks)))
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        return chunks, node_ids

    async def _one_range(
        self, number: int, share: Sequence[Any], shown: Any, first_rows: Sequence[asyncio.Future[int]]
    ) -> tuple[list[ChunkRef], str]:
        """Put one range in order and write it, so that the first ones are there while the last ones wait."""
        # Ranges get room in their order, so the one that this one waits for has it already.
        async with self._room:
            given = (self._job.plan, shown, *share)
            cells, count = await self._run("range", _range, *given, returns=2)
            first_row = await first_rows[number]
            first_rows[number + 1].set_result(first_row + count)
            found: tuple[list[ChunkRef], str] = await self._run(
                "write", _write, self._job, shown, number, first_row, cells
            )
            return found

    async def _each(
        self, name: str, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], *, returns: int = 1
    ) -> list[Any]:
        """Run a step for each of some arguments; see `_one`."""
        work = [self._one(name, function, *given, returns=returns) for given in arguments]
        return list(await asyncio.gather(*work))

    async def _one(self, name: str, function: Callable[..., Any], *arguments: Any, returns: int = 1) -> Any:
        """Run a task to its end; returns its value, or of several their references and the last one's value."""
        async with self._room:
            return await self._run(name, function, *arguments, returns=returns)

    async def _run(self, name: str, function: Callable[..., Any], *arguments: Any, returns: int = 1) -> Any:
        found = self._start(name, function, *arguments, returns=returns)
        if returns == 1:
            return await awaitable(found)
        return [*found[:-1], await awaitable(found[-1])]

    def _start(self, name: str, function: Callable[..., Any], *arguments: Any, returns: int = 1) -> Any:
        """Start a task; returns its reference, or a list of them."""
        options = {"num_cpus": 0, "max_retries": _RETRIES, "scheduling_strategy": "SPREAD", "name": f"pivot_{name}"}
        found = ray.remote(function).options(num_returns=returns, **options).remote(*arguments)
        self._references += found if returns > 1 else [found]
        return found

    def cancel(self) -> None:
        """Stop what is still running and let go of all tables."""
        for reference in self._references:
            ray.cancel(reference)
        self._references.clear()


# Tasks -----------------------------------------------------------------------------------------------------------


def _hash(plan: PivotPlan, count: int, table: pa.Table) -> list[Any]:
    from queryfleet.pivot.distributed import hash_parts

    return [*hash_parts(table, plan, count), _columns(plan, table)]


def _columns(plan: PivotPlan, *tables: pa.Table) -> tuple[pa.Table, pa.Schema]:
    from queryfleet.pivot.dictionary import columns_of_partition
    from queryfleet.pivot.flat import plain_schema

    table = _together(plan, tables)
    return columns_of_partition(table, plan), plain_schema(table.schema)


def _keys(plan: PivotPlan, dictionary: ColumnDictionary, range_count: int, *tables: pa.Table) -> pa.Table:
    from queryfleet.pivot.distributed import keys_of_partition

    return keys_of_partition(_together(plan, tables), plan, dictionary, range_count=range_count)


def _split_rows(plan: PivotPlan, dictionary: ColumnDictionary, rows: RowPlan, *tables: pa.Table) -> list[Any]:
    from queryfleet.pivot.distributed import split_rows

    split = split_rows(_together(plan, tables), plan, dictionary, rows)
    return [*split.parts, split.seen]


def _together(plan: PivotPlan, tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    from queryfleet.pivot.flat import prepared

    return prepared(pa.concat_tables(tables), plan)


def _range(plan: PivotPlan, dictionary: ColumnDictionary, *parts: pa.Table) -> tuple[Cells, int]:
    from queryfleet.pivot.distributed import range_cells
    from queryfleet.pivot.fold import row_starts

    cells = range_cells(parts, plan, dictionary)
    return cells, len(row_starts(cells.rows))


def _write(
    job: PivotJob, dictionary: ColumnDictionary, number: int, first_row: int, cells: Cells
) -> tuple[list[ChunkRef], str]:
    """Make and upload the lines of one range; returns its chunks, counted from 0, and the node it was done on."""
    step_back(job.settings.actor_niceness)
    chunks = asyncio.run(_upload(job, dictionary, number, first_row=first_row, cells=cells))
    return chunks, ray.get_runtime_context().get_node_id()


async def _upload(
    job: PivotJob, dictionary: ColumnDictionary, number: int, *, first_row: int, cells: Cells
) -> list[ChunkRef]:
    from actors.services import open_result_store
    from queryfleet.pivot.fold import folded
    from queryfleet.results.chunking import ChunkBuilder
    from queryfleet.results.writer import ResultWriter

    chunks: list[ChunkRef] = []

    async def keep(chunk: ChunkRef) -> None:
        chunks.append(chunk)

    settings = job.settings
    store = open_result_store(settings)
    # Only the beginning of the whole result is wanted early.
    limits = (
        job.chunk_limits if number == 0 else replace(job.chunk_limits, chunk_bytes_first=job.chunk_limits.chunk_bytes)
    )
    builder = ChunkBuilder(job.query_uuid, job.attempt, limits, first_row=first_row, part=number)
    writer = ResultWriter(
        store,
        job.query_uuid,
        job.attempt,
        commit=keep,
        uploads_in_flight=settings.uploads_in_flight,
        patience_seconds=settings.store_wait_seconds,
    )
    lines = folded([cells], job.plan.spec, dictionary.columns)
    try:
        while (batch := await asyncio.to_thread(next, lines, None)) is not None:
            if (full := builder.append(batch)) is not None:
                await writer.put(full)
        if (last := builder.seal()) is not None:
            await writer.put(last)
        await writer.settle()
    finally:
        await writer.abandon()
        await store.close()
    return chunks
