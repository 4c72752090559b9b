"""When two queries are the same query.

The key covers everything that decides which rows come back: the project, its warehouse and its rights, the statement,
the limits. It does not cover how values are displayed, nor the data itself: a result may be as old as its time to
live, and `invalidateCache` asks for a new one.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue

__all__ = ["cache_key"]

_VERSION = "queryfleet-1"


def cache_key(
    *,
    project_uuid: str,
    warehouse: Mapping[str, JsonValue],
    sql: str,
    row_limit: int | None,
    rows_max: int | None,
    bytes_max: int | None,
    timezone: str,
    credentials_of: str | None = None,
    pivot: Mapping[str, JsonValue] | None = None,
) -> bytes:
    """Return 32 bytes that are equal for queries that would give the same rows.

    Args:
        project_uuid: Projects never share results.
        warehouse: As stored, secrets by reference; another database or role is another key.
        sql: The final text. White space counts: taking two texts for one would need a parser's word for it.
        row_limit: What the caller asked for.
        rows_max: The project's limit on rows, since a truncated result is not a whole one.
        bytes_max: Likewise.
        timezone: Of the session.
        credentials_of: The user whose own warehouse login is used; None: the project's.
        pivot: What is done with the rows, and how group values are shown; None: nothing.

    Each part is preceded by its length, so that no two lists of parts can run together.
    """
    parts = [
        _VERSION,
        project_uuid,
        json.dumps(warehouse, sort_keys=True, ensure_ascii=False),
        sql,
        json.dumps([row_limit, rows_max, bytes_max]),
        timezone,
        credentials_of or "",
    ]
    if pivot is not None:
        parts.append(json.dumps(pivot, sort_keys=True, ensure_ascii=False))
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()
