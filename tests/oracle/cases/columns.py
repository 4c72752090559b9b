"""What a query adds to a model: calculations, custom dimensions and metrics, periods; and the order of rows."""

from __future__ import annotations

from tests.oracle.calculations import ratio
from tests.oracle.cases.case import Case
from tests.oracle.description import Setting
from tests.oracle.market import dimension_filter, rule

_BY_MONTH = {"dimensions": ["orders_placed_at_month"], "metrics": ["orders_order_count", "orders_revenue"]}
_BY_TWO = {
    "dimensions": ["orders_status", "orders_placed_at_year"],
    "metrics": ["orders_order_count", "orders_revenue"],
}


def _calculation(name, *, type_="number", **one):
    return {"name": name, "displayName": name, "type": type_, **one}


def _templates():
    ascending = [{"fieldId": "orders_placed_at_month", "order": "asc"}]
    for kind in (
        "percent_change_from_previous",
        "percent_of_previous_value",
        "percent_of_column_total",
        "rank_in_column",
        "running_total",
    ):
        template = {"type": kind, "fieldId": "orders_order_count"}
        if kind in ("percent_change_from_previous", "percent_of_previous_value"):
            template["orderBy"] = ascending
        yield Case(name=kind, query=_BY_MONTH | {"tableCalculations": [_calculation("calc", template=template)]})
    parted = {
        "type": "percent_of_column_total",
        "fieldId": "orders_order_count",
        "partitionBy": ["orders_status"],
    }
    yield Case(
        name="percent_of_column_total by part",
        query=_BY_TWO | {"tableCalculations": [_calculation("calc", template=parted)]},
    )
    frames = {
        "moving": {
            "frameType": "ROWS",
            "start": {"type": "PRECEDING", "offset": 2},
            "end": {"type": "CURRENT_ROW"},
        },
        "centred": {
            "frameType": "ROWS",
            "start": {"type": "PRECEDING", "offset": 1},
            "end": {"type": "FOLLOWING", "offset": 1},
        },
    }
    for frame_name, frame in frames.items():
        for function in ("sum", "avg", "count", "min", "max"):
            template = {
                "type": "window_function",
                "windowFunction": function,
                "fieldId": "orders_order_count",
                "orderBy": ascending,
                "partitionBy": [],
                "frame": frame,
            }
            query = _BY_MONTH | {"tableCalculations": [_calculation("calc", template=template)]}
            yield Case(name=f"{frame_name} {function}", query=query)
    template = {
        "type": "window_function",
        "windowFunction": "row_number",
        "fieldId": None,
        "orderBy": [{"fieldId": "orders_placed_at_year", "order": "desc"}],
        "partitionBy": ["orders_status"],
    }
    yield Case(
        name="row number by part", query=_BY_TWO | {"tableCalculations": [_calculation("calc", template=template)]}
    )


