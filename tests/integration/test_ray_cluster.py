"""A cluster started by the commands of `ray-cluster.yaml` carries the service, in both ways of starting it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import yaml

from cluster.local.ports import free_ports
from tests.fixtures.ray_cluster import TOKEN
from tests.fixtures.service import LEDGER_UUID
from tests.servers.http_api import ProjectApi
from tests.servers.launcher_cluster import ROOT
from tests.servers.service_process import ServiceProcess, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

_SECONDS = 120.0


def _program(name):
    return str(Path(sys.executable).with_name(name))


def _run(stand, *command):
    done = subprocess.run(
        command, env=stand.environment, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _actors_of_nodes(stand):
    """Return how many query actors each node has that has any; a worker's parent is its node's raylet."""
    return list(Counter(process.ppid() for process in stand.actors("QueryActor")).values())


def test_up_given_cluster_runs_queries_on_both_nodes(cluster_stand, tmp_path):
    """With RAY_ADDRESS the service uses both nodes, and takes with it what it started there."""
    service = ServiceProcess(
        tmp_path / "data",
        cluster_stand.warehouses.folders,
        environment=cluster_stand.environment | {"QUERYFLEET_POOL_SIZE": "4"},
    )
    try:
        service.start()
        ledger = service.api(LEDGER_UUID)
        assert wait_until(lambda: _actors_of_nodes(cluster_stand) == [2, 2], seconds=_SECONDS)
        with cluster_stand.closed_gate() as gate:
            queries = [ledger.submit(gate.sql(1000 + n)) for n in range(4)]
            assert wait_until(lambda: all(map(cluster_stand.actor_of, queries)), seconds=60)
            processes = {cluster_stand.actor_of(query_uuid) for query_uuid in queries}
            nodes = {process.ppid() for process in processes}
            assert (len(processes), len(nodes)) == (4, 2)
        ended = [ledger.wait(query_uuid) for query_uuid in queries]
        assert [(poll["status"], poll["totalResults"]) for poll in ended] == [("ready", 1000 + n) for n in range(4)]
    finally:
        service.stop()
    assert wait_until(
        lambda: not cluster_stand.actors("QueryActor") and not cluster_stand.actors("StatusActor"), seconds=30
    )


def _serve_config(stand, port, **variables):
    """Return the Serve configuration of the Kubernetes manifest, for this machine."""
    manifest = yaml.safe_load((ROOT / "deploy/kuberay/rayservice.yaml").read_text())
    config = yaml.safe_load(manifest["spec"]["serveConfigV2"])
    config["http_options"] |= {"host": "127.0.0.1", "port": port}
    (application,) = config["applications"]
    application["args"]["projects"] = [str(folder) for folder in stand.warehouses.folders]
    application["runtime_env"]["env_vars"] |= {
        "QUERYFLEET_STORE_URL": stand.settings["QUERYFLEET_STORE_URL"],
        "QUERYFLEET_POOL_SIZE": "1",
        "QUERYFLEET_POOL_SIZE_MAX": "3",
        **variables,
    }
    return config


def _deploy(stand, tmp_path, config):
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(config))
    _run(stand, _program("serve"), "deploy", "--address", stand.cluster.dashboard_url, str(path))


def _page_size(url):
    try:
        with urllib.request.urlopen(f"{url}/api/v1/health", timeout=10) as answer:
            return json.load(answer)["results"]["query"]["defaultPageSize"]
    except OSError:
        return None


def test_serve_deploy_manifest_needs_no_up(cluster_stand, tmp_path):
    """The manifest's Serve configuration starts everything, grows the pool, and a changed one takes over."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    ledger = ProjectApi(url=url, token=TOKEN, project_uuid=LEDGER_UUID)
    try:
        _deploy(cluster_stand, tmp_path, _serve_config(cluster_stand, port))
        assert wait_until(lambda: _page_size(url) == 500, seconds=_SECONDS)
        with cluster_stand.closed_gate() as gate:
            queries = [ledger.submit(gate.sql(10 + n)) for n in range(3)]
            assert wait_until(lambda: all(map(cluster_stand.actor_of, queries)), seconds=_SECONDS), "the pool grew"
            _deploy(cluster_stand, tmp_path, _serve_config(cluster_stand, port, QUERYFLEET_PAGE_SIZE_DEFAULT="7"))
            assert wait_until(lambda: _page_size(url) == 7, seconds=_SECONDS)
            assert wait_until(lambda: len(cluster_stand.actors("StatusActor")) == 2, seconds=_SECONDS)
        ended = [ledger.wait(query_uuid) for query_uuid in queries]
        assert [(poll["status"], poll["attempt"]) for poll in ended] == [("ready", 1)] * 3
        assert wait_until(lambda: len(cluster_stand.actors("StatusActor")) == 1, seconds=_SECONDS)
        assert ledger.wait(ledger.submit("select 42 as n"))["status"] == "ready"
        assert "nothing runs here any more" in _run(cluster_stand, sys.executable, "-m", "cluster.drain", "60")
        assert wait_until(lambda: not cluster_stand.actors("QueryActor"), seconds=30)
    finally:
        _run(cluster_stand, _program("serve"), "shutdown", "--yes", "--address", cluster_stand.cluster.dashboard_url)
