"""A question whose whole answer is wanted in one request: asked like any other, waited for, and read."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from queryfleet.errors import WarehouseTimeoutError
from serve_app.stored_lines import require_ready

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue
    from serve_app.services import Services

__all__ = ["rows_of"]

_WAIT_SECONDS = 25.0  # clients give up after 30


async def rows_of(
    services: Services, query_uuid: str, *, project_uuid: str, user_uuid: str
) -> list[dict[str, JsonValue]]:
    """Return every row of a query as it ends, raw values by column.

    Raises:
        WarehouseTimeoutError: It has not ended in 25 seconds; it has been cancelled.
        WarehouseQueryError: It failed.

    Memory: the whole result; the caller has bounded it.
    """
    record = await services.queries.load(query_uuid, project_uuid=project_uuid, user_uuid=user_uuid)
    record = await services.queries.wait(record, until=lambda _: False, timeout_seconds=_WAIT_SECONDS)
    if not record.is_terminal:
        await services.statuses.request_cancel(query_uuid)
        raise WarehouseTimeoutError(f"The warehouse did not answer in {_WAIT_SECONDS:.0f} s; try again.")
    require_ready(record)
    if record.row_count == 0:
        return []
    lines = await services.lines.read(record, 0, record.row_count)
    return await asyncio.to_thread(_parsed, lines)


def _parsed(lines: bytes) -> list[dict[str, JsonValue]]:
    return [json.loads(line) for line in lines.splitlines()]
