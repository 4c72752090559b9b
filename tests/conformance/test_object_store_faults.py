"""What an S3 store promises when the service, the network or the caller fails half-way."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from pydantic import SecretStr

from queryfleet.errors import ObjectNotFoundError, StorageError
from queryfleet.results.store import ObjectStore, StoreOptions, open_store
from tests.servers.faulty_proxy import FaultyProxy
from tests.servers.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fixtures.s3_servers import S3Service

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

DATA = os.urandom(4 * 2**20)


@pytest.fixture
def url() -> str:
    """Yield an empty place in the test bucket."""
    return f"s3://tests/{uuid4()}"


@pytest.fixture
async def direct(s3_service: S3Service, url: str) -> AsyncIterator[ObjectStore]:
    """Yield a store that talks to the service itself."""
    opened = open_store(url, s3_service.options)
    yield opened
    await opened.close()


@pytest.fixture
async def proxy(s3_service: S3Service) -> AsyncIterator[FaultyProxy]:
    """Yield a proxy in front of the service, still without faults."""
    async with FaultyProxy(s3_service.options.endpoint_url) as running:
        yield running


@pytest.fixture
async def store(proxy: FaultyProxy, s3_service: S3Service, url: str) -> AsyncIterator[ObjectStore]:
    """Yield a patient store that talks through the proxy."""
    opened = open_store(url, replace(s3_service.options, endpoint_url=proxy.endpoint_url))
    yield opened
    await opened.close()


@pytest.fixture
async def hasty_store(proxy: FaultyProxy, s3_service: S3Service, url: str) -> AsyncIterator[ObjectStore]:
    """Yield a store that talks through the proxy and gives up after 1.5 s."""
    options = replace(s3_service.options, endpoint_url=proxy.endpoint_url, request_timeout_seconds=1.5)
    opened = open_store(url, options)
    yield opened
    await opened.close()


async def listed(store: ObjectStore) -> list[str]:
    """List all keys."""
    return [info.key async for info in store.list("")]


async def is_nothing_visible(store: ObjectStore, key: str) -> bool:
    """Tell whether neither a get nor a listing shows the object."""
    try:
        await store.get(key)
    except ObjectNotFoundError:
        return await listed(store) == []
    return False


async def test_put_connection_cut_for_ever_fails_and_shows_nothing(hasty_store, direct, proxy):
    """When every connection breaks in mid-body the put ends in an error, and no part of it is visible."""
    proxy.cut_request_after = 2**20
    begun = time.monotonic()
    with pytest.raises(StorageError, match="bucket 'tests'") as caught:
        await hasty_store.put("a", DATA)
    assert time.monotonic() - begun < 2.5
    assert caught.value.retryable
    assert proxy.faults_done > 1
    assert await is_nothing_visible(direct, "a")


async def test_put_connection_cut_twice_succeeds(store, direct, proxy):
    """A put outlives passing failures."""
    proxy.cut_request_after = 2**20
    proxy.faults_left = 2
    await store.put("a", DATA)
    assert proxy.faults_done == 2
    assert await direct.get("a") == DATA


async def test_put_cut_while_replacing_keeps_the_old_object(hasty_store, direct, proxy):
    """A failed put over an existing object leaves that one whole."""
    await direct.put("a", b"old")
    proxy.cut_request_after = 2**20
    with pytest.raises(StorageError):
        await hasty_store.put("a", DATA)
    assert await direct.get("a") == b"old"


async def test_put_cancelled_in_mid_body_shows_nothing(store, direct, proxy):
    """A put cancelled while its body is on the way ends at once, and no part of the object is visible."""
    proxy.stall_request_after = 2**20
    task = asyncio.create_task(store.put("a", DATA))
    async with asyncio.timeout(10):
        await proxy.stalled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await is_nothing_visible(direct, "a")


async def test_put_stalled_connection_fails_within_the_time_limit(hasty_store, direct, proxy):
    """A network that swallows everything costs no more than the time limit."""
    proxy.stall_request_after = 2**20
    begun = time.monotonic()
    with pytest.raises(StorageError, match=r"within 1\.5 s"):
        await hasty_store.put("a", DATA)
    assert 1.4 < time.monotonic() - begun < 2.5
    assert await is_nothing_visible(direct, "a")


@pytest.mark.parametrize("is_ranged", [False, True])
async def test_get_connection_cut_in_mid_body_is_repeated(store, direct, proxy, is_ranged):
    """A read whose answer breaks off is repeated, and never returns fewer bytes."""
    await direct.put("a", DATA)
    proxy.cut_answer_after = 2**20
    proxy.faults_left = 2
    data = await (store.get_range("a", 5, len(DATA) - 5) if is_ranged else store.get("a"))
    assert data == (DATA[5:-5] if is_ranged else DATA)
    assert proxy.faults_done == 2


@pytest.mark.parametrize("is_ranged", [False, True])
async def test_get_connection_cut_for_ever_fails(hasty_store, direct, proxy, is_ranged):
    """A read that never comes to its end is an error of the network, not a shorter or a damaged object."""
    await direct.put("a", DATA)
    proxy.cut_answer_after = 2**20
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        await (hasty_store.get_range("a", 5, len(DATA) - 5) if is_ranged else hasty_store.get("a"))
    assert caught.value.retryable
    assert proxy.faults_done > 1


async def test_any_call_server_down_fails_within_the_time_limit(url):
    """When nobody listens every call ends in a retryable error that names bucket and endpoint, and soon."""
    endpoint_url = f"http://127.0.0.1:{free_ports(1)[0]}"
    options = StoreOptions(
        endpoint_url=endpoint_url,
        access_key_id="abc",
        secret_access_key=SecretStr("unmentionable"),
        request_timeout_seconds=1.5,
    )
    opened = open_store(url, options)

    calls = (
        opened.put("a", b"1"),
        opened.get("a"),
        opened.get_range("a", 0, 1),
        opened.delete(["a"]),
        listed(opened),
    )
    begun = time.monotonic()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - begun < 2
    for error in errors:
        assert isinstance(error, StorageError)
        assert error.retryable
        assert endpoint_url in error.message
        assert "'tests'" in error.message
        assert "unmentionable" not in repr((error.message, error.details))
    await opened.close()


async def test_any_call_wrong_secret_says_what_to_check(s3_service, url):
    """A refused signature is reported with the bucket and the remedy, at once and without any secret."""
    options = replace(s3_service.options, secret_access_key=SecretStr("wrong/Secret+value"))
    opened = open_store(url, options)

    calls = (
        opened.put("a", b"1"),
        opened.get("a"),
        opened.get_range("a", 0, 1),
        opened.delete(["a"]),
        listed(opened),
    )
    begun = time.monotonic()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - begun < 2
    right = s3_service.options.secret_access_key.get_secret_value()
    for error in errors:
        assert type(error) is StorageError
        assert "bucket 'tests'" in error.message
        assert "secret key" in error.message
        for secret in ("wrong/Secret+value", right):
            assert secret not in repr((error.message, error.details, options))
    await opened.close()


async def test_any_call_missing_bucket_says_so(s3_service):
    """A bucket that does not exist is not mistaken for a missing object."""
    opened = open_store("s3://no-such-bucket/x", s3_service.options)
    for call in (opened.put("a", b"1"), opened.get("a"), opened.get_range("a", 0, 1)):
        with pytest.raises(StorageError, match=r"no-such-bucket.*create it") as caught:
            await call
        assert type(caught.value) is StorageError
    await opened.close()
