"""Where chunks are kept: one small protocol, three implementations.

Correctness never depends on conditional writes, tags, object metadata, part copies or the order of a listing:
the manifest in Postgres is the index, every key is written once by one writer. What is asked of a store is
only this: an object is invisible until it is complete, and durable when `put` returns.

A store is a URL: `file:///absolute/directory`, `s3://bucket/prefix`, or `memory://name` inside one process. The word
`none` stands for one that takes nothing: see `NoStore`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from queryfleet.errors import ConfigurationError, InternalError
from queryfleet.model import NO_STORE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from pydantic import SecretStr

__all__ = [
    "ObjectInfo",
    "ObjectStore",
    "StoreOptions",
    "check_key",
    "check_prefix",
    "check_range",
    "open_store",
]

_MAX_KEY_BYTES = 1024  # S3's own bound on a key
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # cannot be carried by XML, or is no text at all
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One entry of a listing."""

    key: str  # relative to the store's root
    byte_count: int
    modified_at: datetime  # aware, UTC


class ObjectStore(Protocol):
    """Keeps immutable objects under slash-separated keys below one root.

    All methods may be called concurrently from one event loop, and none blocks it. A store belongs to the
    loop it is first used on. Failures of the store itself are `StorageError` (retryable); a missing object is
    `ObjectNotFoundError`. Every method is idempotent and already repeats what failed for a passing reason,
    within the time limit of its options. A wrong key (see `check_key`) or a closed store is an
    `InternalError`: a bug of the caller. No key may be a directory of another key (`a/b` beside `a/b/c`).
    """

    @property
    def url(self) -> str:
        """Where this store lies, without any secret; `open_store` accepts it."""
        ...

    @property
    def retry_count(self) -> int:
        """How often an operation was repeated so far because it failed for a passing reason."""
        ...

    async def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        """Write one object, whole or not at all; it is visible and durable on return. Replaces an older one.

        The buffer must not change before the return. When the call is cancelled or fails, the key holds
        either what it held before or the whole new object.
        """
        ...

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> int:
        """Write one object from pieces and return its length; as whole, visible and durable as by `put`.

        When `pieces` raises or the call is cancelled, the key holds what it held before. Memory does not grow with
        the object, but for stores in memory.
        """
        ...

    async def signed_url(self, key: str, *, seconds: int, file_name: str | None = None) -> str | None:
        """Return a link by which anybody can read an object with plain GETs, ranges too, for so many seconds.

        Args:
            key: Of the object; whether there is one is not looked at.
            seconds: 1 to 604,800, which is a week.
            file_name: What a browser calls the file it saves; None: shown, not saved.

        Returns:
            None when the store, or its options, give no links.
        """
        ...

    async def abandon_uploads(self, before: datetime) -> int:
        """Drop what is left of streams whose process died, if begun before that time; returns how many."""
        ...

    async def get(self, key: str) -> bytes:
        """Return a whole object.

        Raises:
            ObjectNotFoundError: There is none.
        """
        ...

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Return bytes `start` (from 0) up to, not including, `end`. Reads no more than that from the store.

        Raises:
            ObjectNotFoundError: There is no such object.
            ResultCorruptError: The object is shorter than `end`.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; keys without an object are no error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in no promised order.

        The prefix is plain text and need not end at a slash; the empty one lists everything.
        """
        ...

    async def close(self) -> None:
        """Release connections; the store cannot be used afterwards. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """How to reach an S3 service; other stores need none of it.

    Raises:
        ConfigurationError: A value is out of bounds, or half of the credentials is missing.
    """

    endpoint_url: str | None = None  # http(s)://host[:port] of an S3-compatible service; None: AWS itself
    access_key_id: str | None = None  # None, with no secret: the standard AWS chain (environment, profile…)
    secret_access_key: SecretStr | None = None  # never printed
    region: str | None = None  # None: what the AWS chain says, or `us-east-1` when an endpoint is given
    request_timeout_seconds: float = 30.0  # one operation in total, its repeats included; 0.1 to 3600
    max_connections: int = 32  # to the service at one time, 1 to 1000; further operations wait for one
    links_url: str | None = None  # where clients reach the service; None: as `endpoint_url`; `none`: they do not

    def __post_init__(self) -> None:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            missing = "access_key_id" if self.access_key_id is None else "secret_access_key"
            raise ConfigurationError(
                f"The S3 credentials are incomplete: set {missing} too, or neither for the standard AWS chain"
            )
        if not (math.isfinite(self.request_timeout_seconds) and 0.1 <= self.request_timeout_seconds <= 3600):  # noqa: PLR2004
            raise ConfigurationError("request_timeout_seconds of the store must be between 0.1 and 3600")
        if not 1 <= self.max_connections <= 1000:  # noqa: PLR2004
            raise ConfigurationError("max_connections of the store must be between 1 and 1000")
        if self.endpoint_url is not None:
            _check_endpoint(self.endpoint_url, "endpoint_url")
        if self.links_url not in (None, "none"):
            _check_endpoint(self.links_url, "links_url")


