"""Model files: both spellings, every key, and mistakes with file, line and the nearest right name."""

from __future__ import annotations

import copy
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queryfleet.model import ColumnType
from queryfleet.semantic.column_type import column_type
from queryfleet.semantic.explore import FilterAutocomplete, Format, UrlTemplate

RICH = """\
type: model
name: sales
label: All sales
description: Everything sold.
sql_from: select * from raw_sales -- newest
sql_filter: ${TABLE}.deleted_at is null
primary_key: [id]
groups: [Money, Orders]
group_details: {Money: {label: About money}}
order_fields_by: LABEL
tags: [core]
case_sensitive: false
default_time_dimension: {field: at, interval: month}
default_show_underlying_values: [id, at]
sets: {facts: {fields: [id]}}
required_filters:
  - at_day: inThePast 30 days
dimensions:
  - name: id
    type: number
    sql: ${TABLE}.id
    format: id
    round: 0
    separator: periodComma
    urls: [{label: Open, url: "https://example.com/${value.raw}"}]
    tags: [key]
    metrics:
      sales_count: {type: count}
      last_id: {type: max, groups: [Ids]}
  - name: at
    type: timestamp
    label: Sold at
    sql: ${TABLE}.at
    convert_timezone: false
    timestamp_domain: utc
    time_intervals: [DAY, month]
  - name: state
    type: string
    sql: ${TABLE}.state
    hidden: true
    group_label: Where
    case_sensitive: true
    colors: {done: green}
    filter_autocomplete: {values: [done], fetch_from_warehouse: false, label_dimension: id}
    required_attributes: {role: [a, b]}
  - name: amount
    type: number
    sql: ${TABLE}.amount
    compact: thousands
metrics:
  revenue:
    type: sum
    sql: ${amount}
    description: Of what is done.
    filters: [{state: done}, {amount: "> 0"}]
    show_underlying_values: [id]
    drivers: [sales_count]
    default_time_dimension: {field: at, interval: DAY}
  high: {type: percentile, sql: "${amount}", percentile: 90}
"""


def as_dbt(model):
    """Write a standalone model in dbt's spelling."""
    meta = copy.deepcopy(model)
    meta.pop("type")
    entry = {"name": meta.pop("name"), "columns": []}
    for dimension in meta.pop("dimensions", []):
        name = dimension.pop("name")
        column = {"name": name, "meta": {"metrics": dimension.pop("metrics", {}), "dimension": dimension}}
        if "description" in dimension:
            column["description"] = dimension.pop("description")
        entry["columns"].append(column)
    keys = sorted(meta)
    entry["meta"] = {key: meta[key] for key in keys[::2]}
    entry["config"] = {"meta": {key: meta[key] for key in keys[1::2]}}
    return {"version": 2, "models": [entry]}


def comparable(catalog):
    """Return a catalog's explores and messages without places."""
    return catalog.explores, [each.message for each in catalog.problems]


def test_rich_model_keeps_every_key(catalog_of):
    """What a model says about itself and its fields arrives in the explore."""
    catalog = catalog_of({"sales.yml": RICH})
    assert catalog.problems == ()
    explore = catalog.explore("sales")
    table = explore.tables["sales"]
    assert table.sql_from.parts[0].text == "(select * from raw_sales -- newest\n)"
    assert (explore.label, table.groups, table.group_details) == (
        "All sales",
        ("Money", "Orders"),
        {"Money": "About money"},
    )
    assert (table.order_fields_by, table.tags, table.case_sensitive) == ("label", ("core",), False)
    assert table.default_time_dimension is not None
    assert table.default_time_dimension.interval == "MONTH"
    number = explore.dimension("sales_id")
    assert number.format == Format(format="id", round=0, separator="periodComma")
    assert number.urls == (UrlTemplate(label="Open", url="https://example.com/${value.raw}"),)
    at = explore.dimension("sales_at")
    assert (at.label, at.convert_timezone, at.timestamp_domain, at.time_intervals) == (
        "Sold at",
        False,
        "utc",
        ("DAY", "MONTH"),
    )
    assert at.item()["skipTimezoneConversion"] is True
    state = explore.dimension("sales_state")
    assert (state.hidden, state.groups, state.case_sensitive, state.colors) == (
        True,
        ("Where",),
        True,
        {"done": "green"},
    )
    expected = FilterAutocomplete(values=("done",), fetch_from_warehouse=False, label_dimension="id")
    assert state.filter_autocomplete == expected
    assert state.access.required == {"role": ("a", "b")}
    assert explore.metric("sales_last_id").base_dimension_type is ColumnType.NUMBER
    assert explore.metric("sales_high").percentile == 90.0
    revenue = explore.metric("sales_revenue")
    assert [rule.field_id for rule in revenue.filters] == ["sales_state", "sales_amount"]
    assert (revenue.default_time_dimension, revenue.default_time_interval) == ("at", "DAY")
    assert (revenue.drivers, revenue.show_underlying_values) == (("sales_count",), ("id",))


