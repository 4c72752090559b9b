"""From models to explores: references, joins, intervals, sets, and what happens when something fails."""

from __future__ import annotations

import itertools
import json
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queryfleet.errors import CompileError, FieldReferenceError, NotFoundError
from queryfleet.model import ColumnType
from queryfleet.semantic.catalog import Catalog
from queryfleet.semantic.explore import JoinType, Relationship, TimeInterval
from queryfleet.semantic.expression import (
    AttributeRef,
    DimensionRef,
    LiquidTag,
    MetricRef,
    ParameterRef,
    SqlText,
    TableRef,
    UserEmailRef,
)

ORDERS = """\
type: model
name: orders
sql_from: shop.orders
primary_key: order_id
joins:
  - join: customers
    sql_on: ${orders.customer_id} = ${customers.id}
    relationship: many-to-one
dimensions:
  - {name: order_id, type: number, sql: "${TABLE}.order_id"}
  - {name: customer_id, type: number, sql: "${TABLE}.customer_id", hidden: true}
  - {name: amount, type: number, sql: "${TABLE}.amount"}
  - {name: double, type: number, sql: "${amount} * 2"}
  - {name: buyer, type: string, sql: "upper(${customers.name})"}
  - {name: ordered_at, type: timestamp, sql: "${TABLE}.ordered_at"}
metrics:
  revenue: {type: sum, sql: "${amount}"}
  order_count: {type: count, sql: "${order_id}"}
  average: {type: number, sql: "${revenue} / ${order_count}"}
"""
CUSTOMERS = """\
type: model
name: customers
sql_from: shop.customers
dimensions:
  - {name: id, type: number, sql: "${TABLE}.id"}
  - {name: name, type: string, sql: "${TABLE}.name"}
  - {name: born_on, type: date, sql: "${TABLE}.born_on", time_intervals: [YEAR]}
metrics:
  customer_count: {type: count, sql: "${id}"}
"""
FILES = {"orders.yml": ORDERS, "customers.yml": CUSTOMERS}
SMALL = "type: model\nname: t\nsql_from: t\n"


def small(*dimensions, metrics=(), more=""):
    """Make a model `t` of numbers: `name: sql` each."""

    def lines(pairs):
        return [pair.partition(": ")[::2] for pair in pairs]

    parts = [SMALL, more, "dimensions:\n"]
    parts += [f"  - {{name: {name}, type: number, sql: {json.dumps(sql)}}}\n" for name, sql in lines(dimensions)]
    if metrics:
        parts.append("metrics:\n")
        parts += [f"  {name}: {{{rest}}}\n" for name, rest in lines(metrics)]
    return "".join(parts)


def messages(catalog):
    """Return every problem as text."""
    return [each.text for each in catalog.problems]


def test_explore_of_two_models_has_both_tables_and_every_field(catalog_of):
    """Field ids are `<table>_<field>`, intervals follow their base, joined tables follow the base."""
    catalog = catalog_of(FILES)
    assert messages(catalog) == []
    explore = catalog.explore("orders")
    assert list(explore.tables) == ["orders", "customers"]
    assert list(explore.fields)[:12] == [
        "orders_order_id",
        "orders_customer_id",
        "orders_amount",
        "orders_double",
        "orders_buyer",
        "orders_ordered_at",
        "orders_ordered_at_raw",
        "orders_ordered_at_day",
        "orders_ordered_at_week",
        "orders_ordered_at_month",
        "orders_ordered_at_quarter",
        "orders_ordered_at_year",
    ]
    join = explore.joins[0]
    assert (join.table, join.type, join.relationship) == ("customers", JoinType.LEFT, Relationship.MANY_TO_ONE)
    assert join.sql_on.tables == ("customers", "orders")
    assert explore.tables["orders"].primary_key == ("order_id",)


def test_expression_keeps_references_as_parts(catalog_of):
    """A dimension is referred to by field id, and the tables it needs are known through it."""
    explore = catalog_of(FILES).explore("orders")
    double = explore.dimension("orders_double").expression
    assert double is not None
    assert double.parts == (DimensionRef(field_id="orders_amount"), SqlText(text=" * 2"))
    buyer = explore.dimension("orders_buyer").expression
    assert buyer is not None
    assert buyer.tables == ("customers", "orders")
    average = explore.metric("orders_average").expression
    assert average is not None
    assert average.parts[0] == MetricRef(field_id="orders_revenue")
    amount = explore.dimension("orders_amount").expression
    assert amount is not None
    assert amount.parts == (TableRef(table="orders"), SqlText(text=".amount"))