def open_store(url: str, options: StoreOptions | None = None) -> ObjectStore:
    """Return the store at `url`. Connects to nothing yet: wrong credentials show at the first use.

    Args:
        url: `file:///absolute/directory` (created by the first write), `s3://bucket/prefix` (the bucket must
            exist; the prefix may be absent), or `memory://name` (shared by the stores of that name in this
            process).
        options: For `s3://` only; None is all defaults.

    Raises:
        ConfigurationError: The URL names no store; the message says what is expected. It never repeats a part
            of the URL that could hold a secret.

    Cost: the first `s3://` store of a process imports its client, about 0.7 s; open it outside of requests.
    """
    if url == NO_STORE:
        from queryfleet.results.store_none import NoStore

        return NoStore()
    parts = _split(url)
    match parts.scheme:
        case "file":
            from queryfleet.results.store_local import LocalStore

            return LocalStore(_directory(parts))
        case "s3":
            from queryfleet.results.store_s3 import S3Store

            bucket, prefix = _bucket_and_prefix(parts)
            return S3Store(bucket, prefix=prefix, options=options or StoreOptions())
        case "memory":
            from queryfleet.results.store_memory import MemoryStore

            if not _NAME.fullmatch(parts.netloc) or parts.path not in ("", "/"):
                raise ConfigurationError("The store URL must be memory://name, with a name of letters and digits")
            return MemoryStore(parts.netloc)
        case _:
            known = f"The store scheme {parts.scheme!r} is unknown" if parts.scheme else "The store URL has no scheme"
            raise ConfigurationError(f"{known}: use file:///absolute/directory or s3://bucket/prefix")


def check_key(key: str) -> str:
    """Return `key` when every store can hold it.

    A key is 1 to 1024 bytes of UTF-8 without control characters, and one or more segments joined by single
    slashes, none of them empty, `.` or `..`: it cannot leave the store's root.

    Raises:
        InternalError: It is no such key.
    """
    if _UNUSABLE.search(key) or not 0 < len(key.encode()) <= _MAX_KEY_BYTES:
        raise InternalError(f"The object key {key[:100]!r} is empty, longer than 1024 bytes, or has control characters")
    if any(segment in ("", ".", "..") for segment in key.split("/")):
        raise InternalError(f"The object key {key[:100]!r} has an empty segment, '.' or '..'; it would leave its root")
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` when keys can start with it; the empty one fits all.

    Raises:
        InternalError: No key can; see `check_key`.
    """
    directory, slash, name = prefix.rpartition("/")
    if slash:
        check_key(directory)
    if _UNUSABLE.search(name):
        raise InternalError(f"The prefix {prefix[:100]!r} has control characters")
    return prefix


def check_range(start: int, end: int) -> None:
    """Accept `0 <= start <= end`.

    Raises:
        InternalError: It is no range.
    """
    if not 0 <= start <= end:
        raise InternalError(f"Bytes {start} to {end} are no range: 0 <= start <= end must hold")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        has_login = parts.username is not None
    except ValueError:
        raise ConfigurationError(
            "The store URL cannot be read: use file:///absolute/directory or s3://bucket/prefix"
        ) from None
    if has_login:
        raise ConfigurationError(
            "The store URL must not hold credentials: give access_key_id and secret_access_key as options"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError("The store URL must have no '?' and no '#' (in a directory name write %3F and %23)")
    return parts


def _directory(parts: SplitResult) -> str:
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/"):
        raise ConfigurationError(
            f"The file store's path {parts.netloc + path!r} is relative: use an absolute one with three "
            "slashes, file:///absolute/directory"
        )
    if "\0" in path or not path.strip("/"):
        raise ConfigurationError("The file store needs a directory of its own: file:///absolute/directory")
    return path


def _bucket_and_prefix(parts: SplitResult) -> tuple[str, str]:
    bucket, prefix = parts.netloc, unquote(parts.path).strip("/")
    if not bucket:
        raise ConfigurationError("The store URL names no bucket: use s3://bucket/prefix")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigurationError(
            f"{bucket!r} is no bucket name: use s3://bucket/prefix with 3 or more letters, digits, '-' or "
            "'.'; the service's host and port belong into endpoint_url"
        )
    try:
        return bucket, prefix and check_key(prefix)
    except InternalError as error:
        raise ConfigurationError(f"The prefix of s3://{bucket}/… cannot be used. {error.message}") from None


def _check_endpoint(endpoint_url: str, name: str) -> None:
    try:
        parts = urlsplit(endpoint_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment or parts.path.strip("/"):
        raise ConfigurationError(
            f"{name} of the store must be http://host:port or https://host:port, without login and path"
        )
