"""Totals and subtotals of queries over HTTP: computed from the rows again, whatever the metric."""

from __future__ import annotations

import pytest

from tests.fixtures.http_app import error_of
from tests.fixtures.market import raw

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

METRICS = ["rides_fare", "rides_riders", "rides_fare_per_ride"]
PIVOT = {
    "indexColumn": {"reference": "rides_started_month", "type": "time"},
    "groupByColumns": [{"reference": "rides_city"}],
    "valuesColumns": [{"reference": name, "aggregation": "any"} for name in METRICS],
    "sortBy": [{"reference": "rides_started_month", "direction": "DESC"}],
}


async def totalled(rides, source, **body):
    """Ask for totals of a query; returns the answer, rows included."""
    path = rides.api.path(f"{source['queryUuid']}/calculate-total?waitMs=20000")
    answer = await rides.send("POST", path, body)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert results["status"] == "ready", results
    return results


def plain(row):
    """Return a row of raw values, numbers as numbers."""
    return {name: float(value) if isinstance(value, int | float) else value for name, value in row.items()}


async def test_grand_total_is_computed_from_all_rows(rides):
    """Distinct counts and ratios are not sums of what is shown, and the limit of the source does not cut."""
    source = await rides.pivot(PIVOT, metrics=METRICS, limit=1)
    results = await totalled(rides, source, kind="grandTotal")
    (row,) = raw(results)
    assert plain(row) == {"rides_fare": 25, "rides_riders": 3, "rides_fare_per_ride": pytest.approx(25 / 6)}
    assert results["rows"][0]["rides_fare"]["value"]["formatted"] == "$25.00"
    assert results["queryUuid"] != source["queryUuid"]


async def test_column_total_is_one_pivoted_row(rides):
    """Each column has its own total, under the name the column has."""
    source = await rides.pivot(PIVOT, metrics=METRICS)
    results = await totalled(rides, source, kind="columnTotal")
    (row,) = raw(results)
    assert plain(row) == {
        "rides_fare_any_Bergen": 7,
        "rides_riders_any_Bergen": 2,
        "rides_fare_per_ride_any_Bergen": 3.5,
        "rides_fare_any_Oslo": 17,
        "rides_riders_any_Oslo": 2,
        "rides_fare_per_ride_any_Oslo": pytest.approx(17 / 3),
        "rides_fare_any_<null>": 1,
        "rides_riders_any_<null>": 1,
        "rides_fare_per_ride_any_<null>": 1,
    }


async def test_row_total_has_the_rows_that_are_shown(rides):
    """Each row once, not pivoted; rows beyond the limit of the source have none."""
    source = await rides.pivot(PIVOT, metrics=METRICS, limit=2)
    rows = raw(await totalled(rides, source, kind="rowTotal"))
    found = {row["rides_started_month"]: (row["rides_fare"], row["rides_riders"]) for row in rows}
    assert found == {"2024-03-01": (2, 1), "2024-02-01": (8, 2)}


async def test_subtotals_are_over_the_groups_that_are_shown(rides):
    """Columns within each group of rows, and rows within each group of columns."""
    index = [{"reference": "rides_rider"}, {"reference": "rides_started_month"}]
    asked = {"dimensions": ["rides_rider", "rides_started_month", "rides_city"], "metrics": METRICS}
    source = await rides.pivot(PIVOT | {"indexColumn": index, "sortBy": []}, limit=3, **asked)
    results = await totalled(rides, source, kind="columnSubtotal", subtotalDimensions=["rides_rider"])
    rows = [plain(row) for row in raw(results)]
    assert [(r["rides_rider"], r.get("rides_fare_any_Oslo"), r.get("rides_fare_any_Bergen")) for r in rows] == [
        ("ada", 13, 5),
        ("bob", 4, None),
    ]
    groups = [{"reference": "rides_city"}, {"reference": "rides_rider"}]
    asked = {"dimensions": ["rides_started_month", "rides_city", "rides_rider"], "metrics": METRICS}
    source = await rides.pivot(PIVOT | {"groupByColumns": groups}, **asked)
    results = await totalled(rides, source, kind="rowSubtotal", subtotalDimensions=["rides_city"])
    assert [plain(row).get("rides_riders_any_Oslo") for row in raw(results)] == [None, 1, 2]


