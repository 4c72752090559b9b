"""Requests about models, as values; see `queryfleet.client.calls`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from queryfleet.client.calls import Call
from queryfleet.errors import JsonValue, ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ExploreSummary",
    "NewToken",
    "explore_call",
    "explores_call",
    "parse_explores",
    "project_path",
    "push_call",
    "revoke_call",
    "token_call",
    "tokens_call",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreSummary:
    """One explore in a list."""

    name: str
    label: str
    description: str | None = None
    error: str | None = None  # why it cannot be used


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """What a new token is for."""

    name: str  # for people
    role: str  # viewer, editor or admin, in one project
    email: str | None = None  # of the user
    attributes: Mapping[str, list[str]] = field(default_factory=dict)  # the user's values by attribute name
    expires_in_seconds: int | None = None  # None: never


def explores_call(project_uuid: str) -> Call:
    """Return the call that lists the explores of a project."""
    return Call(method="GET", path=f"{project_path(project_uuid)}/explores")


def explore_call(project_uuid: str, name: str) -> Call:
    """Return the call that describes one explore."""
    return Call(method="GET", path=f"{project_path(project_uuid)}/explores/{quote(name, safe='')}")


def push_call(project_uuid: str, files: Mapping[str, str]) -> Call:
    """Return the call that replaces the models of a project."""
    return Call(method="PUT", path=f"{project_path(project_uuid)}/models", body={"files": dict(files)})


def tokens_call(project_uuid: str) -> Call:
    """Return the call that lists who has a role in a project."""
    return Call(method="GET", path=f"{project_path(project_uuid)}/tokens")


def revoke_call(project_uuid: str, token_uuid: str) -> Call:
    """Return the call that takes a token's role in a project away."""
    return Call(method="DELETE", path=f"{project_path(project_uuid)}/tokens/{quote(token_uuid, safe='')}")


def token_call(project_uuid: str, token: NewToken) -> Call:
    """Return the call that makes a token."""
    body: dict[str, JsonValue] = {
        "name": token.name,
        "role": token.role,
        "attributes": {name: list(values) for name, values in token.attributes.items()},
    }
    body |= {} if token.email is None else {"email": token.email}
    body |= {} if token.expires_in_seconds is None else {"expiresInSeconds": token.expires_in_seconds}
    return Call(method="POST", path=f"{project_path(project_uuid)}/tokens", body=body)


def parse_explores(results: JsonValue) -> tuple[ExploreSummary, ...]:
    """Read the answer to `explores_call`.

    Raises:
        ServiceError: Not the shape of the contract.
    """
    if not isinstance(results, list):
        raise ServiceError("The service's answer has no list of explores: is this address really the query service?")
    found = []
    for each in results:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise ServiceError("The service's answer has an explore without a name. Upgrade queryfleet.")
        name, description = str(each["name"]), each.get("description")
        found.append(
            ExploreSummary(
                name=name,
                label=str(each.get("label") or name),
                description=description if isinstance(description, str) else None,
                error=_first_error(each.get("errors")),
            )
        )
    return tuple(found)


def _first_error(errors: JsonValue) -> str | None:
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("message", "")) if isinstance(first, dict) else None


def project_path(project_uuid: str) -> str:
    """Return the path of the routes about a project itself."""
    return f"/api/v1/projects/{quote(project_uuid, safe='')}"