def test_both_spellings_of_a_rich_model_are_one_explore(catalog_of, tmp_path):
    """Nothing is lost in either spelling."""
    standalone = comparable(catalog_of({"sales.yml": RICH}))
    written = yaml.safe_dump(as_dbt(yaml.safe_load(RICH)), sort_keys=False)
    assert comparable(catalog_of({"sales.yml": written})) == standalone


NAMES = st.sampled_from(["id", "amount", "state", "at", "a_b", "n"])
WORDS = st.text(st.sampled_from("abcé 雲'\""), min_size=1, max_size=6).filter(lambda text: text.strip())
TYPES = st.sampled_from(["string", "number", "date", "timestamp", "boolean"])
COMMON = {
    "label": WORDS,
    "description": WORDS,
    "hidden": st.booleans(),
    "groups": st.lists(WORDS, min_size=1, max_size=3),
    "format": WORDS,
    "round": st.integers(-3, 6),
    "tags": st.lists(WORDS, min_size=1, max_size=2),
    "required_attributes": st.dictionaries(WORDS, WORDS | st.lists(WORDS, min_size=1, max_size=2), max_size=2),
}
METRICS = st.fixed_dictionaries(
    {"type": st.sampled_from(["count", "sum", "min", "average", "median"])},
    optional=COMMON | {"filters": st.just([{"id": [1, 2]}]), "sql": st.sampled_from(["${id}", "${TABLE}.x", "${no}"])},
)
DIMENSIONS = st.fixed_dictionaries(
    {"type": TYPES, "sql": st.sampled_from(["${TABLE}.x", "${id} + 1", "${a_b}", "'x'"])},
    optional=COMMON
    | {
        "metrics": st.dictionaries(st.sampled_from(["m1", "m2", "state"]), METRICS, max_size=2),
        "case_sensitive": st.booleans(),
        "time_intervals": st.sampled_from(["OFF", "default", ["DAY"], ["YEAR", "MONTH_NUM"]]),
        "convert_timezone": st.booleans(),
        "colors": st.dictionaries(WORDS, WORDS, max_size=2),
    },
)
MODELS = st.fixed_dictionaries(
    {
        "type": st.just("model"),
        "name": st.just("sales"),
        "sql_from": st.sampled_from(["sales", "select 1", "a.b"]),
        "dimensions": st.dictionaries(NAMES, DIMENSIONS, max_size=4).map(
            lambda found: [{"name": name, **each} for name, each in found.items()]
        ),
    },
    optional={
        "label": WORDS,
        "description": WORDS,
        "sql_filter": st.sampled_from(["${TABLE}.x", "${id} = 1", "${ld.attr.x} = 1"]),
        "case_sensitive": st.booleans(),
        "required_attributes": COMMON["required_attributes"],
        "metrics": st.dictionaries(
            st.sampled_from(["m2", "m3"]), METRICS.map(lambda m: {"sql": "${id}", **m}), max_size=2
        ),
        "sets": st.just({"s": {"fields": ["id"]}}),
        "default_filters": st.sampled_from([[], [{"id": 1}], [{"id": 1}, {"id": 2}], [{"zz": 1}]]),
    },
)