def test_field_of_a_joined_table_that_is_not_there_fails_alone(catalog_of):
    """A model that is joined into another explore keeps what works there, with a warning for what does not."""
    files = FILES | {
        "lines.yml": (
            "type: model\nname: lines\nsql_from: lines\n"
            "joins: [{join: orders, sql_on: '${lines.order_id} = ${orders.order_id}'}]\n"
            "dimensions: [{name: order_id, type: number, sql: '${TABLE}.order_id'}]\n"
        )
    }
    catalog = catalog_of(files)
    assert [each.is_error for each in catalog.problems] == [False]
    assert "joined into explore `lines`, `orders.buyer` cannot be used" in catalog.problems[0].message
    explore = catalog.explore("lines")
    assert explore.field("orders_double").field_id == "orders_double"
    with pytest.raises(CompileError, match=r"names no table of this explore"):
        explore.field("orders_buyer")
    assert explore.warnings


def test_field_unknown_name_has_the_nearest_right_one(catalog_of):
    """A wrong reference, a wrong field id and a wrong explore all say what was probably meant."""
    catalog = catalog_of(small("amount: ${TABLE}.amount", "double: ${amont} * 2"))
    (text,) = messages(catalog)
    assert text.startswith("models/orders.yml, line 6: `t.double` cannot be used: `amont` names no field of table `t`;")
    assert text.endswith("did you mean `amount`?")
    explore = catalog.explore("t")
    with pytest.raises(CompileError, match="did you mean `amount`"):
        explore.field("t_double")
    with pytest.raises(FieldReferenceError, match="did you mean `t_amount`"):
        explore.field("t_amoumt")
    with pytest.raises(FieldReferenceError, match="is a dimension"):
        explore.metric("t_amount")
    with pytest.raises(NotFoundError, match=r"there is no explore `tt`; did you mean `t`"):
        catalog.explore("tt")


def test_field_that_mentions_a_failed_one_says_so(catalog_of):
    """A failure takes down those that build on it, each with its own message, and no other field."""
    catalog = catalog_of(small("a: ${gone}", "b: ${a} + 1", "c: ${TABLE}.c"))
    errors = {each.field_id: each.error for each in catalog.explore("t").fields.values()}
    assert errors["t_c"] is None
    assert errors["t_b"] is not None
    assert errors["t_b"].startswith("it refers to `a`, which cannot be used: `gone` names no field")


@pytest.mark.parametrize(
    ("dimensions", "cycles"),
    [
        (("a: ${a}",), {"a": "a -> a"}),
        (("a: ${b}", "b: ${a}"), {"a": "a -> b -> a", "b": "b -> a -> b"}),
        (
            ("a: ${b}", "b: ${c}", "c: ${a}"),
            {"a": "a -> b -> c -> a", "b": "b -> c -> a -> b", "c": "c -> a -> b -> c"},
        ),
        (("x: ${a}", "a: ${b}", "b: ${a}"), {"a": "a -> b -> a", "b": "b -> a -> b"}),
    ],
)
def test_cycle_is_told_from_each_of_its_fields(catalog_of, dimensions, cycles):
    """Fields that go round are errors `a -> b -> a`; one that only leads there says which it mentions."""
    catalog = catalog_of(small(*dimensions, "fine: ${TABLE}.x"))
    for name, each in catalog.explore("t").tables["t"].dimensions.items():
        if name in cycles:
            assert each.error == f"it refers to itself: {cycles[name]}"
        elif name == "x":
            assert each.error == "it refers to `a`, which cannot be used: it refers to itself: a -> b -> a"
        else:
            assert each.error is None


NAMES = [f"d{number}" for number in range(7)]
GRAPHS = st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES), max_size=3) for name in NAMES})


