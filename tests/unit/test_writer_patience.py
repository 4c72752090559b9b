"""The result writer while the store is away."""

from __future__ import annotations

import pytest

from queryfleet.errors import StorageError
from queryfleet.model import Column, ColumnType
from queryfleet.results import writer as module
from queryfleet.results.store_memory import MemoryStore
from queryfleet.results.writer import ResultWriter
from tests.strategies.chunked_results import QUERY, chunked, numbered_lines

pytestmark = pytest.mark.anyio

COLUMNS = [Column(reference="n", type=ColumnType.NUMBER)]


class AwayStore(MemoryStore):
    """A store that refuses the first few puts."""

    def __init__(self, refusals, *, transient=True):
        super().__init__()
        self.refusals = refusals
        self.puts = 0
        self._details = {"transient": True} if transient else {}

    async def put(self, key, data):
        self.puts += 1
        if self.puts <= self.refusals:
            raise StorageError("The store is away.", **self._details)
        await super().put(key, data)


async def _written(store, *, patience_seconds):
    async def commit(ref):
        assert await store.get(ref.key), "committed only after it is durable"

    writer = ResultWriter(store, QUERY, 1, commit=commit, uploads_in_flight=2, patience_seconds=patience_seconds)
    chunks = chunked(numbered_lines(300), [100, 100, 100], block_rows=50).chunks
    for chunk in chunks[:-1]:
        await writer.put(chunk)
    return await writer.finish(chunks[-1], columns=COLUMNS), chunks


async def test_store_away_for_a_passing_reason_is_waited_for(monkeypatch):
    """Every chunk is there in the end, the manifest's copy included."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.001)
    store = AwayStore(5)
    finished, chunks = await _written(store, patience_seconds=30.0)
    assert finished.chunk_count == len(chunks)
    assert store.puts == 5 + len(chunks) + 1


async def test_store_away_for_too_long_fails_with_its_own_words(monkeypatch):
    """Patience ends, and what the store said is the reason."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.001)
    with pytest.raises(StorageError, match="away"):
        await _written(AwayStore(1_000_000), patience_seconds=0.05)


async def test_store_that_refuses_for_good_is_not_asked_again():
    """A wrong key does not get right by waiting."""
    store = AwayStore(1_000_000, transient=False)
    with pytest.raises(StorageError, match="away"):
        await _written(store, patience_seconds=30.0)
    assert store.puts <= 3
