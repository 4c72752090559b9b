"""Saved charts, SQL charts and dashboards over HTTP: life, versions, conflicts, rights, bad input."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.fixtures.http_app import OTHER_PROJECT, error_of
from tests.fixtures.statuses import PROJECT

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

CHART = {
    "name": "Revenue by city",
    "metricQuery": {"exploreName": "sales", "dimensions": ["stores_city"], "metrics": ["sales_revenue"], "limit": None},
    "chartConfig": {"type": "cartesian", "config": {"layout": {"xField": None, "yField": ["sales_revenue"]}}},
}
BODIES = {
    "saved-charts": CHART,
    "sql-charts": {"name": "Ones", "sql": "select 1 as n"},
    "dashboards": {
        "name": "Sales",
        "tiles": [{"type": "saved_chart", "properties": {"chartSlug": "revenue-by-city"}}, {"type": "markdown"}],
        "filters": {"dimensions": [{"target": {"fieldId": "stores_city"}, "operator": "equals", "values": ["Oslo"]}]},
    },
}


def path(collection, name="", project=PROJECT):
    return f"/api/v1/projects/{project}/{collection}" + (f"/{name}" if name else "")


async def send(api, method, where, body=None, **more):
    content = None if body is None else json.dumps(body).encode()
    return await api.send(method, where, content=content, **more)


async def made(api, collection, **changes):
    answer = await send(api, "POST", path(collection), BODIES[collection] | changes)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.mark.parametrize("collection", BODIES)
async def test_content_is_made_read_listed_changed_and_deleted(api, collection):
    """The whole life of each kind, by uuid and by slug, with `ETag` as its version."""
    first = await made(api, collection)
    assert first["version"] == 1
    for name in (first["uuid"], first["slug"]):
        answer = await send(api, "GET", path(collection, name))
        assert (answer.json()["results"], answer.headers["ETag"]) == (first, '"1"')
    listed = (await send(api, "GET", path(collection))).json()["results"]
    assert [each["uuid"] for each in listed["data"]] == [first["uuid"]]
    assert listed["pagination"] == {"page": 1, "pageSize": 100, "totalResults": 1, "totalPageCount": 1}
    change = BODIES[collection] | {"name": "New name"}
    answer = await send(api, "PUT", path(collection, first["uuid"]), change, headers={"If-Match": '"1"'})
    assert (answer.json()["results"]["name"], answer.headers["ETag"]) == ("New name", '"2"')
    assert answer.json()["results"]["slug"] == first["slug"]
    old = (await send(api, "GET", path(collection, first["uuid"]) + "?version=1")).json()["results"]
    assert (old["name"], old["version"], old["newestVersion"]) == (first["name"], 1, 2)
    history = (await send(api, "GET", path(collection, f"{first['slug']}/versions"))).json()["results"]
    assert [each["version"] for each in history["versions"]] == [2, 1]
    gone = await send(api, "DELETE", path(collection, first["uuid"]), headers={"If-Match": '"2"'})
    assert gone.json()["results"] == {"uuid": first["uuid"], "deleted": True}
    error_of(await send(api, "GET", path(collection, first["uuid"])), 404, "NotFoundError")


async def test_body_is_kept_as_it_was_written(api):
    """Nulls and members that the service has no use for come back; what was left out is filled in."""
    chart = await made(api, "saved-charts")
    assert chart["metricQuery"] == CHART["metricQuery"]
    assert chart["chartConfig"] == CHART["chartConfig"]
    board = await made(api, "dashboards")
    assert len({str(uuid.UUID(tile["uuid"])) for tile in board["tiles"]}) == 2
    assert (await made(api, "sql-charts", limit=None))["limit"] is None


async def test_change_that_is_not_based_on_the_newest_version_is_a_conflict(api):
    """By header or body, and for a delete: 409 names both versions, and nothing changes."""
    chart = await made(api, "saved-charts")
    where = path("saved-charts", chart["uuid"])
    assert (await send(api, "PUT", where, CHART | {"version": 1})).status_code == 200
    for more in ({"headers": {"If-Match": '"1"'}}, {}):
        error = error_of(await send(api, "PUT", where, CHART | {"version": 1}, **more), 409, "ConflictError")
        assert error["data"] == {"version": 1, "newestVersion": 2}
    error_of(await send(api, "DELETE", where, headers={"If-Match": '"1"'}), 409, "ConflictError")
    assert "version" in error_of(await send(api, "PUT", where, CHART), 422, "ValidateError")["data"]
    for header in ("x", '"2"'):
        answer = await send(api, "PUT", where, CHART | {"version": 1}, headers={"If-Match": header})
        error_of(answer, 422, "ValidateError")
    error_of(await send(api, "POST", path("saved-charts"), CHART), 409, "ConflictError")
    assert (await send(api, "GET", where)).json()["results"]["version"] == 2


async def test_viewer_reads_content_and_changes_none(api):
    """A viewer is not shown the SQL of a SQL chart; a stranger finds nothing."""
    chart = await made(api, "sql-charts")
    where = path("sql-charts", chart["uuid"])
    answer = await send(api, "GET", where, token="viewer")
    assert "sql" not in answer.json()["results"]
    error_of(await send(api, "POST", path("sql-charts"), BODIES["sql-charts"], token="viewer"), 403, "ForbiddenError")
    error_of(await send(api, "PUT", where, BODIES["sql-charts"], token="viewer"), 403, "ForbiddenError")
    error_of(await send(api, "DELETE", where, token="viewer"), 403, "ForbiddenError")
    error_of(await send(api, "GET", where, token="stranger"), 404, "NotFoundError")
    elsewhere = path("sql-charts", chart["uuid"], OTHER_PROJECT)
    error_of(await send(api, "GET", elsewhere, token="stranger"), 404, "NotFoundError")
    error_of(await send(api, "GET", path("dashboards", chart["uuid"])), 404, "NotFoundError")
    error_of(await send(api, "GET", where, token=""), 401, "AuthorizationError")


@pytest.mark.parametrize(
    ("collection", "change", "member"),
    [
        ("saved-charts", {"metricQuery": {"dimensions": []}}, "metricQuery.exploreName"),
        ("saved-charts", {"metricQuery": {"exploreName": "x", "sorts": [{}]}}, "metricQuery.sorts.0.fieldId"),
        ("saved-charts", {"slug": "Not A Slug"}, "slug"),
        ("saved-charts", {"name": ""}, "name"),
        ("saved-charts", {"name": "a\x00b"}, "name"),
        ("saved-charts", {"name": "\ud800"}, "name"),
        ("sql-charts", {"sql": " "}, "sql"),
        ("sql-charts", {"limit": 0}, "limit"),
        ("sql-charts", {"sql": None}, "sql"),
        ("dashboards", {"tiles": [{"type": "saved_chart"}]}, "tiles.0.properties"),
        ("dashboards", {"tiles": [{"type": "chart"}]}, "tiles.0.type"),
        ("dashboards", {"filters": {"dimensions": {}}}, "filters.dimensions"),
        ("dashboards", {"filters": {"metrics": [{"operator": "equals"}]}}, "filters.metrics[0].target.fieldId"),
    ],
)
async def test_malformed_content_is_refused_by_the_member_that_is_wrong(api, collection, change, member):
    """Nothing is stored that could not be run or drawn later."""
    error = error_of(await send(api, "POST", path(collection), BODIES[collection] | change), 422, "ValidateError")
    assert member in error["data"]
    assert (await send(api, "GET", path(collection))).json()["results"]["data"] == []


async def test_value_that_means_nothing_is_refused(api):
    """An operator that does not exist is told with the nearest one."""
    rule = {"target": {"fieldId": "x"}, "operator": "equal", "values": [1]}
    body = BODIES["dashboards"] | {"filters": {"dimensions": [rule]}}
    error = error_of(await send(api, "POST", path("dashboards"), body), 400, "ParameterError")
    assert "`equals`" in error["message"]


async def test_version_that_does_not_exist_is_not_found(api):
    """By number and by uuid."""
    chart = await made(api, "saved-charts")
    for version in ("7", str(uuid.uuid4()), "x"):
        answer = await send(api, "GET", path("saved-charts", chart["uuid"]) + f"?version={version}")
        error_of(answer, 404, "NotFoundError")