@settings(max_examples=5, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=MODELS)
def test_both_spellings_of_any_model_are_one_explore(catalog_of, model):
    """The same content gives equal explores and the same complaints, whichever way it is written."""

    def names(found):
        explores, texts = found
        return explores, sorted(texts)

    standalone = names(comparable(catalog_of({"sales.yml": json.dumps(model)})))
    assert names(comparable(catalog_of({"sales.yml": json.dumps(as_dbt(model))}))) == standalone


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("type: modl\nname: t\n", 1, "did you mean `model`"),
        ("name: t\n", 1, "begin with `type: model`"),
        ("type: model\nsql_from: t\n", 1, "lacks `name`"),
        ("type: model\nname: t\n", 1, "lacks `sql_from`"),
        ("type: model\nname: a b\nsql_from: t\n", 2, "letters, digits"),
        ("type: model\nname: t\nsql_from: t\nsql_filer: x\n", 4, "did you mean `sql_filter`"),
        ("type: model\nname: t\nsql_from: t\nsql_filter:\n", 4, "is empty"),
        ("type: model\nname: t\nsql_from: t\nsql_filter: a\nsql_where: b\n", 5, "keep one of them"),
        ("type: model\nname: t\nsql_from: t\nrequired_attributes:\n", 4, "is empty"),
        ("type: model\nname: t\nsql_from: t\nrequired_attributes: {a: []}\n", 4, "the values that let a person in"),
        ("type: model\nname: t\nsql_from: t\nstrict: false\nsql_filer: x\n", 5, "did you mean `sql_filter`"),
        ("type: model\nname: t\nsql_from: t\njoins: [{join: t, sqlon: x}]\n", 4, "did you mean `sql_on`"),
        (
            "type: model\nname: t\nsql_from: t\njoins:\n  - {join: u, sql_on: x, type: lefft}\n",
            5,
            "did you mean `left`",
        ),
        ("type: model\nname: t\nsql_from: t\njoins:\n  - {join: u, sql_on: x, relationship: many}\n", 5, "many-to-one"),
        ("type: model\nname: t\nsql_from: t\nrequired_filters: [{a: '> x'}]\n", 4, "no number follows"),
        ("type: model\nname: t\nsql_from: t\nrequired_filters: [{a: 1, b: 2}]\n", 4, "must name one field"),
        ("type: model\nname: t\nsql_from: t\nparameters: {p: {tpye: date}}\n", 4, "did you mean `type`"),
        ("type: model\nname: t\nsql_from: t\nparameters: {p: {type: date, default: x}}\n", 4, "no date"),
        (
            "type: model\nname: t\nsql_from: t\ndefault_time_dimension: {field: a, interval: DAZ}\n",
            4,
            "did you mean `day`",
        ),
        (
            "type: model\nname: t\nsql_from: t\ndimensions:\n  - {name: a, type: number, sql: x}\n  - {name: a}\n",
            6,
            "taken",
        ),
        ("models:\n  - meta: {}\n", 2, "lacks `name`"),
        ("models:\n  - name: t\n    meta: {sql_filtr: x}\n", 3, "did you mean `sql_filter`"),
        ("a: [\n", 2, "not valid YAML"),
    ],
)
def test_model_that_is_wrong_as_a_whole_is_not_there(catalog_of, text, line, advice):
    """What decides which rows or fields are shown refuses the model, with file, line and the nearest right name."""
    catalog = catalog_of({"t.yml": text})
    assert [each.place for each in catalog.errors] == [f"models/t.yml, line {line}"]
    assert advice in catalog.errors[0].message
    assert catalog.explores == {}


@pytest.mark.parametrize(
    ("field", "advice"),
    [
        ("{name: f, sql: x}", "lacks `type`"),
        ("{name: f, type: nubmer, sql: x}", "did you mean `number`"),
        ("{name: f, type: number}", "lacks `sql`"),
        ("{name: f, type: number, sql: x, lable: y}", "did you mean `label`"),
        ("{name: f, type: number, sql: x, required_atributes: {a: b}}", "did you mean `required_attributes`"),
        ("{name: f, type: date, sql: x, time_intervals: [MONHT]}", "did you mean `month`"),
        ("{name: f, type: date, sql: x, time_intervals: yes please}", "must be a list"),
        ("{name: f, type: number, sql: x, round: many}", "must be a whole number"),
        ("{name: f, type: number, sql: x, separator: comma}", "separator"),
        ("{name: f, type: number, sql: x, groups: [a, b, c, d, e, f]}", "more than 5 levels"),
        ("{name: f, type: number, sql: x, urls: [{label: a}]}", "lacks `url`"),
    ],
)
def test_dimension_that_is_wrong_fails_alone(catalog_of, field, advice):
    """The explore is of use without it, and selecting it says why."""
    text = f"type: model\nname: t\nsql_from: t\ndimensions:\n  - {{name: g, type: number, sql: y}}\n  - {field}\n"
    catalog = catalog_of({"t.yml": text})
    assert [each.place for each in catalog.errors] == ["models/t.yml, line 6"]
    explore = catalog.explore("t")
    assert advice in (explore.fields["t_f"].error or "")
    assert explore.dimension("t_g")


