"""A dashboard as a team uses it: everybody opens it at once, changes a filter, drills into a tile, exports another."""

from __future__ import annotations

import asyncio
import csv
import io
import uuid

import httpx2
import pytest

from tests.fixtures.service import add_user
from tests.servers.dashboard import TILES, Board

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300), pytest.mark.anyio]

PEOPLE = 20
COMPLETED = {"target": {"fieldId": "orders_status"}, "operator": "equals", "values": ["completed"]}


def executions(service, label):
    """Return how many questions of the dashboard query actors have taken to the warehouse."""
    sql = f"select count(*) from query where claimed_at is not null and selection is null and sql like '%{label}%'"
    return service.status_rows(sql)[0][0]


def rows_of(tile):
    return [{name: cell["value"]["raw"] for name, cell in row.items()} for row in tile.answer["rows"]]


async def test_twenty_people_share_a_dashboard_of_twelve_tiles(service):
    """Everybody gets every row of every tile, and the warehouse answers each question once; so too with a filter."""
    label = uuid.uuid4().hex
    database_url = str(service.process.about["database_url"])
    tokens = [uuid.uuid4().hex for _ in range(PEOPLE)]
    for token in tokens:
        await asyncio.to_thread(add_user, database_url, token, {service.shop.project_uuid: "editor"})
    board = await Board.made(service.process.url, service.shop.project_uuid, tokens, label=label)
    try:
        whole = await board.loaded()
        assert executions(service, label) == len(TILES)
        _assert_same_for_all(whole)
        by_status = dict(zip(TILES, whole[0], strict=True))["status"]
        truth = service.warehouses.shop_rows("select status, count(*) from orders group by 1")
        assert {row["orders_status"]: row["orders_order_count"] for row in rows_of(by_status)} == dict(truth)

        filtered = await board.loaded(COMPLETED)
        assert executions(service, label) == 2 * len(TILES) - 1  # the filter has no target in the SQL tile
        _assert_same_for_all(filtered)
        total = dict(zip(TILES, filtered[0], strict=True))["total"]
        completed = service.warehouses.shop_rows("select count(*) from orders where status = 'completed'")[0][0]
        assert rows_of(total)[0]["orders_order_count"] == completed

        again = await board.loaded(COMPLETED, people=4)
        assert executions(service, label) == 2 * len(TILES) - 1
        assert all(tile.answer["cacheMetadata"]["cacheHit"] for tiles in again for tile in tiles)
        await _drill(service, board, by_status)
        await _export(service, board, by_status)
    finally:
        await board.close()


def _assert_same_for_all(loaded):
    assert [tile.name for tiles in loaded for tile in tiles] == PEOPLE * list(TILES)
    assert len({tile.answer["queryUuid"] for tiles in loaded for tile in tiles}) == PEOPLE * len(TILES)
    for tiles in loaded[1:]:
        for first, tile in zip(loaded[0], tiles, strict=True):
            assert (tile.answer["totalResults"], rows_of(tile)) == (first.answer["totalResults"], rows_of(first))
            assert rows_of(tile)


async def _drill(service, board, tile):
    """Drill into a cell, then into what that shows: the second time the stored rows do."""
    client = board.clients[0]
    returned = {"target": {"fieldId": "orders_status"}, "operator": "equals", "values": ["returned"]}
    body = {
        "underlyingDataSourceQueryUuid": tile.answer["queryUuid"],
        "underlyingDataItemId": "orders_order_count",
        "filters": {"dimensions": {"and": [returned]}},
        "limit": None,
    }
    first = await board.send(client, "POST", "underlying-data?waitMs=30000", body)
    assert (first["status"], first["answeredFrom"]) == ("ready", "warehouse")
    truth = service.warehouses.shop_rows("select count(*), min(order_id) from orders where status = 'returned'")[0]
    assert first["totalResults"] == truth[0]
    few = {"target": {"fieldId": "orders_quantity"}, "operator": "equals", "values": [3]}
    body |= {"underlyingDataSourceQueryUuid": first["queryUuid"], "filters": {"dimensions": {"and": [returned, few]}}}
    second = await board.send(client, "POST", "underlying-data?waitMs=30000", body)
    assert (second["status"], second["answeredFrom"]) == ("ready", "storedResult")
    asked = await board.send(client, "POST", "underlying-data?waitMs=30000", body | {"invalidateCache": True})
    assert second["rows"] == asked["rows"]
    assert second["totalResults"] == asked["totalResults"] > 0


async def _export(service, board, tile):
    """Export a tile with its totals, and read the file by its link."""
    path = f"{tile.answer['queryUuid']}/download"
    made = await board.send(board.clients[0], "POST", path, {"type": "csv", "onlyRaw": True, "showColumnTotals": True})
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=True) as stranger:
        text = (await stranger.get(made["fileUrl"])).content.decode("utf-8-sig")
    head, *rows, total = csv.reader(io.StringIO(text))
    assert head == ["Status", "Revenue", "Orders"]
    assert len(rows) == tile.answer["totalResults"]
    assert int(total[2]) == sum(int(row[2]) for row in rows)
    assert service.warehouses.shop_rows("select count(*) from orders")[0][0] == int(total[2])