def _sql():
    count = "${orders.order_count}"

    def of(name, sql, meaning, query=_BY_MONTH, **more):
        asked = query | {"tableCalculations": [_calculation("calc", sql=sql)]} | more
        return Case(name=name, query=asked, setting=Setting(meanings={"calc": meaning}))

    def counted(rows, index):
        return rows[index]["orders_order_count"] if 0 <= index < len(rows) else None

    yield of("a calculation in SQL", f"{count} * 2", lambda rows, index, _: counted(rows, index) * 2)
    yield of("row()", "row()", lambda rows, index, _: index + 1)
    yield of("offset() up", f"offset({count}, -1)", lambda rows, index, _: counted(rows, index - 1))
    yield of("offset() down", f"offset({count}, 2)", lambda rows, index, _: counted(rows, index + 2))
    yield of("index()", f"index({count}, 2)", lambda rows, index, _: counted(rows, 1))
    yield of(
        "total() of a sum", f"1.0 * {count} / total({count})",
        lambda rows, index, total: ratio(counted(rows, index), total("orders_order_count")),
    )  # fmt: skip
    distinct = _BY_MONTH | {"metrics": ["orders_order_count", "orders_buyers"]}
    yield of(
        "total() of a distinct count", "total(${orders.buyers})", lambda rows, index, total: total("orders_buyers"),
        distinct,
    )  # fmt: skip
    yield of(
        "total() of a ratio", "total(${orders.per_order})", lambda rows, index, total: total("orders_per_order"),
        _BY_MONTH | {"metrics": ["orders_order_count", "orders_per_order"]},
    )  # fmt: skip
    yield of(
        "total() of an inflated table", "total(${orders.order_count})",
        lambda rows, index, total: total("orders_order_count"),
        {"dimensions": ["items_line"], "metrics": ["orders_order_count", "items_price"]},
    )  # fmt: skip
    yield of(
        "a window in SQL", f"sum({count}) over ()",
        lambda rows, index, _: sum(row["orders_order_count"] for row in rows),
    )  # fmt: skip
    yield of("total() keeps filters", f"total({count})", lambda rows, index, total: total("orders_order_count"),
             filters=dimension_filter(rule("orders_gift", "equals", True)))  # fmt: skip
    chained = [
        _calculation("third", sql="${second} + ${first}"),
        _calculation("first", sql=f"{count} + 1"),
        _calculation("second", sql="${first} * 10"),
    ]
    meanings = {
        "first": lambda rows, index, _: counted(rows, index) + 1,
        "second": lambda rows, index, _: rows[index]["first"] * 10,
        "third": lambda rows, index, _: rows[index]["second"] + rows[index]["first"],
    }
    yield Case(
        name="calculations over calculations",
        query=_BY_MONTH | {"tableCalculations": chained},
        setting=Setting(meanings=meanings),
    )
    filtered = _BY_MONTH | {
        "tableCalculations": [_calculation("calc", sql=f"{count} * 2"), _calculation("place", sql="row()")],
        "filters": {"tableCalculations": {"and": [rule("calc", "greaterThan", 2)]}},
    }
    yield Case(
        name="calculations are filtered last",
        query=filtered,
        setting=Setting(
            meanings={
                "calc": lambda rows, index, _: counted(rows, index) * 2,
                "place": lambda rows, index, _: index + 1,
            }
        ),
    )
    yield of("a calculation is sorted by", f"-{count}", lambda rows, index, _: -counted(rows, index),
             sorts=[{"fieldId": "calc", "descending": True}])  # fmt: skip
    yield of("calculations see rows beyond the limit", f"sum({count}) over ()",
             lambda rows, index, _: sum(row["orders_order_count"] for row in rows), limit=2)  # fmt: skip
    formulas = {
        "=orders_order_count * 2 + 1": lambda rows, index, _: counted(rows, index) * 2 + 1,
        "=IF(orders_order_count > 1, 10, 20)": lambda rows, index, _: 10 if counted(rows, index) > 1 else 20,
        "=orders_revenue / (orders_order_count - 1)": lambda rows, index, _: ratio(
            rows[index]["orders_revenue"], counted(rows, index) - 1
        ),
        "=ROUND(orders_revenue, 0)": lambda rows, index, _: (
            None if rows[index]["orders_revenue"] is None else round(rows[index]["orders_revenue"])
        ),
        "=SUM(orders_order_count)": lambda rows, index, _: sum(row["orders_order_count"] for row in rows),
    }
    for formula, meaning in formulas.items():
        asked = _BY_MONTH | {"tableCalculations": [_calculation("calc", formula=formula)]}
        yield Case(name=f"formula {formula[1:]}", query=asked, setting=Setting(meanings={"calc": meaning}))


