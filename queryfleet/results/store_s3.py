"""Objects in a bucket of any S3-compatible service, through s3fs.

Objects are small (a chunk, at most some 64 MiB), so each is one PutObject: all or nothing, with no upload
left open when a process dies. Of s3fs the connection and the plain calls are used, not its file objects:
those commit a truncated object when the code that writes raises.

Every operation is idempotent (a key is only ever written with the same bytes, a delete may find nothing), so
each may be repeated. Repeating is done here and nowhere below: s3fs and botocore repeat on their own, by
rules that multiply and without a limit in time.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import replace
from datetime import UTC
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from queryfleet.errors import InternalError, ResultCorruptError
from queryfleet.results.store import ObjectInfo, check_key, check_prefix, check_range
from queryfleet.results.store_s3_errors import Failure, Place, client_errors, is_transient, storage_error
from queryfleet.results.store_s3_upload import upload_pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime
    from typing import Protocol

    import s3fs
    from aiobotocore.client import AioBaseClient
    from botocore.loaders import Loader

    from queryfleet.results.store import StoreOptions

    class _Body(Protocol):
        async def read(self, amt: int | None = None) -> bytes: ...
        def close(self) -> None: ...


__all__ = ["S3Store"]

_T = TypeVar("_T")
_BATCH_KEYS = 1000  # most keys of one DeleteObjects, and of one page of a listing
_READ_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class S3Store:
    """Objects below `prefix` of one bucket; see `ObjectStore`.

    Args:
        bucket: Must exist.
        prefix: Put before every key, with a slash between; empty for the bucket's root.
        options: Endpoint, credentials and limits.

    Bounds: at most `options.max_connections` requests at once. An operation ends within
    `options.request_timeout_seconds` from when it got its connection; what failed for a passing reason (no
    connection, a time-out, 5xx, SlowDown) is repeated during the first third of that time.

    Cost: constructing blocks for some 0.7 s the first time in a process, importing the client. Over plain
    http the body of a put is not hashed for its signature (readers check their own checksums); over https it
    is.
    """

    def __init__(self, bucket: str, *, prefix: str = "", options: StoreOptions) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._retry_count = 0
        self._timeout_seconds = options.request_timeout_seconds
        self._place = Place(
            bucket=bucket, endpoint_url=options.endpoint_url, secret=options.secret_access_key, url=self.url
        )
        self._slots = asyncio.Semaphore(options.max_connections)
        self._files = _file_system(options)
        self._client_errors = client_errors()
        self._client: AioBaseClient | None = None  # made by the first request, closed with the store
        self._gives_links = options.links_url != "none"
        self._link_files = self._files
        if self._gives_links and options.links_url not in (None, options.endpoint_url):
            self._link_files = _file_system(replace(options, endpoint_url=options.links_url))
        self._closed = False

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`, percent-encoded where needed."""
        return f"s3://{self._bucket}/{quote(self._prefix)}".rstrip("/")

    @property
    def retry_count(self) -> int:
        """How often an operation was repeated so far."""
        return self._retry_count

    async def put(self, key: str, data: bytes | bytearray | memoryview) -> None:
        """Send one PutObject; see `ObjectStore.put`. Cost: a `memoryview` is copied once."""
        name = self._name(key)
        body = bytes(data) if isinstance(data, memoryview) else data

        async def attempt() -> None:
            await self._call("put_object", Key=name, Body=body)

        await self._repeat("write", key, attempt)

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> int:
        """Send one multipart upload, or one PutObject if that will do; see `ObjectStore.put_stream`."""
        self._check_open()
        return await upload_pieces(self, self._name(key), pieces)

    async def send(self, method: str, name: str, **arguments: object) -> dict[str, Any]:
        """Send one request about an object by its full name; repeated like all others, and raises as they do."""
        action = "read" if method == "head_object" else "write"
        key = name.removeprefix(self._prefix)
        return await self._repeat(action, key, lambda: self._call(method, Key=name, **arguments))

    async def signed_url(self, key: str, *, seconds: int, file_name: str | None = None) -> str | None:
        """Sign a GetObject; see `ObjectStore.signed_url`. Cost: 0.3 ms, no request.

        It works at most as long as the credentials do that signed it.
        """
        self._check_open()
        if not self._gives_links:
            return None
        parameters = {"Bucket": self._bucket, "Key": self._name(key)}
        if file_name is not None:
            parameters["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(file_name, safe='')}"
        client = await self._link_files.set_session()
        url: str = await client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds)
        return url

    async def abandon_uploads(self, before: datetime) -> int:
        """Abort multipart uploads; see `ObjectStore.abandon_uploads`. Looks at the first 1000 a service tells of."""
        answer = await self._repeat("list", None, lambda: self._call("list_multipart_uploads", Prefix=self._prefix))
        old = [upload for upload in answer.get("Uploads", []) if upload["Initiated"] < before]
        for upload in old:
            await self.send("abort_multipart_upload", upload["Key"], UploadId=upload["UploadId"])
        return len(old)

    async def get(self, key: str) -> bytes:
        """Return a whole object; see `ObjectStore.get`."""
        name = self._name(key)

        async def attempt() -> bytes:
            answer = await self._call("get_object", Key=name)
            body: _Body = answer["Body"]
            try:
                return await body.read()
            finally:
                body.close()

        return await self._repeat("read", key, attempt)

    async def get_range(self, key: str, start: int, end: int) -> bytes:
        """Return some bytes of an object; see `ObjectStore.get_range`.

        From a service that ignores ranges, everything up to `end` is received and what was not asked for
        dropped.
        """
        check_range(start, end)
        name = self._name(key)
        if start == end:
            return await self._empty_range(key, end)
        wanted = f"bytes={start}-{end - 1}"

        async def attempt() -> bytes:
            answer = await self._call("get_object", Key=name, Range=wanted)
            body: _Body = answer["Body"]
            try:
                skipped = start - _first_byte(answer.get("ContentRange"), start)
                return await _read_part(body, skip=skipped, count=end - start)
            finally:
                body.close()

        data = await self._repeat("read", key, attempt)
        if len(data) != end - start:
            raise self._too_short(key, start, end)
        return data

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, 1000 with a request; see `ObjectStore.delete`."""
        names = list(dict.fromkeys(self._name(key) for key in keys))
        for first in range(0, len(names), _BATCH_KEYS):
            batch = {"Objects": [{"Key": name} for name in names[first : first + _BATCH_KEYS]], "Quiet": True}

            async def attempt(batch: dict[str, object] = batch) -> None:
                answer = await self._call("delete_objects", Delete=batch)
                for error in answer.get("Errors", []):
                    if error.get("Code") != "NoSuchKey":
                        raise Failure(error.get("Code", "Unknown"), error.get("Message", ""))

            await self._repeat("delete", None, attempt)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield objects, 1000 with a request; see `ObjectStore.list`."""
        start = self._prefix + check_prefix(prefix)
        token: dict[str, str] = {}
        while True:
            self._check_open()

            async def attempt(token: dict[str, str] = token) -> dict[str, Any]:
                return await self._call("list_objects_v2", Prefix=start, MaxKeys=_BATCH_KEYS, **token)

            page = await self._repeat("list", None, attempt)
            for info in _entries(page, self._prefix):
                yield info
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    async def close(self) -> None:
        """Close the connections; see `ObjectStore.close`."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if self._link_files is not self._files and self._link_files._s3 is not None:  # noqa: SLF001
            await self._link_files._s3.close()  # noqa: SLF001

    async def _empty_range(self, key: str, end: int) -> bytes:
        """Return no bytes, having seen that the object exists and reaches as far as `end`."""
        name = self._name(key)

        async def attempt() -> int:
            answer = await self._call("head_object", Key=name)
            return int(answer["ContentLength"])

        if await self._repeat("read", key, attempt) < end:
            raise self._too_short(key, end, end)
        return b""

    async def _call(self, method: str, **arguments: object) -> dict[str, Any]:
        """Send one request and return the parsed answer; its errors are `client_errors`."""
        self._client = await self._files.set_session()
        # s3fs's asynchronous calls all begin with an underscore; the names without one block.
        send = self._files._call_s3  # noqa: SLF001
        answer: dict[str, Any] = await send(method, Bucket=self._bucket, **arguments)
        return answer

    async def _repeat(self, action: str, key: str | None, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Run `attempt` on a connection of its own until it succeeds, fails for good, or time is up."""
        self._check_open()
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._attempts(attempt)
            except TimeoutError as error:
                raise self._place.timed_out(action, self._timeout_seconds) from error
            except self._client_errors as error:
                raise storage_error(error, self._place, action=action, key=key) from error

    async def _attempts(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        clock = asyncio.get_running_loop().time
        last_start = clock() + self._timeout_seconds / 3  # a later one would hardly have the time to finish
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await attempt()
            except self._client_errors as error:
                jittered = pause_seconds * random.uniform(0.5, 1)  # noqa: S311  # no secret depends on it
                if not is_transient(error) or clock() + jittered > last_start:
                    raise
            self._retry_count += 1
            await asyncio.sleep(jittered)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _too_short(self, key: str, start: int, end: int) -> ResultCorruptError:
        return ResultCorruptError(
            f"The object {key!r} in {self.url} is too short: bytes {start} to {end} were asked for",
            key=key,
        )

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _check_open(self) -> None:
        if self._closed:
            raise InternalError(f"The store {self.url} was used after it was closed")


def _file_system(options: StoreOptions) -> s3fs.S3FileSystem:
    import s3fs
    from aiobotocore.session import AioSession
    from botocore.handlers import add_expect_header

    session = AioSession()
    # Objects are small: asking first whether a body is welcome costs a round trip. And a server that refuses without
    # that answer may wait for the body while the client waits for the answer (rclone does), until time is up.
    session.unregister("before-call.s3", add_expect_header)
    session.register_component("data_loader", _service_description())
    region = options.region
    if region is None and options.endpoint_url is not None and session.get_config_variable("region") is None:
        region = "us-east-1"  # what services without regions expect in a signature
    secret = options.secret_access_key
    files = s3fs.S3FileSystem(
        asynchronous=True,
        skip_instance_cache=True,  # a cached instance would belong to another loop, and keep the secret alive
        use_listings_cache=False,
        session=session,
        endpoint_url=options.endpoint_url,
        key=options.access_key_id,
        secret=secret.get_secret_value() if secret is not None else None,
        client_kwargs={"region_name": region} if region is not None else {},
        config_kwargs=_client_config(options),
    )
    files.retries = 1
    return files


def _client_config(options: StoreOptions) -> dict[str, object]:
    config: dict[str, object] = {
        "signature_version": "s3v4",  # links would else be signed the old way, which AWS refuses in new regions
        "connect_timeout": min(_CONNECT_SECONDS, options.request_timeout_seconds),
        "read_timeout": options.request_timeout_seconds,
        "max_pool_connections": options.max_connections,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        # Compatible services refuse the newer default checksums, or answer a range with the whole object's
        # checksum.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if options.endpoint_url is not None and options.endpoint_url.startswith("http://"):
        config["s3"] = {"payload_signing_enabled": False}
    return config


@cache
def _service_description() -> Loader:
    """Return what describes S3, parsed now and once: else a store's first request would do it, in 0.1 s."""
    from botocore.loaders import create_loader

    loader = create_loader()
    for kind in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("s3", kind)
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(name)
    return loader


def _first_byte(content_range: str | None, start: int) -> int:
    """Return where the body begins in the object: the first byte where a service ignores ranges."""
    if content_range is None:
        return 0
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is None or int(match[1]) > start:
        raise Failure("UnexpectedRange", f"asked from byte {start}, answered {content_range[:100]!r}")
    return int(match[1])


async def _read_part(body: _Body, *, skip: int, count: int) -> bytes:
    """Read `count` bytes after the first `skip`, and no further; fewer when the body ends before."""
    parts: list[bytes] = []
    while count > 0 and (data := await body.read(min(_READ_BYTES, skip + count))):
        kept = data[skip:]
        skip = max(0, skip - len(data))
        if kept:
            parts.append(kept)
            count -= len(kept)
    return b"".join(parts)


def _entries(page: dict[str, Any], root: str) -> list[ObjectInfo]:
    return [
        ObjectInfo(
            key=entry["Key"].removeprefix(root),
            byte_count=entry["Size"],
            modified_at=entry["LastModified"].astimezone(UTC),
        )
        for entry in page.get("Contents", [])
        if not entry["Key"].endswith("/")  # consoles leave empty objects that stand for directories
    ]
