"""Who asked what and when, and which projects there are: requests and answers as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from queryfleet.client.answers import parse_timings
from queryfleet.client.calls import Call
from queryfleet.errors import ConfigurationError, JsonValue, ParameterError, ServiceError
from queryfleet.status.transitions import QueryStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from queryfleet.client.answers import Timings

__all__ = [
    "HistoryEntry",
    "ProjectSummary",
    "history_call",
    "is_uuid",
    "only_project",
    "parse_history",
    "parse_projects",
    "project_named",
    "projects_call",
]

_UUID_CHARACTERS = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One query in a history. `Client.attach` makes a query of it again."""

    query_uuid: str
    user_uuid: str
    context: str  # where the question came from: `api`, `cli`, …
    sql: str  # at most 10,000 characters; empty for those who may not run SQL
    explore_name: str | None  # of a question to the models
    status: QueryStatus
    attempt: int  # how often it was begun; 0 with rows of an earlier query
    cache_hit: bool
    truncated: bool  # a limit cut the result short
    warehouse_query_id: str | None
    row_count: int
    byte_count: int
    error: str | None
    created_at: str  # ISO 8601, UTC; the next two too
    ended_at: str | None
    results_expire_at: str | None
    timings: Timings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSummary:
    """One project that this user may ask."""

    project_uuid: str
    name: str
    role: str  # viewer, editor or admin


def history_call(
    project_uuid: str,
    *,
    page: int,
    page_size: int,
    status: str | Iterable[str] | None,
    user_uuid: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Call:
    """Return the call that reads one page of a project's history.

    Raises:
        ParameterError: There is no such status.
    """
    params: dict[str, str | Sequence[str]] = {"page": str(page), "pageSize": str(page_size)}
    if status is not None:
        wanted = [status] if isinstance(status, str) else list(status)
        known = [each.value for each in QueryStatus]
        for each in wanted:
            if each not in known:
                raise ParameterError(f"status {each!r} is none of {', '.join(known)}.", field="status")
        params["status"] = [QueryStatus(each).value for each in wanted]
    if user_uuid is not None:
        params["userUuid"] = user_uuid
    for name, moment in (("since", since), ("until", until)):
        if moment is not None:
            # A moment without a zone is one of this machine's clock, as everywhere in Python.
            params[name] = moment.astimezone(UTC).isoformat()
    return Call(method="GET", path=f"/api/v2/projects/{quote(project_uuid, safe='')}/query-history", params=params)


def parse_history(results: JsonValue) -> tuple[tuple[HistoryEntry, ...], bool]:
    """Read a page: its entries, newest first, and whether further pages follow.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    try:
        data = _object(results)
        entries = tuple(_entry(_object(each)) for each in _list(data["queries"]))
        return entries, int(str(data["page"])) < int(str(data["totalPageCount"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceError("The service's answer has no valid history. Upgrade queryfleet.") from error


def projects_call() -> Call:
    """Return the call that lists the projects of this user."""
    return Call(method="GET", path="/api/v1/org/projects")


def parse_projects(results: JsonValue) -> tuple[ProjectSummary, ...]:
    """Read the answer to `projects_call`.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    try:
        return tuple(
            ProjectSummary(
                project_uuid=str(each["projectUuid"]), name=str(each["name"]), role=str(each.get("role") or "")
            )
            for each in map(_object, _list(results))
        )
    except (KeyError, TypeError) as error:
        raise ServiceError("The service's answer has no list of projects. Upgrade queryfleet.") from error


def only_project(projects: Sequence[ProjectSummary], address: str) -> str:
    """Return the uuid of the only project.

    Raises:
        ConfigurationError: There is none, or there are several; the message lists them.
    """
    if len(projects) == 1:
        return projects[0].project_uuid
    if not projects:
        raise ConfigurationError(f"This token has no role in any project of {address}.")
    text = f"{address} has {len(projects)} projects. Choose one: project= or --project, or QUERYFLEET_PROJECT."
    raise ConfigurationError(f"{text}\n{_listed(projects)}")


def project_named(projects: Sequence[ProjectSummary], name: str, address: str) -> str:
    """Return the uuid of the project of this name.

    Raises:
        ConfigurationError: There is none, or there are several; the message lists what there is.
    """
    found = [each for each in projects if each.name == name]
    if len(found) == 1:
        return found[0].project_uuid
    how_many = f"{len(found)} projects" if found else "no project"
    listed = f" Name one by its uuid:\n{_listed(found or projects)}" if projects else ""
    raise ConfigurationError(f"{address} has {how_many} of the name {name!r} for this token.{listed}")


def is_uuid(text: str) -> bool:
    """Whether a text has the form of a uuid, by which things are named without being looked up."""
    return len(text) == _UUID_CHARACTERS and all(
        character == "-" if place in (8, 13, 18, 23) else character in "0123456789abcdefABCDEF"
        for place, character in enumerate(text)
    )


def _listed(projects: Sequence[ProjectSummary]) -> str:
    return "\n".join(f"  {each.project_uuid}  {each.name}" for each in projects)


def _entry(data: dict[str, JsonValue]) -> HistoryEntry:
    return HistoryEntry(
        query_uuid=str(data["queryUuid"]),
        user_uuid=str(data["userUuid"]),
        context=str(data["context"]),
        sql=str(data.get("sql") or ""),
        explore_name=_text(data, "exploreName"),
        status=QueryStatus(str(data["status"])),
        attempt=int(str(data["attempt"])),
        cache_hit=bool(data.get("cacheHit")),
        truncated=bool(data.get("truncated")),
        warehouse_query_id=_text(data, "warehouseQueryId"),
        row_count=int(str(data.get("rows") or 0)),
        byte_count=int(str(data.get("bytes") or 0)),
        error=_text(data, "error"),
        created_at=str(data["createdAt"]),
        ended_at=_text(data, "endedAt"),
        results_expire_at=_text(data, "resultsExpireAt"),
        timings=parse_timings(data.get("timings")),
    )


def _text(data: dict[str, JsonValue], member: str) -> str | None:
    value = data.get(member)
    return value if isinstance(value, str) else None


def _object(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _list(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise TypeError
    return value
