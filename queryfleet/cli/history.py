"""`queryfleet history` and `queryfleet projects`: what there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from queryfleet.client.texts import printable

if TYPE_CHECKING:
    from datetime import datetime

    from queryfleet.cli.connection import Service
    from queryfleet.client import HistoryEntry

__all__ = ["history_text", "projects_text"]

_WHAT_CHARACTERS: Final = 60


def history_text(
    service: Service,
    *,
    limit: int,
    statuses: list[str] | None,
    user_uuid: str | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> str:
    """Return who asked what, newest first, one query a line, or as a JSON list.

    Raises:
        ForbiddenError: Queries of others are for admins.
        ServiceError: Refused for another reason, or no answer.
    """
    with service.client() as client:
        found = client.history(limit=limit, status=statuses or None, user_uuid=user_uuid, since=since, until=until)
    if as_json:
        return json.dumps([_entry(each) for each in found], ensure_ascii=False) + "\n"
    return "".join(f"{printable(_line(each))}\n" for each in found)


def projects_text(service: Service, *, as_json: bool) -> str:
    """Return the projects of the user, one a line, or as a JSON list.

    Raises:
        ServiceError: No answer, or a wrong token.
    """
    with service.client() as client:
        found = client.projects()
    if as_json:
        listed = [{"projectUuid": each.project_uuid, "name": each.name, "role": each.role} for each in found]
        return json.dumps(listed, ensure_ascii=False) + "\n"
    return "".join(f"{each.project_uuid}  {each.role:<6}  {printable(each.name)}\n" for each in found)


def _entry(entry: HistoryEntry) -> dict[str, object]:
    return {
        "queryUuid": entry.query_uuid,
        "userUuid": entry.user_uuid,
        "context": entry.context,
        "sql": entry.sql,
        "exploreName": entry.explore_name,
        "status": entry.status.value,
        "attempt": entry.attempt,
        "cacheHit": entry.cache_hit,
        "truncated": entry.truncated,
        "warehouseQueryId": entry.warehouse_query_id,
        "rows": entry.row_count,
        "bytes": entry.byte_count,
        "error": entry.error,
        "createdAt": entry.created_at,
        "endedAt": entry.ended_at,
        "resultsExpireAt": entry.results_expire_at,
        "totalMs": entry.timings.total_ms,
    }


def _line(entry: HistoryEntry) -> str:
    seconds = "" if entry.timings.total_ms is None else f"{entry.timings.total_ms / 1000:.1f} s"
    what = entry.error or entry.sql or (f"explore {entry.explore_name}" if entry.explore_name else "")
    what = " ".join(what.split())
    if len(what) > _WHAT_CHARACTERS:
        what = what[: _WHAT_CHARACTERS - 1] + "…"
    moment = entry.created_at[:19].replace("T", " ")
    facts = f"{entry.status.value:<9}  {entry.row_count:>11,} rows  {seconds:>9}"
    return f"{moment}  {entry.query_uuid}  {facts}  {what}".rstrip()
