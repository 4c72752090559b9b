"""What is said of a SQL text at the door."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import ForbiddenError, InvalidRequestError, ParameterError, ServiceError
from queryfleet.warehouse.statement import check_statement, is_plain_query, leading_word, strip_terminator

READING = [
    ("postgres", "select 1"),
    ("postgres", "SELECT 1;"),
    ("postgres", "select 1 ;; -- nothing more"),
    ("postgres", "((select 1) union (select 2))"),
    ("postgres", "with x as (select 1) select * from x"),
    ("postgres", "with update as (select 1), b as (select 2) select * from update"),
    ("postgres", "values (1)"),
    ("postgres", "table t"),
    ("postgres", "show timezone"),
    ("postgres", "explain delete from t"),
    ("postgres", "explain analyze select 1"),
    ("postgres", "explain (analyze, buffers) (select 1)"),
    ("postgres", "select ';' || \";\" || $$;$$ || $a$;$$;$a$ || E'\\';'"),
    ("postgres", "/* a /* nested ; */ ; */ select 1"),
    ("postgres", "select extract(year from d), \"insert\", 'delete' from update_log"),
    ("postgres", "selec 1"),  # misspelt: the warehouse says it better
    ("postgres", "select 'unfinished"),  # the warehouse judges
    ("postgres", "with x as (delete from t returning *) select * from x"),  # the warehouse refuses
    ("duckdb", "from t"),
    ("duckdb", "summarize t"),
    ("duckdb", "pivot t on a"),
    ("duckdb", "unpivot t on a"),
    ("duckdb", "desc t"),
    ("duckdb", "pragma table_info('t')"),
    ("snowflake", "select $$;$$"),
    ("nosuch", "select 1"),
]
CHANGING = [
    ("postgres", "insert into t values (1)", "INSERT"),
    ("postgres", "  /* x */ Update t set a = 1", "UPDATE"),
    ("postgres", "delete from t", "DELETE"),
    ("postgres", "merge into t using s on true when matched then delete", "MERGE"),
    ("postgres", "with x as (select 1) insert into t select * from x", "INSERT"),
    ("postgres", "with x as (select 1), y as (select 2) delete from t", "DELETE"),
    ("postgres", "select 1 into t", "SELECT INTO"),
    ("postgres", "explain analyze insert into t values (1)", "EXPLAIN ANALYZE INSERT"),
    ("postgres", "explain (verbose, analyze) delete from t", "EXPLAIN ANALYZE DELETE"),
    ("postgres", "create table t (a int)", "CREATE"),
    ("postgres", "truncate t", "TRUNCATE"),
    ("postgres", "set x = 1", "SET"),
    ("postgres", "begin", "BEGIN"),
    ("postgres", "do $$ begin; end $$", "DO"),
    ("postgres", "copy t to '/tmp/x'", "COPY"),
    ("postgres", "call f()", "CALL"),
    ("postgres", "vacuum", "VACUUM"),
    ("postgres", "grant all on t to x", "GRANT"),
    ("postgres", "lock t", "LOCK"),
    ("postgres", "prepare p as select 1", "PREPARE"),
    ("duckdb", "attach 'x'", "ATTACH"),
    ("duckdb", "install x", "INSTALL"),
    ("duckdb", "load x", "LOAD"),
    ("duckdb", "use x", "USE"),
    ("duckdb", "pragma threads = 4", "PRAGMA"),
    ("duckdb", "export database 'x'", "EXPORT"),
    ("snowflake", "undrop table t", "UNDROP"),
    ("nosuch", "anything at all", "ANYTHING"),
]


@pytest.mark.parametrize(("dialect", "sql"), READING)
def test_check_statement_of_reading_passes(dialect: str, sql: str) -> None:
    """Whatever reads, or is not understood, passes."""
    check_statement(sql, dialect=dialect, allow_writes=False)


@pytest.mark.parametrize(("dialect", "sql", "keyword"), CHANGING)
def test_check_statement_of_changing_names_keyword_and_setting(dialect: str, sql: str, keyword: str) -> None:
    """Whatever changes something is forbidden by name, unless the project allows it."""
    with pytest.raises(ForbiddenError, match="allow_writes") as caught:
        check_statement(sql, dialect=dialect, allow_writes=False)
    assert caught.value.details == {"keyword": keyword}
    check_statement(sql, dialect=dialect, allow_writes=True)


@pytest.mark.parametrize("sql", ["", " \n\t", ";", " ; ; ", "-- x", "/* ; */", "-- x\n;"])
def test_check_statement_of_nothing_is_invalid(sql: str) -> None:
    """A text without a statement has the wrong shape."""
    with pytest.raises(InvalidRequestError) as caught:
        check_statement(sql, dialect="postgres", allow_writes=True)
    assert caught.value.details == {"sql": {"message": "is empty or holds only comments"}}


@pytest.mark.parametrize("sql", ["\0", "select 1\0", "select 'unfinished \0"])
def test_check_statement_of_nul_is_invalid(sql: str) -> None:
    """No warehouse takes a NUL character."""
    with pytest.raises(InvalidRequestError) as caught:
        check_statement(sql, dialect="postgres", allow_writes=True)
    assert list(caught.value.details) == ["sql"]


@pytest.mark.parametrize("sql", ["select 1; select 2", "select ';'; x", ";select 1", "select 1 -- a;\n; select 2"])
def test_check_statement_of_two_is_refused(sql: str) -> None:
    """One statement at a time, even where writing is allowed."""
    with pytest.raises(ParameterError):
        check_statement(sql, dialect="postgres", allow_writes=True)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", "select 1"),
        ("select 1 ;; \n", "select 1"),
        ("select ';' -- a", "select ';' -- a"),
        ("select 1; -- a;b", "select 1"),
        ("select 'unfinished;", "select 'unfinished"),
    ],
)
def test_strip_terminator_keeps_the_statement(sql: str, expected: str) -> None:
    """Only what follows the statement goes."""
    assert expected == strip_terminator(sql, dialect="postgres")


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        ("postgres", "select 1", True),
        ("postgres", "(values (1))", True),
        ("postgres", "with x as (select 1) select * from x", True),
        ("postgres", "with x as (delete from t returning *) select * from x", False),
        ("postgres", "with x as (select 1) insert into t select 1", False),
        ("postgres", "show all", False),
        ("postgres", "explain select 1", False),
        ("postgres", "from t", False),
        ("postgres", "select b'12'", True),
        ("duckdb", "from t", True),
        ("duckdb", "pivot t on a", False),
        ("duckdb", "describe t", False),
    ],
)
def test_is_plain_query_tells_what_may_stand_after_from(dialect: str, sql: str, expected: bool) -> None:
    """A subquery is only made of what is one."""
    assert expected == is_plain_query(sql, dialect=dialect)


def test_leading_word_looks_through_parentheses_and_comments() -> None:
    """The first keyword counts, wherever it stands."""
    assert leading_word("-- a\n ( (select 1))", dialect="postgres") == "SELECT"
    assert leading_word("/* a */ select 'unfinished", dialect="postgres") == "SELECT"
    assert leading_word("", dialect="postgres") == ""


@given(st.text(st.sampled_from("selct ;'\"$-/*()\n\\E{}0\x00é"), max_size=40))
def test_check_statement_of_any_text_answers(text: str) -> None:
    """Whatever is sent is accepted or refused, never a failure of ours."""
    for dialect in ("postgres", "duckdb", "snowflake", "nosuch"):
        try:
            check_statement(text, dialect=dialect, allow_writes=False)
        except ServiceError:
            continue
        assert strip_terminator(text, dialect=dialect) in text
