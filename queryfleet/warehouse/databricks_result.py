"""A statement's answers, and its result as pieces in cloud storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from queryfleet.errors import WarehouseQueryError
from queryfleet.warehouse.answers import entries, number, part
from queryfleet.warehouse.databricks_api import DatabricksFailure, downloaded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from queryfleet.errors import JsonValue
    from queryfleet.warehouse.databricks_api import DatabricksApi
    from queryfleet.warehouse.stored_result import StoredPartition

__all__ = [
    "STATEMENTS",
    "LinkedPiece",
    "Piece",
    "StoredStatement",
    "failure",
    "state_of",
    "stored_statement",
    "with_links",
]

STATEMENTS = "/api/2.0/sql/statements"
_LINKS_AT_ONCE = 8
_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of a result, its link asked for when it is read, unless it came with the answer."""

    api: DatabricksApi
    query_id: str
    index: int
    row_count: int
    byte_count: int
    link: LinkedPiece | None = None

    def read(self) -> pa.Table:
        """Follow the link, or ask for one."""
        link = self.link or self.linked()
        return self.api.download(link.url, link.headers)

    def linked(self) -> LinkedPiece:
        """Ask for a fresh link."""
        answer = self.api.get(f"{STATEMENTS}/{self.query_id}/result/chunks/{self.index}")
        found = _links(answer).get(self.index)
        if found is None:
            raise WarehouseQueryError(f"Databricks has no link to piece {self.index} of the result.")
        return replace(found, row_count=self.row_count, byte_count=self.byte_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedPiece:
    """One piece of a result with a link that is good for some minutes."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    row_count: int
    byte_count: int

    def read(self) -> pa.Table:
        """Follow the link, in whatever process."""
        import httpx2

        with httpx2.Client(timeout=_ANSWER_SECONDS) as client:
            return downloaded(client, self.url, self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStatement:
    """A result in Databricks."""

    columns: Sequence[Mapping[str, JsonValue]]
    chunks: Sequence[Piece | LinkedPiece]


def with_links(wanted: Sequence[StoredPartition]) -> tuple[StoredPartition, ...]:
    """Return the same pieces with links of their own, which can be followed in any process for some minutes."""
    pieces = [cast("Piece", partition.chunk) for partition in wanted]
    with ThreadPoolExecutor(_LINKS_AT_ONCE) as pool:
        linked = list(pool.map(Piece.linked, pieces))
    return tuple(replace(partition, chunk=chunk) for partition, chunk in zip(wanted, linked, strict=True))


def stored_statement(
    answer: Mapping[str, JsonValue], api: DatabricksApi, query_id: str, *, row_limit: int | None
) -> StoredStatement:
    """Return the result of a statement that has succeeded.

    Args:
        answer: What Databricks says of the statement, a moment old.
        api: Where pieces ask for links.
        query_id: Of the statement.
        row_limit: That it was submitted with.

    Raises:
        WarehouseQueryError: Databricks has cut the result on its own account, or its list of pieces has gaps.
    """
    manifest, links = part(answer, "manifest"), _links(part(answer, "result"))
    chunks = tuple(
        Piece(
            api=api,
            query_id=query_id,
            index=number(each, "chunk_index"),
            row_count=number(each, "row_count"),
            byte_count=number(each, "byte_count"),
            link=links.get(number(each, "chunk_index")),
        )
        for each in sorted(entries(manifest, "chunks"), key=lambda each: number(each, "chunk_index"))
        if number(each, "row_count")
    )
    rows, total = sum(chunk.row_count for chunk in chunks), manifest.get("total_row_count")
    if isinstance(total, int) and rows != total:
        raise WarehouseQueryError(f"Databricks lists pieces of {rows} rows of a result that has {total}.")
    if manifest.get("truncated") is True and (row_limit is None or rows < row_limit):
        raise WarehouseQueryError(
            "Databricks cut the result: it is larger than the 100 GiB that it delivers. "
            "Select fewer rows or columns, or sum up more."
        )
    return StoredStatement(columns=entries(part(manifest, "schema"), "columns"), chunks=chunks)


def _links(answer: Mapping[str, JsonValue]) -> dict[int, LinkedPiece]:
    """Return the links of an answer by the numbers of their pieces."""
    return {
        number(each, "chunk_index"): LinkedPiece(
            url=str(each.get("external_link") or ""),
            headers={key: str(value) for key, value in part(each, "http_headers").items()},
            row_count=number(each, "row_count"),
            byte_count=number(each, "byte_count"),
        )
        for each in entries(answer, "external_links")
    }


def failure(answer: Mapping[str, JsonValue]) -> DatabricksFailure:
    """Return what a statement that did not succeed has failed with."""
    status = part(answer, "status")
    error = part(status, "error")
    said = error.get("message")
    if said is None:
        closed = state_of(answer) == "CLOSED"
        said = "its result is kept no more" if closed else "the statement was cancelled in Databricks"
    sql_state = status.get("sql_state")
    return DatabricksFailure(
        str(said),
        code=str(error.get("error_code") or state_of(answer)),
        sql_state=str(sql_state) if sql_state else None,
    )


def state_of(answer: Mapping[str, JsonValue]) -> str:
    """Return how far a statement is, in Databricks' word."""
    return str(part(answer, "status").get("state"))