def reaches_itself(graph, name):
    """Tell whether a walk from a name comes back to it."""
    seen, left = set(), list(graph[name])
    while left:
        step = left.pop()
        if step == name:
            return True
        if step not in seen:
            seen.add(step)
            left += graph[step]
    return False


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=GRAPHS)
def test_cycles_of_any_graph_are_found_and_nothing_else_fails(catalog_of, graph):
    """A field fails exactly when it lies on a cycle or leads to one, in whatever order fields are declared."""
    files = small(*(f"{name}: {' + '.join(f'${{{each}}}' for each in refs) or '1'}" for name, refs in graph.items()))
    table = catalog_of(files).explore("t").tables["t"]
    on_cycle = {name for name in NAMES if reaches_itself(graph, name)}

    def leads(name, seen=frozenset()):
        return name in on_cycle or any(leads(each, seen | {name}) for each in graph[name] if each not in seen)

    for name in NAMES:
        error = table.dimensions[name].error
        assert (error is not None) == leads(name)
        if name in on_cycle:
            assert error is not None
            steps = error.rpartition("itself: ")[2].split(" -> ")
            assert steps[0] == steps[-1]
            assert all(after in graph[before] for before, after in itertools.pairwise(steps))


def test_chain_too_long_or_too_large_is_refused(catalog_of):
    """Depth and size have bounds, whichever end is declared first."""
    for order in (1, -1):
        chain = [f"c{n}: ${{c{n - 1}}}" for n in range(1, 120)][::order]
        table = catalog_of(small("c0: ${TABLE}.x", *chain)).explore("t").tables["t"]
        assert table.dimensions["c100"].error is None
        assert "more than 100 others" in (table.dimensions["c101"].error or "")
    doubling = [f"c{n}: ${{c{n - 1}}} + ${{c{n - 1}}}" for n in range(1, 40)]
    table = catalog_of(small("c0: ${TABLE}.x", *doubling)).explore("t").tables["t"]
    assert table.dimensions["c10"].error is None
    assert "longer than 1000000 characters" in (table.dimensions["c39"].error or "")


@pytest.mark.parametrize(
    ("metric", "advice"),
    [
        ('m: type: sum, sql: "${n}"', "an aggregate cannot hold another"),
        ('m: type: number, sql: "${a} * 2"', "outside of an aggregate"),
        ('m: type: number, sql: "${share} * 2"', "computed after everything else"),
        ('m: type: percent_of_total, sql: "${a}"', "computed from a metric"),
        ('m: type: percent_of_total, sql: "${n} * 2"', "one metric and nothing else"),
        ('m: type: running_total, sql: "${share}"', "computed after everything else"),
        ('m: type: sum, sql: "${a}", filters: [{n: 1}]', "`n` is a metric; name a dimension"),
        ('m: type: sum, sql: "${a}", filters: [{zz: 1}]', "names no field"),
        ('m: type: sum_distinct, sql: "${a}", distinct_keys: [zz]', "names no field"),
        ('m: type: sum, sql: "${a} * ${ld.parameters.rate}"', "there is no parameter `rate`"),
    ],
)
def test_metric_that_refers_to_the_wrong_kind_is_refused(catalog_of, metric, advice):
    """Each class of metrics says what it may be made of."""
    metrics = ('n: type: sum, sql: "${a}"', 'share: type: percent_of_total, sql: "${n}"', metric)
    catalog = catalog_of(small("a: ${TABLE}.a", metrics=metrics))
    assert advice in (catalog.explore("t").fields["t_m"].error or "")
    assert len(catalog.errors) == 1


@pytest.mark.parametrize(
    "metric",
    [
        'm: type: number, sql: "sum(${a}) / ${n}"',
        'm: type: number, sql: "count(*)"',
        "m: type: string, sql: \"string_agg(${a}, ',')\"",
        'm: type: boolean, sql: "bool_or(${a} > 1)"',
        "m: type: sum, sql: \"${a}\", filters: [{a: '> 7'}, {t.a: null}]",
        'm: type: average_distinct, sql: "${a}", distinct_keys: a',
        'm: type: running_total, sql: " ${n} "',
    ],
)
def test_metric_that_refers_to_the_right_kind_is_accepted(catalog_of, metric):
    """What the classes allow compiles; filters and keys hold field ids."""
    catalog = catalog_of(small("a: ${TABLE}.a", metrics=('n: type: sum, sql: "${a}"', metric)))
    assert messages(catalog) == []
    found = catalog.explore("t").metric("t_m")
    assert all(rule.field_id == "t_a" for rule in found.filters)
    assert all(key == "t_a" for key in found.distinct_keys)


def test_dimension_that_refers_to_a_metric_is_refused(catalog_of):
    """A dimension has a value for each row; a metric has none."""
    catalog = catalog_of(small("a: ${n} + 1", metrics=('n: type: count, sql: "1"',)))
    assert "is a metric" in (catalog.explore("t").fields["t_a"].error or "")


