"""`queryfleet explores`: what can be asked about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queryfleet.client.texts import printable

if TYPE_CHECKING:
    from queryfleet.cli.connection import Service
    from queryfleet.errors import JsonValue

__all__ = ["explore_text", "explores_text"]


def explores_text(service: Service, *, as_json: bool) -> str:
    """Return the explores of a project, one a line, or as a JSON list.

    Raises:
        ServiceError: Unknown project, or no answer.
    """
    with service.client() as client:
        found = client.explores()
    if as_json:
        listed = [
            {"name": each.name, "label": each.label, "description": each.description, "error": each.error}
            for each in found
        ]
        return json.dumps(listed, ensure_ascii=False) + "\n"
    width = max((len(each.name) for each in found), default=0)
    lines = []
    for each in found:
        about = f"cannot be used: {each.error}" if each.error is not None else each.description or each.label
        lines.append(f"{each.name:<{width}}  {about}")
    return "".join(f"{printable(line)}\n" for line in lines)


def explore_text(service: Service, name: str, *, as_json: bool) -> str:
    """Return the fields of one explore by their ids, one a line, or what the service says as JSON.

    Raises:
        NotFoundError: There is no such explore.
        ServiceError: Refused, or no answer.
    """
    with service.client() as client:
        document = client.explore(name)
    if as_json:
        return json.dumps(document, ensure_ascii=False) + "\n"
    tables = document.get("tables") if isinstance(document, dict) else None
    rows: list[tuple[str, str, str]] = []
    for kind in ("dimensions", "metrics"):
        for table in tables.values() if isinstance(tables, dict) else ():
            rows += _rows(table, kind)
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{field_id:<{widths[0]}}  {type_:<{widths[1]}}  {label}" for field_id, type_, label in rows]
    return "".join(f"{printable(line)}\n" for line in lines)


def _rows(table: JsonValue, kind: str) -> list[tuple[str, str, str]]:
    fields = table.get(kind) if isinstance(table, dict) else None
    found = []
    for each in fields.values() if isinstance(fields, dict) else ():
        if isinstance(each, dict):
            word = f"{kind.removesuffix('s')} {each.get('type')}"
            found.append((f"{each.get('table')}_{each.get('name')}", word, str(each.get("label"))))
    return found
