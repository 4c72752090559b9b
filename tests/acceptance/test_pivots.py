"""A large pivot through the running service: made on the cluster, it is the one that the warehouse would have made."""

from __future__ import annotations

import httpx2
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

ROWS, COLUMNS = 2_500, 100
CELLS = (
    "select n / 100 as i, n % 100 as g, n * 7919 % 1000003 as v "
    f"from generate_series(0, {ROWS * COLUMNS - 1}) as s(n) where (n + n / 100) % 10 > 0"
)
PIVOT = {
    "indexColumn": {"reference": "i", "type": "category"},
    "groupByColumns": [{"reference": "g"}],
    "valuesColumns": [{"reference": "v", "aggregation": "max"}],
    "sortBy": [{"reference": "v", "direction": "DESC"}],
}


def test_large_pivot_of_the_cluster_is_that_of_the_warehouse(service):
    """With more cells than one process should hold the lines are made by tasks, in the same order to the byte."""
    headers = {"Authorization": f"ApiKey {service.process.token}", "Accept-Encoding": "identity"}
    root = f"/api/v2/projects/{service.ledger.project_uuid}/query"
    lines, parts = {}, {}
    sql = f"{CELLS} union all select -1, n % 100, n from generate_series(1, 60000) as s(n)"
    with httpx2.Client(base_url=service.process.url, headers=headers, timeout=120, trust_env=False) as client:
        for way in ("distributed", "sql"):
            body = {"sql": sql, "limit": 3000, "pivotConfiguration": PIVOT, "pivotPlan": way}
            results = client.post(f"{root}/sql?waitMs=60000", json=body).json()["results"]
            assert results["status"] == "ready", results
            assert results["totalResults"] == ROWS + 1
            assert len(results["pivotDetails"]["valuesColumns"]) == COLUMNS
            parts[way] = {path.name.split("-")[0] for path in service.stored_files(results["queryUuid"])}
            lines[way] = client.get(f"{root}/{results['queryUuid']}/results").content
            again = client.get(f"{root}/{results['queryUuid']}?page=5&pageSize=500").json()["results"]
            assert len(again["rows"]) == 500
    assert lines["sql"] == lines["distributed"]
    # Chunks of tasks have the number of their range before them.
    assert [len(parts[way] & {"00000", "00001"}) for way in ("distributed", "sql")] == [2, 0]
