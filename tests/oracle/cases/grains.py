"""Every interval in every zone, week starts, and date zoom."""

from __future__ import annotations

from tests.oracle.cases.case import Case
from tests.oracle.description import Setting
from tests.oracle.fields import INTERVALS
from tests.oracle.market import dimension_filter, market_in, rule
from tests.oracle.moments import DAYS_AND_LONGER, NAMES

ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Europe/Lisbon", "Australia/Lord_Howe")
_DAY_PARTS = ("WEEK_NUM", "MONTH_NUM", "QUARTER_NUM", "YEAR_NUM", "DAY_OF_WEEK_INDEX", "DAY_OF_MONTH_NUM",
              "DAY_OF_YEAR_NUM")  # fmt: skip


def _intervals():
    for zone in ZONES:
        for interval in INTERVALS:
            query = {
                "dimensions": [f"orders_placed_at_{interval.lower()}"],
                "metrics": ["orders_order_count"],
            }
            yield Case(name=f"{interval} in {zone}", query=query, setting=Setting(timezone=zone))
    for interval in ("DAY", "WEEK", "HOUR", "MONTH_NAME"):
        for field in ("orders_placed_naive", "orders_placed_utc"):
            query = {"dimensions": [f"{field}_{interval.lower()}"], "metrics": ["orders_order_count"]}
            setting = Setting(timezone="America/New_York")
            yield Case(name=f"{interval} of {field} in New York", query=query, setting=setting)
    for interval in (*DAYS_AND_LONGER, *_DAY_PARTS, *NAMES):
        query = {"dimensions": [f"orders_due_{interval.lower()}"], "metrics": ["orders_order_count"]}
        yield Case(name=f"{interval} of a day", query=query, setting=Setting(timezone="America/New_York"))


def _weeks():
    for start in (None, *range(7)):
        for zone in ("UTC", "Asia/Kolkata"):
            setting = Setting(start_of_week=start, timezone=zone)
            for interval in ("WEEK", "DAY_OF_WEEK_INDEX", "DAY_OF_WEEK_NAME"):
                for field in ("orders_placed_at", "orders_due"):
                    query = {"dimensions": [f"{field}_{interval.lower()}"], "metrics": ["orders_order_count"]}
                    sorts = [{"fieldId": f"{field}_{interval.lower()}", "descending": False}]
                    name = f"{interval} of {field} from day {start} in {zone}"
                    yield Case(name=name, query=query | {"sorts": sorts}, setting=setting)


def _zoom():
    query = {
        "dimensions": ["orders_status", "orders_due_day", "orders_placed_at_day"],
        "metrics": ["orders_order_count"],
        "filters": dimension_filter(rule("orders_placed_at_day", "greaterThan", "2024-03-09")),
    }
    for granularity in ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "HOUR"):
        zoom = {"granularity": granularity, "xAxisFieldId": "orders_placed_at_day"}
        yield Case(
            name=f"zoom to {granularity}",
            query=query,
            setting=Setting(timezone="America/New_York", date_zoom=zoom, start_of_week=6),
        )
    yield Case(name="zoom takes the first date", query=query, setting=Setting(date_zoom={"granularity": "YEAR"}))
    yield Case(
        name="zoom to hours leaves days alone",
        query=query,
        setting=Setting(date_zoom={"granularity": "HOUR", "xAxisFieldId": "orders_due_day"}),
    )
    parts = {"dimensions": ["orders_placed_at_month_num", "orders_due_day"], "metrics": ["orders_order_count"]}
    yield Case(name="zoom leaves parts alone", query=parts, setting=Setting(date_zoom={"granularity": "YEAR"}))
    plain = {"dimensions": ["orders_status"], "metrics": ["orders_order_count"]}
    yield Case(
        name="zoom without a date changes nothing", query=plain, setting=Setting(date_zoom={"granularity": "YEAR"})
    )


def zone_cases(data_timezone):
    """Return cases for a session that is not in UTC, over `market_in` that zone."""
    explore = market_in(data_timezone)
    found = []
    for zone in ("UTC", "America/New_York", "Asia/Kolkata"):
        setting = Setting(timezone=zone, data_timezone=data_timezone)
        for field in ("orders_placed_at", "orders_placed_naive", "orders_placed_utc"):
            for interval in ("RAW", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "MONTH_NAME", "HOUR_OF_DAY_NUM"):
                query = {"dimensions": [f"{field}_{interval.lower()}"], "metrics": ["orders_order_count"]}
                found.append((f"{interval} of {field} in {zone}", query, setting))
            rules = {
                "today": rule(field, "inTheCurrent", 1),
                "the past": rule(field, "inThePast", 3, unit="days"),
                "completed days": rule(field, "inThePast", 2, unit="days", completed=True),
                "an instant": rule(field, "greaterThan", "2024-05-20T10:05:00Z"),
                "a day": rule(field, "greaterThan", "2024-05-20"),
                "to date": rule(field, "inPeriodToDate", 1, unit="months"),
                "one day": rule(f"{field}_day", "equals", "2024-05-20"),
                "months": rule(f"{field}_month", "inBetween", "2024-03-01", "2024-05-01"),
            }
            for name, each in rules.items():
                query = {"dimensions": ["orders_id"], "filters": dimension_filter(each)}
                found.append((f"{name} by {field} in {zone}", query, setting))
    return [
        Case(name=f"{name}, data in {data_timezone}", query=query, explore=explore, setting=setting)
        for name, query, setting in found
    ]


def grain_cases():
    """Return every case of this module."""
    return [case for part in (_intervals, _weeks, _zoom) for case in part()]
