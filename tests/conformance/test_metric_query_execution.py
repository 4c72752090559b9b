"""Compiled metric queries on real databases give the rows that a plain evaluation of the raw rows gives."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.loaded_engines import ENGINES
from tests.oracle.cases import columns, filters, grains, joins
from tests.oracle.cases.case import ids_of
from tests.oracle.comparison import check_answer
from tests.strategies import metric_queries

CASES = [*filters.filter_cases(), *grains.grain_cases(), *joins.join_cases(), *columns.column_cases()]


@pytest.mark.parametrize("case", CASES, ids=ids_of(CASES))
def test_compiled_query_gives_the_rows_of_the_plain_evaluation(case, loaded_market, explores):
    """A database answers the compiled statement with exactly the rows, columns and order of a plain evaluation."""
    check_answer(explores(case.explore), case.explore, case.query, case.setting, loaded_market)


@pytest.mark.parametrize("engine", ENGINES)
def test_compiled_query_counts_moments_in_the_zone_of_the_data(engine, request, explores):
    """Moments without a zone are of the session's zone, whatever zone the question is asked in."""
    loaded = request.getfixturevalue(f"loaded_{engine}")
    cases = grains.zone_cases("America/New_York")
    with loaded.loaded(cases[0].explore.sources().values(), zone="America/New_York"):
        for case in cases:
            check_answer(explores(case.explore), case.explore, case.query, case.setting, loaded)


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_compiled_query_gives_the_rows_of_the_plain_evaluation(data, explores, loaded_duckdb, loaded_postgres):
    """Whatever the model, the rows and the question are, both databases answer as a plain evaluation does."""
    described = data.draw(metric_queries.explores())
    query, setting = data.draw(metric_queries.questions(described))
    explore = explores(described)
    for engine in (loaded_duckdb, loaded_postgres):
        with engine.loaded(described.sources().values()):
            check_answer(explore, described, query, setting, engine)