async def test_totals_count_only_groups_that_filters_on_metrics_let_through(rides):
    """What the source does not show for its value is not in its totals."""
    rule = {"target": {"fieldId": "rides_fare"}, "operator": "greaterThan", "values": [5]}
    source = await rides.pivot(PIVOT, metrics=METRICS, filters={"metrics": {"and": [rule]}})
    (row,) = raw(await totalled(rides, source, kind="grandTotal"))
    assert plain(row) == {"rides_fare": 17, "rides_riders": 2, "rides_fare_per_ride": pytest.approx(17 / 3)}
    rule["values"] = [0]
    rows = await rides.pivot(PIVOT, metrics=METRICS, filters={"metrics": {"and": [rule]}})
    (row,) = raw(await totalled(rides, rows, kind="grandTotal"))
    assert row["rides_riders"] == 3


async def test_metrics_that_compare_rows_have_no_total(rides):
    """They are left out; when nothing is left the error says so."""
    answer = await rides.ask(explore="rides", dimensions=["rides_city"], metrics=["rides_fare", "rides_share"])
    source = answer.json()["results"]
    (row,) = raw(await totalled(rides, source, kind="grandTotal"))
    assert plain(row) == {"rides_fare": 25}
    answer = await rides.ask(explore="rides", dimensions=["rides_city"], metrics=["rides_share"])
    path = rides.api.path(f"{answer.json()['results']['queryUuid']}/calculate-total")
    error_of(await rides.send("POST", path, {"kind": "grandTotal"}), 400, "ParameterError")


async def test_calculations_have_totals_where_they_read_no_other_row(rides):
    """They are made from the totals, not added up; those over windows, or of what is not in the total, are left out."""
    sql = {
        "per_rider": "1.0 * ${rides.fare} / ${rides.riders}",
        "share": "${rides.fare} / sum(${rides.fare}) over ()",
        "of_share": "${share} * 100",
        "place": "concat(${rides.city}, '!')",
    }
    calculations = [{"name": name, "displayName": name, "sql": text} for name, text in sql.items()]
    calculations += [
        {"name": "twice", "displayName": "twice", "formula": "=ROUND(per_rider * 2, 3)"},
        {"name": "rank", "displayName": "rank", "formula": "=RANK(rides_fare)"},
    ]
    asked = {"dimensions": ["rides_city"], "metrics": METRICS, "tableCalculations": calculations}
    source = (await rides.ask(explore="rides", **asked)).json()["results"]
    (row,) = raw(await totalled(rides, source, kind="grandTotal"))
    assert set(row) == {*METRICS, "per_rider", "twice"}
    assert [float(row[name]) for name in ("per_rider", "twice")] == pytest.approx([25 / 3, 16.667], abs=1e-3)
    values = [{"reference": name, "aggregation": "any"} for name in ("rides_fare", "twice", "rank")]
    source = await rides.pivot(PIVOT | {"valuesColumns": values}, metrics=METRICS, tableCalculations=calculations)
    (row,) = raw(await totalled(rides, source, kind="columnTotal"))
    assert set(row) == {
        f"{name}_any_{city}" for name in ("rides_fare", "twice") for city in ("Oslo", "Bergen", "<null>")
    }
    assert float(row["twice_any_Oslo"]) == 17


async def test_totals_that_cannot_be_are_refused(rides):
    """Someone else's query, a query in SQL, kinds and dimensions that are not there."""
    source = await rides.pivot(PIVOT, metrics=METRICS)
    path = rides.api.path(f"{source['queryUuid']}/calculate-total")
    error_of(await rides.send("POST", path, {"kind": "grandTotal"}, who="viewer"), 404, "NotFoundError")
    error_of(await rides.send("POST", path, {"kind": "average"}), 422, "ValidateError")
    error_of(await rides.send("POST", path, {"kind": "columnSubtotal"}), 400, "ParameterError")
    wrong = {"kind": "columnSubtotal", "subtotalDimensions": ["rides_city"]}
    message = error_of(await rides.send("POST", path, wrong), 400, "ParameterError")["message"]
    assert "rides_started_month" in message
    answer = await rides.api.post({"sql": "select 1 as n"}, token="chief")
    path = rides.api.path(f"{answer.json()['results']['queryUuid']}/calculate-total")
    error_of(await rides.send("POST", path, {"kind": "grandTotal"}), 400, "ParameterError")
