"""The plain evaluation of metric queries, against answers worked out by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from fractions import Fraction

import pytest

from tests.oracle.cases import columns, filters, grains, joins
from tests.oracle.description import Explore, Joined, Measure, Setting, Source, column
from tests.oracle.evaluator import answer
from tests.oracle.market import rule
from tests.oracle.moments import cut, is_within, shifted, start_of


def _source(name, rows, measures):
    names = list(rows[0])
    return Source(
        name=name,
        columns=dict.fromkeys(names, "integer"),
        rows=tuple(rows),
        primary_key=("id",),
        dims={each: column(each, "string" if each == "city" else "number") for each in names},
        measures=measures,
    )


def _of(kind, name):
    return Measure(type=kind, sql=f"${{TABLE}}.{name}", argument=lambda env, table: env.cell(table, name))


ORDERS = _source(
    "orders",
    [
        {"id": 1, "city": "Oslo", "amount": 10},
        {"id": 2, "city": "Oslo", "amount": 20},
        {"id": 3, "city": None, "amount": 5},
    ],
    {"amount_sum": _of("sum", "amount"), "count": _of("count", "id")},
)
ITEMS = _source(
    "items",
    [{"id": 1, "order": 1, "pieces": 2}, {"id": 2, "order": 1, "pieces": 3}, {"id": 3, "order": 9, "pieces": 7}],
    {"piece_sum": _of("sum", "pieces")},
)


def _explore(type_):
    join = Joined(
        source=ITEMS,
        alias="items",
        sql_on="${orders.id} = ${items.order}",
        matches=lambda env: (
            env.cell("orders", "id") is not None and env.cell("orders", "id") == env.cell("items", "order")
        ),
        type=type_,
        relationship="one-to-many",
        needs=("orders",),
    )
    return Explore(base=ORDERS, joins=(join,))


QUERY = {
    "dimensions": ["orders_city"],
    "metrics": ["orders_amount_sum", "orders_count", "items_piece_sum"],
    "sorts": [{"fieldId": "orders_city"}],
}


@pytest.mark.parametrize(
    ("type_", "rows"),
    [
        ("left", (("Oslo", 30, 2, 5), (None, 5, 1, None))),
        ("inner", (("Oslo", 10, 1, 5),)),
        ("right", (("Oslo", 10, 1, 5), (None, None, 0, 7))),
        ("full", (("Oslo", 30, 2, 5), (None, 5, 1, 7))),
    ],
)
def test_answer_of_joined_tables_counts_each_row_once(type_, rows):
    """An order's amount is in its group's sum once, with two items and with none; what a join leaves out is not."""
    assert answer(_explore(type_), QUERY, Setting()).rows == rows


def test_answer_without_relationship_counts_rows_as_they_come():
    """An order with two items counts twice when nobody said that it can have two."""
    explore = _explore("left")
    explore = replace(explore, joins=(replace(explore.joins[0], relationship=None),))
    assert answer(explore, QUERY, Setting()).rows == (("Oslo", 40, 3, 5), (None, 5, 1, None))


def test_answer_with_filters_keeps_what_is_true():
    """A comparison with NULL keeps nothing, alone or negated; `notEquals` keeps NULL."""

    def cities(*rules):
        query = {"dimensions": ["orders_id"], "sorts": [{"fieldId": "orders_id"}]}
        query["filters"] = {"dimensions": {"and": list(rules)}}
        return [row[0] for row in answer(_explore("left"), query, Setting()).rows]

    assert cities(rule("orders_city", "equals", "Oslo")) == [1, 2]
    assert cities(rule("orders_city", "notEquals", "Oslo")) == [3]
    assert cities(rule("orders_city", "equals", "Bergen", includeNull=True)) == [3]
    assert cities(rule("orders_amount", "notInBetween", 10, 20)) == [3]
    assert cities(rule("orders_amount", "equals")) == [1, 2, 3]


def test_cut_of_an_instant_follows_the_zone():
    """The day of an instant is that of the zone's calendar, and an hour that comes twice is two hours."""
    twice = [dt.datetime(2024, 11, 3, hour, 30, tzinfo=dt.UTC) for hour in (5, 6)]
    hours = [cut(each, "HOUR", zone="America/New_York", start_of_week=None) for each in twice]
    assert hours == [each.replace(minute=0) for each in twice]
    late = dt.datetime(2024, 5, 20, 3, 59, tzinfo=dt.UTC)
    assert cut(late, "DAY", zone="America/New_York", start_of_week=None) == dt.date(2024, 5, 19)
    assert cut(late, "DAY_OF_WEEK_NAME", zone="America/New_York", start_of_week=None) == "Sunday"


def test_start_of_week_follows_the_setting():
    """Monday 20 May 2024 is in the week of the 20th, or of Sunday the 19th, or of Wednesday the 15th."""
    day = dt.date(2024, 5, 20)
    assert [start_of(day, "WEEK", first).day for first in (None, 0, 6, 2)] == [20, 20, 19, 15]


def test_months_before_the_last_of_a_month_end_in_the_last():
    """A month before 31 March is the last of February."""
    assert shifted(dt.date(2024, 3, 31), -1, "months") == dt.date(2024, 2, 29)


def test_completed_days_leave_today_out():
    """The last completed day ends where today begins."""
    setting = Setting(now=dt.datetime(2024, 5, 20, 10, 5, tzinfo=dt.UTC))
    asked = rule("x", "inThePast", 1, completed=True)
    ends = [dt.datetime(2024, 5, day, tzinfo=dt.UTC) for day in (19, 20)]
    assert [is_within(each, asked, setting, "UTC") for each in ends] == [True, False]


def test_answer_of_post_calculations_is_over_all_rows():
    """Shares and running totals are computed before the limit cuts."""
    share = Measure(type="percent_of_total", sql="${count}", needs=("orders_count",))
    total = Measure(type="running_total", sql="${count}", needs=("orders_count",))
    source = replace(ORDERS, measures={**ORDERS.measures, "share": share, "so_far": total})
    query = {"dimensions": ["orders_id"], "metrics": ["orders_share", "orders_so_far"], "limit": 2}
    query["sorts"] = [{"fieldId": "orders_id", "descending": True}]
    rows = answer(Explore(base=source), query, Setting()).rows
    assert rows == ((3, Fraction(1, 3), 1), (2, Fraction(1, 3), 2))


def test_cases_mostly_have_rows():
    """A case without rows proves little, so few are without."""
    cases = [*filters.filter_cases(), *grains.grain_cases(), *joins.join_cases(), *columns.column_cases()]
    empty = [case.name for case in cases if not answer(case.explore, case.query, case.setting).rows]
    assert len(empty) < len(cases) / 20, empty
