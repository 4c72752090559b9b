"""What a model mentions outside of SQL: names that are not there, and rules that no query could use."""

from __future__ import annotations

import pytest

ORDERS = """\
type: model
name: orders
sql_from: orders
sets: {{facts: {{fields: [id]}}}}
joins:
  - {{join: people, sql_on: "${{orders.id}} = ${{people.id}}"}}
{keys}
dimensions:
  - {{name: id, type: number, sql: "${{TABLE}}.id"}}
  - {{name: paid, type: boolean, sql: "${{TABLE}}.paid"}}
  - {{name: at, type: timestamp, sql: "${{TABLE}}.at", time_intervals: [DAY]}}
  - {{name: state, type: string, sql: "${{TABLE}}.state"{more}}}
metrics:
  n: {{type: count, sql: "${{id}}"{metric}}}
"""
PEOPLE = 'type: model\nname: people\nsql_from: people\ndimensions:\n- {name: id, type: number, sql: "${TABLE}.id"}\n'
VISITS = PEOPLE.replace("people", "visits")


def _problems(catalog_of, *, keys="", more="", metric="", project=""):
    files = {"orders.yml": ORDERS.format(keys=keys, more=more, metric=metric), "people.yml": PEOPLE}
    catalog = catalog_of({**files, "visits.yml": VISITS}, project)
    assert list(catalog.explores) == ["orders", "people", "visits"]
    return [(each.place, each.message) for each in catalog.errors]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (
            {"keys": "parameters: {p: {options_from_dimension: {model: peple, dimension: id}}}"},
            "did you mean `people`?",
        ),
        ({"keys": "parameters: {p: {options_from_dimension: {model: orders, dimension: stat}}}"}, "`state`?"),
        ({"keys": "default_time_dimension: {field: att, interval: DAY}"}, "names no field: `att`; did you mean `at`?"),
        ({"keys": "default_show_underlying_values: [facts*, people.idd]"}, "names no field: `people.idd`"),
        ({"keys": "default_show_underlying_values: [fact*]"}, "no set `fact`; did you mean `facts`?"),
        ({"keys": "default_show_underlying_values: [nobody.id]"}, "names no table of the explore: `nobody.id`"),
        ({"keys": 'required_filters: [{id: "%x%"}]'}, "uses `include` on `orders_id`"),
        ({"keys": "required_filters: [{at_day: yesterday}]"}, "is no date: `yesterday`"),
        ({"keys": "default_filters: [{paid: maybe}]"}, "is no boolean: `maybe`"),
        ({"more": ", filter_autocomplete: {label_dimension: stat}"}, "`label_dimension` of `state` names no dimension"),
        ({"metric": ", show_underlying_values: [stat]"}, "names no field: `stat`; did you mean `state`?"),
        ({"metric": ", default_time_dimension: {field: when, interval: DAY}"}, "names no field: `when`"),
        ({"metric": ", filters: [{id: many}]"}, "is no number: `many`"),
        ({"metric": ", filters: [{people.id: true}]"}, "on `people_id` that is no number"),
        ({"metric": ', filters: [{state: "> 3"}]'}, "uses `greaterThan` on `orders_state`"),
    ],
)
def test_mention_that_stands_for_nothing_is_an_error_with_its_line(catalog_of, written, words) -> None:
    """The explores stay; the check says where and what is right."""
    [(place, message)] = _problems(catalog_of, **written)
    line = {"keys": 7, "more": 12, "metric": 14}[next(iter(written))]
    assert (place, words in message) == (f"models/orders.yml, line {line}", True), message


def test_parameter_of_the_project_is_checked_too(catalog_of) -> None:
    """Its options may come from a dimension of any model."""
    project = "parameters: {p: {options_from_dimension: {model: shops, dimension: id}}}\n"
    [(place, message)] = _problems(catalog_of, project=project)
    assert (place, "names no model: `shops`" in message) == ("project.yml", True)


@pytest.mark.parametrize(
    "written",
    [
        {"keys": "parameters: {p: {options_from_dimension: {model: orders, dimension: at_month}}}"},
        {"keys": "default_show_underlying_values: [facts*, n, at_week, people.id, visits.id]"},
        {"keys": "default_time_dimension: {field: at, interval: DAY}"},
        {"keys": 'required_filters: [{at: inThePast 3 days}]\ndefault_filters: [{at_day: "!null"}]'},
        {"keys": "parameters: {p: {type: number}}", "metric": ', filters: [{id: "${ld.parameters.orders.p}"}]'},
        {"metric": ', filters: [{id: "12.5"}, {paid: "no"}, {state: 3}, {at: between 2024-01-01 and 2024-02-01}]'},
        {"more": ", filter_autocomplete: {label_dimension: state}"},
    ],
)
def test_mention_that_can_be_followed_is_fine(catalog_of, written) -> None:
    """Sets, intervals, joined tables, tables of other explores, and values known only later."""
    assert _problems(catalog_of, **written) == []
