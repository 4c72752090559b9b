"""Hypothesis strategies: small models with their rows, and metric queries over them.

    parent ◀─ many-to-one ─ child        rows keep to what the relationship says; keys may lead nowhere

Every table has the same columns, so that what differs is how tables are joined, which rows they have, and what is
asked. Values are those that SQL text gets wrong: quotes, wildcards, backslashes, days that end in a fraction.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from tests.oracle.aggregates import aggregate
from tests.oracle.calculations import ratio
from tests.oracle.description import Dim, Explore, Joined, Measure, RowFilter, Setting, Source, column
from tests.oracle.fields import INTERVALS
from tests.oracle.moments import DAYS_AND_LONGER

NAMES = ("shop", "visit-log", "basket_2", "x")
RELATIONSHIPS = ("many-to-one", "one-to-many", "one-to-one", "many-to-many")
TEXTS = ("", "a", "A", "a_b", "axb", "100%", "it's", 'say "hi"', "back\\slash", "--", "größe 😀", "日本", "%", "\\")
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Europe/Lisbon", "Australia/Lord_Howe")
COLUMNS = {
    "id": "integer",
    "up": "integer",
    "tag": "integer",
    "n": "integer",
    "price": "numeric(12, 2)",
    "word": "text",
    "yes": "boolean",
    "day": "date",
    "at": "timestamptz",
    "naive": "timestamp",
}
_MOMENTS = [
    dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    for text in (
        "2024-03-10T06:59:59.9995", "2024-03-10T07:00:00", "2024-11-03T05:30:00", "2024-11-03T06:30:00",
        "2024-05-20T23:59:59.999999", "2024-05-20T18:30:00", "2024-05-13T00:00:00", "2024-05-12T23:59:59.5",
        "2023-12-31T23:59:59.999", "2024-02-29T12:00:00", "2024-04-06T15:15:00", "2024-05-20T10:05:00",
    )
]  # fmt: skip
_DAYS = sorted({moment.date() for moment in _MOMENTS} | {dt.date(2024, 5, 19), dt.date(2024, 4, 30)})

numbers = st.sampled_from([None, 0, 1, 2, 2, 3, -7, 10])
prices = st.sampled_from([None, Decimal("0.00"), Decimal("1.10"), Decimal("-2.35"), Decimal("1.10"), Decimal("999.99")])
words = st.none() | st.sampled_from(TEXTS)
moments = st.none() | st.sampled_from(_MOMENTS)
days = st.none() | st.sampled_from(_DAYS)


@st.composite
def explores(draw):
    """Draw two to four tables, joined in a tree, with rows that keep to the relationships."""
    count = draw(st.integers(2, 4))
    links = [draw(links_between(index)) for index in range(1, count)]
    sources = [draw(tables(NAMES[index])) for index in range(count)]
    joins = tuple(_join(link, sources) for link in links)
    return Explore(base=_with_fields_across(sources[0], sources[-1].name), joins=joins)


def _with_fields_across(base, other):
    """Return the base table with fields that need another one."""

    def either(env, table):
        word = env.cell(table, "word")
        return env.cell(other, "word") if word is None else word

    def product(env, table):
        a, b = env.cell(table, "n"), env.cell(other, "n")
        return None if a is None or b is None else a * b

    across = (other,)
    ratio_of = (f"{base.name}_sum", f"{other}_rows")
    dims = {"either": Dim(type="string", sql=f"coalesce(${{word}}, ${{{other}.word}})", value=either, reaches=across)}
    measures = {
        "ratio": Measure(
            type="number",
            sql=f"1.0 * ${{sum}} / nullif(${{{other}.rows}}, 0)",
            over=lambda values: ratio(*(values[each] for each in ratio_of)),
            needs=ratio_of,
        ),
        "product": Measure(type="sum", sql=f"${{n}} * ${{{other}.n}}", argument=product, reaches=across),
    }
    return replace(base, dims={**base.dims, **dims}, measures={**base.measures, **measures})


@st.composite
def links_between(draw, index):
    """Draw how the table of a number is joined to an earlier one."""
    relationship = draw(st.sampled_from(RELATIONSHIPS))
    above, below = {
        "many-to-one": ("up", "id"),
        "one-to-many": ("id", "up"),
        "one-to-one": ("id", "id"),
        "many-to-many": ("tag", "tag"),
    }[relationship]
    return {
        "index": index,
        "parent": draw(st.integers(0, index - 1)),
        "relationship": relationship,
        "type": draw(st.sampled_from(["left", "left", "inner", "right", "full"])),
        "above": above,
        "below": below,
        "filters_rows": draw(st.booleans()),
    }


@st.composite
def tables(draw, name):
    """Draw one table; its `id` is its key, so that one row at most is met by it."""
    ids = draw(st.lists(st.integers(1, 6), unique=True, max_size=6))
    rows = tuple(
        {
            "id": id_,
            "up": draw(st.none() | st.integers(1, 6)),
            "tag": draw(st.none() | st.integers(1, 2)),
            "n": draw(numbers),
            "price": draw(prices),
            "word": draw(words),
            "yes": draw(st.none() | st.booleans()),
            "day": draw(days),
            "at": draw(moments),
            "naive": draw(moments),
        }
        for id_ in ids
    )
    return Source(
        name=name,
        columns=COLUMNS,
        rows=rows,
        primary_key=("id",),
        dims=_dims(),
        measures=_measures(name),
        row_filter=draw(st.none() | st.just(_row_filter())),
    )


def _row_filter():
    return RowFilter(
        sql="${TABLE}.n > 0 or ${TABLE}.word is null",
        truth=lambda env, table: (env.cell(table, "n") or 0) > 0 or env.cell(table, "word") is None,
    )


def _dims():
    return {
        **{name: column(name, "number") for name in ("id", "up", "tag", "n", "price")},
        "word": column("word", "string"),
        "loose": column("word", "string", case_sensitive=False),
        "yes": column("yes", "boolean"),
        "day": column("day", "date"),
        "at": column("at", "timestamp"),
        "naive": column("naive", "timestamp"),
        "known": Dim(
            type="string",
            sql="coalesce(${word}, 'unknown')",
            value=lambda env, table: "unknown" if env.cell(table, "word") is None else env.cell(table, "word"),
        ),
    }


def _measures(name):
    def read(cell):
        return lambda env, table: env.cell(table, cell)

    positive = {"target": {"fieldId": f"{name}_n"}, "operator": "greaterThan", "values": [0]}
    return {
        "rows": Measure(type="count", sql="${TABLE}.id", argument=read("id")),
        "words": Measure(type="count_distinct", sql="${word}", argument=read("word")),
        "sum": Measure(type="sum", sql="${n}", argument=read("n")),
        "prices": Measure(type="sum", sql="${TABLE}.price", argument=read("price")),
        "mean": Measure(type="average", sql="${TABLE}.n", argument=read("n")),
        "least": Measure(type="min", sql="${TABLE}.price", argument=read("price")),
        "most": Measure(type="max", sql="${n}", argument=read("n")),
        "median": Measure(type="median", sql="${n}", argument=read("n")),
        "ninth": Measure(type="percentile", percentile=90, sql="${n}", argument=read("n")),
        "positive": Measure(
            type="sum", sql="${price}", argument=read("price"), filters=(positive,), filters_written=({"n": "> 0"},)
        ),
        "once": Measure(type="sum_distinct", sql="${TABLE}.n", argument=read("n"), distinct_keys=("id",)),
        "whole": Measure(
            type="number",
            sql="1.0 * sum(${n}) / nullif(count(${TABLE}.id), 0)",
            whole=lambda envs, table: ratio(
                aggregate("sum", [env.cell(table, "n") for env in envs]),
                aggregate("count", [env.cell(table, "id") for env in envs]),
            ),
        ),
        "spread": Measure(
            type="number",
            sql="${most} - ${sum}",
            over=lambda values: _difference(values[f"{name}_most"], values[f"{name}_sum"]),
            needs=(f"{name}_most", f"{name}_sum"),
        ),
        "share": Measure(type="percent_of_total", sql="${rows}", needs=(f"{name}_rows",)),
        "so_far": Measure(type="running_total", sql="${rows}", needs=(f"{name}_rows",)),
    }


def _difference(a, b):
    return None if a is None or b is None else a - b


def _join(link, sources):
    parent, child = sources[link["parent"]], sources[link["index"]]

    def matches(env):
        a, b = env.cell(parent.name, link["above"]), env.cell(child.name, link["below"])
        return None if a is None or b is None else a == b

    return Joined(
        source=child,
        alias=child.name,
        sql_on=f"${{{parent.name}.{link['above']}}} = ${{{child.name}.{link['below']}}}",
        matches=matches,
        type=link["type"],
        relationship=link["relationship"],
        filters_rows=link["filters_rows"],
        needs=(parent.name,),
    )


@st.composite
def settings(draw):
    """Draw a zone, a start of week and a moment."""
    return Setting(
        timezone=draw(st.sampled_from(ZONES)),
        start_of_week=draw(st.sampled_from([None, 0, 2, 6])),
        now=draw(st.sampled_from([moment.replace(second=0, microsecond=0) for moment in _MOMENTS])),
    )


@st.composite
def questions(draw, explore):
    """Draw a metric query over an explore, and its setting."""
    names = [source.name for source in explore.sources().values()]
    tables_ = st.sampled_from(names)
    across = st.sampled_from([f"{names[0]}_ratio", f"{names[0]}_product"])
    some_dimensions = st.builds("{}_{}".format, tables_, _dimension_names()) | st.just(f"{names[0]}_either")
    some_metrics = st.builds("{}_{}".format, tables_, st.sampled_from(list(_measures("x"))))
    dimensions = draw(st.lists(some_dimensions, max_size=3))
    metrics = draw(st.lists(some_metrics | some_metrics | across, max_size=4))
    extras, meanings = draw(_extra_metrics(names))
    earlier = draw(_earlier_metric(dimensions, metrics))
    metrics += [f"{each['table']}_{each['name']}" for each in earlier]
    bins = draw(_bins(names))
    dimensions += [each["id"] for each in bins]
    metrics += list(meanings)
    if not dimensions and not metrics:
        metrics = [f"{names[0]}_rows"]
    countable = [each for each in metrics if each.endswith(("_rows", "_sum", "_prices", "_most", "_own"))]
    filters = {"dimensions": draw(_groups(_rules(names)))}
    if countable and draw(st.booleans()):
        filters["metrics"] = draw(_groups(_number_rules(st.sampled_from(countable))))
    calculations = draw(_calculations(countable)) if countable else []
    sortable = sorted({*dimensions, *countable})
    sorts = draw(st.lists(st.sampled_from(sortable), unique=True, max_size=2)) if sortable else []
    query = {
        "dimensions": dimensions,
        "metrics": metrics,
        "filters": filters,
        "sorts": [_sort(draw, each) for each in sorts],
        "limit": draw(st.sampled_from([500, 500, 1, 3])),
        "tableCalculations": calculations,
        "additionalMetrics": [*extras, *earlier],
        "customDimensions": bins,
    }
    zoom = draw(st.sampled_from([None, None, {"granularity": "MONTH"}, {"granularity": "WEEK"}]))
    return query, replace(draw(settings()), meanings=meanings, date_zoom=None if earlier else zoom)


@st.composite
def _earlier_metric(draw, dimensions, metrics):
    """Draw a metric of an earlier period, if there are a period and a metric to compare."""
    times = [each for each in dimensions if each.endswith(("_day", "_week", "_month", "_quarter", "_year"))]
    bases = [each for each in metrics if not each.endswith(("_share", "_so_far"))]
    if not times or not bases:
        return []
    base = draw(st.sampled_from(bases))
    return [
        {
            "table": base.rpartition("_")[0],
            "name": "earlier",
            "label": "Earlier",
            "type": "number",
            "sql": "${rows}",
            "generationType": "periodOverPeriod",
            "baseMetricId": base,
            "timeDimensionId": draw(st.sampled_from(times)),
            "granularity": draw(st.sampled_from(["DAY", "WEEK", "MONTH", "YEAR"])),
            "periodOffset": draw(st.integers(1, 2)),
        }
    ]


@st.composite
def _extra_metrics(draw, names):
    if not draw(st.sampled_from([False, False, True])):
        return [], {}
    table, kind = draw(st.sampled_from(names)), draw(st.sampled_from(["sum", "count", "max"]))
    extra = {
        "table": table,
        "name": "own",
        "label": "Own",
        "type": kind,
        "sql": "${TABLE}.n",
        "baseDimensionName": "n",
        "filters": draw(st.lists(_number_rules(st.just(f"{table}.n")), max_size=1)),
    }
    for rule in extra["filters"]:
        rule["target"] = {"fieldRef": rule["target"].pop("fieldId")}
    return [extra], {f"{table}_own": lambda env, table: env.cell(table, "n")}


@st.composite
def _bins(draw, names):
    if not draw(st.sampled_from([False, False, True])):
        return []
    table = draw(st.sampled_from(names))
    number, text = f"{table}_{draw(st.sampled_from(['n', 'price']))}", f"{table}_word"
    kinds = [
        {"binType": "fixed_width", "binWidth": draw(st.sampled_from([1, 3, 10])), "dimensionId": number},
        {"binType": "fixed_number", "binNumber": draw(st.integers(1, 4)), "dimensionId": number},
        {
            "binType": "custom_range",
            "customRange": [{"to": 0}, {"from": 0, "to": 3}, {"from": 3}],
            "dimensionId": number,
        },
        {
            "binType": "custom_group",
            "dimensionId": text,
            "customGroups": [
                {"name": "it's", "values": [{"matchType": "exact", "value": "it's"}]},
                {"name": "a", "values": [{"matchType": "startsWith", "value": "a_"}]},
                {"name": "100%", "values": [{"matchType": "includes", "value": "%"}]},
            ],
        },
    ]
    return [{"id": "own_bin", "name": "own bin", "table": table, "type": "bin", **draw(st.sampled_from(kinds))}]


@st.composite
def _calculations(draw, fields):
    kinds = ("percent_change_from_previous", "percent_of_column_total", "rank_in_column", "running_total")
    found = []
    for index in range(draw(st.sampled_from([0, 0, 1, 2]))):
        template = {"type": draw(st.sampled_from(kinds)), "fieldId": draw(st.sampled_from(fields))}
        found.append({"name": f"calc {index}", "displayName": "calc", "type": "number", "template": template})
    return found


def _sort(draw, field_id):
    sort = {"fieldId": field_id, "descending": draw(st.booleans())}
    nulls_first = draw(st.sampled_from([None, None, True, False]))
    return sort if nulls_first is None else sort | {"nullsFirst": nulls_first}


def _dimension_names():
    moments_ = [f"{name}_{interval.lower()}" for name in ("at", "naive") for interval in INTERVALS]
    days_ = [f"day_{interval.lower()}" for interval in DAYS_AND_LONGER]
    plain = st.sampled_from(["tag", "n", "price", "word", "known", "yes", "day", "at"])
    return plain | st.sampled_from(moments_ + days_)


def _groups(rules):
    return st.recursive(
        rules,
        lambda inner: st.builds(
            lambda kind, members: {kind: members}, st.sampled_from(["and", "or"]), st.lists(inner, max_size=3)
        ),
        max_leaves=4,
    ).map(lambda node: {"and": [node]} if "target" in node else node)


def _rules(names):
    fields = {
        _text_rules: ["word", "loose", "known"],
        _number_rules: ["n", "price", "id", "at_month_num", "at_hour_of_day_num"],
        _boolean_rules: ["yes"],
        _day_rules: ["day", "at_day", "at_week", "at_month", "day_week"],
        _instant_rules: ["at", "naive", "at_hour"],
    }
    return st.one_of(
        [
            make(st.builds("{}_{}".format, st.sampled_from(names), st.sampled_from(each)))
            for make, each in fields.items()
        ]
    )


def _rule(fields, operators, values, **settings_):
    def made(field_id, operator, found, is_disabled, includes_null):
        rule = {"target": {"fieldId": field_id}, "operator": operator, "values": found}
        if is_disabled:
            rule["disabled"] = True
        if includes_null:
            rule["includeNull"] = True
        return rule | {key: value for key, value in settings_.items() if value}

    rarely = st.sampled_from([False] * 7 + [True])
    return st.builds(made, fields, st.sampled_from(operators), values, rarely, rarely)


def _null_rules(fields):
    return _rule(fields, ("isNull", "notNull"), st.just([]))


def _text_rules(fields):
    operators = ("equals", "notEquals", "include", "doesNotInclude", "startsWith", "endsWith")
    # Capital letters beyond ASCII differ between databases.
    values = st.lists(st.sampled_from([text for text in TEXTS if text]), max_size=2)
    return _rule(fields, operators, values) | _null_rules(fields)


def _number_rules(fields):
    several = _rule(fields, ("equals", "notEquals"), st.lists(st.sampled_from([0, 1, "2", -7, 1.1]), max_size=3))
    one = ("greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual")
    two = _rule(fields, ("inBetween", "notInBetween"), st.sampled_from([[0, 2], [-10, 1.1], [2, 0]]))
    return several | two | _rule(fields, one, st.sampled_from([[0], ["1.1"], [-7], []])) | _null_rules(fields)


def _boolean_rules(fields):
    return _rule(fields, ("equals", "notEquals"), st.sampled_from([[True], [False], []])) | _null_rules(fields)


def _moment_rules(fields, values):
    one = ("greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual")
    several = _rule(fields, ("equals", "notEquals"), st.lists(values, max_size=2))
    two = _rule(fields, ("inBetween", "notInBetween"), st.lists(values, min_size=2, max_size=2))
    return several | two | _rule(fields, one, st.lists(values, max_size=1)) | _null_rules(fields) | _relative(fields)


def _relative(fields):
    units = st.sampled_from(["days", "weeks", "months", "quarters", "years"])
    counted = ("inThePast", "notInThePast", "inTheNext")
    return st.builds(
        lambda rule, unit, completed: rule | {"settings": {"unitOfTime": unit, "completed": completed}},
        _rule(fields, counted, st.integers(1, 3).map(lambda count: [count])),
        units,
        st.booleans(),
    ) | st.builds(
        lambda rule, unit: rule | {"settings": {"unitOfTime": unit}},
        _rule(fields, ("inTheCurrent", "notInTheCurrent", "inPeriodToDate"), st.just([1])),
        units.filter(lambda unit: unit != "days"),
    )


def _day_rules(fields):
    return _moment_rules(fields, st.sampled_from([day.isoformat() for day in _DAYS]))


def _instant_rules(fields):
    texts = [moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") for moment in _MOMENTS]
    return _moment_rules(fields, st.sampled_from(texts))
