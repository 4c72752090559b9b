"""What the doctor says about parts that are not well."""

from __future__ import annotations

import pytest

from cluster import doctor
from queryfleet.errors import WarehouseConnectionError
from queryfleet.settings import Settings


class _Refused:
    def __init__(self, message, **details):
        self._error = WarehouseConnectionError(message, **details)

    def ping(self):
        raise self._error


class _Reached:
    def ping(self):
        return "Somebase 7"


@pytest.fixture
def warehouses(monkeypatch):
    """Put warehouses in place of those of the projects."""

    def put(**found):
        async def projects(settings):
            return [(name, {"name": name}) for name in found]

        monkeypatch.setattr(doctor, "_projects", projects)
        monkeypatch.setattr(doctor, "open_warehouse", lambda definition: found[definition["name"]])

    return put


def test_warehouse_findings_say_each_thing_once(warehouses):
    """One line for each project; a cause that the message has already is not said again, another one is."""
    warehouses(
        shop=_Reached(),
        clinic=_Refused("It cannot be used: Access denied. Check the password.", cause="Access denied."),
        zoo=_Refused("It cannot be used.", cause="no route"),
    )
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none")
    found = list(doctor.findings(settings, ray_address=None, warehouses_only=True))
    assert [(finding.part, finding.is_well, finding.text) for finding in found] == [
        ("warehouse of shop", True, "Somebase 7"),
        ("warehouse of clinic", False, "It cannot be used: Access denied. Check the password."),
        ("warehouse of zoo", False, "It cannot be used. (no route)"),
    ]
    assert all(finding.advice for finding in found if not finding.is_well)


def test_warehouse_findings_without_a_database_say_what_is_missing():
    """Nobody knows the projects without their database, so that is the finding."""
    found = list(doctor.findings(Settings(), ray_address=None, warehouses_only=True))
    assert [(finding.part, finding.is_well) for finding in found] == [("database", False)]


def test_findings_without_a_store_name_the_projects_that_cannot_be_asked(monkeypatch):
    """A store that is switched off is no fault; a project whose warehouse keeps no results is one."""

    async def projects(settings):
        return [(kind, {"warehouse": {"type": kind}}) for kind in ("duckdb", "snowflake")]

    monkeypatch.setattr(doctor, "_projects", projects)
    monkeypatch.setattr(doctor, "open_warehouse", lambda definition: _Reached())
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", store_url="none")
    found = {finding.part: finding for finding in doctor.findings(settings, ray_address=None)}
    assert found["result store"].is_well
    assert (found["warehouse of duckdb"].is_well, found["warehouse of snowflake"].is_well) == (False, True)
    assert "QUERYFLEET_STORE_URL" in found["warehouse of duckdb"].advice