@pytest.mark.parametrize(
    ("metric", "advice"),
    [
        ("{sql: x}", "lacks `type`"),
        ("{type: summ, sql: x}", "did you mean `sum`"),
        ("{type: sum}", "lacks `sql`"),
        ("{type: sum, sql: x, filterss: []}", "did you mean `filters`"),
        ("{type: sum, sql: x, filters: {a: 1}}", "must be a list"),
        ("{type: number, sql: count(*), filters: [{a: 1}]}", "put them on the metrics it refers to"),
        ("{type: sum, sql: x, distinct_keys: [a]}", "sum_distinct"),
        ("{type: sum_distinct, sql: x}", "lacks `distinct_keys`"),
        ("{type: percentile, sql: x, percentile: 101}", "from 0 to 100"),
    ],
)
def test_metric_that_is_wrong_fails_alone(catalog_of, metric, advice):
    """A misspelt filter never becomes a metric without a filter."""
    text = f"type: model\nname: t\nsql_from: t\nmetrics:\n  f: {metric}\n  g: {{type: count, sql: x}}\n"
    catalog = catalog_of({"t.yml": text})
    assert [each.place for each in catalog.errors] == ["models/t.yml, line 5"]
    assert advice in (catalog.explore("t").fields["t_f"].error or "")
    assert catalog.explore("t").metric("t_g")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("type: model\nname: t\nsql_from: t\nspotlight: {visibility: hide}\n", "`spotlight` has no effect"),
        ("type: model\nname: t\nsql_from: t\nstrict: false\nowner: me\n", "`owner` is not a known key"),
        ("models:\n  - name: t\n    meta: {owner: me}\n", "`owner` is not a known key"),
        ("models:\n  - name: t\n    columns: [{name: a}]\n", "type of column `a` is not known"),
        ("models:\n  - name: t\n    columns: [{name: a b, data_type: int}]\n", "the column is left out"),
        (
            "type: model\nname: t\nsql_from: t\ndimensions: [{name: a, type: date, sql: x, time_intervals: [HOUR]}]\n",
            "`HOUR` needs a timestamp",
        ),
        (
            "type: model\nname: t\nsql_from: t\ndimensions: [{name: a, type: number, sql: x, compact: thousandz}]\n",
            "did you mean `thousands`",
        ),
    ],
)
def test_model_with_what_is_passed_over_is_there_with_a_warning(catalog_of, text, advice):
    """Nothing is passed over in silence, and nothing harmless keeps a model away."""
    catalog = catalog_of({"t.yml": text})
    assert catalog.errors == ()
    assert advice in catalog.warnings[0].message
    assert list(catalog.explores) == ["t"]


@pytest.mark.parametrize("word", ["thousands", "million", "K", "auto"])
def test_every_spelling_of_a_compact_unit_that_has_an_effect_is_known(catalog_of, word):
    """What formatting understands is no reason for a warning."""
    text = f"type: model\nname: t\nsql_from: t\ndimensions: [{{name: a, type: number, sql: x, compact: {word}}}]\n"
    assert catalog_of({"t.yml": text}).problems == ()


