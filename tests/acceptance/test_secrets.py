"""What a running service shows of itself: a documented interface, and no secret anywhere."""

from __future__ import annotations

import json
import urllib.request

import psutil
import pytest

from tests.servers.service_process import marked_processes

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def _get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def test_documentation_loads_with_everything_it_needs(service):
    """The page, its scripts and the description come from the service itself."""
    url = service.process.url
    page = _get(f"{url}/docs").decode()
    assert "https://" not in page, "works without the internet"
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert len(_get(f"{url}/docs/assets/{asset}")) > 10_000
    described = json.loads(_get(f"{url}/openapi.json"))
    assert "/api/v2/projects/{projectUuid}/query/{queryUuid}" in described["paths"]
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    assert all(operation["operationId"] for operation in operations)


def _logs(service):
    yield service.process.log_path
    yield from service.process.data_dir.glob("*.log")
    for path in (service.trace.folder / "session_latest" / "logs").rglob("*"):
        if path.is_file():
            yield path


def _secrets(service):
    data_dir = service.process.data_dir
    return {
        "token": service.process.token,
        "second token": service.other_token,
        "database password": (data_dir / "postgres.password").read_text().strip(),
        "S3 secret": (data_dir / "s3.secret").read_text().strip(),
        "warehouse password": service.warehouses.ledger_password,
    }


def test_no_secret_is_logged_stored_or_shown(service):
    """Logs, the service's tables and the command lines of its processes are free of tokens and passwords."""
    failed = service.ledger.submit("select 1 / 0 as x")
    assert service.ledger.wait(failed)["status"] == "error"
    assert service.ledger.wait(service.ledger.submit("select 1 as n"))["status"] == "ready"
    places = {str(path): path.read_bytes().decode(errors="replace") for path in _logs(service)}
    assert len(places) > 10, "the logs were looked at"
    for table in ("query", "project", "chunk", "access_token"):
        places[f"table {table}"] = str(service.status_rows(f"select t::text from {table} as t"))
    processes = {*service.trace.processes, *marked_processes(service.trace.stack_id)}
    for process in processes:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            places[f"process {process.pid}"] = " ".join(process.cmdline())
    for name, secret in _secrets(service).items():
        assert len(secret) >= 16
        assert [place for place, text in places.items() if secret in text] == [], f"the {name} can be seen"
