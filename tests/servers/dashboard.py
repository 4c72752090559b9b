"""A dashboard of twelve tiles over the sample shop, and people who look at it all at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TILES", "Board", "LoadedTile"]

_NO_FILTERS: dict[str, list[Any]] = {"dimensions": [], "metrics": [], "tableCalculations": []}
_HOLD_MS = 30_000
_TIMEOUT_SECONDS = 90.0
_BY = {
    "status": (["orders_status"], ["orders_revenue", "orders_order_count"]),
    "months": (["orders_ordered_at_month"], ["orders_revenue", "orders_buyer_count"]),
    "countries": (["customers_country"], ["orders_revenue", "orders_average_order"]),
    "categories": (["products_category"], ["orders_order_count", "orders_gift_orders"]),
    "segments": (["customers_segment"], ["orders_revenue_per_buyer"]),
    "sizes": (["orders_order_size", "orders_is_gift"], ["orders_order_count"]),
    "weekdays": (["orders_ordered_at_day_of_week_name"], ["orders_order_count"]),
    "quarters": (["orders_ordered_at_quarter", "orders_status"], ["orders_revenue"]),
    "shares": (["customers_country"], ["orders_revenue_share"]),
    "growth": (["orders_ordered_at_year"], ["orders_revenue_growth"]),
    "total": ([], ["orders_revenue", "orders_order_count", "orders_completed_revenue"]),
}
TILES = (*_BY, "newest")  # names, in order; the last one is SQL
_NEWEST_SQL = "select order_id, status, amount, ordered_at from orders order by order_id desc limit 50"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTile:
    """What one person got for one tile."""

    name: str
    seconds: float  # from the request to the first page
    answer: dict[str, Any]  # of a poll that is ready, and what was said when the query was accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The saved dashboard, and a client for each person.

    Args:
        url: Of the service.
        project_uuid: Of the sample shop.
        clients: One for each person, who has a connection for each tile.
        tiles: By name, what the request for it names.
    """

    project_uuid: str
    clients: Sequence[httpx2.AsyncClient] = field(repr=False)
    tiles: Mapping[str, dict[str, Any]]

    @classmethod
    async def made(cls, url: str, project_uuid: str, tokens: Sequence[str], *, label: str) -> Self:
        """Save twelve charts and a dashboard as the first person; `label` makes names and questions other ones."""
        clients = [
            httpx2.AsyncClient(
                base_url=url, headers={"Authorization": f"ApiKey {token}"}, timeout=_TIMEOUT_SECONDS, trust_env=False
            )
            for token in tokens
        ]
        root = f"/api/v1/projects/{project_uuid}"

        async def saved(collection: str, **body: Any) -> dict[str, Any]:
            answer = await clients[0].post(f"{root}/{collection}", json=body)
            assert answer.status_code == 200, answer.text
            results: dict[str, Any] = answer.json()["results"]
            return results

        charts = {
            name: await saved("saved-charts", name=f"{label} {name}", metricQuery=_question(dimensions, metrics, label))
            for name, (dimensions, metrics) in _BY.items()
        }
        charts["newest"] = await saved("sql-charts", name=f"{label} newest", sql=f"{_NEWEST_SQL} -- {label}")
        shown = [
            {"type": "saved_chart", "properties": {"savedChartUuid": charts[name]["uuid"]}}
            if name in _BY
            else {"type": "sql_chart", "properties": {"savedSqlUuid": charts[name]["uuid"]}}
            for name in TILES
        ]
        board = await saved("dashboards", name=f"{label} board", tiles=shown)
        tiles = {
            name: {
                "savedSqlUuid" if name == "newest" else "chartUuid": charts[name]["uuid"],
                "dashboardUuid": board["uuid"],
                "tileUuid": tile["uuid"],
                "dashboardSorts": [],
            }
            for name, tile in zip(TILES, board["tiles"], strict=True)
        }
        return cls(project_uuid=project_uuid, clients=clients, tiles=tiles)

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(client.aclose() for client in self.clients))

    async def loaded(
        self, *rules: dict[str, Any], use_cache: bool = True, people: int | None = None
    ) -> list[list[LoadedTile]]:
        """Have everybody load all tiles at once, and return what each person got, in the order of the tiles.

        Args:
            rules: Of the dashboard, on dimensions.
            use_cache: False: every tile is a question of its own to the warehouse.
            people: Only the first so many; None: all.
        """
        body = {"dashboardFilters": _NO_FILTERS | {"dimensions": list(rules)}, "invalidateCache": not use_cache}
        return await asyncio.gather(
            *(
                asyncio.gather(*(self._loaded(client, name, body) for name in TILES))  # type: ignore[misc]
                for client in self.clients[:people]
            )
        )

    async def _loaded(self, client: httpx2.AsyncClient, name: str, body: Mapping[str, Any]) -> LoadedTile:
        began = time.monotonic()
        route = "dashboard-sql-chart" if name == "newest" else "dashboard-chart"
        answer = await self.send(client, "POST", f"{route}?waitMs={_HOLD_MS}", {**self.tiles[name], **body})
        while answer["status"] in ("pending", "running"):
            answer |= await self.send(client, "GET", f"{answer['queryUuid']}?waitMs={_HOLD_MS}")
        assert answer["status"] == "ready", answer
        return LoadedTile(name=name, seconds=time.monotonic() - began, answer=answer)

    async def send(
        self, client: httpx2.AsyncClient, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send a request to a route of the project's queries, and return its `results`."""
        answer = await client.request(method, f"/api/v2/projects/{self.project_uuid}/query/{path}", json=body)
        assert answer.status_code == 200, answer.text
        results: dict[str, Any] = answer.json()["results"]
        return results


def _question(dimensions: list[str], metrics: list[str], label: str) -> dict[str, Any]:
    # A rule that every row passes, so that no earlier question has the same text.
    rule = {"target": {"fieldId": "orders_status"}, "operator": "notEquals", "values": [f"not {label}"]}
    return {
        "exploreName": "orders",
        "dimensions": dimensions,
        "metrics": metrics,
        "filters": {"dimensions": {"and": [{"or": [rule]}]}},  # nested, so that the dashboard's rules are added to it
        "limit": 500,
    }
