"""Answers that S3-compatible services give now and then, from a scripted server."""

from __future__ import annotations

import time

import pytest
from pydantic import SecretStr

from queryfleet.errors import ObjectNotFoundError, ResultCorruptError, StorageError
from queryfleet.results.store import ObjectStore, StoreOptions, open_store
from tests.servers.scripted_http import ScriptedHttp, answer, s3_error

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

LISTED = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def store_at(server: ScriptedHttp, **changes: object) -> ObjectStore:
    """Open a store on the server; it gives up after 3 s."""
    options = {
        "endpoint_url": server.endpoint_url,
        "access_key_id": "KEYID",
        "secret_access_key": SecretStr("hush-hush"),
        "request_timeout_seconds": 3.0,
        **changes,
    }
    return open_store("s3://bucket", StoreOptions(**options))


@pytest.mark.parametrize("headers", [{}, {"Content_Range": "bytes 0-9/10"}])
async def test_get_range_ignored_by_the_service_is_still_right(headers):
    """A service that sends the whole object for a range costs bytes, not correctness."""
    async with ScriptedHttp(answer(200, b"0123456789", **headers)) as server:
        store = store_at(server)
        assert await store.get_range("a", 3, 6) == b"345"
        assert await store.get_range("a", 7, 10) == b"789"
        with pytest.raises(ResultCorruptError):
            await store.get_range("a", 7, 11)
        await store.close()


async def test_put_sends_the_body_without_asking_first():
    """No server and client wait for each other: the body follows its head at once."""
    async with ScriptedHttp(answer(200)) as server:
        store = store_at(server)
        await store.put("a", b"0123456789")
        await store.close()
        assert len(server.requests) == 1
        assert b"expect:" not in server.requests[0].lower()


async def test_get_range_answered_from_elsewhere_is_an_error():
    """Bytes from behind the asked place are never taken for the asked ones."""
    async with ScriptedHttp(answer(206, b"56789", Content_Range="bytes 5-9/10")) as server:
        store = store_at(server)
        with pytest.raises(StorageError, match="UnexpectedRange"):
            await store.get_range("a", 3, 6)
        await store.close()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, "SlowDown"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (400, "RequestTimeout"),
        (429, "X"),
        (502, "Y"),
    ],
)
async def test_any_call_transient_refusal_is_repeated(status, code):
    """Overload and inner failures of the service are waited out."""
    async with ScriptedHttp(s3_error(status, code), s3_error(status, code), answer(200)) as server:
        store = store_at(server)
        await store.put("a", b"data")
        assert len(server.requests) == 3
        await store.close()


async def test_any_call_refused_for_ever_ends_in_time():
    """Repeating stops after a third of the time limit, and the error tells the service's code."""
    async with ScriptedHttp(s3_error(503, "SlowDown")) as server:
        store = store_at(server)
        begun = time.monotonic()
        with pytest.raises(StorageError, match="SlowDown") as caught:
            await store.get("a")
        assert time.monotonic() - begun < 2
        assert caught.value.retryable
        assert 3 <= len(server.requests) <= 10
        await store.close()


async def test_any_call_gateway_page_is_repeated():
    """An error page that is no XML is a failure of the way, and waited out."""
    page = answer(502, b"<html><body>Bad Gateway<br></body></html>", Content_Type="text/html")
    async with ScriptedHttp(page, answer(200, b"data")) as server:
        store = store_at(server)
        assert await store.get("a") == b"data"
        await store.close()


@pytest.mark.parametrize(
    ("status", "code", "fix"),
    [
        (403, "AccessDenied", "may read"),
        (403, "InvalidAccessKeyId", "access key id"),
        (400, "ExpiredToken", "access was refused"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "AuthorizationHeaderMalformed", "region"),
        (404, "NoSuchBucket", "create it"),
        (501, "NotImplemented", "NotImplemented"),
    ],
)
async def test_any_call_lasting_refusal_is_not_repeated(status, code, fix):
    """What waiting cannot mend is reported at once: bucket and remedy, no secret, not even a quoted one."""
    async with ScriptedHttp(s3_error(status, code, "you sent hush-hush")) as server:
        store = store_at(server)
        with pytest.raises(StorageError, match=fix) as caught:
            await store.put("a", b"data")
        assert "'bucket'" in caught.value.message
        assert caught.value.details["transient"] is False
        assert "hush-hush" not in repr((caught.value.message, caught.value.details))
        assert len(server.requests) == 1
        await store.close()


async def test_get_silent_service_ends_in_time():
    """A service that accepts and never answers costs no more than the time limit."""
    async with ScriptedHttp(b"") as server:
        store = store_at(server, request_timeout_seconds=0.7)
        begun = time.monotonic()
        with pytest.raises(StorageError):
            await store.get("a")
        assert time.monotonic() - begun < 1.5
        await store.close()


async def test_delete_partly_refused_is_an_error():
    """A refusal inside a successful answer of a bulk delete is not overlooked; a missing object is none."""
    text = "<DeleteResult><Error><Key>a</Key><Code>{}</Code><Message>m</Message></Error></DeleteResult>"
    async with ScriptedHttp(
        answer(200, text.format("NoSuchKey").encode()), answer(200, text.format("AccessDenied").encode())
    ) as server:
        store = store_at(server)
        await store.delete(["a"])
        with pytest.raises(StorageError, match="access was refused"):
            await store.delete(["a"])
        await store.close()


async def test_delete_many_keys_goes_in_batches_of_a_thousand():
    """No request names more keys than S3 accepts."""
    async with ScriptedHttp(answer(200, b"<DeleteResult></DeleteResult>")) as server:
        store = store_at(server)
        await store.delete([f"k/{number}" for number in range(2500)])
        assert len(server.requests) == 3
        await store.close()


async def test_list_directory_markers_are_skipped():
    """Empty objects that stand for directories are no objects of ours."""
    entry = "<Contents><Key>{}</Key><Size>0</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>"
    text = f"<ListBucketResult>{entry.format('a/')}{entry.format('a/b')}</ListBucketResult>"
    async with ScriptedHttp(answer(200, text.encode())) as server:
        store = store_at(server)
        assert [info.key async for info in store.list("a")] == ["a/b"]
        await store.close()


async def test_put_over_plain_http_leaves_the_body_unsigned():
    """Over http no time is spent on hashing the body, and no checksum is added that old services refuse."""
    async with ScriptedHttp(answer(200)) as server:
        store = store_at(server)
        await store.put("a", b"data")
        head = server.requests[0].lower()
        assert b"unsigned-payload" in head
        assert b"x-amz-checksum" not in head
        await store.close()


async def test_get_without_options_uses_the_aws_chain(monkeypatch):
    """Without credentials in the options those of the environment are used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with ScriptedHttp(s3_error(404, "NoSuchKey")) as server:
        store = store_at(server, access_key_id=None, secret_access_key=None)
        with pytest.raises(ObjectNotFoundError):
            await store.get("a")
        assert b"Credential=FROMENVIRONMENT/" in server.requests[0]
        await store.close()


async def test_get_without_any_credentials_says_what_to_set(monkeypatch, tmp_path):
    """When the AWS chain finds nothing, the error names the options to set."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    async with ScriptedHttp(answer(200)) as server:
        store = store_at(server, access_key_id=None, secret_access_key=None)
        with pytest.raises(StorageError, match="access_key_id and secret_access_key"):
            await store.get("a")
        assert server.requests == []
        await store.close()
