"""Whole results through the running service: streams, files and chunks, made by the cluster."""

from __future__ import annotations

import csv
import io
import json
import zlib
from decimal import Decimal

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.service import LEDGER_ROWS
from tests.servers.service_process import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

LEDGER = "select * from ledger order by entry_id"
ARROW = "application/vnd.apache.arrow.stream"
TRICKLE_ROWS = 3000
TRICKLE = (
    "select n, repeat(chr(65 + n % 26), 2000) as filler, pg_sleep(0.0015)::text as slept "
    f"from generate_series(1, {TRICKLE_ROWS}) as s(n)"
)


@pytest.fixture(scope="module")
def http(service):
    """A client with the service's token."""
    headers = {"Authorization": f"ApiKey {service.process.token}"}
    with httpx2.Client(base_url=service.process.url, headers=headers, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def ledger(service):
    """A ready query of the whole ledger: its path and its uuid."""
    query_uuid = service.ledger.submit(LEDGER)
    assert service.ledger.wait(query_uuid)["status"] == "ready"
    return f"/api/v2/projects/{service.ledger.project_uuid}/query/{query_uuid}", query_uuid


def test_streams_of_every_kind_are_the_table(service, http, ledger):
    """Lines, CSV and Arrow have every row in order, compressed or not, and the values that PostgreSQL has."""
    path, _ = ledger
    expected = service.warehouses.ledger_rows("select entry_id, big, amount, note from ledger order by entry_id")
    lines = http.get(f"{path}/results", headers={"Accept-Encoding": "identity"})
    assert int(lines.headers["Content-Length"]) == len(lines.content)
    assert [json.loads(line)["entry_id"] for line in lines.content.splitlines()] == [row[0] for row in expected]
    packed = http.get(f"{path}/results", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == lines.content
    rows = http.get(f"{path}/results?escapeFormulas=false", headers={"Accept": "text/csv", "Accept-Encoding": "gzip"})
    read = list(csv.DictReader(io.StringIO(rows.text, newline="")))
    assert [
        (int(row["entry_id"]), int(row["big"]), Decimal(row["amount"]), row["note"] or None) for row in read
    ] == expected
    table = pa.ipc.open_stream(http.get(f"{path}/results", headers={"Accept": ARROW}).content).read_all()
    assert table.num_rows == LEDGER_ROWS
    assert table["big"].to_pylist() == [row[1] for row in expected]
    assert table["note"].to_pylist() == [row[3] for row in expected]


@pytest.mark.parametrize("type_", ["csv", "parquet", "jsonl"])
def test_file_is_made_and_read_from_the_store(service, http, ledger, type_):
    """A download is one object beside the chunks, read from the store itself by its link, in ranges too."""
    path, query_uuid = ledger
    answer = http.post(f"{path}/download", json={"type": type_, "onlyRaw": True}).json()["results"]
    with httpx2.Client(trust_env=False, timeout=60) as stranger:
        there = stranger.get(answer["fileUrl"])
        assert there.status_code == 302
        data = stranger.get(there.headers["Location"]).content
        part = stranger.get(there.headers["Location"], headers={"Range": "bytes=100-199"})
    assert len(data) == answer["byteCount"]
    assert part.content == data[100:200]
    again = http.post(f"{path}/download", json={"type": type_, "onlyRaw": True}).json()["results"]
    assert again["fileUrl"] == answer["fileUrl"]
    if type_ == "parquet":
        assert pq.read_table(io.BytesIO(data)).num_rows == LEDGER_ROWS
    elif type_ == "csv":
        assert len(list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))) == LEDGER_ROWS + 1
    else:
        assert data == http.get(f"{path}/results").content
    assert [file for file in service.stored_files(query_uuid) if "exports" in file.parts]


def test_chunks_are_read_from_the_store_by_their_links(http, ledger):
    """Each chunk of the manifest can be fetched at once from the store, and its checksum is right."""
    path, _ = ledger
    manifest = http.get(f"{path}/manifest").json()["results"]
    with httpx2.Client(trust_env=False, timeout=60) as stranger:
        for chunk in manifest["chunks"]:
            data = stranger.get(chunk["url"]).content
            assert f"{zlib.crc32(data):08x}" == chunk["crc32"]
            assert data == http.get(chunk["path"]).content
    assert sum(chunk["rowCount"] for chunk in manifest["chunks"]) == LEDGER_ROWS


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv", ARROW])
def test_stream_that_breaks_off_is_an_error_at_the_client(service, http, accept):
    """When a chunk is gone in the middle, HAProxy and all, no client takes what came for the whole."""
    query_uuid = service.ledger.submit(f"select *, 1 as again from ({LEDGER}) as q")
    assert service.ledger.wait(query_uuid)["progress"]["chunks"] > 2
    chunks = sorted(file for file in service.stored_files(query_uuid) if file.suffix == ".jsonl")
    chunks[-1].unlink()
    path = f"/api/v2/projects/{service.ledger.project_uuid}/query/{query_uuid}/results"
    with pytest.raises(httpx2.RemoteProtocolError):
        http.get(path, headers={"Accept": accept, "Accept-Encoding": "identity"})


def test_stream_follows_a_query_that_trickles(service, http):
    """Rows arrive while PostgreSQL still makes others, and in the end all are there."""
    query_uuid = service.ledger.submit(TRICKLE)
    path = f"/api/v2/projects/{service.ledger.project_uuid}/query/{query_uuid}/results"
    received, early = b"", False
    with http.stream("GET", path, headers={"Accept": "text/csv"}) as answer:
        for piece in answer.iter_bytes():
            if not received:
                early = service.ledger.poll(query_uuid)["status"] == "running"
            received += piece
    assert early
    rows = list(csv.reader(io.StringIO(received.decode(), newline="")))
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(1, TRICKLE_ROWS + 1)]


def test_large_file_is_scheduled_and_its_job_tells_how_far_it_is(service, http):
    """A million rows become a file by a job that can be watched."""
    query_uuid = service.shop.submit("select range as n, 'row ' || range as t from range(1000000)")
    assert service.shop.wait(query_uuid)["totalResults"] == 1_000_000
    path = f"/api/v2/projects/{service.shop.project_uuid}/query/{query_uuid}"
    job_id = http.post(f"{path}/schedule-download", json={"type": "csv"}).json()["results"]["jobId"]
    states = []

    def is_ended() -> bool:
        states.append(http.get(f"/api/v1/schedulers/job/{job_id}/status").json()["results"])
        return states[-1]["status"] in ("completed", "error")

    assert wait_until(is_ended, seconds=60)
    assert states[-1]["status"] == "completed", states[-1]
    with httpx2.Client(trust_env=False, timeout=60, follow_redirects=True) as stranger:
        data = stranger.get(states[-1]["details"]["fileUrl"]).content
    assert data.count(b"\n") == 1_000_001
    assert data.endswith(b'"999,999",row 999999\n')