def test_metric_named_like_a_dimension_is_left_out_with_a_warning(catalog_of):
    """The dimension keeps the name."""
    catalog = catalog_of(small("a: ${TABLE}.a", metrics=('a: type: count, sql: "1"',)))
    assert [each.is_error for each in catalog.problems] == [False]
    assert "the metric `a` is left out" in catalog.problems[0].message
    assert list(catalog.explore("t").fields) == ["t_a"]


def test_intervals_are_dimensions_with_type_label_and_base(catalog_of):
    """An interval knows its base, and how it is described on the wire."""
    explore = catalog_of(FILES).explore("orders")
    month = explore.dimension("orders_ordered_at_month")
    assert (month.type, month.label, month.interval) == (ColumnType.DATE, "Ordered at month", TimeInterval.MONTH)
    assert explore.base_of(month).field_id == "orders_ordered_at"
    assert month.expression == explore.base_of(month).expression
    assert month.item()["timeInterval"] == "MONTH"
    assert explore.base_of(month).item()["isIntervalBase"] is True
    assert explore.dimension("orders_ordered_at_raw").type is ColumnType.TIMESTAMP


def test_interval_that_no_model_lists_is_made_on_the_spot(catalog_of):
    """Any possible interval can be asked for; an impossible one is an unknown field."""
    explore = catalog_of(FILES).explore("orders")
    index = explore.dimension("orders_ordered_at_day_of_week_index")
    assert (index.type, index.interval) == (ColumnType.NUMBER, TimeInterval.DAY_OF_WEEK_INDEX)
    assert explore.dimension("customers_born_on_month").interval is TimeInterval.MONTH
    for field_id in ("customers_born_on_hour", "orders_amount_day", "orders_ordered_at_month_month"):
        with pytest.raises(FieldReferenceError):
            explore.field(field_id)
    zoomed = explore.interval_of(explore.dimension("orders_ordered_at_day"), "month")
    assert zoomed == explore.dimension("orders_ordered_at_month")
    assert explore.interval_of(explore.dimension("orders_amount"), "month") is None


def test_interval_in_sql_is_a_reference_to_it(catalog_of):
    """SQL may mention an interval, listed or not."""
    sql = "{name: at, type: timestamp, sql: '${TABLE}.at', time_intervals: OFF}"
    text = f"{SMALL}dimensions:\n  - {sql}\n  - {{name: h, type: string, sql: 'x(${{at_hour}})'}}\n"
    catalog = catalog_of(text)
    assert messages(catalog) == []
    expression = catalog.explore("t").dimension("t_h").expression
    assert expression is not None
    assert expression.parts[1] == DimensionRef(field_id="t_at_hour")
    assert list(catalog.explore("t").fields) == ["t_at", "t_h"]


def test_interval_that_meets_a_declared_field_is_left_out(catalog_of):
    """What a person declared wins over what is made."""
    catalog = catalog_of(
        f"{SMALL}dimensions:\n  - {{name: at, type: date, sql: x}}\n  - {{name: at_day, type: string, sql: y}}\n"
    )
    assert [each.is_error for each in catalog.problems] == [False]
    assert catalog.explore("t").dimension("t_at_day").type is ColumnType.STRING


def test_custom_granularity_is_an_interval_by_its_name(catalog_of):
    """The project's own interval puts the dimension into its SQL."""
    project = """\
    custom_granularities:
      fiscal_year: {label: fiscal year, sql: "fy(${COLUMN}, ${COLUMN})", type: string}
    defaults:
      additional_time_intervals: [fiscal_year, hour]
      granularity_labels: {month: Monat}
      case_sensitive: false
    """
    text = f"{SMALL}dimensions:\n  - {{name: at, type: timestamp, sql: x}}\n  - {{name: day, type: date, sql: y}}\n"
    catalog = catalog_of(text, project)
    assert messages(catalog) == []
    explore = catalog.explore("t")
    assert explore.case_sensitive is False
    year = explore.dimension("t_at_fiscal_year")
    assert year.expression is not None
    at = DimensionRef(field_id="t_at")
    assert year.expression.parts == (SqlText(text="fy("), at, SqlText(text=", "), at, SqlText(text=")"))
    assert (year.type, year.label) == (ColumnType.STRING, "At fiscal year")
    assert year.item()["timeInterval"] == "fiscal_year"
    assert explore.dimension("t_at_month").label == "At Monat"
    assert "t_at_hour" in explore.fields
    assert "t_day_hour" not in explore.fields