def _post_calculations():
    metrics = ["orders_order_count", "orders_share", "orders_so_far", "orders_change"]
    for name, sorts in {
        "default order": [],
        "ascending": [{"fieldId": "orders_placed_at_month", "descending": False}],
        "by metric": [{"fieldId": "orders_order_count", "descending": True}],
    }.items():
        query = {"dimensions": ["orders_placed_at_month"], "metrics": metrics, "sorts": sorts}
        yield Case(name=f"post-calculations in {name}", query=query)
        yield Case(name=f"post-calculations in {name} before the limit", query=query | {"limit": 2})
    yield Case(name="post-calculations without dimensions", query={"dimensions": [], "metrics": metrics})
    yield Case(
        name="post-calculations alone",
        query={"dimensions": ["orders_placed_at_month"], "metrics": ["orders_so_far"]},
    )
    yield Case(
        name="post-calculations before the metric filter",
        query={
            "dimensions": ["orders_placed_at_month"],
            "metrics": metrics,
            "filters": {"metrics": {"and": [rule("orders_order_count", "greaterThan", 1)]}},
        },
    )
    yield Case(
        name="a filter on a post-calculation",
        query={
            "dimensions": ["orders_placed_at_month"],
            "metrics": metrics,
            "filters": {"metrics": {"and": [rule("orders_so_far", "lessThan", 10)]}},
        },
    )


def _custom_dimensions():
    def of(name, custom, **more):
        custom = {"id": "own", "name": "own", "table": "orders", "type": "bin", "dimensionId": "orders_qty"} | custom
        query = {"dimensions": ["own"], "metrics": ["orders_order_count"], "customDimensions": [custom]}
        return Case(name=name, query=query | more)

    sorts = [{"fieldId": "own", "descending": False}]
    ranges = {"binType": "custom_range", "customRange": [{"to": 0}, {"from": 0, "to": 5}, {"from": 5}]}
    bins = {
        "bins of a fixed width": {"binType": "fixed_width", "binWidth": 3},
        "bins of a fixed width over decimals": {
            "binType": "fixed_width",
            "binWidth": 10,
            "dimensionId": "orders_amount",
        },
        "a fixed number of bins": {"binType": "fixed_number", "binNumber": 4},
        "a fixed number of bins over decimals": {
            "binType": "fixed_number",
            "binNumber": 5,
            "dimensionId": "orders_amount",
        },
        "ranges": ranges,
    }
    for name, custom in bins.items():
        yield of(name, custom)
        yield of(f"{name} in order", custom, sorts=sorts)
        yield of(f"{name} in falling order", custom, sorts=[{"fieldId": "own", "descending": True}])
    yield of("bins look at the whole table", bins["a fixed number of bins"],
             filters=dimension_filter(rule("orders_id", "lessThan", 6)))  # fmt: skip
    yield of("a filter on ranges", ranges, filters=dimension_filter(rule("own", "equals", "0-5")))
    yield of("a filter on bins", bins["bins of a fixed width"],
             filters=dimension_filter(rule("own", "equals", "3 - 5")))  # fmt: skip
    groups = {
        "binType": "custom_group",
        "dimensionId": "orders_note",
        "customGroups": [
            {"name": "it's", "values": [{"matchType": "exact", "value": "it's"}]},
            {"name": "percent", "values": [{"matchType": "includes", "value": "%"}]},
            {
                "name": "sides",
                "values": [
                    {"matchType": "startsWith", "value": "a"},
                    {"matchType": "endsWith", "value": "_b"},
                    {"matchType": "startsWith", "value": "back\\"},
                ],
            },
        ],
    }
    yield of("groups of values", groups)
    yield of("bins over an inflated table", ranges, metrics=["orders_order_count", "items_price"])
    sql = {"type": "sql", "sql": "${orders.qty} + 1", "dimensionType": "number"}
    for name, more in {
        "a dimension in SQL": {},
        "a filter on a dimension in SQL": {"filters": dimension_filter(rule("own", "greaterThan", 3))},
    }.items():
        case = of(name, sql, **more)
        meanings = {"own": lambda env, table: None if env.cell(table, "qty") is None else env.cell(table, "qty") + 1}
        yield Case(name=name, query=case.query, setting=Setting(meanings=meanings))


