"""`queryfleet up` when a part that it started itself is killed."""

from __future__ import annotations

import pytest

from tests.servers.service_process import ServiceProcess, marked_processes, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

END_SECONDS = 40.0


def test_up_whose_ray_is_killed_says_so_and_ends(tmp_path):
    """A service manager can start it again; nothing is left that would be in its way."""
    process = ServiceProcess(
        tmp_path / "data",
        [],
        environment={"QUERYFLEET_POOL_SIZE": "1", "PYTHONWARNINGS": "ignore"},
        arguments=("--store", (tmp_path / "results").as_uri()),
    )
    try:
        process.start()
        trace = process.trace()
        (raylet,) = [one for one in marked_processes(trace.stack_id) if one.name().startswith("raylet")]
        raylet.kill()
        assert wait_until(lambda: not process.is_running, seconds=END_SECONDS)
        assert process.exit_code == 1
        assert "Ray has ended by itself" in process.log_path.read_text()
        assert trace.left() == []
        assert not process.ready_path.exists()
    finally:
        process.kill()
