"""Asking through Ray: the same answers, rights, errors and history as over HTTP, and rows as objects of Ray."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
import pytest

from queryfleet.client import Client
from tests.fixtures.service import LEDGER_ROWS, LEDGER_UUID
from tests.servers.launcher_cluster import ROOT
from tests.servers.ray_door_program import EMPTY, EVERY_TYPE, NESTED

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


class Answer:
    """What the program saw."""

    def __init__(self, folder, output):
        self._folder = folder
        self.output = output
        self.seen = json.loads((folder / "answer.json").read_text())

    def table(self, name):
        """Return rows that the program has kept."""
        with pa.OSFile(str(self._folder / f"{name}.arrow")) as file:
            return pa.ipc.open_file(file).read_all()


@pytest.fixture(scope="module")
def answer(service, tmp_path_factory):
    """Run the program once, on the machine of the service."""
    folder = tmp_path_factory.mktemp("ray_door")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "RAY_AUTH_MODE": "disabled",
        "RAY_DOOR_STACK": service.trace.stack_id,
    }
    command = [sys.executable, "-m", "tests.servers.ray_door_program", str(folder)]
    command += ["--about", str(service.process.ready_path), "--project", LEDGER_UUID]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return Answer(folder, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def http(service):
    """The same user's client over HTTP."""
    with Client(service.process.url, token=service.process.token, project=LEDGER_UUID) as client:
        yield client


def test_rows_are_those_over_http_with_their_types(answer, http):
    """Every type, nested values and an empty result come the same by client, references and HTTP."""
    for name, sql in (("every_type", EVERY_TYPE), ("nested", NESTED)):
        expected = http.sql(sql).to_arrow()
        assert answer.table(name).equals(expected)
        assert answer.table(f"{name}_refs").equals(expected)
    assert answer.seen["groups"] > 1
    empty = answer.table("empty_refs")
    assert (empty.num_rows, empty.schema) == (0, http.sql(EMPTY).to_arrow().schema)


def test_query_is_one_of_the_service(answer, http):
    """What was asked through Ray is in the history, can be found, cancelled and downloaded, and shares rows."""
    assert set(answer.seen["query_uuids"]) <= set(answer.seen["in_history"])
    assert set(answer.seen["query_uuids"]) <= {entry.query_uuid for entry in http.history(limit=200)}
    assert http.attach(answer.seen["query_uuids"][0]).to_arrow().num_rows == LEDGER_ROWS
    assert answer.seen["attached"] == "entry_id"
    assert answer.seen["cancelled"] == "cancelled"
    assert answer.seen["csv_lines"] >= LEDGER_ROWS + 1
    assert answer.seen["in_notebook"] == 42
    metric = answer.table("metric")
    assert sum(metric["ledger_entry_count"].to_pylist()) == LEDGER_ROWS


def test_errors_keep_class_code_and_details(answer):
    """A refusal through Ray is the very error of the client over HTTP."""
    errors = answer.seen["errors"]
    kinds = {name: tuple(error[:3]) for name, error in errors.items()}
    assert kinds == {
        "warehouse": ("WarehouseQueryError", "warehouse_query_error", 400),
        "writing": ("ForbiddenError", "forbidden", 403),
        "field": ("FieldReferenceError", "field_reference_error", 400),
        "stranger": ("NotFoundError", "not_found", 404),
        "page": ("PaginationError", "pagination_error", 422),
        "dataset": ("NotSupportedError", "not_supported", 501),
        "token": ("AuthorizationError", "unauthorized", 401),
        "application": ("ConfigurationError", "configuration_error", 422),
    }
    assert errors["warehouse"][3]["sqlState"] == "42P01"
    assert errors["writing"][3]["keyword"] == "DROP"
    assert "ledger_note" in errors["field"][4]
    assert "ray job submit" in errors["dataset"][4]
    assert "'nobody'" in errors["application"][4]


def test_dataset_in_a_task_has_all_rows(answer):
    """Where Ray Data works, every row is read once, by tasks on the cluster."""
    assert answer.seen["dataset_in_task"] == [LEDGER_ROWS, LEDGER_ROWS * (LEDGER_ROWS + 1) // 2, True]


def test_lost_worker_costs_no_row(answer):
    """A process that is killed while it reads is replaced, and its rows are read again."""
    assert answer.seen["killed"] == 1
    assert answer.table("after_loss").equals(answer.table("every_type"))


def test_grant_opens_one_result_and_nothing_else(answer):
    """Tasks read with a signed grant; one that was changed, or is for another result, opens nothing."""
    assert answer.seen["granted_lines"] > 0
    kinds = {name: error[0] for name, error in answer.seen["grants"].items()}
    assert kinds.pop("no_chunk") == "NotFoundError"
    assert set(kinds.values()) == {"AuthorizationError"}


def test_token_is_in_no_log(answer, service):
    """Neither Ray's logs nor what the program printed hold the token or a grant."""
    token = service.process.token
    assert token not in answer.output
    logs = [path for path in service.trace.folder.rglob("*") if path.is_file() and "logs" in path.parts]
    assert len(logs) > 10
    assert [path for path in logs if token.encode() in path.read_bytes()] == []
