"""Fields by user attributes: refused by name, together with what refers to them."""

from __future__ import annotations

import pytest

from queryfleet.errors import FieldReferenceError, ForbiddenError
from queryfleet.semantic.access import permitted_explore

MODEL = """\
type: model
name: people
sql_from: people
any_attributes: {staff: true, partner: true}
joins:
  - {join: teams, sql_on: "${people.team_id} = ${teams.id}"}
dimensions:
  - {name: team_id, type: number, sql: "${TABLE}.team_id", required_attributes: {team: [a, b]}}
  - {name: name, type: string, sql: "${TABLE}.name"}
  - {name: salary, type: number, sql: "${TABLE}.salary", required_attributes: {payroll: "yes"}}
  - {name: salary_class, type: number, sql: "${salary} / 1000"}
  - {name: born_on, type: date, sql: "${TABLE}.born_on", required_attributes: {payroll: "yes"}, time_intervals: [YEAR]}
  - {name: born_in, type: string, sql: "concat(${born_on_month}, '!')"}
metrics:
  total: {type: sum, sql: "${salary}"}
  half: {type: number, sql: "${total} / 2"}
  well_paid: {type: count, sql: "${name}", filters: [{salary: "> 100"}]}
  count: {type: count, sql: "${name}"}
"""
TEAMS = """\
type: model
name: teams
sql_from: teams
required_attributes: {manager: "yes"}
dimensions:
  - {name: id, type: number, sql: "${TABLE}.id"}
"""
PAID = ("salary", "salary_class", "born_on", "born_on_year", "born_in", "total", "half", "well_paid")


def test_permitted_explore_refuses_what_refers_to_a_field_of_others(catalog_of):
    """A metric over a hidden salary is as secret as the salary; an interval as its base; the rest is open."""
    explore = catalog_of({"people.yml": MODEL, "teams.yml": TEAMS}).explore("people")
    mine = permitted_explore(explore, {"staff": ("true",), "team": ("b",)})
    assert set(mine.denied) == {f"people_{name}" for name in PAID} | {"teams_id"}
    for field_id in (*mine.denied, "people_born_on_quarter"):
        with pytest.raises(ForbiddenError, match=field_id):
            mine.field(field_id)
    assert mine.metric("people_count")
    assert mine.referenced("teams_id").name == "id"
    with pytest.raises(FieldReferenceError) as caught:
        mine.field("people_salari")
    assert "salary" not in caught.value.message


def test_permitted_explore_of_a_caller_with_everything_is_the_explore(catalog_of):
    """Nothing is copied when nothing is refused."""
    explore = catalog_of({"people.yml": MODEL, "teams.yml": TEAMS}).explore("people")
    everything = {"partner": ("true",), "team": ("a",), "payroll": ("yes",), "manager": ("yes",)}
    assert permitted_explore(explore, everything) is explore


def test_permitted_explore_whose_base_is_not_open_is_refused(catalog_of):
    """Without any of the attributes there is no explore."""
    explore = catalog_of({"people.yml": MODEL, "teams.yml": TEAMS}).explore("people")
    with pytest.raises(ForbiddenError, match="`people`"):
        permitted_explore(explore, {"team": ("a",)})
