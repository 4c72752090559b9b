"""Pages: stored lines to rows of an answer, the same as a plain reference would make."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings

from queryfleet.columns import LogicalType, column_of, logical_field
from queryfleet.errors import ResultCorruptError
from queryfleet.formatting import FormatRule, format_value, rule_of, value_text
from queryfleet.formatting.rule import Kind
from queryfleet.model import ColumnType
from queryfleet.results.encoder import Encoder
from queryfleet.results.page import render_rows, schema_from_bytes, schema_to_bytes
from tests.strategies.arrow_columns import batches

NUMBER = FormatRule(kind=Kind.NUMBER)


def lines_of(batch):
    """Return the stored lines of a batch."""
    return bytes(Encoder(batch.schema).encode(batch).data)


def shown(value, column_type):
    """Return the display text of one stored value: text that stands for a number is shown as one."""
    if isinstance(value, str) and column_type is ColumnType.NUMBER:
        return value_text(value, NUMBER)
    return format_value(value, None)


def reference(lines, schema):
    """Return the rows of an answer, made value by value."""
    types = {field.name: column_of(field).type for field in schema}
    return [
        {
            name: {"value": {"raw": value, "formatted": shown(value, types[name])}}
            for name, value in json.loads(line).items()
        }
        for line in lines.decode().split("\n")[:-1]
    ]


def compared(rows):
    """Return rows with the texts of lists and objects parsed: they are shown as they are stored."""
    for row in rows:
        for value in (cell["value"] for cell in row.values()):
            if isinstance(value["raw"], list | dict):
                value["formatted"] = json.loads(value["formatted"])
    return rows


def cells(batch):
    """Return the (raw, formatted) pairs of the first column of a batch."""
    rows = json.loads(render_rows(lines_of(batch), batch.schema))
    name = batch.schema.names[0]
    return [(row[name]["value"]["raw"], row[name]["value"]["formatted"]) for row in rows]


@given(batches())
@settings(deadline=None, max_examples=60)
def test_render_rows_of_any_batch_equals_the_reference(batch):
    """Whatever the types, names and values: the rows are those that plain code would make, in order."""
    lines = lines_of(batch)
    rows = json.loads(render_rows(lines, batch.schema), parse_constant=pytest.fail)
    assert compared(reference(lines, batch.schema)) == compared(rows)


@given(batches())
@settings(deadline=None, max_examples=20)
def test_render_rows_keeps_columns_in_order_without_spaces(batch):
    """Members stand in the order of the columns, and the text has no needless byte."""
    text = render_rows(lines_of(batch), batch.schema).decode()
    for row in json.loads(text):
        assert batch.schema.names == list(row)
    assert "\n" not in text
    if batch.num_rows == 0:
        assert text == "[]"


COLUMNS = {
    "big integer": (
        pa.array([2**53 - 1, 2**53, -(2**63), None]),
        [
            (2**53 - 1, "9,007,199,254,740,991"),
            ("9007199254740992", "9,007,199,254,740,992"),
            ("-9223372036854775808", "-9,223,372,036,854,775,808"),
            (None, "∅"),
        ],
    ),
    "not a number": (
        pa.array([math.nan, math.inf, -math.inf, 0.1]),
        [("NaN", "NaN"), ("Infinity", "∞"), ("-Infinity", "-∞"), (0.1, "0.1")],
    ),
    "decimal": (
        pa.array([Decimal("12.50"), Decimal("123456789012345678.90")], pa.decimal128(38, 2)),
        [(12.5, "12.5"), ("123456789012345678.90", "123,456,789,012,345,678.9")],
    ),
    "text": (pa.array(['é"\\\n', "", None]), [('é"\\\n', 'é"\\\n'), ("", ""), (None, "∅")]),
    "boolean": (pa.array([True, False, None]), [(True, "true"), (False, "false"), (None, "∅")]),
    "list": (pa.array([[1, None], [], None]), [([1, None], "[1,null]"), ([], "[]"), (None, "∅")]),
    "struct": (pa.array([{"a": "x"}]), [({"a": "x"}, '{"a":"x"}')]),
    "uuid": (
        pa.uuid().wrap_array(pa.array([UUID(int=1).bytes, None], pa.binary(16))),
        [("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"), (None, "∅")],
    ),
    "duration": (pa.array([3_661_000], pa.duration("ms")), [("PT1H1M1S", "PT1H1M1S")]),
    "interval": (pa.array([pa.MonthDayNano([14, -3, 0])]), [("P1Y2M-3D", "P1Y2M-3D")]),
    "binary": (pa.array([b"\x00\xff"]), [("AP8=", "AP8=")]),
    "null": (pa.nulls(1), [(None, "∅")]),
}


@pytest.mark.parametrize(("array", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_render_rows_of_each_type_as_documented(array, expected):
    """Each type has the raw value and the display text that a reader expects."""
    assert expected == cells(pa.record_batch({"c": array}))


def test_render_rows_of_documents_shows_them_as_they_are():
    """A JSON document is a value in `raw` and its text in `formatted`; a missing one is ∅."""
    field = logical_field("c", LogicalType.JSON)
    batch = pa.record_batch([pa.array(['{"a": [1, 2]}', None])], schema=pa.schema([field]))
    assert [({"a": [1, 2]}, '{"a": [1, 2]}'), (None, "∅")] == cells(batch)


def test_render_rows_of_columns_with_any_name_keeps_the_names():
    """Names with quotes, braces, line breaks and other scripts, and the empty one, come back as they are."""
    names = ['"', "{}", "a\nb", "größe", "東京", "🏺", "", "c0", "r0", "f0", "value"]
    batch = pa.record_batch([pa.array([index]) for index in range(len(names))], names=names)
    (row,) = json.loads(render_rows(lines_of(batch), batch.schema))
    assert names == list(row)
    assert list(range(len(names))) == [cell["value"]["raw"] for cell in row.values()]


def test_render_rows_without_columns_gives_empty_rows():
    """Rows of no columns are empty objects, as many as there are."""
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    assert render_rows(lines_of(batch), batch.schema) == b"[{},{}]"


def test_render_rows_of_no_lines_is_an_empty_list():
    """No lines, no rows."""
    assert render_rows(b"", pa.schema([("n", pa.int64())])) == b"[]"


def test_render_rows_of_the_largest_page_equals_the_reference():
    """Five thousand rows, the most a page may have, come back whole and in order."""
    batch = pa.record_batch(
        {
            "n": pa.array(range(5000)),
            "t": pa.array([None if n % 7 == 0 else f"row {n} é" for n in range(5000)]),
            "x": pa.array([n / 7 for n in range(5000)]),
        }
    )
    lines = lines_of(batch)
    assert reference(lines, batch.schema) == json.loads(render_rows(lines, batch.schema))


def test_render_rows_with_rules_uses_each_on_its_column():
    """A rule changes the display text of its column and of no other, and raw values stay."""
    batch = pa.record_batch({"a": pa.array([0.256]), "b": pa.array([0.256])})
    rules = {"a": rule_of({"fieldType": "metric", "type": "sum", "format": "percent"})}
    (row,) = json.loads(render_rows(lines_of(batch), batch.schema, rules))
    assert {"raw": 0.256, "formatted": "25.6%"} == row["a"]["value"]
    assert {"raw": 0.256, "formatted": "0.256"} == row["b"]["value"]


def test_render_rows_with_a_date_rule_spells_raw_as_the_protocol_does():
    """Fields of type timestamp have seconds and `Z` in `raw`; columns without a field keep what is stored."""
    kind = pa.timestamp("us")
    batch = pa.record_batch({"a": pa.array([1_500_000], kind), "b": pa.array([1_500_000], kind)})
    rules = {"a": rule_of({"fieldType": "dimension", "type": "timestamp"})}
    (row,) = json.loads(render_rows(lines_of(batch), batch.schema, rules))
    assert row["a"]["value"]["raw"] == "1970-01-01T00:00:01Z"
    assert row["b"]["value"]["raw"] == "1970-01-01T00:00:01.500Z"


def test_render_rows_of_lines_of_another_schema_is_corrupt():
    """Lines that do not fit their schema are an error, never wrong rows."""
    with pytest.raises(ResultCorruptError):
        render_rows(b'{"n":"not a number"}\n', pa.schema([("n", pa.int64())]))


@given(batches())
@settings(deadline=None, max_examples=30)
def test_schema_survives_being_stored(batch):
    """A schema read back is the one that was written, marks of columns included."""
    read = schema_from_bytes(schema_to_bytes(batch.schema))
    assert batch.schema.equals(read, check_metadata=True)
