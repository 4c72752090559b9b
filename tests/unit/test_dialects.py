"""What each dialect writes: literals that stay data, names in quotes, and the table of differences as golden SQL."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import sqlglot
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from queryfleet.compiler.context import Context
from queryfleet.compiler.dialects import DIALECTS, PatternKind, dialect_of
from queryfleet.compiler.grains import cut, days_into_period
from queryfleet.errors import NotSupportedError, ParameterError
from queryfleet.model import ColumnType
from queryfleet.semantic.field import MetricType
from queryfleet.semantic.filter_rule import UnitOfTime
from queryfleet.semantic.intervals import TimeInterval, is_interval_possible

NOW = dt.datetime(2025, 5, 20, 10, 5, tzinfo=dt.UTC)
ALL = sorted(DIALECTS)
I = TimeInterval  # noqa: E741 - a table of them follows
# Everything that has a meaning in some literal, name or pattern of some dialect, and ordinary characters.
HOSTILE = st.text(alphabet="'\"`\\%_!?{}$;-/*#\n\r\t ax0éß☃😀", max_size=20)


def _parsed(name: str, sql: str) -> exp.Expression:
    """Return the one expression of a SELECT; more than one statement or column is an error."""
    (statement,) = sqlglot.parse(f"SELECT {sql}", dialect=DIALECTS[name].grammar)
    (found,) = statement.expressions
    return found


def _context(name: str, **changes: object) -> Context:
    return Context(dialect=DIALECTS[name], now=NOW, **changes)


@pytest.mark.parametrize("name", ALL)
@given(value=HOSTILE)
@example("' OR 1 = 1 --")
@example("\\' OR 1 = 1 --")
@example("\\")
@settings(max_examples=60, derandomize=True)
def test_text_is_read_back_as_the_very_value(name: str, value: str) -> None:
    """Whatever a text holds, its literal is one literal with that value."""
    found = _parsed(name, DIALECTS[name].text(value))
    if isinstance(found, exp.ByteString):  # how the parser calls E'…': it leaves what is in it as it is
        assert value == found.this.replace("\\\\", "\\")
    else:
        assert isinstance(found, exp.Literal)
        assert found.is_string
        assert value == found.this


@pytest.mark.parametrize("name", ALL)
@given(value=HOSTILE.filter(bool))
@settings(max_examples=40, derandomize=True)
def test_quoted_name_is_read_back_as_one_name(name: str, value: str) -> None:
    """No name ends its own quotes."""
    # The parser does not know escapes within names of these two: the next test has them.
    assume(name not in ("bigquery", "clickhouse") or not set(value) & set('`"\\\n\r'))
    found = _parsed(name, DIALECTS[name].quote(value))
    assert isinstance(found, exp.Column)
    assert value == found.this.name


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bigquery", "`a\\`b\\\\c\\nd`"), ("clickhouse", '"a`b\\\\c\nd"'), ("databricks", "`a``b\\c\nd`")],
)
def test_name_with_quotes_is_escaped_the_dialects_way(name: str, expected: str) -> None:
    """Quotes and backslashes in a name are written as each dialect reads them."""
    assert expected == DIALECTS[name].quote("a`b\\c\nd")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_text_that_no_warehouse_stores_is_refused(name: str, value: str) -> None:
    """A NUL or half a character is an error that does not repeat it, in values and names."""
    for write in (DIALECTS[name].text, DIALECTS[name].quote):
        with pytest.raises(ParameterError, match="remove it") as caught:
            write(value)
        assert value not in caught.value.message


@pytest.mark.parametrize("name", ALL)
def test_number_is_bare_and_a_negative_one_closed(name: str) -> None:
    """A sign before a negative number makes no comment; what is not finite is refused."""
    dialect = DIALECTS[name]
    assert "(-5)" == dialect.number(-5)
    assert "0.1" == dialect.number(Decimal("0.1"))
    assert "1e+16" == dialect.number(1e16)
    for value in (float("nan"), float("inf"), Decimal("Infinity"), 10**200, True):
        with pytest.raises(ParameterError):
            dialect.number(value)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", list(PatternKind))
@pytest.mark.parametrize("value", ["50%", "a_b", "it's", "\\", "!", "'; drop table t; --"])
def test_like_parses_with_the_value_as_one_literal(name: str, kind: PatternKind, value: str) -> None:
    """A pattern is one literal with wildcards only where the kind has them."""
    found = _parsed(name, DIALECTS[name].like("c", kind, value))
    like = found.find(exp.Like)
    assert like is not None
    pattern = like.expression
    text = pattern.this.replace("\\\\", "\\") if isinstance(pattern, exp.ByteString) else pattern.this
    sign = "\\" if name in ("bigquery", "clickhouse") else "!"
    for special in dict.fromkeys((sign, "%", "_")):
        value = value.replace(special, f"{sign}{special}")
    starts, ends = kind is not PatternKind.STARTS, kind is not PatternKind.ENDS
    assert f"{'%' * starts}{value}{'%' * ends}" == text


@pytest.mark.parametrize("name", ALL)
def test_every_interval_parses_in_every_dialect(name: str) -> None:
    """Each interval of dates and moments, shifted or not, is SQL that the dialect's parser knows."""
    for week_start, zone, convert in [(None, "UTC", True), (2, "Asia/Kolkata", True), (6, "Asia/Kolkata", False)]:
        context = _context(name, timezone=zone, start_of_week=week_start)
        for base in (ColumnType.DATE, ColumnType.TIMESTAMP):
            for interval in filter(lambda each: is_interval_possible(each, base), TimeInterval):
                _parsed(name, cut('"t"."c"' if name not in ("bigquery", "databricks") else "`t`.`c`",
                                  interval, context, base=base, is_shifted=convert))  # fmt: skip
        for unit in (UnitOfTime.WEEKS, UnitOfTime.MONTHS, UnitOfTime.QUARTERS, UnitOfTime.YEARS):
            _parsed(name, days_into_period("c", unit, context))


