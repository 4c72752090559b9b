"""Compiles a question, has a database answer it, and holds the answer against the plain one."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from queryfleet.compiler.compiler import compile_metric_query
from queryfleet.compiler.context import Context
from queryfleet.compiler.dialects import dialect_of
from queryfleet.compiler.metric_query import DateZoom
from queryfleet.compiler.parameters import resolve_parameters
from queryfleet.compiler.request import parse_metric_query
from queryfleet.semantic.access import permitted_explore
from tests.oracle.evaluator import answer


def check_answer(explore, described, query, setting, engine):
    """Fail unless the database answers as the plain evaluation does.

    Args:
        explore: Compiled from the description.
        described: The description.
        query: In wire form.
        setting: Of the question.
        engine: Holds the tables.
    """
    setting = replace(setting, nulls_first_descending=engine.nulls_first_descending)
    expected = answer(described, query, setting)
    found = compiled(explore, query, setting, engine.name)
    sql = found.sql
    try:
        names, rows = engine.rows(sql)
    except Exception as error:
        error.add_note(sql)
        raise
    told = f"{sql}\n\n{query}"
    assert tuple(names) == found.columns == tuple(found.items) == expected.columns, told
    shown, wanted = [_shown(row) for row in rows], [_shown(row) for row in expected.rows]
    alike = len(rows) == len(wanted) and all(map(_is_same_row, rows, expected.rows))
    assert alike, f"{told}\n\nfound    {_listed(shown)}\nexpected {_listed(wanted)}"


def compiled(explore, query, setting, dialect):
    """Return a question compiled for a dialect."""
    context = Context(
        dialect=dialect_of(dialect),
        timezone=setting.timezone,
        data_timezone=setting.data_timezone,
        start_of_week=setting.start_of_week,
        now=setting.now,
        attributes=setting.attributes,
        email=setting.email,
        parameters=resolve_parameters(explore.parameters, setting.parameters),
    )
    asked = {"exploreName": explore.name, "filters": {}, "sorts": [], "limit": 500, "tableCalculations": [], **query}
    zoom = setting.date_zoom or {}
    return compile_metric_query(
        parse_metric_query(asked),
        permitted_explore(explore, setting.attributes),
        context,
        date_zoom=DateZoom(granularity=zoom.get("granularity"), field_id=zoom.get("xAxisFieldId")),
    )


def _is_same_row(row, other):
    return len(row) == len(other) and all(map(_is_same, row, other))


def _is_same(value, wanted):
    if value is None or wanted is None:
        return value is wanted
    if _is_number(value) and _is_number(wanted):
        return math.isclose(float(value), float(wanted), rel_tol=1e-9, abs_tol=1e-9)
    return type(value) is type(wanted) and value == wanted


def _is_number(value):
    return isinstance(value, (int, float, Decimal, Fraction)) and not isinstance(value, bool)


def _shown(row):
    return tuple(
        float(value) if _is_number(value) else value.isoformat() if isinstance(value, dt.date) else value
        for value in row
    )


def _listed(rows):
    return "".join(f"\n  {row}" for row in rows) or "nothing"