def test_parameters_and_attributes_stay_parts(catalog_of):
    """No value of a caller enters the text of a compiled explore, and what is needed is known through fields."""
    model = f"""\
{SMALL}sql_filter: ${{TABLE}}.region in (${{ld.attr.region}}) or ${{TABLE}}.owner = ${{ld.user.email}}
parameters:
  unit: {{options: [kg, lb], default: kg}}
dimensions:
  - {{name: a, type: number, sql: "${{TABLE}}.a * ${{ld.parameters.rate}}"}}
  - name: b
    type: number
    sql: "{{% if ld.parameters.t.unit == 'ld.parameters.z' %}}${{a}}{{% else %}}0{{% endif %}}"
"""
    catalog = catalog_of(model, "parameters:\n  rate: {type: number, default: 2, label: Rate}\n")
    assert messages(catalog) == []
    explore = catalog.explore("t")
    (row_filter,) = explore.row_filters
    assert row_filter.attributes == ("region",)
    assert AttributeRef(name="region") in row_filter.parts
    assert UserEmailRef() in row_filter.parts
    b = explore.dimension("t_b").expression
    assert b is not None
    assert b.parameters == ("rate", "t.unit")
    assert b.parts[0] == LiquidTag(name="if", condition="ld.parameters.t.unit == 'ld.parameters.z'")
    a = explore.dimension("t_a").expression
    assert a is not None
    assert a.parts[-1] == ParameterRef(name="rate")
    assert explore.parameters["rate"].default == (2,)
    assert explore.parameters["t.unit"].options == ("kg", "lb")


def test_aliases_name_tables_and_models_name_themselves(catalog_of):
    """One model joined twice has two tables; its own SQL means whichever of them it stands in."""
    files = {
        "flights.yml": """\
type: model
name: flights
sql_from: flights
joins:
  - {join: airports, alias: origin, sql_on: "${flights.origin_id} = ${origin.id}"}
  - {join: airports, alias: target, sql_on: "${flights.target_id} = ${target.id}", label: Destination}
dimensions:
  - {name: origin_id, type: number, sql: "${TABLE}.o"}
  - {name: target_id, type: number, sql: "${TABLE}.t"}
  - {name: vague, type: string, sql: "${airports.city}"}
""",
        "airports.yml": """\
type: model
name: airports
sql_from: airports
dimensions:
  - {name: id, type: number, sql: "${TABLE}.id"}
  - {name: city, type: string, sql: "${airports.id} || 'x'"}
""",
    }
    catalog = catalog_of(files)
    explore = catalog.explore("flights")
    assert list(explore.tables) == ["flights", "origin", "target"]
    for alias in ("origin", "target"):
        city = explore.dimension(f"{alias}_city").expression
        assert city is not None
        assert city.parts[0] == DimensionRef(field_id=f"{alias}_id")
        assert city.tables == (alias,)
    assert explore.dimension("target_city").table_label == "Destination"
    assert "may mean origin or target" in (explore.fields["flights_vague"].error or "")


def test_self_join_means_the_alias_in_its_condition(catalog_of):
    """In a join condition an alias is what it says, even when it is the joined model's name."""
    text = small("id: ${TABLE}.id", "up: ${TABLE}.up", more="")
    text = text.replace(
        "dimensions:", 'joins: [{join: t, alias: parent, sql_on: "${t.up} = ${parent.id}", fields: [id]}]\ndimensions:'
    )
    catalog = catalog_of(text)
    assert messages(catalog) == []
    explore = catalog.explore("t")
    assert explore.joins[0].sql_on.parts[0] == DimensionRef(field_id="t_up")
    assert explore.fields["parent_up"].hidden
    assert not explore.fields["parent_id"].hidden


def test_join_fields_sets_and_exclusions_say_what_is_listed(catalog_of):
    """Only the fields a join names are listed, an interval with its base; the others stay usable."""
    customers = CUSTOMERS + "sets:\n  some: {fields: [id, name, born_on]}\n  fewer: {fields: [some*, -name]}\n"
    orders = ORDERS.replace("relationship: many-to-one", "fields: [fewer*]")
    explore = catalog_of({"orders.yml": orders, "customers.yml": customers}).explore("orders")
    shown = [name for name, each in explore.tables["customers"].dimensions.items() if not each.hidden]
    assert shown == ["id", "born_on", "born_on_year"]
    assert explore.tables["customers"].sets["fewer"].fields == ("id", "born_on")
    assert explore.fields["customers_customer_count"].hidden
    assert explore.dimension("orders_buyer")
    hidden = catalog_of(FILES | {"orders.yml": ORDERS.replace("relationship: many-to-one", "hidden: true")})
    assert all(each.hidden for each in hidden.explore("orders").fields.values() if each.table == "customers")


