"""Questions as values: what both clients send to have something run, built without sending anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypedDict, cast
from uuid import uuid4

from queryfleet.client.calls import Call, queries_path, wait_params
from queryfleet.errors import JsonValue, ParameterError

if TYPE_CHECKING:
    from queryfleet.client.question import Question

__all__ = ["Ask", "JsonMapping", "Parameters", "Terms", "checked_terms", "pivot_of", "question_ask", "sql_ask"]

JsonMapping: TypeAlias = "Mapping[str, JsonValue]"
Parameters: TypeAlias = "Mapping[str, str | int | float | Sequence[str | int | float]]"


class Terms(TypedDict, total=False):
    """How a question is asked, besides what it asks; each may be left out."""

    project: str  # uuid or name; the client's if not given
    context: str  # where the question comes from, as the warehouse's query history shows it; `api` if not given
    idempotency_key: str  # the same key with the same question finds the query it started before
    invalidate_cache: bool  # run in the warehouse even if rows of the same question are there
    poll_ttl_seconds: float  # cancel the query when nobody polls it for so long; without: it runs to its end
    wait_seconds: float  # how long the service may hold its answer until the query has ended, 0 to 60; 0 if not given


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question as it is sent."""

    route: str  # the last part of its path: `sql`, `metric-query`, …
    body: JsonMapping
    sql: str | None = None  # the caller's own, if it is SQL

    def call(self, project_uuid: str, terms: Terms) -> Call:
        """Return the request. A key is made when none is given, so that a repetition finds the query it started.

        Raises:
            ParameterError: `wait_seconds` is not between 0 and 60.
        """
        body = dict(self.body) | {"context": terms.get("context", "api")}
        if terms.get("invalidate_cache"):
            body["invalidateCache"] = True
        if "poll_ttl_seconds" in terms:
            body["pollTtl"] = terms["poll_ttl_seconds"]
        wait_seconds = terms.get("wait_seconds", 0.0)
        return Call(
            method="POST",
            path=f"{queries_path(project_uuid)}/{self.route}",
            params=wait_params(wait_seconds),
            body=body,
            headers={"Idempotency-Key": terms.get("idempotency_key") or uuid4().hex},
            wait_seconds=wait_seconds,
        )

    def with_members(self, **members: JsonValue) -> Ask:
        """Return it with further members, but for those that are None."""
        given = {name: value for name, value in members.items() if value is not None}
        return replace(self, body={**self.body, **given})


def checked_terms(terms: Terms) -> Terms:
    """Return the terms, those that are None left out.

    Raises:
        TypeError: A keyword that no question has.
    """
    for name in terms:
        if name not in Terms.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}; there are {', '.join(Terms.__annotations__)}")
    return cast("Terms", {name: value for name, value in terms.items() if value is not None})


def sql_ask(
    text: str, *, limit: int | None, parameters: Parameters | None, pivot: JsonMapping | None, pivot_plan: str | None
) -> Ask:
    """Return a statement as it is sent."""
    ask = Ask(route="sql", body={"sql": text}, sql=text)
    return ask.with_members(
        limit=limit,
        parameters=_parameters(parameters),
        pivotConfiguration=None if pivot is None else dict(pivot),
        pivotPlan=pivot_plan,
    )


def question_ask(
    question: Question,
    *,
    parameters: Parameters | None,
    pivot: JsonMapping | None,
    pivot_plan: str | None,
    date_zoom: JsonMapping | None,
) -> Ask:
    """Return a question to the models as it is sent."""
    ask = Ask(route="metric-query", body={"query": question.to_json()})
    return ask.with_members(
        parameters=_parameters(parameters),
        pivotConfiguration=None if pivot is None else dict(pivot),
        pivotPlan=pivot_plan,
        dateZoom=None if date_zoom is None else dict(date_zoom),
    )


def pivot_of(pivot: str | Sequence[str] | JsonMapping | None, question: Question) -> JsonMapping | None:
    """Return the configuration of a pivot.

    Args:
        pivot: A configuration as on the wire; or dimensions of the question whose values become columns: the other
            dimensions then tell rows apart, and metrics and table calculations fill the cells.
        question: What is asked.

    Raises:
        ParameterError: It names what is not a dimension of the question.
    """
    if pivot is None or isinstance(pivot, Mapping):
        return pivot
    groups = [pivot] if isinstance(pivot, str) else list(pivot)
    for each in groups:
        if each not in question.dimensions:
            raise ParameterError(
                f"pivot names {each!r}; the dimensions are {', '.join(question.dimensions) or 'none'}.",
                field="pivot",
            )
    calculations = [str(each.get("name")) for each in question.table_calculations]
    index: list[JsonValue] = [{"reference": each} for each in question.dimensions if each not in groups]
    order: list[JsonValue] = [
        {"reference": each.field_id, "direction": "DESC" if each.descending else "ASC"} for each in question.sorts
    ]
    return {
        "indexColumn": index,
        "groupByColumns": [{"reference": each} for each in groups],
        "valuesColumns": [{"reference": each, "aggregation": "any"} for each in (*question.metrics, *calculations)],
        "sortBy": order,
    }


def _parameters(parameters: Parameters | None) -> JsonValue:
    if parameters is None:
        return None
    values: dict[str, JsonValue] = {}
    for name, value in parameters.items():
        values[name] = value if isinstance(value, str | int | float) else list(value)
    return values
