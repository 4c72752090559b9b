"""What every status store promises about pivots."""

from __future__ import annotations

import pytest

from queryfleet.model import Column, ColumnType
from tests.fixtures.statuses import claimed, finish, new_query, shared_query

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

TASK = {"way": "sql", "limits": {"rows": None}}
DETAILS = {"totalColumnCount": 1, "valuesColumns": [{"pivotColumnName": "v_any_a", "referenceField": "v"}]}
COLUMNS = [Column(reference="v_any_a", type=ColumnType.NUMBER)]


@pytest.fixture
def statuses(any_statuses):
    """Give each kind of store in turn."""
    return any_statuses


async def note(statuses, record, details=DETAILS):
    ids = (record.query_uuid, record.attempt)
    await statuses.record_fetching(*ids, columns=COLUMNS, arrow_schema=b"s", pivot_details=details)


async def test_pivot_goes_to_every_attempt_and_its_details_to_pages(statuses):
    """A lost attempt's details are forgotten; those of the last one stay."""
    record = await claimed(statuses, pivot=TASK)
    assert (record.pivot, record.pivot_details) == (TASK, None)
    await note(statuses, record)
    await statuses.lose(record.query_uuid, record.attempt, attempts_max=3, reason="gone")
    again = await statuses.claim(record.query_uuid, "query-b", lease_seconds=30)
    assert (again.pivot, again.pivot_details) == (TASK, None)
    await note(statuses, again)
    await finish(statuses, again)
    assert (await statuses.load(record.query_uuid)).pivot_details == DETAILS


async def test_shared_rows_come_with_their_details(statuses):
    """A query that waits for another one and one that comes later have the same page as that one."""
    leader = await claimed(statuses, cache_key=b"k" * 32, pivot=TASK)
    follower, later = shared_query(pivot=TASK), shared_query(pivot=TASK)
    await statuses.accept(follower)
    await note(statuses, leader)
    await finish(statuses, leader)
    await statuses.accept(later)
    for query in (follower, later):
        assert (await statuses.load(query.query_uuid)).pivot_details == DETAILS


async def test_question_can_be_read_back_with_its_pivot(statuses):
    """Totals start from what was asked; SQL has no question, and what is not there is None."""
    asked = {"metricQuery": {"exploreName": "rides"}}
    query, sql = new_query(question=asked, pivot=TASK), new_query()
    for each in (query, sql):
        await statuses.accept(each)
    assert await statuses.load_question(query.query_uuid) == {
        "question": asked,
        "pivot": TASK,
        "sql": query.sql,
        "cache_key": None,
    }
    assert await statuses.load_question(sql.query_uuid) == {
        "question": None,
        "pivot": None,
        "sql": sql.sql,
        "cache_key": None,
    }
    assert await statuses.load_question("00000000-0000-4000-8000-000000000000") is None


async def test_cells_of_a_pivot_are_shown_as_what_they_are_made_of(statuses):
    """The description of a field goes to each column with its values, under the column's own name."""
    record = await claimed(statuses, pivot=TASK, fields={"v": {"type": "sum", "label": "V", "format": "eur"}})
    await note(statuses, record)
    fields = (await statuses.load(record.query_uuid)).column_fields
    assert fields["v_any_a"] == {"type": "sum", "label": "v_any_a", "format": "eur"}
