"""The examples do what their pages say: each is run as a whole, on the service."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from tests.servers.launcher_cluster import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

EXAMPLES = ROOT / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def outputs(service, monkeypatch):
    """Run the notebook and return what its cells put out, by MIME type, in order."""
    monkeypatch.setenv("QUERYFLEET_DATA_DIR", str(service.process.data_dir))
    # The kernel is a process of its own: what its libraries warn of is not this suite's matter.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "revenue.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "the notebook is kept without outputs"
    NotebookClient(
        notebook, timeout=120, startup_timeout=120, kernel_name="python3", resources={"metadata": {"path": EXAMPLES}}
    ).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def test_notebook_goes_from_a_question_to_a_chart(outputs, service):
    """Every cell runs, the rows are shown, and a picture is drawn."""
    assert [output for output in outputs if output.output_type == "error"] == []
    shown = [output.data for output in outputs if "data" in output]
    texts = [data["text/plain"] for data in shown]
    ((count,),) = service.warehouses.shop_rows(
        "select count(distinct (date_trunc('month', ordered_at), category))"
        " from orders join products using (product_id) where status <> 'cancelled'"
    )
    assert any(f"{count} rows" in text for text in texts), texts
    assert any("<table" in data.get("text/html", "") for data in shown)
    assert any("shape: (5, 7)" in text for text in texts), "the last months, a column for each of six categories"
    (picture,) = [data["image/png"] for data in shown if "image/png" in data]
    assert base64.b64decode(picture).startswith(PNG)


def printed(service, name):
    """Run a script as the driver of a Ray job, and return its lines."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "disabled",
        "RAY_ADDRESS": str(service.process.about["ray_address"]),
        "QUERYFLEET_TOKEN": service.process.token,
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def test_ray_job_joins_two_results(service):
    """The sums of the join are those of the warehouse."""
    head, *lines = printed(service, "ray_join.py")
    expected = service.warehouses.shop_rows(
        "select country, segment, sum(amount)::double from orders join customers using (customer_id)"
        " where status <> 'cancelled' group by all order by 3 desc"
    )
    count, total = re.fullmatch(r"(\d+) rows, revenue ([\d,]+)", head).groups()
    assert int(count) == len(expected)
    assert int(total.replace(",", "")) == pytest.approx(sum(row[2] for row in expected), abs=1)
    assert [line.split()[-1] for line in lines] == [f"{row[2]:,.0f}" for row in expected[:10]]


def test_ray_tasks_forecast_each_category(service):
    """A line for each category, with the better method's error and months of the size of those that are known."""
    _, *lines = printed(service, "ray_forecast.py")
    categories = [name for (name,) in service.warehouses.shop_rows("select distinct category from products order by 1")]
    assert [line.split()[0] for line in lines] == sorted(categories)
    for line in lines:
        assert re.search(r"seasonal naive|smoothed", line)
        error = float(re.search(r"([\d.]+)%", line).group(1))
        assert 0 < error < 30
        months = [int(each.replace(",", "")) for each in line.rpartition("%")[2].split()]
        assert len(months) == 6
        assert min(months) > 0
