"""What is stored of saved content: identity, versions and bodies. What a body means is said in `values`."""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING

from queryfleet.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from queryfleet.errors import JsonValue

__all__ = [
    "ContentKind",
    "ContentVersion",
    "FileContent",
    "FilesLoaded",
    "NewContent",
    "StoredContent",
    "file_content_uuid",
    "slug_of",
    "slug_taken",
]

_SLUG_LENGTH_MAX = 200


class ContentKind(StrEnum):
    """Kinds of saved content; slugs are unique in a project and a kind."""

    CHART = "chart"
    SQL_CHART = "sql_chart"
    DASHBOARD = "dashboard"

    @property
    def label(self) -> str:
        """Return it in words."""
        return {"chart": "chart", "sql_chart": "SQL chart", "dashboard": "dashboard"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContent:
    """Content that somebody makes."""

    content_uuid: str
    project_uuid: str
    kind: ContentKind
    slug: str  # lower case
    name: str
    body: Mapping[str, JsonValue]  # in its checked form
    user_uuid: str | None = None  # who; None: it comes from a file


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent(NewContent):
    """Content as of one version."""

    version: int  # of this body, from 1
    version_uuid: str
    newest_version: int
    is_from_file: bool  # made from a file of the project's folder, and gone when that is gone
    created_at: datetime  # of the content
    updated_at: datetime  # of this version


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentVersion:
    """One entry of a history."""

    version: int
    version_uuid: str
    created_at: datetime
    user_uuid: str | None  # None: from a file


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """Content that a file of the project's folder describes."""

    kind: ContentKind
    slug: str
    name: str
    body: Mapping[str, JsonValue]

    @property
    def digest(self) -> str:
        """Return what changes with the file's meaning."""
        text = json.dumps([self.name, self.body], ensure_ascii=False, separators=(",", ":"))
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesLoaded:
    """How many contents a load of files touched."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0

    def to_json(self) -> dict[str, JsonValue]:
        """Return the wire form."""
        return {
            "created": self.created,
            "updated": self.updated,
            "deleted": self.deleted,
            "unchanged": self.unchanged,
        }


def file_content_uuid(project_uuid: str, kind: ContentKind, slug: str) -> str:
    """Return the uuid of content that a file makes: the same in every database it is loaded into."""
    return str(uuid.uuid5(uuid.UUID(project_uuid), f"{kind.value}/{slug}"))


def slug_of(name: str) -> str:
    """Return a slug made of a name; of one without a letter or digit: `untitled`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LENGTH_MAX].strip("-") or "untitled"


def slug_taken(kind: ContentKind, slug: str) -> ConflictError:
    """Return the error about a slug that is in use."""
    return ConflictError(f"The project has a {kind.label} with the slug `{slug}` already; choose another.", slug=slug)