def test_field_ids_that_collide_break_the_explore(catalog_of):
    """`a_b` + `c` and `a` + `b_c` cannot both be there."""
    files = {
        "a.yml": (
            "type: model\nname: a\nsql_from: a\njoins: [{join: a_b, sql_on: 'true'}]\n"
            "dimensions: [{name: b_c, type: string, sql: x}]\n"
        ),
        "b.yml": "type: model\nname: a_b\nsql_from: a\ndimensions: [{name: c, type: string, sql: x}]\n",
    }
    catalog = catalog_of(files)
    with pytest.raises(CompileError, match=r"`a.b_c` and `a_b.c` would both be called `a_b_c`"):
        catalog.explore("a")
    assert catalog.explore("a_b")
    assert [each.place for each in catalog.errors] == ["models/a.yml, line 1"]


@pytest.mark.parametrize(
    ("change", "line", "advice"),
    [
        (("join: customers", "join: custmers"), 6, "did you mean `customers`"),
        (("${customers.id}", "${customers.idd}"), 6, "`sql_on`: `customers.idd` names no field"),
        (("${customers.id}", "${customers.customer_count}"), 6, "is a metric"),
        (("sql_from: shop.orders", "sql_from: shop.${amount}"), 3, "`sql_from` refers to a field"),
        (("primary_key: order_id", "sql_filter: ${nothing} = 1"), 4, "`sql_filter`: `nothing` names no field"),
        (("primary_key: order_id", "sql_filter: ${ld.atr.x} = 1"), 4, "ld.attr.name"),
        (("primary_key: order_id", "required_filters: [{ordered_att_day: 1}]"), 4, "`required_filters`"),
        (("relationship: many-to-one", "fields: [nothing*]"), 6, "there is no set `nothing`"),
    ],
)
def test_explore_that_cannot_protect_or_join_is_broken_with_its_line(catalog_of, change, line, advice):
    """What decides which rows come back fails closed, with file, line and the nearest right name."""
    catalog = catalog_of(FILES | {"orders.yml": ORDERS.replace(*change)})
    with pytest.raises(CompileError, match="the explore `orders` cannot be used"):
        catalog.explore("orders")
    assert [each.place for each in catalog.errors] == [f"models/orders.yml, line {line}"]
    assert advice in catalog.errors[0].message
    assert list(catalog.explores) == ["customers"]


def test_join_condition_over_a_later_table_is_refused(catalog_of):
    """Joins are written in the declared order: a condition cannot look ahead."""
    files = FILES | {
        "base.yml": (
            "type: model\nname: base\nsql_from: b\n"
            "joins:\n  - {join: orders, sql_on: '${orders.customer_id} = ${customers.id}'}\n"
            "  - {join: customers, sql_on: 'true'}\n"
        )
    }
    assert "needs `customers`, which is joined later" in catalog_of(files).broken["base"]


def test_row_filter_of_a_joined_table_holds_only_where_it_says_so(catalog_of):
    """By default a row filter belongs to the base; the joined model or the join can ask for more."""
    customers = CUSTOMERS + "sql_filter: ${TABLE}.region in (${ld.attr.region})\n"
    for orders, joined, holds in [
        (ORDERS, customers, False),
        (ORDERS, customers + "sql_filter_on_join: true\n", True),
        (ORDERS.replace("relationship: many-to-one", "sql_filter_on_join: true"), customers, True),
    ]:
        explore = catalog_of({"orders.yml": orders, "customers.yml": joined}).explore("orders")
        row_filter = explore.joins[0].row_filter
        assert (row_filter is not None) is holds
        assert explore.row_filters == ()
        table = explore.tables["customers"]
        assert table.sql_filter is not None
        assert table.sql_filter.attributes == ("region",)


