"""Quotes in SQL text: where values may be put in, and what is refused because it could be read in two ways."""

from __future__ import annotations

import pytest

from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.quoting import Enclosure, ambiguity, enclosing, enclosures
from queryfleet.errors import CompileError, ForbiddenError

DUCKDB, POSTGRES = dialect_of("duckdb"), dialect_of("postgres")
READ = '(select max("name") from customers)'

MODEL = """\
type: model
name: t
sql_from: t
parameters: {{word: {{}}, days: {{type: number}}}}
dimensions:
  - {{name: id, type: number, sql: "${{TABLE}}.id"}}
  - name: it
    type: string
    sql: |
      {sql}
"""


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        ("", "duckdb", Enclosure.NOTHING),
        ("a = ", "duckdb", Enclosure.NOTHING),
        ("a = '", "duckdb", Enclosure.QUOTES),
        ("a = 'x'", "duckdb", Enclosure.NOTHING),
        ("a = 'it''s", "duckdb", Enclosure.QUOTES),
        ("a = 'it''s' || ", "duckdb", Enclosure.NOTHING),
        ('"a', "duckdb", Enclosure.QUOTES),
        ('"a\'b" = ', "duckdb", Enclosure.NOTHING),
        ("'\\'", "duckdb", Enclosure.NOTHING),
        ("'\\'", "snowflake", Enclosure.QUOTES),
        ("E'\\'", "postgres", Enclosure.QUOTES),
        ("E'\\'' || ", "postgres", Enclosure.NOTHING),
        ("$$it's ", "postgres", Enclosure.QUOTES),
        ("$a$it's $$ $a$ || ", "postgres", Enclosure.NOTHING),
        ("`it's` = ", "bigquery", Enclosure.NOTHING),
        ("a -- it's", "duckdb", Enclosure.COMMENT),
        ("a -- it's\n || ", "duckdb", Enclosure.NOTHING),
        ("a /* it's ", "duckdb", Enclosure.COMMENT),
        ("a /* it's */ || ", "duckdb", Enclosure.NOTHING),
        ("'-- ", "duckdb", Enclosure.QUOTES),
    ],
)
def test_end_of_a_text_is_inside_of_what_was_opened_last(text, dialect, expected) -> None:
    """Doubled quotes, escapes and comments are what the dialect makes of them."""
    assert enclosing(text, dialect) is expected


@pytest.mark.parametrize(
    "sql",
    [
        f"E'\\'' || {READ} || E'\\''",
        f"e'\\'' || {READ} || e'\\''",
        f"$$'$$ || {READ} || $$'$$",
        f"$a$'$a$ || {READ} || $a$'$a$",
        f"1 /* /* */ ' */ || {READ} --'",
        f"U&'\\0027' || {READ}",
        f"B'1' || {READ}",
        "1 -- ",
        "1 /*",
        "'x",
        '"x',
        "`x`",
        "'a\\'",
        "1 # x",
    ],
)
@pytest.mark.parametrize("dialect", [DUCKDB, POSTGRES], ids=["duckdb", "postgres"])
def test_text_that_could_be_cut_in_two_ways_is_refused_to_who_may_not_write_sql(compiled, sql, dialect) -> None:
    """Nobody hides a query in what looks like a string to us and like SQL to the warehouse."""
    calculation = {"name": "c", "sql": sql}
    with pytest.raises(ForbiddenError, match="may write SQL"):
        compiled(dialect, metrics=["orders_revenue"], tableCalculations=[calculation], options={"can_write_sql": False})


@pytest.mark.parametrize(
    "sql",
    ["'it''s ' || ${orders.region}", "\"orders_region\" || ''", "date '2024-01-01'", "case when 1 > 0 then 'a' end"],
)
def test_plain_quotes_are_everybodys(compiled, sql) -> None:
    """What every reader cuts alike is allowed."""
    members = {"dimensions": ["orders_region"], "tableCalculations": [{"name": "c", "sql": sql}]}
    assert sql.split("$")[0] in compiled(DUCKDB, **members, options={"can_write_sql": False}).sql


@pytest.mark.parametrize("pieces", [["'", "x"], ["''", "''"], ["'''a'''"], ["r", "'a'"]])
def test_strings_of_bigquery_that_have_no_equal_are_ambiguous(pieces) -> None:
    """It has strings in three quotes, and letters that change what is in them."""
    assert ambiguity(pieces, "bigquery") is not None


