"""Files of results on this machine: whole or not there, whatever breaks on the way."""

from __future__ import annotations

import json
import os

import pytest

from queryfleet import errors
from queryfleet.client import RetryPolicy
from queryfleet.client.files import MadeFile, part_file, part_path
from tests.fixtures.query_service import client_of, fill
from tests.fixtures.scripted_service import Answer
from tests.servers.files import BreakingFile

DATA = os.urandom(3_000_000)
JOB = "job-1"
RETRY = RetryPolicy(total_seconds=0.2, first_pause_seconds=0.001, largest_pause_seconds=0.01)


def names(folder):
    """Return what is in a folder."""
    return [path.name for path in folder.iterdir()]


def part_of(folder):
    """Return where `rows.csv` is kept until it is whole."""
    return part_path(folder / "rows.csv", MadeFile(url="", job_uuid=JOB, byte_count=len(DATA)))


@pytest.fixture
def file():
    """What the service has made."""
    return BreakingFile(DATA)


@pytest.fixture
def download(query_service, file, tmp_path):
    """Download it as `rows.csv`; returns the path."""
    with file.serve() as url, client_of(query_service, retry=RETRY) as client:
        query_service.on_submit = lambda query: fill(query, 3)
        made = {"fileUrl": url, "jobId": JOB, "byteCount": len(DATA), "truncated": False}

        def answer(asked):
            if asked.path.endswith("/download"):
                return Answer(status=200, body=json.dumps({"status": "ok", "results": made}).encode())
            return None

        query_service.on_request = answer
        query = client.sql("select 1")
        yield lambda name="rows.csv", **options: query.download(tmp_path / name, **options)


def test_download_is_the_file_under_its_name_and_nothing_else(download, query_service, tmp_path):
    """The bytes are those of the service; the format is that of the ending; nothing is left beside it."""
    assert download().read_bytes() == DATA
    assert names(tmp_path) == ["rows.csv"]
    asked = query_service.asked[-1]
    assert asked.body == {"type": "csv", "onlyRaw": True, "attachmentDownloadName": "rows"}
    download("rows.bin", format="parquet", formatted=True)
    assert query_service.asked[-1].body["type"] == "parquet"


def test_download_that_breaks_goes_on_where_it_stood(download, file, tmp_path):
    """A connection cut in the middle, again and again, costs no byte twice."""
    file.piece = 700_000
    assert download().read_bytes() == DATA
    assert file.ranges == [0, 700_000, 1_400_000, 2_100_000, 2_800_000]
    assert names(tmp_path) == ["rows.csv"]


def test_download_from_a_store_without_ranges_skips_what_is_here(download, file, tmp_path):
    """Whoever answers with the whole file is understood, and no byte is written twice."""
    file.knows_ranges = False
    part_of(tmp_path).write_bytes(DATA[:1_234_567])
    assert download().read_bytes() == DATA


def test_download_that_was_given_up_is_gone_on_with_by_the_next_call(download, file, tmp_path):
    """What is there of the same file is not fetched again; the name is given when it is whole."""
    (tmp_path / "rows.csv").write_bytes(b"older")
    file.piece = 0
    with pytest.raises(errors.ServiceUnreachableError):
        download()
    assert (tmp_path / "rows.csv").read_bytes() == b"older"
    part_of(tmp_path).write_bytes(DATA[:1000])
    file.piece = None
    assert download().read_bytes() == DATA
    assert file.ranges[-1] == 1000
    assert names(tmp_path) == ["rows.csv"]


def test_download_of_an_expired_result_is_its_own_error(download, file, tmp_path):
    """The reason of the service is the reason of the client, and no file appears."""
    error = {"statusCode": 404, "name": "ResultsExpiredError", "message": "expired", "data": {}}
    file.refusal = (404, json.dumps({"status": "error", "error": error}).encode())
    with pytest.raises(errors.ResultsExpiredError, match="expired"):
        download()
    assert names(tmp_path) == []


def test_download_from_a_store_out_of_reach_names_it_and_no_signature(download, file, query_service, tmp_path):
    """The message says where the file lies and what to set; a link opens the file, so it is not shown."""
    with BreakingFile(b"").serve() as gone:
        pass
    made = {"fileUrl": gone, "jobId": JOB, "byteCount": 1, "truncated": False}
    query_service.on_request = lambda asked: (
        Answer(status=200, body=json.dumps({"status": "ok", "results": made}).encode())
        if asked.path.endswith("/download")
        else None
    )
    with pytest.raises(errors.ServiceUnreachableError, match="QUERYFLEET_STORE_LINKS_URL") as caught:
        download()
    assert "secret" not in caught.value.message


def test_download_waits_for_a_file_that_is_being_made(download, query_service):
    """A file that takes longer than one answer is asked for again."""
    answer, state = query_service.on_request, {"left": 2}

    def making(asked):
        if asked.path.endswith("/download") and state["left"]:
            state["left"] -= 1
            raise errors.ConflictError("still being made", jobId=JOB)
        return answer(asked)

    query_service.on_request = making
    assert download().read_bytes() == DATA


def test_download_without_a_format_is_refused_before_anything_is_asked(download, query_service):
    """An ending that says nothing is a clear error, with the words there are."""
    with pytest.raises(errors.ParameterError, match="'rows' does not end like one of csv, xlsx"):
        download("rows")
    assert not [asked for asked in query_service.asked if asked.path.endswith("/download")]


def test_full_disk_is_an_error_of_the_disk_and_leaves_nothing(tmp_path):
    """What could not be written whole is removed; the message names the file."""
    part = tmp_path / ".rows.csv.part"
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device.*rows\.csv"), part_file(part, 10) as file:
        file.write(b"1234567890")
    assert names(tmp_path) == []


def test_two_downloads_of_one_file_do_not_mix(tmp_path):
    """The second is refused while the first one writes."""
    part = tmp_path / "part"
    with part_file(part, 10), pytest.raises(errors.ConflictError, match="Another download"), part_file(part, 10):
        pass


def test_part_that_is_too_long_is_begun_again(tmp_path):
    """Bytes that cannot be of this file are thrown away."""
    part = tmp_path / "part"
    part.write_bytes(b"x" * 11)
    with part_file(part, 10) as file:
        assert file.tell() == 0
