"""Who asks, in the forms in which warehouses keep it: a comment in the SQL, labels, one JSON text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queryfleet.model import QueryTag

__all__ = ["tag_comment", "tag_json", "tag_labels"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_LABEL_UNSAFE = re.compile(r"[^a-z0-9_-]")
_LABEL_LENGTH = 63


def tag_comment(tag: QueryTag) -> str:
    """Return a SQL comment without line breaks, which nothing in the tag can end: `/* queryfleet … */`."""
    pairs = " ".join(f"{key}={_UNSAFE.sub('_', value)}" for key, value in _pairs(tag).items())
    return f"/* queryfleet {pairs} */"


def tag_json(tag: QueryTag) -> str:
    """Return the tag as one JSON object in ASCII, such as a query log keeps beside a statement."""
    return json.dumps({"application": "queryfleet", **_pairs(tag)})


def tag_labels(tag: QueryTag) -> dict[str, str]:
    """Return labels of at most 63 lower-case letters, digits, `_` and `-`; everything else becomes `_`."""
    labels = {"application": "queryfleet", **_pairs(tag)}
    return {key: _LABEL_UNSAFE.sub("_", value.lower())[:_LABEL_LENGTH] for key, value in labels.items()}


def _pairs(tag: QueryTag) -> dict[str, str]:
    return {
        "query_uuid": tag.query_uuid,
        "project_uuid": tag.project_uuid,
        "user_uuid": tag.user_uuid,
        "context": tag.context,
        "attempt": str(tag.attempt),
    }