def _additional_metrics():
    def of(name, extra, meaning, **more):
        extra = {"table": "orders", "name": "own", "label": "Own", **extra}
        query = {"dimensions": ["orders_status"], "metrics": ["orders_own"], "additionalMetrics": [extra]}
        return Case(name=name, query=query | more, setting=Setting(meanings={"orders_own": meaning}))

    amount = {"type": "sum", "sql": "${TABLE}.amount", "baseDimensionName": "amount"}

    def read(env, table):
        return env.cell(table, "amount")

    yield of("a metric of the query", amount, read)
    yield of("a metric of the query beside one of the model", amount, read, metrics=["orders_own", "orders_revenue"])
    yield of("a metric of the query over an inflated table", amount, read, dimensions=["items_line"])
    filters = [{"target": {"fieldRef": "orders.note"}, "operator": "include", "values": ["a", "%"]}]
    yield of("a metric of the query with a filter", amount | {"filters": filters}, read)
    yield of("a percentile of the query", amount | {"type": "percentile", "percentile": 25}, read)
    yield of("a filter on a metric of the query", amount, read,
             filters={"metrics": {"and": [rule("orders_own", "greaterThan", 0)]}})  # fmt: skip


def _periods():
    def of(name, granularity, offset, dimensions, *rules, **more):
        extra = {
            "table": "orders",
            "name": "before",
            "label": "Before",
            "type": "number",
            "sql": "${orders.order_count}",
            "generationType": "periodOverPeriod",
            "baseMetricId": "orders_order_count",
            "timeDimensionId": dimensions[0],
            "granularity": granularity,
            "periodOffset": offset,
        }
        query = {
            "dimensions": dimensions,
            "metrics": ["orders_order_count", "orders_before"],
            "additionalMetrics": [extra],
            "filters": dimension_filter(*rules),
        }
        return Case(name=name, query=query, **more)

    month = ["orders_placed_at_month"]
    yield of("the month before", "MONTH", 1, month)
    yield of("the year before", "YEAR", 1, month)
    yield of("two months before", "MONTH", 2, month)
    yield of("the month before by another dimension", "MONTH", 1, [*month, "orders_gift"])
    yield of("the month before beyond the filter", "MONTH", 1, month,
             rule("orders_placed_at", "greaterThanOrEqual", "2024-05-01T00:00:00Z"))  # fmt: skip
    yield of("the month before keeps other filters", "MONTH", 1, month, rule("orders_gift", "notNull"),
             rule("orders_placed_at_month", "greaterThanOrEqual", "2024-03-01"))  # fmt: skip
    yield of("the day before", "DAY", 1, ["orders_placed_at_day"], setting=Setting(timezone="Asia/Kolkata"))
    yield of("the week before", "WEEK", 1, ["orders_placed_at_week"], setting=Setting(start_of_week=6))
    yield of("the same day a week before", "WEEK", 1, ["orders_placed_at_day"])
    yield of("the year before by year", "YEAR", 1, ["orders_due_year"])
    yield of("the hour before", "HOUR", 1, ["orders_placed_at_hour"], setting=Setting(timezone="Asia/Kolkata"))
    yield of("a month before each day finds one row at most", "MONTH", 1, ["orders_due_day"])
    yield of("the month before of many dimensions", "MONTH", 1, ["orders_due_month", "orders_status", "customers_city"])
    zoomed = Setting(date_zoom={"granularity": "MONTH"})
    yield of("the month before of a zoomed day", "MONTH", 1, ["orders_placed_at_day"], setting=zoomed)
    case = of("a filter on the month before", "MONTH", 1, month)
    filters = {"metrics": {"and": [rule("orders_before", "isNull")]}}
    yield Case(name=case.name, query=case.query | {"filters": filters})
    case = of("the month before over an inflated table", "MONTH", 1, month)
    yield Case(name=case.name, query=case.query | {"metrics": ["orders_before", "items_price"]})
    case = of("the month before beside shares and calculations", "MONTH", 1, month)
    metrics = ["orders_order_count", "orders_before", "orders_share"]
    calculation = _calculation("calc", sql="${orders.order_count} - ${orders.before}")
    yield Case(
        name=case.name,
        query=case.query | {"metrics": metrics, "tableCalculations": [calculation]},
        setting=Setting(meanings={"calc": _growth}),
    )
    two = [
        {**case.query["additionalMetrics"][0], "name": name, "granularity": granularity, "baseMetricId": base}
        for name, granularity, base in (
            ("last_month", "MONTH", "orders_per_order"),
            ("last_year", "YEAR", "orders_revenue"),
            ("same_month", "MONTH", "orders_revenue"),
        )
    ]
    metrics = ["orders_last_month", "orders_last_year", "orders_same_month"]
    yield Case(name="several periods", query=case.query | {"metrics": metrics, "additionalMetrics": two})


