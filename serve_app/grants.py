"""Leave to read the stored chunks of one result, for tasks that should not have the caller's token.

A grant is signed like the links to files. It opens one attempt's result and nothing else, for an hour at most.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING

from queryfleet.errors import AuthorizationError, NotFoundError
from queryfleet.export.parts import read_chunk
from serve_app.storage import require_storage, require_stored

if TYPE_CHECKING:
    from serve_app.services import Services

__all__ = ["granted_chunk", "new_grant"]

_GRANT_SECONDS = 3600
_CHUNK = "A chunk"


async def new_grant(services: Services, authorization: str, project_uuid: str, query_uuid: str) -> str:
    """Return a grant to read the chunks of one of the caller's queries, as they are now.

    Raises:
        AuthorizationError: The header holds no valid token.
        NotSupportedError: Its rows are not stored.
        NotFoundError: There is no such project or query of this caller.
        ServiceError: The query has no rows to be read: it failed, was cancelled, or its result has expired.
    """
    require_storage(services.settings, _CHUNK)
    caller = await services.accounts.of(authorization)
    project_uuid = caller.enter(project_uuid)
    record = await services.queries.load(query_uuid, project_uuid=project_uuid, user_uuid=caller.user_uuid)
    services.pages.require_result(record)
    require_stored(record, _CHUNK)
    expires_at = int(time.time()) + _GRANT_SECONDS
    signature = _signature(await services.jobs.signing_key(), record.query_uuid, record.result_attempt, expires_at)
    return f"{record.query_uuid}.{record.result_attempt}.{expires_at}.{signature}"


async def granted_chunk(services: Services, grant: str, index: int) -> bytes:
    """Return the stored lines of a chunk that a grant opens, checked.

    Raises:
        AuthorizationError: It is no grant of this service, or its time is over.
        NotFoundError: There is no such chunk any more, or not yet.
        ResultsExpiredError: The rows are no longer kept.
        ResultCorruptError: The stored bytes are not those that were written.
    """
    query_uuid, attempt = await _checked(services, grant)
    record = await services.statuses.load(query_uuid)
    if record is None or record.result_attempt != attempt:
        raise NotFoundError("The query was begun again; read its result anew.", queryUuid=query_uuid)
    services.pages.require_result(record)
    chunks = await services.queries.chunks(record, 0, record.row_count) if record.row_count else ()
    chunk = next((chunk for chunk in chunks if chunk.index == index), None)
    if chunk is None:
        raise NotFoundError("There is no such chunk.", chunkIndex=index)
    return await read_chunk(services.store, chunk.key, byte_count=chunk.byte_count, crc32=chunk.crc32)


async def _checked(services: Services, grant: str) -> tuple[str, int]:
    query_uuid, attempt, expires_at, signature = (grant.split(".", 3) + [""] * 4)[:4]
    if not (attempt.isdecimal() and expires_at.isdecimal()):
        raise AuthorizationError("This is no grant to read a result.")
    expected = _signature(await services.jobs.signing_key(), query_uuid, int(attempt), int(expires_at))
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise AuthorizationError("This is no grant to read a result.")
    if time.time() >= int(expires_at):
        raise AuthorizationError("The grant to read this result has expired; ask for the rows again.")
    return query_uuid, int(attempt)


def _signature(key: bytes, query_uuid: str, attempt: int, expires_at: int) -> str:
    said = f"chunks\n{query_uuid}\n{attempt}\n{expires_at}".encode()
    return hmac.new(key, said, hashlib.sha256).hexdigest()
