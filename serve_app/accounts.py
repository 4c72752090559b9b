"""Who is calling: `Authorization: ApiKey <token>` or `Bearer <token>`, looked up by hash."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from queryfleet.errors import AuthorizationError, ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from queryfleet.status.store import StatusStore

__all__ = ["Account", "Accounts", "canonical_uuid", "token_hash", "token_of"]

_REMEMBER_SECONDS = 5.0
_REMEMBER_ACCOUNTS = 10_000
_SQL_ROLES = frozenset({"editor", "admin"})


def token_hash(token: str) -> bytes:
    """Return what is stored of a token. Tokens are long and random, so a plain SHA-256 is enough."""
    return sha256(token.encode()).digest()


def token_of(header: str | None) -> str:
    """Take the token out of an `Authorization` header.

    Raises:
        AuthorizationError: There is none, or it has another form.
    """
    if not header:
        raise AuthorizationError("Send the header `Authorization: ApiKey <token>`.")
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    if scheme.lower() not in ("apikey", "bearer") or not token or " " in token:
        raise AuthorizationError("The Authorization header must be `ApiKey <token>` or `Bearer <token>`.")
    return token


def canonical_uuid(text: str) -> str | None:
    """Return a UUID in its usual spelling, or None when `text` is not one."""
    try:
        known = str(uuid.UUID(text))
    except ValueError:
        return None
    return known if known == text.lower() else None  # other spellings are understood, and not accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A caller whose token is valid."""

    token_uuid: str
    user_uuid: str  # whose queries these are
    roles: Mapping[str, str]  # project uuid → viewer, editor or admin
    email: str | None = None  # of the user
    attributes: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)  # by project, then by name

    def enter(self, project_uuid: str) -> str:
        """Return the project's uuid if the caller may know of it.

        Raises:
            NotFoundError: There is no such project for this caller.
        """
        known = canonical_uuid(project_uuid)
        if known is None or known not in self.roles:
            raise NotFoundError("There is no such project, or this token has no role in it.", projectUuid=project_uuid)
        return known

    def attributes_in(self, project_uuid: str) -> Mapping[str, tuple[str, ...]]:
        """Return the user's values in a project by attribute name."""
        return self.attributes.get(project_uuid, {})

    def may_run_sql(self, project_uuid: str) -> bool:
        """Tell whether the caller may run SQL of their own in this project, and see that of others."""
        return self.roles[project_uuid] in _SQL_ROLES

    def require_admin(self, project_uuid: str) -> None:
        """Raise `ForbiddenError` unless the caller is an admin of this project."""
        if self.roles[project_uuid] != "admin":
            raise ForbiddenError("This needs the role admin in this project.", role=self.roles[project_uuid])

    def require_sql(self, project_uuid: str) -> None:
        """Raise `ForbiddenError` unless the caller may run SQL of their own in this project."""
        if not self.may_run_sql(project_uuid):
            raise ForbiddenError(
                "Running SQL needs the role editor or admin in this project.", role=self.roles[project_uuid]
            )


class Accounts:
    """Looks tokens up and remembers the answer for a few seconds, so that a poll costs no extra read."""

    def __init__(self, statuses: StatusStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._statuses = statuses
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Account]] = OrderedDict()

    async def of(self, header: str | None) -> Account:
        """Return the caller.

        Raises:
            AuthorizationError: No token, a malformed one, or one that is unknown, expired or revoked.
        """
        digest = token_hash(token_of(header))
        remembered = self._known.get(digest)
        if remembered is not None and self._clock() < remembered[0]:
            return remembered[1]
        row = await self._statuses.load_token(digest)
        if row is None:
            self._known.pop(digest, None)
            raise AuthorizationError("This token is unknown, expired or revoked.")
        account = Account(
            token_uuid=row["token_uuid"],
            user_uuid=row["user_uuid"],
            roles=dict(row["roles"]),
            email=row["email"],
            attributes={
                project_uuid: {name: tuple(values) for name, values in given.items()}
                for project_uuid, given in row["attributes"].items()
            },
        )
        self._known[digest] = (self._clock() + _REMEMBER_SECONDS, account)
        self._known.move_to_end(digest)
        while len(self._known) > _REMEMBER_ACCOUNTS:
            self._known.popitem(last=False)
        return account
