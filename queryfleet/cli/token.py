"""`queryfleet token create`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    from queryfleet.cli.connection import Service
    from queryfleet.client import NewToken

__all__ = ["create_token"]


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
