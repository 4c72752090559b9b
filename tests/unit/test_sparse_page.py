"""Pages of results whose lines leave members out, as those of a pivot do."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.columns import LogicalType, logical_field
from queryfleet.errors import ResultCorruptError
from queryfleet.results.decoder import decode_lines
from queryfleet.results.encoder import json_texts
from queryfleet.results.page import render_rows
from tests.strategies.arrow_columns import batches


def lines_of(batch, present):
    """Return the lines of a batch without the members that are not present."""
    columns = [json_texts(array, field).to_pylist() for array, field in zip(batch.columns, batch.schema, strict=True)]
    lines = []
    for row in range(batch.num_rows):
        members = [
            f"{json.dumps(name, ensure_ascii=False)}:{texts[row]}"
            for name, texts, is_there in zip(batch.schema.names, columns, present[row], strict=True)
            if is_there
        ]
        lines.append("{" + ",".join(members) + "}\n")
    return "".join(lines).encode()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(batches(), st.data())
def test_render_sparse_any_members_equals_the_whole_page_without_the_others(batch, data):
    """A member that is there looks as ever, an explicit null included; one that is not is not in the row."""
    rows, width = batch.num_rows, batch.num_columns
    flags = data.draw(st.lists(st.booleans(), min_size=rows * width, max_size=rows * width))
    present = np.array(flags, dtype=np.bool_).reshape(rows, width)
    full = json.loads(render_rows(lines_of(batch, np.ones_like(present)), batch.schema))
    found = json.loads(render_rows(lines_of(batch, present), batch.schema, sparse=True))
    names = batch.schema.names
    expected = [
        {name: row[name] for name, is_there in zip(names, there, strict=True) if is_there}
        for row, there in zip(full, present, strict=True)
    ]
    assert expected == found
    assert [list(row) for row in expected] == [list(row) for row in found]


def test_render_sparse_rows_without_any_member_are_empty_objects():
    """A row that has nothing is still a row."""
    schema = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.string())])
    found = render_rows(b'{}\n{"b":"null"}\n{"a":null}\n', schema, sparse=True)
    assert json.loads(found) == [
        {},
        {"b": {"value": {"raw": "null", "formatted": "null"}}},
        {"a": {"value": {"raw": None, "formatted": "∅"}}},
    ]


@pytest.mark.parametrize("line", ['{"x":{}}', '{"d":{}', '{"d":{},}', '{"d":{},"d":{}}', '["d"]'])
def test_decode_sparse_damaged_documents_are_found(line):
    """Members that the schema does not have, or lines that are no objects, are damage and not missing members."""
    schema = pa.schema([logical_field("d", LogicalType.JSON)])
    with pytest.raises(ResultCorruptError):
        decode_lines(f"{line}\n".encode(), schema, sparse=True)
