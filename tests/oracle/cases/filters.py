"""Every operator on every type, and how rules combine."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from tests.oracle.cases.case import Case
from tests.oracle.description import Dim, Setting
from tests.oracle.market import MARKET, NOTES, ORDERS, dimension_filter, guarded, rule

NEW_YORK = Setting(timezone="America/New_York")
KOLKATA = Setting(timezone="Asia/Kolkata")
LISBON = Setting(timezone="Europe/Lisbon")
_TEXTS = [note for note in NOTES if note]


def _on(name, field, operator, *values, setting=None, **more):
    query = {"dimensions": ["orders_id"], "filters": dimension_filter(rule(field, operator, *values, **more))}
    return Case(name=name, query=query, setting=setting or Setting())


def _texts():
    for field in ("orders_note", "orders_loose_note"):
        for operator in ("equals", "notEquals", "include", "doesNotInclude", "startsWith", "endsWith"):
            yield _on(f"{field} {operator} one", field, operator, "upper")
            yield _on(f"{field} {operator} several", field, operator, "a", "%", "UPPER")
            yield _on(f"{field} {operator} nothing is no condition", field, operator)
            yield _on(f"{field} {operator} empty text is no condition", field, operator, "")
    for operator in ("equals", "include", "startsWith", "endsWith"):
        yield _on(f"text {operator} or null", "orders_note", operator, "a", includeNull=True)
    yield _on("text equals nothing but null", "orders_note", "equals", includeNull=True)
    for operator in ("isNull", "notNull"):
        for field in ("orders_note", "orders_qty", "orders_gift", "orders_due", "orders_placed_at"):
            yield _on(f"{field} {operator}", field, operator)
    for index, text in enumerate(_TEXTS):
        yield _on(f"awkward text {index} equals itself", "orders_note", "equals", text)
    for text in ("%", "_", "\\", "'", "--", "/*", '"', "0%", "a_", "\\s", "😀", "\n", "%%", "\\%"):
        yield _on(f"text {text!r} is looked for as it is", "orders_note", "include", text)
    yield _on("text starts with a wildcard", "orders_note", "startsWith", "%")
    yield _on("text ends with a wildcard", "orders_note", "endsWith", "%")
    yield _on("a rule makes a loose field strict", "orders_loose_note", "equals", "upper", caseSensitive=True)
    yield _on("a rule makes a strict field loose", "orders_note", "include", "UPP", caseSensitive=False)
    strict = _on("a project makes every field loose", "orders_note", "equals", "upper")
    yield replace(strict, explore=replace(MARKET, case_sensitive=False))


def _numbers():
    for field in ("orders_qty", "orders_amount", "orders_double_qty"):
        for operator in ("equals", "notEquals"):
            yield _on(f"{field} {operator} one", field, operator, 3)
            yield _on(f"{field} {operator} several", field, operator, 7, -2.5, "11")
            yield _on(f"{field} {operator} nothing is no condition", field, operator)
        for operator in ("greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual"):
            yield _on(f"{field} {operator}", field, operator, 3)
            yield _on(f"{field} {operator} or null", field, operator, "3", includeNull=True)
        for operator in ("inBetween", "notInBetween"):
            yield _on(f"{field} {operator}", field, operator, 0, 7)
    yield _on("number equals or null", "orders_qty", "equals", 3, includeNull=True)
    yield _on("number between or null", "orders_qty", "inBetween", 0, 7, includeNull=True)
    yield _on("number not between or null", "orders_qty", "notInBetween", 0, 7, includeNull=True)
    yield _on("number differs from nothing or null", "orders_qty", "notEquals", includeNull=True)
    yield _on("a number too large for a float is exact", "orders_amount", "lessThan", 90071992547409931)


def _booleans():
    for value in (True, False, "true", "false"):
        yield _on(f"boolean equals {value!r}", "orders_gift", "equals", value)
        yield _on(f"boolean not equals {value!r}", "orders_gift", "notEquals", value)
    yield _on("boolean equals or null", "orders_gift", "equals", True, includeNull=True)
    yield _on("boolean equals nothing is no condition", "orders_gift", "equals")


def _days():
    for field in ("orders_due", "orders_placed_at_day", "orders_placed_at_week", "orders_placed_at_month"):
        one, other = "2024-05-01", "2024-05-20"
        for operator in ("equals", "notEquals"):
            yield _on(f"{field} {operator} one", field, operator, other)
            yield _on(f"{field} {operator} several", field, operator, one, "2024-03-10", "2024-04-29")
        for operator in ("greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual"):
            yield _on(f"{field} {operator}", field, operator, other)
        for operator in ("inBetween", "notInBetween"):
            yield _on(f"{field} {operator}", field, operator, one, other)
            yield _on(f"{field} {operator} in Kolkata", field, operator, one, other, setting=KOLKATA)
    yield _on("day without values is no condition", "orders_due", "equals")
    yield _on("day compared with nothing is no condition", "orders_due", "greaterThan")
    yield _on("day equals or null", "orders_due", "equals", "2024-05-20", includeNull=True)


def _instants():
    one, other = "2024-05-18T10:05:00Z", "2024-05-20T23:59:59.900Z"
    for field in ("orders_placed_at", "orders_placed_naive", "orders_placed_utc", "orders_placed_at_raw"):
        for operator in ("equals", "notEquals"):
            yield _on(f"{field} {operator} one", field, operator, other)
            yield _on(f"{field} {operator} several", field, operator, one, other)
        for operator in ("greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual"):
            yield _on(f"{field} {operator}", field, operator, other)
        for operator in ("inBetween", "notInBetween"):
            yield _on(f"{field} {operator}", field, operator, one, other)
            yield _on(f"{field} {operator} in New York", field, operator, one, other, setting=NEW_YORK)
    yield _on("an instant without an offset is of the zone", "orders_placed_at", "greaterThan", "2024-05-20",
              setting=KOLKATA)  # fmt: skip
    yield _on("an instant with an offset", "orders_placed_at", "equals", "2024-05-20T15:35:00+05:30")


def _relative():
    zones = {"": Setting(), " in Lisbon": LISBON, " in Kolkata": KOLKATA, " in New York": NEW_YORK}
    fields = ("orders_placed_at", "orders_placed_utc", "orders_placed_naive", "orders_due", "orders_placed_at_day")
    for zone, setting in zones.items():
        for field in ("orders_placed_at", "orders_placed_at_day") if zone else fields:
            for unit in ("days", "weeks", "months") if zone else ("days", "weeks", "months", "quarters", "years"):
                for operator in ("inThePast", "inTheNext"):
                    for completed in (False, True):
                        word = " completed" if completed else ""
                        name = f"{field} {operator} 1 {unit}{word}{zone}"
                        yield _on(name, field, operator, 1, unit=unit, completed=completed, setting=setting)
                yield _on(f"{field} inTheCurrent {unit}{zone}", field, "inTheCurrent", 1, unit=unit, setting=setting)
    for field in fields:
        for operator in ("notInThePast", "notInTheCurrent"):
            yield _on(f"{field} {operator} 2 months", field, operator, 2, unit="months")
        for unit in ("weeks", "months", "quarters", "years"):
            yield _on(f"{field} inPeriodToDate {unit}", field, "inPeriodToDate", 1, unit=unit)
    for unit, count in (("hours", 48), ("minutes", 3000), ("seconds", 200000), ("milliseconds", 200000000)):
        yield _on(f"in the past {count} {unit}", "orders_placed_at", "inThePast", count, unit=unit)
        yield _on(f"in the next {count} {unit}", "orders_placed_at", "inTheNext", count, unit=unit)
    for start in (0, 2, 6):
        setting = Setting(start_of_week=start, timezone="Asia/Kolkata")
        field = "orders_placed_at"
        yield _on(f"this week from day {start}", field, "inTheCurrent", 1, unit="weeks", setting=setting)
        yield _on(f"last week from day {start}", field, "inThePast", 1, unit="weeks", completed=True, setting=setting)
        yield _on(f"week to date from day {start}", field, "inPeriodToDate", 1, unit="weeks", setting=setting)
    yield _on("relative or null", "orders_placed_at", "inThePast", 1, unit="weeks", includeNull=True)
    month_end = Setting(now=dt.datetime(2024, 3, 31, 12, tzinfo=dt.UTC))
    yield _on("a month before 31 March", "orders_due", "inThePast", 1, unit="months", setting=month_end)
    spring = Setting(timezone="America/New_York", now=dt.datetime(2024, 3, 10, 16, tzinfo=dt.UTC))
    for operator in ("inTheCurrent", "inThePast", "inTheNext"):
        yield _on(f"the short day {operator}", "orders_placed_at", operator, 1, unit="days", setting=spring)
    autumn = Setting(timezone="America/New_York", now=dt.datetime(2024, 11, 3, 20, tzinfo=dt.UTC))
    for operator in ("inTheCurrent", "inThePast"):
        yield _on(f"the long day {operator}", "orders_placed_at", operator, 1, unit="days", setting=autumn)


def _parts():
    yield _on("a month's number", "orders_placed_at_month_num", "equals", 5)
    yield _on("a month's name", "orders_placed_at_month_name", "equals", "May", "March")
    yield _on("a weekday's name", "orders_placed_at_day_of_week_name", "include", "Su", setting=KOLKATA)
    yield _on("an hour of the day", "orders_placed_at_hour_of_day_num", "greaterThan", 12, setting=NEW_YORK)
    yield _on("an hour", "orders_placed_at_hour", "equals", "2024-05-20T10:00:00Z")


def _grouped():
    open_, paid = rule("orders_status", "equals", "open"), rule("orders_status", "equals", "paid")
    gift, many = rule("orders_gift", "equals", True), rule("orders_qty", "greaterThan", 2)
    groups = {
        "or": {"or": [open_, gift]},
        "and in or": {"or": [open_, {"and": [gift, many]}]},
        "or in and": {"and": [{"or": [open_, paid]}, many]},
        "three levels": {"and": [{"or": [open_, {"and": [paid, {"or": [gift, many]}]}]}]},
        "empty groups vanish": {"and": [{"or": []}, {"and": [{"or": []}]}, paid]},
        "an empty group in or vanishes": {"or": [{"and": []}, paid]},
        "an empty top group": {"and": []},
        "disabled in and": {"and": [{**open_, "disabled": True}, paid]},
        "nulls are neither": {"or": [rule("orders_qty", "notInBetween", 0, 7), rule("orders_qty", "inBetween", 0, 7)]},
    }
    for name, group in groups.items():
        yield Case(name=f"group {name}", query={"dimensions": ["orders_id"], "filters": {"dimensions": group}})


def _metric_filters():
    def of(name, group, **more):
        query = {"dimensions": ["orders_status"], "metrics": ["orders_order_count"], "filters": {"metrics": group}}
        return Case(name=name, query=query | more)

    yield of("metric filter", {"and": [rule("orders_order_count", "greaterThan", 4)]})
    yield of("metric filter on a metric that is not shown", {"and": [rule("orders_revenue", "lessThan", 100)]})
    yield of("metric filters in or", {"or": [rule("orders_revenue", "isNull"), rule("orders_buyers", "equals", 3)]})
    yield of("metric filter on an expression", {"and": [rule("orders_per_order", "inBetween", -100, 40)]})
    yield of("metric filter without dimensions", {"and": [rule("orders_order_count", "equals", 20)]}, dimensions=[])
    both = {
        "dimensions": {"and": [rule("orders_gift", "notNull")]},
        "metrics": {"and": [rule("orders_order_count", "greaterThan", 2)]},
    }
    yield Case(
        name="both kinds of filter",
        query={"dimensions": ["orders_status"], "metrics": ["orders_revenue"], "filters": both},
    )


def _row_filters():
    def of(name, source, *rules, setting=None, metrics=(), **more):
        query = {"dimensions": ["orders_id"], "metrics": list(metrics), "filters": dimension_filter(*rules)}
        return Case(name=name, query=query, explore=replace(MARKET, base=source, **more), setting=setting or Setting())

    either = guarded(
        ORDERS,
        "${TABLE}.status = 'open' or ${TABLE}.gift",
        lambda env, table: env.cell(table, "status") == "open" or env.cell(table, "gift") is True,
    )
    yield of("a row filter with or lets nobody past the user's filter", either, rule("orders_qty", "greaterThan", 3))
    yield of(
        "a row filter with or is not loosened by the user's filter", either, rule("orders_status", "equals", "paid")
    )
    mine = guarded(
        ORDERS,
        "${TABLE}.note in (${ld.attr.notes})",
        lambda env, table: env.cell(table, "note") in env.setting.attributes["notes"],
    )
    texts = ("it's", 'say "hi"', "a--b", "back\\slash", "größe 😀", "/* x */", "100%", "') or (1=1", "two\nlines")
    yield of("attributes with quotes are data", mine, setting=Setting(attributes={"notes": texts}))
    own = guarded(
        ORDERS,
        "${TABLE}.note = ${ld.user.email} or ${TABLE}.id = 1",
        lambda env, table: env.cell(table, "note") == env.setting.email or env.cell(table, "id") == 1,
    )
    yield of("an e-mail with a quote is data", own, setting=Setting(email="it's"))
    elsewhere = guarded(
        ORDERS, "${customers.city} = 'Oslo'", lambda env, _: env.cell("customers", "city") == "Oslo", ("customers",)
    )
    yield of("a row filter joins the table it needs", elsewhere)
    secret = guarded(
        MARKET.joins[0].source,
        "${TABLE}.region = ${ld.attr.region}",
        lambda env, table: env.cell(table, "region") in env.setting.attributes["region"],
    )
    north = Setting(attributes={"region": ("north",)})
    query = {"dimensions": ["orders_id", "customers_city"], "metrics": ["customers_customer_count"]}
    for filters in (False, True):
        joins = (replace(MARKET.joins[0], source=secret, filters_rows=filters), *MARKET.joins[1:])
        name = (
            "a joined table's row filter is part of the join" if filters else "a joined table's row filter is its own"
        )
        yield Case(name=name, query=query, explore=replace(MARKET, joins=joins), setting=north)


def _required():
    needed = {"required": ({**rule("orders_status", "equals", "paid"), "required": True},)}
    written = {"required_written": ({"status": "paid"},)}
    day = {"required": ({**rule("orders_placed_at", "inThePast", 6, unit="weeks"), "required": True},)}
    day_written = {"required_written": ({"placed_at": "inThePast 6 weeks"},)}
    status = replace(MARKET, **needed, **written)
    moment = replace(MARKET, **day, **day_written)
    other = rule("orders_status", "equals", "open")
    groups = {
        "is added": (status, {"and": [rule("orders_gift", "notNull")]}),
        "is met by a rule of the query": (status, {"and": [other]}),
        "is met in a nested and": (status, {"and": [{"and": [other]}]}),
        "is not dodged in or": (status, {"or": [other, rule("orders_id", "greaterThan", 0)]}),
        "is not dodged in a nested or": (status, {"and": [{"or": [other, rule("orders_id", "greaterThan", 0)]}]}),
        "is not dodged by a disabled rule": (status, {"and": [{**other, "disabled": True}]}),
        "is not dodged by a rule without values": (status, {"and": [rule("orders_status", "equals")]}),
        "is met by a sibling grain": (moment, {"and": [rule("orders_placed_at_month", "equals", "2024-03-01")]}),
        "is relative to now": (moment, {"and": []}),
    }
    for name, (explore, group) in groups.items():
        query = {"dimensions": ["orders_id"], "filters": {"dimensions": group}}
        yield Case(name=f"required filter {name}", query=query, explore=explore)


_PARAMETERS = {
    "parameters": {
        "words": {"multiple": True, "allow_custom_values": True},
        "least": {"type": "number", "default": 10},
        "day": {"type": "date", "default": "2024-05-13"},
        "scale": {"default": "small", "options": ["small", "large"]},
    }
}


def _parameters():
    values = {"orders.words": ["it's", "100%", "'); --"], "orders.least": 6.5, "orders.day": "2024-05-20"}
    source = replace(
        guarded(
            ORDERS,
            "${TABLE}.note in (${ld.parameters.orders.words}) or ${TABLE}.qty > ${ld.parameters.orders.least}"
            " or ${TABLE}.due = ${ld.parameters.orders.day}",
            lambda env, table: (
                env.cell(table, "note") in env.setting.parameters["orders.words"]
                or (env.cell(table, "qty") or 0) > env.setting.parameters["orders.least"]
                or env.cell(table, "due") == dt.date.fromisoformat(env.setting.parameters["orders.day"])
            ),
        ),
        keys=_PARAMETERS,
    )
    query = {"dimensions": ["orders_id"]}
    explore = replace(MARKET, base=source)
    yield Case(name="parameters by type", query=query, explore=explore, setting=Setting(parameters=values))
    few = Setting(parameters={"orders.words": ["%"], "orders.least": 10, "orders.day": "2024-05-13"})
    yield Case(name="parameters by default", query=query, explore=explore, setting=few)
    scaled = replace(
        ORDERS,
        keys=_PARAMETERS,
        dims={
            **ORDERS.dims,
            "scaled": Dim(
                type="number",
                sql="{% if ld.parameters.orders.scale == 'large' %}${qty} * 100{% else %}${qty}{% endif %}",
                value=_scaled,
            ),
        },
    )
    for scale in ("small", "large"):
        setting = Setting(parameters={"orders.scale": scale})
        query = {"dimensions": ["orders_scaled"], "metrics": ["orders_order_count"]}
        yield Case(name=f"a tag chooses {scale}", query=query, explore=replace(MARKET, base=scaled), setting=setting)


def _scaled(env, table):
    qty = env.cell(table, "qty")
    return None if qty is None else qty * (100 if env.setting.parameters["orders.scale"] == "large" else 1)


def _sources():
    own = replace(
        ORDERS,
        sql_from="select * from \"orders\" where status = '${ld.attr.status}' -- theirs",
        visible=lambda row, setting: row["status"] in setting.attributes["status"],
    )
    query = {"dimensions": ["orders_status", "customers_city"], "metrics": ["orders_order_count"]}
    setting = Setting(attributes={"status": ("paid",)})
    yield Case(name="a statement as table", query=query, explore=replace(MARKET, base=own), setting=setting)
    loose = replace(MARKET, base=replace(ORDERS, keys={"case_sensitive": False}))
    query = {"dimensions": ["orders_id"], "filters": dimension_filter(rule("orders_note", "equals", "upper"))}
    yield Case(name="a table makes its fields loose", query=query, explore=loose)


def filter_cases():
    """Return every case of this module."""
    parts = (
        _texts, _numbers, _booleans, _days, _instants, _relative, _parts, _grouped, _metric_filters, _row_filters,
        _required, _parameters, _sources,
    )  # fmt: skip
    return [case for part in parts for case in part()]