def test_extra_explores_share_the_base_and_keep_its_row_filter(catalog_of):
    """An extra explore has its own joins, filter, parameters and dimensions; the model's filter always holds."""
    extra = """\
sql_filter: ${TABLE}.open
required_filters: [{ordered_at: inThePast 7 days}]
explores:
  big_orders:
    label: Big ones
    sql_filter: ${amount} > ${ld.parameters.big_orders.least}
    parameters: {least: {type: number, default: 100}}
    additional_dimensions:
      cents: {type: number, sql: "${amount} * 100"}
  with_names:
    joins: [{join: customers, sql_on: "${orders.customer_id} = ${customers.id}"}]
    required_filters: []
"""
    catalog = catalog_of(FILES | {"orders.yml": ORDERS + extra})
    assert list(catalog.explores) == ["big_orders", "customers", "orders", "with_names"]
    big = catalog.explore("big_orders")
    assert (big.label, big.base_table, list(big.tables)) == ("Big ones", "orders", ["orders"])
    assert len(big.row_filters) == 2
    assert big.row_filters[1].parameters == ("big_orders.least",)
    assert big.dimension("orders_cents")
    assert "orders_cents" not in catalog.explore("orders").fields
    assert [rule.is_required for rule in big.filters] == [True]
    assert catalog.explore("with_names").filters == ()
    assert catalog.explore("with_names").row_filters == big.row_filters[:1]


def test_hidden_model_has_no_explore_but_can_be_joined(catalog_of):
    """Its extra explores stay, and joined its fields are listed."""
    catalog = catalog_of(FILES | {"customers.yml": CUSTOMERS + "hidden: true\nexplores: {people: {}}\n"})
    assert list(catalog.explores) == ["orders", "people"]
    assert not catalog.explore("orders").fields["customers_name"].hidden


def test_filters_of_an_explore_hold_field_ids_and_whether_they_are_required(catalog_of):
    """Required ones come first, a second one for the same field is dropped, `required` overrides."""
    text = ORDERS + (
        "required_filters:\n  - ordered_at_day: inThePast 7 days\n  - {customers.name: '!null', required: false}\n"
        "default_filters:\n  - ordered_at_day: inThePast 1 day\n  - {amount: '> 7', required: true}\n  - {double: 8}\n"
    )
    catalog = catalog_of(FILES | {"orders.yml": text})
    assert [each.is_error for each in catalog.problems] == [False]
    found = [(rule.field_id, rule.is_required) for rule in catalog.explore("orders").filters]
    assert found == [
        ("orders_ordered_at_day", True),
        ("customers_name", False),
        ("orders_amount", True),
        ("orders_double", False),
    ]


def test_access_rules_are_kept_and_decide(catalog_of):
    """All required attributes must match, one of the others; intervals follow their base."""
    text = f"""\
{SMALL}required_attributes: {{team: [a, b]}}
any_attributes: {{admin: true, level: 3}}
dimensions:
  - {{name: at, type: date, sql: x, required_attributes: {{region: north}}}}
"""
    explore = catalog_of(text).explore("t")
    access = explore.tables["t"].access
    assert access.allows({"team": ("b",), "level": ("3",)})
    assert not access.allows({"team": ("b",)})
    assert not access.allows({"team": ("c",), "admin": ("true",)})
    assert not access.allows({"admin": ("true",)})
    assert explore.dimension("t_at_month").access.required == {"region": ("north",)}


def test_catalog_stored_is_read_back_equal(catalog_of):
    """What goes into the database comes back as the same catalog, through JSON text and through pickle."""
    text = ORDERS + "sql_filter: ${ld.attr.a} = {% if ld.parameters.p == 'x' %}1{% endif %}\n"
    catalog = catalog_of(
        FILES | {"orders.yml": text, "bad.yml": "type: model\nname: bad\n"}, "parameters: {p: {default: x}}\n"
    )
    assert len(catalog.problems) == 1
    assert Catalog.from_json(json.loads(json.dumps(catalog.to_json()))) == catalog
    assert pickle.loads(pickle.dumps(catalog)) == catalog


def test_items_are_what_clients_read(catalog_of):
    """The keys of the wire are there, and nothing that is not set."""
    explore = catalog_of(FILES).explore("orders")
    assert explore.field("orders_revenue").item() == {
        "fieldType": "metric",
        "type": "sum",
        "name": "revenue",
        "label": "Revenue",
        "table": "orders",
        "tableLabel": "Orders",
        "sql": "${amount}",
        "hidden": False,
    }
    assert explore.field("orders_customer_id").item()["hidden"] is True
