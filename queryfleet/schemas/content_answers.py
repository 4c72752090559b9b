"""What the routes about saved content answer, for the documentation and for clients."""

# ruff: noqa: N815 - the wire's spelling
from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ContentAnswer", "ContentListAnswer", "ContentVersionsAnswer", "DashboardQueryAnswer", "DeletedAnswer"]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow")
    status: Literal["ok"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class ContentResults(_Part):
    """Content as of one version; the members of its body stand beside these."""

    uuid: str
    slug: str
    kind: Literal["chart", "sql_chart", "dashboard"]
    name: str
    description: str | None = None
    version: int
    versionUuid: str
    newestVersion: int
    isFromFile: bool = Field(description="A file of the project's folder describes it.")
    createdAt: str
    updatedAt: str = Field(description="When this version was made.")
    updatedByUserUuid: str | None = Field(description="Who made it; null: it comes from a file.")


class ContentAnswer(_Wire):
    """One content."""

    results: ContentResults


class ContentListResults(_Part):
    """One page of a list."""

    data: list[ContentResults]
    pagination: dict[str, int]


class ContentListAnswer(_Wire):
    """Contents of a project."""

    results: ContentListResults


class ContentVersion(_Part):
    """One version."""

    version: int
    versionUuid: str
    createdAt: str
    createdByUserUuid: str | None


class ContentVersionsResults(_Part):
    """A history, newest first."""

    uuid: str
    versions: list[ContentVersion]


class ContentVersionsAnswer(_Wire):
    """The history of one content."""

    results: ContentVersionsResults


class DeletedResults(_Part):
    """What is gone."""

    uuid: str
    deleted: Literal[True]


class DeletedAnswer(_Wire):
    """The content is gone, with all its versions."""

    results: DeletedResults


class DashboardResults(_Part):
    """An accepted question of a dashboard's tile."""

    queryUuid: str
    cacheMetadata: dict[str, Any]
    metricQuery: dict[str, Any] | None = None
    fields: dict[str, dict[str, Any]] | None = None
    appliedDashboardFilters: dict[str, list[Any]]
    dateZoomApplied: bool | None = None
    parameterReferences: list[str]
    usedParametersValues: dict[str, Any]
    resolvedTimezone: str | None
    status: Literal["pending", "running", "ready", "error", "cancelled"]


class DashboardQueryAnswer(_Wire):
    """The question is committed: poll it."""

    results: DashboardResults