@pytest.mark.parametrize("name", ALL)
def test_aggregates_and_operators_parse_in_every_dialect(name: str) -> None:
    """All other things a dialect writes are SQL that its parser knows."""
    dialect = DIALECTS[name]
    written = [dialect.aggregate(kind, "c", 99.5) for kind in MetricType]
    written += [dialect.any_value("c"), dialect.cast_float("c"), dialect.cast_text("c"), dialect.cast_date("c")]
    written += [dialect.concat("a", "b", "c"), dialect.upper("c"), dialect.date(NOW.date()), dialect.timestamp(NOW)]
    written += [dialect.null_safe_equal("a", "b", each) for each in ColumnType]
    written += [dialect.instant("c", "Asia/Kolkata"), dialect.utc("c"), dialect.boolean(True)]
    written += [dialect.add_interval("c", -2, unit) for unit in (I.MINUTE, I.DAY, I.WEEK, I.MONTH, I.QUARTER, I.YEAR)]
    written += [dialect.add_interval("c", 1, I.MONTH, is_date=True)]
    for sql in written:
        _parsed(name, sql)


GOLDEN = {
    "postgres": [
        "CAST(c AS DATE)",
        (
            "CAST(DATE_TRUNC('WEEK', (CAST(c AS TIMESTAMPTZ) AT TIME ZONE 'Asia/Kolkata') - INTERVAL '6 DAY')"
            " + INTERVAL '6 DAY' AS DATE)"
        ),
        "MOD(CAST(DATE_PART('DOW', c) AS INTEGER) + 0, 7) + 1",
        "TO_CHAR(c, 'FMMonth')",
        "PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY c)",
        "TIMESTAMPTZ '2025-05-20 10:05:00.000+00:00'",
        "ARRAY[a] = ARRAY[b]",
    ],
    "redshift": [
        "CAST(c AS DATE)",
        (
            "CAST(DATE_TRUNC('WEEK', (CAST(c AS TIMESTAMPTZ) AT TIME ZONE 'Asia/Kolkata') - INTERVAL '6 DAY')"
            " + INTERVAL '6 DAY' AS DATE)"
        ),
        "MOD(CAST(DATE_PART('DOW', c) AS INTEGER) + 0, 7) + 1",
        "TO_CHAR(c, 'FMMonth')",
        "PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY c)",
        "TIMESTAMPTZ '2025-05-20 10:05:00.000+00:00'",
        "COALESCE(CAST(a AS VARCHAR), '') = COALESCE(CAST(b AS VARCHAR), '') AND (a IS NULL) = (b IS NULL)",
    ],
    "duckdb": [
        "CAST(c AS DATE)",
        (
            "CAST(DATE_TRUNC('WEEK', (CAST(c AS TIMESTAMPTZ) AT TIME ZONE 'Asia/Kolkata') - INTERVAL '6 DAY')"
            " + INTERVAL '6 DAY' AS DATE)"
        ),
        "MOD(CAST(DATE_PART('DOW', c) AS INTEGER) + 0, 7) + 1",
        "STRFTIME(c, '%B')",
        "QUANTILE_CONT(CAST(c AS DOUBLE), 0.25)",
        "TIMESTAMPTZ '2025-05-20 10:05:00.000+00:00'",
        "a IS NOT DISTINCT FROM b",
    ],
    "snowflake": [
        "CAST(CAST(CONVERT_TIMEZONE('UTC', c) AS TIMESTAMP_NTZ) AS DATE)",
        (
            "DATEADD(DAY, -MOD(DAYOFWEEKISO(CAST(CONVERT_TIMEZONE('Asia/Kolkata', c) AS TIMESTAMP_NTZ)) + 0, 7), "
            "CAST(CAST(CONVERT_TIMEZONE('Asia/Kolkata', c) AS TIMESTAMP_NTZ) AS DATE))"
        ),
        "MOD(DAYOFWEEKISO(c) + 0, 7) + 1",
        "TO_CHAR(c, 'MMMM')",
        "PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY c)",
        "CAST('2025-05-20 10:05:00.000+00:00' AS TIMESTAMP_TZ)",
        "EQUAL_NULL(a, b)",
    ],
    "bigquery": [
        "CAST(DATETIME(CAST(c AS TIMESTAMP), 'UTC') AS DATE)",
        "DATE_TRUNC(CAST(DATETIME(CAST(c AS TIMESTAMP), 'Asia/Kolkata') AS DATE), WEEK(SUNDAY))",
        "MOD(EXTRACT(DAYOFWEEK FROM c) + 6, 7) + 1",
        "FORMAT_DATE('%B', CAST(c AS DATE))",
        "APPROX_QUANTILES(c, 100)[OFFSET(25)]",
        "'2025-05-20 10:05:00.000'",
        "TO_JSON_STRING(a) = TO_JSON_STRING(b)",
    ],
    "databricks": [
        "CAST(c AS DATE)",
        "CAST(DATEADD(DAY, 6, DATE_TRUNC('WEEK', DATEADD(DAY, -6, CONVERT_TIMEZONE('Asia/Kolkata', c)))) AS DATE)",
        "MOD(DAYOFWEEK(c) + 6, 7) + 1",
        "DATE_FORMAT(c, 'MMMM')",
        "PERCENTILE(c, 0.25)",
        "TIMESTAMP '2025-05-20 10:05:00.000+00:00'",
        "a <=> b",
    ],
    "trino": [
        "CAST(CAST((CAST(c AS TIMESTAMP(6) WITH TIME ZONE) AT TIME ZONE 'UTC') AS TIMESTAMP(6)) AS DATE)",
        (
            "(DATE_TRUNC('WEEK', CAST(CAST((CAST(c AS TIMESTAMP(6) WITH TIME ZONE) AT TIME ZONE 'Asia/Kolkata') "
            "AS TIMESTAMP(6)) AS DATE) - INTERVAL '6' DAY) + INTERVAL '6' DAY)"
        ),
        "MOD(EXTRACT(DAY_OF_WEEK FROM c) + 0, 7) + 1",
        "DATE_FORMAT(CAST(c AS TIMESTAMP), '%M')",
        "APPROX_PERCENTILE(c, 0.25)",
        "TIMESTAMP '2025-05-20 10:05:00.000 UTC'",
        "COALESCE(CAST(a AS VARCHAR), '') = COALESCE(CAST(b AS VARCHAR), '') AND (a IS NULL) = (b IS NULL)",
    ],
    "clickhouse": [
        "toDate32(toTimeZone(c, 'UTC'))",
        (
            "addDays(toDate32(toTimeZone(c, 'Asia/Kolkata')), "
            "-MOD(toDayOfWeek(toDate32(toTimeZone(c, 'Asia/Kolkata'))) + 0, 7))"
        ),
        "MOD(toDayOfWeek(c) + 0, 7) + 1",
        "dateName('month', toDate32(c))",
        "quantile(0.25)(c)",
        "toDateTime64('2025-05-20 10:05:00.000', 3, 'UTC')",
        "a <=> b",
    ],
}
GOLDEN["athena"] = GOLDEN["trino"]