def test_dbt_columns_are_dimensions_and_config_meta_wins(catalog_of):
    """A column without any meta is a dimension; `config.meta` wins key by key; more dimensions go under a column."""
    text = """\
version: 2
models:
  - name: orders
    description: One row an order.
    config: {alias: fct_orders, tags: [core], meta: {label: From config}}
    meta: {label: From meta, hidden: false, primary_key: id}
    columns:
      - {name: id, data_type: bigint, description: The key.}
      - name: amount
        data_type: numeric(12,2)
        meta:
          dimension: {label: Net}
          additional_dimensions: {cents: {type: number, sql: "${amount} * 100"}}
          metrics: {revenue: {type: sum}}
        config: {meta: {dimension: {label: Net amount, name: net}}}
"""
    catalog = catalog_of({"schema.yml": text})
    (error,) = catalog.errors
    assert error.text.startswith("models/schema.yml, line 13: `orders.cents` cannot be used: `amount` names no field")
    assert error.text.endswith("choose one of: id, net, cents, revenue")
    explore = catalog.explore("orders")
    assert (explore.label, explore.description, explore.tags) == ("From config", "One row an order.", ("core",))
    assert explore.tables["orders"].sql_from.parts[0].text == "fct_orders"
    net = explore.dimension("orders_net")
    assert (net.label, net.sql, net.type) == ("Net amount", "${TABLE}.amount", ColumnType.NUMBER)
    assert explore.metric("orders_revenue").sql == "${net}"
    assert explore.dimension("orders_id").description == "The key."


def test_models_of_one_file_are_documents_with_lines_of_their_own(catalog_of) -> None:
    """`---` begins another model; what is wrong in one leaves the others alone and is told by its line."""
    one = "type: model\nname: {}\nsql_from: t\ndimensions:\n- {{name: id, {}: number, sql: '1'}}\n"
    catalog = catalog_of("---\n".join([one.format("a", "type"), one.format("b", "typ"), one.format("c", "type")]))
    assert list(catalog.explores) == ["a", "b", "c"]
    assert [(each.place, each.is_error) for each in catalog.problems] == [("models/orders.yml, line 11", True)]


def test_models_of_one_name_are_refused_once(catalog_of):
    """The second model of a name is an error that says where the first is; so is a second explore."""
    one = "type: model\nname: t\nsql_from: t\n"
    catalog = catalog_of({"a.yml": one, "b.yml": one, "c.yml": one.replace("t\n", "u\n") + "explores: {t: {}}\n"})
    assert [each.text for each in catalog.errors] == [
        "models/b.yml, line 1: there is a model `t` already, in models/a.yml, line 1: rename one",
        "models/c.yml, line 4: there is an explore `t` already: choose another name",
    ]
    assert list(catalog.explores) == ["t", "u"]


def test_files_of_dbt_without_models_are_passed_over(catalog_of):
    """Sources and macros are none of our business; a folder without any model is."""
    catalog = catalog_of({"sources.yml": "version: 2\nsources: []\n", "notes.md": "x"})
    assert catalog.problems == ()
    assert catalog.explores == {}


def test_project_file_faults_are_problems_of_the_project(catalog_of):
    """Wrong parameters, defaults and granularities name the key, and models load without them."""
    project = """\
    parameters: {p: {type: nmber}}
    defaults: {additional_time_intervals: [FORTNIGHT]}
    custom_granularities: {week: {sql: "${COLUMN}"}}
    """
    catalog = catalog_of("type: model\nname: t\nsql_from: t\n", project)
    assert [each.place for each in catalog.errors] == [f"project.yml, line {line}" for line in (6, 5, 4)]
    assert "did you mean `number`" in catalog.errors[2].message
    assert list(catalog.explores) == ["t"]


@pytest.mark.parametrize(
    ("written", "type_"),
    [
        ("NUMBER(38,0)", ColumnType.NUMBER),
        ("double precision", ColumnType.NUMBER),
        ("Nullable(Decimal(10, 2))", ColumnType.NUMBER),
        ("LowCardinality(Nullable(String))", ColumnType.STRING),
        ("timestamp with time zone", ColumnType.TIMESTAMP),
        ("TIMESTAMP_NTZ(9)", ColumnType.TIMESTAMP),
        ("TIMESTAMPTZ", ColumnType.TIMESTAMP),
        ("DateTime64(3)", ColumnType.TIMESTAMP),
        ("date", ColumnType.DATE),
        ("BOOL", ColumnType.BOOLEAN),
        ("character varying(20)", ColumnType.STRING),
        ("integer[]", ColumnType.STRING),
        ("interval", ColumnType.STRING),
        ("time", ColumnType.STRING),
        ("", ColumnType.STRING),
    ],
)
def test_column_type_of_a_warehouse_word_is_one_of_five(written, type_):
    """Types of every warehouse become the five types of fields."""
    assert column_type(written) is type_
