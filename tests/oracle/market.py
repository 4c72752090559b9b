"""A small market with everything that goes wrong in it: NULLs, odd texts, days that are 23 or 25 hours long.

customers ◀─ orders ─▶ items ─▶ products
└────▶ refunds
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from tests.oracle.description import Dim, Explore, Joined, Measure, RowFilter, Source, column
from tests.oracle.moments import instant_of, wall_time


def _moment(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


_MOMENTS = [
    "2023-12-31T23:59:59.999500",  # a year's last half millisecond, in UTC
    "2024-01-01T00:00:00",
    "2024-02-29T12:00:00",
    "2024-03-10T06:59:59.5",  # New York: the last second before an hour is left out
    "2024-03-10T07:00:00",
    "2024-03-31T00:30:00",
    "2024-03-31T23:30:00",
    "2024-04-30T03:59:59.999",  # New York: the end of 29 April
    "2024-05-12T18:29:59.75",  # Kolkata: the end of Sunday
    "2024-05-13T00:00:00",
    "2024-05-18T10:05:00",
    "2024-05-19T23:00:00",  # Lisbon: midnight
    "2024-05-20T10:05:00",  # now
    "2024-05-20T22:59:59.999999",  # Lisbon: the end of today
    "2024-05-20T23:59:59.9",
    "2024-05-21T00:00:00",
    "2024-06-20T10:05:00",
    "2024-11-03T05:30:00",  # New York: half past one
    "2024-11-03T06:30:00",  # New York: half past one again
    "2025-05-20T10:05:00",
]
NOTES = [
    "plain", "100%", "100x", "a_b", "axb", "back\\slash", "back/slash", "it's", 'say "hi"', "a--b", "a",
    "größe 😀", "UPPER", "upper", "%", "", "--", "/* x */", None, "two\nlines",
]  # fmt: skip


def _orders():
    statuses = ["open", "paid", None, "paid", "sent"]
    for index, moment in enumerate(_MOMENTS):
        placed = None if index == 9 else _moment(moment)
        yield {
            "id": index + 1,
            "customer_id": [1, 2, 3, None, 99, 1, 2][index % 7],
            "placed_at": placed,
            "placed_naive": placed,
            "due": None if placed is None else (placed + dt.timedelta(days=index % 3)).date(),
            "status": statuses[index % 5],
            "note": NOTES[index],
            "qty": [3, None, 7, 0, -2, 11, 3][index % 7],
            "amount": None if index % 6 == 4 else Decimal(index * index * 37 - 500) / 100,
            "gift": [True, False, None][index % 3],
        }


def _customers():
    for id_, name, city, region in (
        (1, "Ann", "Oslo", "north"),
        (2, "Bo", "Bergen", "north"),
        (3, "Cy", None, None),
        (4, "Di", "Oslo", "south"),
    ):
        yield {"id": id_, "name": name, "city": city, "region": region}


def _items():
    for order in range(1, 17):
        for line in range(1, 1 + (order * 7) % 4):
            yield {
                "order_id": order,
                "line": line,
                "product_id": [1, 2, None, 3, 7][(order + line) % 5],
                "pieces": (order * line) % 5 or None,
                "price": Decimal(order * 100 + line * 25) / 100,
                "postage": None if order == 5 else Decimal(order * 30) / 100,  # of the whole order
            }
    yield {
        "order_id": 77, "line": 1, "product_id": 1, "pieces": 2, "price": Decimal("9.99"), "postage": Decimal(4),
    }  # fmt: skip


def _products():
    for id_, category in ((1, "bread"), (2, "cake"), (3, None), (4, "never sold")):
        yield {"id": id_, "category": category, "cost": Decimal(id_ * 150) / 100}


def _refunds():
    for id_, order in enumerate((1, 1, 3, 6, 6, 6, 12), 1):
        yield {"id": id_, "order_id": order, "refunded": Decimal(id_ * 50) / 100}


def _amount(env, table):
    return env.cell(table, "amount")


def _share(values):
    orders, amount = values["orders_order_count"], values["orders_revenue"]
    return None if amount is None or orders == 0 else Fraction(amount) / orders


MOMENT_INTERVALS = [
    "RAW", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "WEEK_NUM",
    "MONTH_NUM", "QUARTER_NUM", "YEAR_NUM", "DAY_OF_WEEK_INDEX", "DAY_OF_MONTH_NUM", "DAY_OF_YEAR_NUM",
    "HOUR_OF_DAY_NUM", "MINUTE_OF_HOUR_NUM", "DAY_OF_WEEK_NAME", "MONTH_NAME", "QUARTER_NAME",
]  # fmt: skip
_PAID = {"target": {"fieldId": "orders_status"}, "operator": "equals", "values": ["paid"]}
_PAST = {
    "target": {"fieldId": "orders_placed_at"},
    "operator": "inThePast",
    "values": [2],
    "settings": {"unitOfTime": "weeks"},
}

ORDERS = Source(
    name="orders",
    columns={
        "id": "integer",
        "customer_id": "integer",
        "placed_at": "timestamptz",
        "placed_naive": "timestamp",
        "due": "date",
        "status": "text",
        "note": "text",
        "qty": "integer",
        "amount": "numeric(12, 2)",
        "gift": "boolean",
    },
    rows=tuple(_orders()),
    primary_key=("id",),
    dims={
        "id": column("id", "number"),
        "placed_at": column("placed_at", "timestamp", time_intervals=MOMENT_INTERVALS),
        "placed_naive": column("placed_naive", "timestamp"),
        "placed_utc": column("placed_at", "timestamp", convert_timezone=False),
        "due": column("due", "date"),
        "status": column("status", "string"),
        "note": column("note", "string"),
        "loose_note": column("note", "string", case_sensitive=False),
        "qty": column("qty", "number"),
        "amount": column("amount", "number"),
        "gift": column("gift", "boolean"),
        "double_qty": Dim(
            type="number",
            sql="${qty} * 2 + 1",
            value=lambda env, table: None if env.cell(table, "qty") is None else env.cell(table, "qty") * 2 + 1,
        ),
        "state": Dim(
            type="string",
            sql="coalesce(${TABLE}.status, 'none')",
            value=lambda env, table: "none" if env.cell(table, "status") is None else env.cell(table, "status"),
        ),
    },
    measures={
        "order_count": Measure(type="count", sql="${TABLE}.id", argument=lambda env, table: env.cell(table, "id")),
        "revenue": Measure(type="sum", sql="${TABLE}.amount", argument=_amount),
        "average": Measure(type="average", sql="${qty}", argument=lambda env, table: env.cell(table, "qty")),
        "smallest": Measure(type="min", sql="${amount}", argument=_amount),
        "largest": Measure(type="max", sql="${amount}", argument=_amount),
        "middle": Measure(type="median", sql="${TABLE}.qty", argument=lambda env, table: env.cell(table, "qty")),
        "p90": Measure(
            type="percentile", percentile=90, sql="${qty}", argument=lambda env, table: env.cell(table, "qty")
        ),
        "buyers": Measure(
            type="count_distinct",
            sql="${TABLE}.customer_id",
            argument=lambda env, table: env.cell(table, "customer_id"),
        ),
        "paid": Measure(
            type="sum", sql="${amount}", argument=_amount, filters=(_PAID,), filters_written=({"status": "paid"},)
        ),
        "lately": Measure(
            type="count",
            sql="${id}",
            argument=lambda env, table: env.cell(table, "id"),
            filters=(_PAST,),
            filters_written=({"placed_at": "inThePast 2 weeks"},),
        ),
        "per_order": Measure(
            type="number",
            sql="1.0 * ${revenue} / nullif(${order_count}, 0)",
            over=_share,
            needs=("orders_revenue", "orders_order_count"),
        ),
        "share": Measure(type="percent_of_total", sql="${revenue}", needs=("orders_revenue",)),
        "so_far": Measure(type="running_total", sql="${order_count}", needs=("orders_order_count",)),
        "change": Measure(type="percent_of_previous", sql="${order_count}", needs=("orders_order_count",)),
    },
)
CUSTOMERS = Source(
    name="customers",
    columns={"id": "integer", "name": "text", "city": "text", "region": "text"},
    rows=tuple(_customers()),
    primary_key=("id",),
    dims={
        "id": column("id", "number"),
        "name": column("name", "string"),
        "city": column("city", "string"),
        "region": column("region", "string"),
    },
    measures={
        "customer_count": Measure(type="count", sql="${TABLE}.id", argument=lambda env, table: env.cell(table, "id")),
    },
)
ITEMS = Source(
    name="items",
    columns={
        "order_id": "integer",
        "line": "integer",
        "product_id": "integer",
        "pieces": "integer",
        "price": "numeric(12, 2)",
        "postage": "numeric(12, 2)",
    },
    rows=tuple(_items()),
    primary_key=("order_id", "line"),
    dims={
        "order_id": column("order_id", "number"),
        "line": column("line", "number"),
        "pieces": column("pieces", "number"),
        "product_id": column("product_id", "number"),
    },
    measures={
        "piece_count": Measure(type="sum", sql="${pieces}", argument=lambda env, table: env.cell(table, "pieces")),
        "item_count": Measure(type="count", sql="${TABLE}.line", argument=lambda env, table: env.cell(table, "line")),
        "price": Measure(type="sum", sql="${TABLE}.price", argument=lambda env, table: env.cell(table, "price")),
        "postage": Measure(
            type="sum_distinct",
            sql="${TABLE}.postage",
            argument=lambda env, table: env.cell(table, "postage"),
            distinct_keys=("order_id",),
        ),
        "mean_postage": Measure(
            type="average_distinct",
            sql="${TABLE}.postage",
            argument=lambda env, table: env.cell(table, "postage"),
            distinct_keys=("order_id",),
        ),
    },
)
PRODUCTS = Source(
    name="products",
    columns={"id": "integer", "category": "text", "cost": "numeric(12, 2)"},
    rows=tuple(_products()),
    primary_key=("id",),
    dims={"id": column("id", "number"), "category": column("category", "string")},
    measures={"cost": Measure(type="sum", sql="${TABLE}.cost", argument=lambda env, table: env.cell(table, "cost"))},
)
REFUNDS = Source(
    name="refunds",
    columns={"id": "integer", "order_id": "integer", "refunded": "numeric(12, 2)"},
    rows=tuple(_refunds()),
    primary_key=("id",),
    dims={"id": column("id", "number")},
    measures={
        "refunded": Measure(
            type="sum", sql="${TABLE}.refunded", argument=lambda env, table: env.cell(table, "refunded")
        )
    },
)
SOURCES = (ORDERS, CUSTOMERS, ITEMS, PRODUCTS, REFUNDS)


def _equal(left, right):
    def matches(env):
        a, b = env.cell(*left), env.cell(*right)
        return None if a is None or b is None else a == b

    return matches


def _joined(source, left, right, relationship, **keys):
    return Joined(
        source=source,
        alias=right[0],
        sql_on=f"${{{left[0]}}}.{left[1]} = ${{{right[0]}}}.{right[1]}",
        matches=_equal(left, right),
        relationship=relationship,
        needs=(left[0],),
        **keys,
    )


TO_CUSTOMERS = replace(
    _joined(CUSTOMERS, ("orders", "customer_id"), ("customers", "id"), "many-to-one"),
    sql_on='"orders".customer_id = ${customers.id}',
)
TO_ITEMS = replace(
    _joined(ITEMS, ("orders", "id"), ("items", "order_id"), "one-to-many"), sql_on="${orders.id} = ${items.order_id}"
)
TO_PRODUCTS = replace(
    _joined(PRODUCTS, ("items", "product_id"), ("products", "id"), "many-to-one"),
    sql_on="${products.id} = ${items.product_id}",
)
TO_REFUNDS = replace(
    _joined(REFUNDS, ("orders", "id"), ("refunds", "order_id"), "one-to-many"),
    sql_on='${orders.id} = "refunds".order_id',
)
MARKET = Explore(base=ORDERS, joins=(TO_CUSTOMERS, TO_ITEMS, TO_PRODUCTS, TO_REFUNDS))


def market_in(zone):
    """Return the market with moments that a column without a zone can hold: of an hour that comes twice only one."""

    def held(moment):
        return None if moment is None else instant_of(wall_time(moment, zone), zone)

    rows = tuple({**row, "placed_naive": held(row["placed_naive"])} for row in ORDERS.rows)
    return replace(MARKET, base=replace(ORDERS, rows=rows))


def rule(field_id, operator, *values, **more):
    """Return a filter rule in wire form; `unit` and `completed` go to its settings."""
    settings = {
        key: more.pop(name) for name, key in (("unit", "unitOfTime"), ("completed", "completed")) if name in more
    }
    found = {"target": {"fieldId": field_id}, "operator": operator, "values": list(values), **more}
    return found | ({"settings": settings} if settings else {})


def dimension_filter(*rules):
    """Return filters of dimensions, ANDed."""
    return {"dimensions": {"and": list(rules)}}


def guarded(source, sql, truth, reaches=()):
    """Return the source with a row filter."""
    return replace(source, row_filter=RowFilter(sql=sql, truth=truth, reaches=reaches))