@pytest.mark.parametrize("name", ALL)
def test_golden_sql_of_each_dialect(name: str) -> None:
    """The differences between dialects are those of this table: days, weeks, weekdays, names, percentiles, literals."""
    dialect = DIALECTS[name]
    kolkata = _context(name, timezone="Asia/Kolkata", start_of_week=6)
    written = [
        cut("c", I.DAY, _context(name), base=ColumnType.TIMESTAMP),
        cut("c", I.WEEK, kolkata, base=ColumnType.TIMESTAMP),
        cut("c", I.DAY_OF_WEEK_INDEX, kolkata, base=ColumnType.DATE),
        cut("c", I.MONTH_NAME, kolkata, base=ColumnType.DATE),
        dialect.aggregate(MetricType.PERCENTILE, "c", 25),
        dialect.compared_timestamp(NOW),
        dialect.null_safe_equal("a", "b"),
    ]
    assert GOLDEN[name] == written


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("postgres", "AVG(CAST(c AS DOUBLE PRECISION))"),
        ("redshift", "AVG(CAST(c AS DOUBLE PRECISION))"),
        ("snowflake", "AVG(c)"),
        ("clickhouse", "AVG(c)"),
    ],
)
def test_average_is_a_double_where_integers_would_stay_integers(name: str, expected: str) -> None:
    """PostgreSQL and Redshift average doubles."""
    assert expected == DIALECTS[name].aggregate(MetricType.AVERAGE, "c")


def test_percentile_between_hundredths_is_exact_in_bigquery() -> None:
    """A percentile with decimals takes more quantiles, not a rounded one."""
    assert "APPROX_QUANTILES(c, 1000)[OFFSET(995)]" == DIALECTS["bigquery"].aggregate(MetricType.PERCENTILE, "c", 99.5)


def test_microseconds_of_a_moment_are_kept() -> None:
    """A literal has as many decimals as its moment, at least three."""
    moment = NOW.replace(microsecond=123_456)
    assert "TIMESTAMPTZ '2025-05-20 10:05:00.123456+00:00'" == DIALECTS["postgres"].timestamp(moment)
    assert "toDateTime64('2025-05-20 10:05:00.123456', 6, 'UTC')" == DIALECTS["clickhouse"].timestamp(moment)


def test_dialect_of_unknown_type_lists_those_there_are() -> None:
    """A warehouse without a dialect is a 501 that names the others."""
    assert dialect_of("duckdb") is DIALECTS["duckdb"]
    with pytest.raises(NotSupportedError, match=r"`oracle`.*athena, bigquery, .*trino"):
        dialect_of("oracle")