def _growth(rows, index, _):
    now, before = rows[index]["orders_order_count"], rows[index]["orders_before"]
    return None if before is None else now - before


def _together():
    """Yield questions that need several stages at once."""
    bins = {
        "id": "own",
        "name": "own",
        "table": "orders",
        "type": "bin",
        "dimensionId": "orders_qty",
        "binType": "fixed_number",
        "binNumber": 3,
    }
    query = {
        "dimensions": ["own", "orders_placed_at_month_name"],
        "metrics": ["orders_order_count", "orders_share", "items_price"],
        "customDimensions": [bins],
        "sorts": [
            {"fieldId": "orders_placed_at_month_name", "descending": False},
            {"fieldId": "own", "descending": True},
        ],
        "tableCalculations": [
            _calculation("of all", sql="1.0 * ${orders.order_count} / total(${orders.order_count})"),
            _calculation("so far", template={"type": "running_total", "fieldId": "orders_order_count"}),
        ],
        "limit": 4,
    }
    meanings = {
        "of all": lambda rows, index, total: ratio(rows[index]["orders_order_count"], total("orders_order_count"))
    }
    yield Case(name="bins, names, shares, totals and a limit", query=query, setting=Setting(meanings=meanings))
    filters = {
        "dimensions": {"and": [rule("own", "notNull"), rule("items_pieces", "greaterThan", 1)]},
        "metrics": {"and": [rule("items_price", "greaterThan", 3)]},
        "tableCalculations": {"and": [rule("so far", "greaterThan", 1)]},
    }
    yield Case(
        name="the same with every filter", query=query | {"filters": filters}, setting=Setting(meanings=meanings)
    )


def _order():
    def of(name, query, **more):
        return Case(name=name, query=query | more)

    plain = {"dimensions": ["orders_status", "orders_gift"], "metrics": ["orders_order_count", "orders_revenue"]}
    for field in ("orders_status", "orders_gift", "orders_order_count", "orders_revenue"):
        for descending in (False, True):
            for nulls_first in (None, False, True):
                sort = {"fieldId": field, "descending": descending}
                if nulls_first is not None:
                    sort["nullsFirst"] = nulls_first
                yield of(f"sort by {field} {descending} {nulls_first}", plain, sorts=[sort])
                if nulls_first is None:
                    yield of(f"sort by {field} {descending} limited", plain, sorts=[sort], limit=3)
    yield of("default sort by metric", plain)
    yield of("default sort by date", plain, dimensions=["orders_status", "orders_due_month"])
    yield of("default sort by dimension", plain, metrics=[])
    yield of("two sorts", plain, sorts=[{"fieldId": "orders_gift", "descending": True},
                                        {"fieldId": "orders_order_count", "descending": False}])  # fmt: skip
    for field in ("month_name", "day_of_week_name", "quarter_name"):
        name = f"orders_placed_at_{field}"
        for descending in (False, True):
            sorts = [{"fieldId": name, "descending": descending}]
            query = {"dimensions": [name], "metrics": ["orders_order_count"], "sorts": sorts}
            yield of(f"{field} in the calendar's order {descending}", query)
    yield of("texts in order", {"dimensions": ["orders_note"], "metrics": []})
    yield of("duplicates are one", plain, dimensions=["orders_status", "orders_status"],
             metrics=["orders_order_count", "orders_order_count"])  # fmt: skip
    yield of("a limit of one", plain, limit=1)


def column_cases():
    """Return every case of this module."""
    parts = (_templates, _sql, _post_calculations, _custom_dimensions, _additional_metrics, _periods, _together, _order)
    return [case for part in parts for case in part()]
