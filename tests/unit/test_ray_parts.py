"""What the way through Ray decides without Ray: groups of chunks, versions, what a failed way becomes."""

from __future__ import annotations

import pickle
import zlib

import httpx2
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import queryfleet
from queryfleet.client.carried import CarriedRequest
from queryfleet.client.manifest import ListedChunk
from queryfleet.errors import ConfigurationError, ResultCorruptError
from queryfleet.ray.door import Door
from queryfleet.ray.reading import ChunkGroup, grouped, read_group
from queryfleet.ray.versions import check_ray, check_release
from queryfleet.results.encoder import Encoder
from queryfleet.results.page import schema_to_bytes

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Serve, when it is imported

REQUEST = CarriedRequest(method="GET", path="/", query="", headers=(), body=b"", wait_seconds=0.01)


def chunk(index, lines=b"x" * 10, row_count=1):
    """Return an entry of a manifest for these lines."""
    crc32 = f"{zlib.crc32(lines):08x}"
    return ListedChunk(index=index, row_count=row_count, byte_count=len(lines), crc32=crc32, url=None)


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 300), st.integers(1, 12))
def test_groups_hold_every_chunk_once_in_order(sizes, group_bytes, groups_min):
    """No chunk is lost, repeated or moved, and only a single chunk makes a group larger than asked for."""
    chunks = [chunk(index, b"x" * size) for index, size in enumerate(sizes)]
    groups = grouped(chunks, group_bytes=group_bytes, groups_min=groups_min)
    assert [each for group in groups for each in group] == chunks
    assert groups
    assert all(groups) or not chunks
    assert all(len(group) == 1 or sum(each.byte_count for each in group) <= group_bytes for group in groups)


def test_equal_chunks_are_spread_over_as_many_groups_as_asked_for():
    """Every node gets work when there is work for every node."""
    chunks = [chunk(index) for index in range(12)]
    assert [len(group) for group in grouped(chunks, group_bytes=10**9, groups_min=4)] == [3, 3, 3, 3]
    assert len(grouped(chunks, group_bytes=10**9)) == 1


@pytest.fixture
def stored(monkeypatch):
    """Return a group of one chunk, whose lines come from a service that may give others."""
    batch = pa.record_batch({"n": [1, 2, 3], "l": [[1], None, [2, 3]]})
    encoded = Encoder(batch.schema).encode(batch)
    lines = {"now": bytes(encoded.data)}
    group = ChunkGroup(
        application="queryfleet",
        grant="secret-grant",
        arrow_schema=schema_to_bytes(batch.schema),
        chunks=(chunk(0, lines["now"], 3),),
    )

    class Opened:
        def granted_chunk(self, grant, index):
            assert (grant, index) == ("secret-grant", 0)
            return lines["now"]

    monkeypatch.setattr("queryfleet.ray.door.open_door", lambda _: Opened())
    return group, lines, pa.Table.from_batches([batch])


def test_group_is_read_with_its_types_and_shows_no_grant(stored):
    """Nested values too come back as they were; what opens the result is not shown."""
    group, _, table = stored
    assert read_group(pickle.loads(pickle.dumps(group))).equals(table)
    assert "secret-grant" not in repr(group)


@pytest.mark.parametrize("damage", [lambda lines: lines[:-1], lambda lines: lines.replace(b"1", b"7", 1)])
def test_damaged_chunk_is_an_error_and_never_rows(stored, damage):
    """Too few bytes and other bytes are both refused."""
    group, lines, _ = stored
    lines["now"] = damage(lines["now"])
    with pytest.raises(ResultCorruptError):
        read_group(group)


@pytest.mark.parametrize(
    ("cluster", "named"),
    [
        ({"ray_version": "2.59.0", "python_version": "3.11.4"}, "Ray 2.59.0"),
        ({"ray_version": "2.60.0", "python_version": "3.12.1"}, "Python 3.12.1"),
    ],
)
def test_other_version_is_named_with_the_way_out(cluster, named):
    """Whoever connects with the wrong environment learns which one is right, and what works without it."""
    with pytest.raises(ConfigurationError, match=r"queryfleet\.Client") as caught:
        check_ray(cluster, ray_version="2.60.0", python_version="3.11.7")
    assert named in caught.value.message


def test_fitting_versions_pass():
    """Another patch of Python and of the package is no reason to refuse."""
    check_ray({"ray_version": "2.60.0", "python_version": "3.11.0"}, ray_version="2.60.0", python_version="3.11.7")
    check_release(queryfleet.__version__ + "9")
    with pytest.raises(ConfigurationError, match=r"9\.9\.0"):
        check_release("9.9.0")


class Response:
    """A call by a Serve handle that does not go well."""

    def __init__(self, error):
        self._error = error
        self.is_cancelled = False

    def result(self, *, timeout_s):
        raise self._error

    def cancel(self):
        self.is_cancelled = True


class Handle:
    """Gives that response to every call."""

    def __init__(self, response):
        self._response = response

    def __getattr__(self, name):
        return type("Method", (), {"remote": lambda _, *__: self._response})()


def test_late_answer_is_a_timeout_and_the_call_is_cancelled():
    """What nobody waits for any more is not left running in the replica."""
    response = Response(TimeoutError())
    with pytest.raises(httpx2.ReadTimeout):
        Door(Handle(response), "queryfleet").carry(REQUEST)
    assert response.is_cancelled


def test_lost_replica_is_a_broken_connection_which_a_client_repeats():
    """Ray's own failures are those of a connection; their texts, which quote tracebacks, are not passed on."""
    from ray.exceptions import ActorDiedError

    with pytest.raises(httpx2.ReadError, match=r"^Ray: ActorDiedError$"):
        Door(Handle(Response(ActorDiedError())), "queryfleet").carry(REQUEST)