@pytest.mark.parametrize("sql", ["${orders.revenue} in customers", "1 in (customers)", 'x in "customers"'])
def test_name_behind_in_is_refused_where_it_may_be_a_table(compiled, sql) -> None:
    """ClickHouse reads the rows of a table that is named there."""
    members = {"metrics": ["orders_revenue"], "tableCalculations": [{"name": "c", "sql": sql}]}
    with pytest.raises(ForbiddenError, match="behind IN"):
        compiled(dialect_of("clickhouse"), **members, options={"can_write_sql": False})
    members["tableCalculations"] = [{"name": "c", "sql": "${orders.revenue} in (1, 2)"}]
    assert "in (1, 2)" in compiled(dialect_of("clickhouse"), **members, options={"can_write_sql": False}).sql


@pytest.mark.parametrize(
    "sql", ["'${orders.region}'", '"${orders.region}"', "'${ld.attr.team}'", "1 /* ${ld.attr.team} */"]
)
def test_reference_inside_quotes_of_a_calculation_is_refused(compiled, sql) -> None:
    """A value would end the quotes and become SQL, whoever wrote them."""
    members = {"dimensions": ["orders_region"], "tableCalculations": [{"name": "c", "sql": sql}]}
    with pytest.raises(CompileError, match="inside quotes"):
        compiled(DUCKDB, **members, attributes={"team": ("bakers",)})


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'a' || ${ld.parameters.t.word}", "'a' || 'x'' || y'"),
        ("interval '${ld.parameters.t.days} days'", "interval '3 days'"),
        ("1 -- ${ld.parameters.t.word}", "1 -- \n"),
        ("'<${ld.parameters.t.word}>'", None),
        ("'${ld.attr.team}'", None),
        ("'${ld.user.email}'", None),
        ("'${id}'", None),
    ],
)
def test_value_of_a_caller_never_ends_the_quotes_of_a_model(catalog_of, sql, expected) -> None:
    """A model that puts a reference inside quotes is refused with the reason; a number means the same in there."""
    from queryfleet.compiler.compiler import compile_metric_query
    from queryfleet.compiler.context import Context
    from queryfleet.compiler.parameters import resolve_parameters
    from queryfleet.compiler.request import parse_metric_query
    from tests.fixtures.bakery import NOW

    explore = catalog_of({"t.yml": MODEL.format(sql=sql)}).explore("t")
    values = resolve_parameters(explore.parameters, {"t.word": "x' || y", "t.days": 3})
    context = Context(dialect=DUCKDB, now=NOW, parameters=values, attributes={"team": ("a",)}, email="a@b.example")
    query = parse_metric_query({"exploreName": "t", "dimensions": ["t_it"]})
    if expected is None:
        with pytest.raises(CompileError, match="stands inside quotes"):
            compile_metric_query(query, explore, context)
    else:
        assert expected in compile_metric_query(query, explore, context).sql


@pytest.mark.parametrize(
    ("pieces", "dialect", "expected"),
    [
        (["select 1"], "duckdb", ""),
        (["a = ", " and b in (", ")"], "duckdb", "nn"),
        (["a = '", "' and b = ", ""], "duckdb", "qn"),
        (["", "", ""], "duckdb", "nn"),
        (["'", "", "' || ", ""], "duckdb", "qqn"),
        (["-- ", "\na = ", " /* ", " */ and ", ""], "duckdb", "cncn"),
        (["'it''s ", "' = '", "'", ""], "duckdb", "qqn"),
        (["'\\'", "' = ", ""], "snowflake", "qn"),
        (["'\\'", "' = ", "'"], "duckdb", "nq"),
        (["$x$ ", " $x$ = ", ""], "postgres", "qn"),
        (['"a', '" = ', ""], "duckdb", "qn"),
    ],
)
def test_enclosures_are_those_of_each_place(pieces, dialect, expected):
    """One look at the whole tells for every place what a look at the text before it would."""
    letters = {Enclosure.NOTHING: "n", Enclosure.QUOTES: "q", Enclosure.COMMENT: "c"}
    assert "".join(letters[each] for each in enclosures(pieces, dialect)) == expected
    for number in range(1, len(pieces)):
        before = "\0".join(pieces[:number])
        assert letters[enclosing(before, dialect)] == expected[number - 1]
