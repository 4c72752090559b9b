"""`queryfleet token create`, `list` and `revoke`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queryfleet.client.texts import printable
from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    from queryfleet.cli.connection import Service
    from queryfleet.client import NewToken

__all__ = ["create_token", "revoke_token", "tokens_text"]


def create_token(service: Service, wanted: NewToken) -> str:
    """Have a token made and return it.

    Raises:
        ForbiddenError: This needs the role admin.
        ServiceError: Refused for another reason, or no answer.
    """
    with service.client() as client:
        made = client.create_token(wanted)
    token = made.get("token") if isinstance(made, dict) else None
    if not isinstance(token, str):
        raise ServiceError("The service's answer has no token. Upgrade queryfleet.")
    return token


def tokens_text(service: Service, *, as_json: bool) -> str:
    """Return a line for each token of the project, or all as JSON.

    Raises:
        ForbiddenError: This needs the role admin.
        ServiceError: Refused for another reason, or no answer.
    """
    with service.client() as client:
        listed = client.tokens()
    if as_json:
        return json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    rows = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    names = ("tokenUuid", "role", "name", "email", "createdAt", "expiresAt")
    lines = ["\t".join(printable(str(row.get(name) or "")) for name in names) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def revoke_token(service: Service, token_uuid: str) -> str:
    """Have a token lose its role in the project; return what to tell a person.

    Raises:
        ConflictError: It is the token that asks.
        NotFoundError: No such token has a role in the project.
        ServiceError: Refused for another reason, or no answer.
    """
    with service.client() as client:
        client.revoke_token(token_uuid)
    return f"Token {token_uuid} is revoked; it ends within five seconds.\n"
