"""Who asks, as warehouses keep it."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.model import QueryTag
from queryfleet.warehouse.tagging import tag_comment, tag_json, tag_labels

TAGS = st.builds(
    QueryTag, query_uuid=st.text(), project_uuid=st.text(), user_uuid=st.text(max_size=99), context=st.text()
)


@settings(derandomize=True, max_examples=60)
@given(TAGS)
def test_tag_comment_cannot_be_left(tag: QueryTag) -> None:
    """Nothing in a tag ends its comment, begins another, or breaks the line."""
    inside = tag_comment(tag).removeprefix("/*").removesuffix("*/")
    assert "*" not in inside
    assert inside.isascii()
    assert inside.isprintable()


@settings(derandomize=True, max_examples=60)
@given(TAGS)
def test_tag_labels_are_letters_digits_and_dashes(tag: QueryTag) -> None:
    """Labels are at most 63 of the characters that label systems allow."""
    for value in tag_labels(tag).values():
        assert len(value) <= 63
        assert set(value) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


def test_tag_forms_name_the_query() -> None:
    """Every form has the query's id and attempt."""
    tag = QueryTag(query_uuid="0a6b", project_uuid="p", user_uuid="u", context="api", attempt=2)
    assert tag_comment(tag) == "/* queryfleet query_uuid=0a6b project_uuid=p user_uuid=u context=api attempt=2 */"
    assert json.loads(tag_json(tag)) == tag_labels(tag)
