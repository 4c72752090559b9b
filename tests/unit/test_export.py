"""Files of stored rows: what is in them, and that they are the same each time."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.errors import ParameterError, ResultCorruptError
from queryfleet.export.csv_text import csv_raw_rows, csv_rows
from queryfleet.export.options import ExportFormat, ExportOptions
from queryfleet.export.ordered import in_order
from queryfleet.export.parts import encoded_part
from queryfleet.export.plan import ExportPlan
from queryfleet.results.decoder import decode_lines, line_texts
from queryfleet.results.page import schema_to_bytes
from tests.fixtures.exports import TYPED, file_of, lines_of_batch, plan_for, sample_batch

pytestmark = pytest.mark.anyio

FIELDS = {
    "id": {"fieldType": "dimension", "type": "number", "name": "id", "label": "Number", "tableLabel": "Orders"},
    "ratio": {"fieldType": "metric", "type": "sum", "label": "Ratio", "format": "percent", "round": 1},
    "at": {"fieldType": "dimension", "type": "timestamp", "label": "=At", "tableLabel": "Orders"},
}


def opened(format_: ExportFormat, data: bytes) -> pa.Table:
    """Read a typed file."""
    match format_:
        case ExportFormat.PARQUET:
            return pq.read_table(io.BytesIO(data))
        case ExportFormat.ARROW:
            return pa.ipc.open_file(data).read_all()
        case _:
            return pa.ipc.open_stream(data).read_all()


def rows_of_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


# Typed files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", TYPED)
async def test_typed_file_gives_back_values_and_types(format_):
    """Parquet and Arrow hold what the warehouse gave, types and marks included; only dictionaries are spelled out."""
    batches = [sample_batch(20), sample_batch(5, first=20)]
    table = opened(format_, await file_of(plan_for(batches[0], format=format_), *batches))
    expected = pa.Table.from_batches(batches)
    place = expected.schema.get_field_index("kind")
    plain = expected.set_column(place, pa.field("kind", pa.string()), expected["kind"].cast(pa.string()))
    assert table.combine_chunks().equals(plain.combine_chunks())
    # Parquet has a name of its own for what is in a list.
    assert [field.metadata for field in table.schema] == [field.metadata for field in plain.schema]
    assert table.schema.names == plain.schema.names


@pytest.mark.parametrize("format_", TYPED)
async def test_typed_file_of_no_rows_has_the_columns(format_):
    """An empty result is a valid file that knows its columns."""
    batch = sample_batch(1)
    table = opened(format_, await file_of(plan_for(batch, format=format_)))
    assert (table.num_rows, table.column_names) == (0, batch.schema.names)


async def test_parquet_lacks_no_type_of_arrow():
    """Types that Parquet does not have become text or their nearest type, not an error."""
    batch = pa.record_batch(
        {
            "span": pa.array([pa.MonthDayNano([1, 2, 3000]), None]),
            "runs": pa.array([1, 1], pa.run_end_encoded(pa.int32(), pa.int64())),
            "view": pa.array(["a", None], pa.string_view()),
            "short": pa.array([1.5, None], pa.float16()),
            "wait": pa.array([5, None], pa.duration("ms")),
            "clock": pa.array([5, None], pa.time64("us")),
            "none": pa.nulls(2),
            "pair": pa.array([{"a": 1}, None], pa.struct([("a", pa.int8())])),
            "many": pa.array([[1], None], pa.list_view(pa.int64())),
        }
    )
    table = opened(ExportFormat.PARQUET, await file_of(plan_for(batch, format=ExportFormat.PARQUET), batch))
    assert table["span"].to_pylist() == ["P1M2DT0.000003S", None]
    assert table["runs"].to_pylist() == [1, 1]
    assert table["pair"].to_pylist() == [{"a": 1}, None]
    assert table["many"].to_pylist() == [[1], None]


async def test_typed_file_renames_only_what_was_asked_and_refuses_twins():
    """Columns keep their own names but for custom labels, and two columns never get one name."""
    batch = sample_batch(3)
    labels = (("id", "Number"),)
    plan = plan_for(batch, FIELDS, format=ExportFormat.PARQUET, custom_labels=labels, hidden_fields=("big",))
    table = opened(ExportFormat.PARQUET, await file_of(plan, batch))
    assert table.column_names == ["Number", *[name for name in batch.schema.names if name not in ("id", "big")]]
    with pytest.raises(ParameterError, match="two columns"):
        plan_for(batch, format=ExportFormat.ARROW, custom_labels=(("id", "note"),))


# CSV -----------------------------------------------------------------------------------------------------------


async def test_csv_raw_says_every_value_exactly():
    """Raw fields read back as what was stored: all digits, UTC times with their microseconds, nothing for missing."""
    batch = sample_batch(7)
    data = await file_of(plan_for(batch, format=ExportFormat.CSV, only_raw=True), batch)
    assert data.startswith(b"\xef\xbb\xbfid,big,")
    header, first, *rest = rows_of_csv(data)
    assert header == batch.schema.names
    assert first == [
        *("0", "9007199254740992", "0", "0", "0.25", "plain", "a", "2024-02-28", "2024-02-29 23:59:59.987654"),
        *("2024-02-29 23:59:59.987654", "true", "AP8=", "[0,null]", '{"n":0}'),
    ]
    assert [row[5] for row in rest] == ['say "hi"', "a,b", "two\nlines", "'=1+1", "", ""]
    assert rest[-1] == ["6", *[""] * 13]
    assert data.count(b'""\n') == 0
    assert b"4,9007199254740996,1.3333333333333333,49382.68,4.25,'=1+1,a" in data


@pytest.mark.parametrize("escape", [True, False])
def test_csv_of_stored_texts_is_that_of_the_values(escape):
    """The short way, which takes no value apart, writes what the long way does."""
    plain = [name for name in sample_batch(1).schema.names if name not in ("list", "document")]
    batch = sample_batch(50).select(plain)
    plan = plan_for(batch, format=ExportFormat.CSV, only_raw=True, escape_formulas=escape, column_order=("note",))
    lines = lines_of_batch(batch)
    texts = line_texts(lines, batch.schema)
    assert csv_raw_rows(texts, batch.schema, plan) == csv_rows(decode_lines(lines, batch.schema), plan)
    assert line_texts(lines_of_batch(sample_batch(1)), sample_batch(1).schema) is None


async def test_csv_tells_empty_text_from_missing():
    """An empty text is quoted, a missing value is not; a lone column never leaves an empty line."""
    batch = pa.record_batch({"a": ["", None], "b": [1, 2]})
    data = await file_of(plan_for(batch, format=ExportFormat.CSV, byte_order_mark=False), batch)
    assert data == b'a,b\n"",1\n,2\n'
    lone = await file_of(plan_for(batch, format=ExportFormat.CSV, hidden_fields=("b",), byte_order_mark=False), batch)
    assert rows_of_csv(lone) == [["a"], [""], [""]]


async def test_csv_formatted_shows_values_as_people_read_them():
    """Numbers follow their field's format, times their zone, dates stay dates; headers are labels, harmless ones."""
    batch = sample_batch(3)
    plan = plan_for(batch, FIELDS, "America/New_York", format=ExportFormat.CSV, show_table_names=True)
    header, _, second, _ = rows_of_csv(await file_of(plan, batch))
    named = dict(zip(header, second, strict=True))
    assert named["Orders Number"] == "1"
    assert named["Ratio"] == "33.3%"
    assert named["big"] == "9,007,199,254,740,993"
    assert named["day"] == "2024-02-29"
    assert named["Orders =At"] == "2024-02-29 19:59:59.987"
    assert named["seen"] == "2024-03-01 00:59:59.987"
    labels = plan_for(batch, FIELDS, format=ExportFormat.CSV, byte_order_mark=False)
    assert "'=At" in rows_of_csv(await file_of(labels))[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=1+1", "'=1+1"), ("+a", "'+a"), ("-a", "'-a"), ("@x", "'@x"), ("\tx", "'\tx"), ("\rx", "'\rx"), ("＝1", "'＝1")]
    + [(text, text) for text in ("-5", "+5.25", "-1e9", "a=b", " =1", "5-3", "'=1")],
)
async def test_csv_neutralises_formulas_and_nothing_else(text, shown):
    """What a spreadsheet would run gets an apostrophe, plain numbers do not, and it can be switched off."""
    batch = pa.record_batch({"t": [text]})
    for escape, expected in ((True, shown), (False, text)):
        plan = plan_for(batch, format=ExportFormat.CSV, only_raw=True, escape_formulas=escape)
        assert rows_of_csv(await file_of(plan, batch))[1] == [expected]


# Lines of JSON -------------------------------------------------------------------------------------------------


async def test_jsonl_is_the_stored_bytes_or_the_chosen_columns():
    """Without choices the lines are untouched; with them they are the same values in the wanted order."""
    batch = sample_batch(9)
    lines = lines_of_batch(batch)
    assert await file_of(plan_for(batch, format=ExportFormat.JSONL), batch) == lines
    chosen = await file_of(
        plan_for(batch, format=ExportFormat.JSONL, column_order=("note", "nowhere"), hidden_fields=("id",)), batch
    )
    rows = [json.loads(line) for line in chosen.splitlines()]
    assert list(rows[0])[:2] == ["note", "big"]
    assert [{"id": number} | row for number, row in enumerate(rows)] == [
        json.loads(line) for line in lines.splitlines()
    ]


# Excel ---------------------------------------------------------------------------------------------------------

_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def cells_of_sheet(data: bytes) -> list[list[tuple[str | None, str | None]]]:
    """Return the type and the text of every cell of the only sheet."""
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        sheet = ET.fromstring(book.read("xl/worksheets/sheet1.xml"))
    return [
        [(cell.get("t"), "".join(text for text in cell.itertext()) or None) for cell in row.iter(f"{_SHEET}c")]
        for row in sheet.iter(f"{_SHEET}row")
    ]


async def test_xlsx_has_numbers_dates_and_harmless_texts():
    """Numbers and dates are those of a spreadsheet, numbers that would lose digits are texts, formulas are texts."""
    batch = sample_batch(7).select(["id", "big", "exact", "note", "day", "at", "flag"])
    header, *rows = cells_of_sheet(await file_of(plan_for(batch, format=ExportFormat.XLSX, only_raw=True), batch))
    assert [text for _, text in header] == batch.schema.names
    assert rows[4][:4] == [
        (None, "4"),
        ("inlineStr", "9007199254740996"),
        (None, "4.25"),
        ("inlineStr", "=1+1"),
    ]
    assert rows[0][4] == (None, "45350")
    assert float(rows[0][5][1]) == pytest.approx(45351 + 86_399.987 / 86_400, abs=1e-10)
    assert [row[6] for row in rows[:2]] == [("b", "1"), ("b", "0")]
    assert rows[6] == [(None, "6")]


async def test_xlsx_texts_that_fit_no_cell_and_sheets_that_are_full_are_errors():
    """What Excel cannot hold is a clear error that names row and way out, never a shorter text."""
    from queryfleet.export.xlsx import check_sheet_rows

    batch = pa.record_batch({"t": ["x" * 32_768]})
    with pytest.raises(ParameterError, match="Row 1 has a text of 32768 characters"):
        await file_of(plan_for(batch, format=ExportFormat.XLSX), batch)
    check_sheet_rows(1_048_575)
    with pytest.raises(ParameterError, match="at most 1048575 rows"):
        check_sheet_rows(1_048_576)


async def test_xlsx_keeps_old_dates_and_odd_numbers_as_texts():
    """What the calendar or the numbers of spreadsheets lack is still there to read."""
    import datetime as dt

    batch = pa.record_batch(
        {
            "d": pa.array([dt.date(1899, 12, 31), dt.date(9999, 12, 31)]),
            "x": pa.array([float("nan"), float("inf")]),
            "m": pa.array(["12345678901234567.5", "NaN"]),
        },
        schema=pa.schema(
            [
                ("d", pa.date32()),
                ("x", pa.float64()),
                pa.field("m", pa.string(), metadata={"queryfleet:type": "decimal"}),
            ]
        ),
    )
    _, *rows = cells_of_sheet(await file_of(plan_for(batch, format=ExportFormat.XLSX, only_raw=True), batch))
    texts = [[text for _, text in row] for row in rows]
    assert texts == [["1899-12-31", "NaN", "12345678901234567.5"], ["2958465", "Infinity", "NaN"]]


# All -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ExportFormat)
async def test_file_is_the_same_each_time(format_):
    """The same rows in the same parts give the same bytes, and the same digest."""
    batches = [sample_batch(50), sample_batch(50, first=50)]
    plan = plan_for(batches[0], format=format_)
    assert await file_of(plan, *batches) == await file_of(plan_for(batches[0], format=format_), *batches)
    assert plan.digest() == plan_for(batches[0], format=format_).digest()
    assert plan.digest() != plan_for(batches[0], format=format_, hidden_fields=("id",)).digest()


@pytest.mark.parametrize("format_", ExportFormat)
def test_options_survive_their_json(format_):
    """What is stored with a job is what was asked."""
    options = ExportOptions(format=format_, custom_labels=(("a", "A"),), column_order=("a",), hidden_fields=("b",))
    assert ExportOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


def test_plan_without_any_column_is_refused():
    """Hiding everything is a mistake that is told."""
    batch = pa.record_batch({"a": [1]})
    with pytest.raises(ParameterError, match="no column"):
        plan_for(batch, format=ExportFormat.CSV, hidden_fields=("a",))


def test_part_of_damaged_lines_is_an_error():
    """Lines that do not fit their schema never become a file."""
    batch = sample_batch(2)
    with pytest.raises(ResultCorruptError):
        encoded_part(plan_for(batch, format=ExportFormat.CSV), b'{"id":"x"}\n')


@given(st.lists(st.lists(st.none() | st.text(max_size=8), min_size=2, max_size=2), max_size=8))
@settings(max_examples=60, derandomize=True)
def test_csv_of_any_texts_reads_back(rows):
    """Whatever characters texts hold, another reader gets them back, missing ones as nothing."""
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(2)]
    batch = pa.RecordBatch.from_arrays(columns, ["a", "b"])
    plan = plan_for(batch, format=ExportFormat.CSV, only_raw=True, escape_formulas=False, byte_order_mark=False)
    data = asyncio.run(file_of(plan, batch))
    read = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert read == [["a", "b"], *[[text or "" for text in row] for row in rows]]


# Parts in order ------------------------------------------------------------------------------------------------


async def each(items, error=None):
    for item in items:
        yield item
    if error is not None:
        raise error


async def test_in_order_keeps_order_and_bound():
    """However long each takes, results come in order and never more than the bound are made ahead."""
    busy, most = 0, 0

    async def make(item):
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        for _ in range(10 - item):
            await asyncio.sleep(0)
        busy -= 1
        return item

    assert [item async for item in in_order(each(range(10)), make, at_once=3)] == list(range(10))
    assert most <= 3


async def test_in_order_raises_where_it_failed_and_begins_nothing_more():
    """What was made before an error is still given; what would come after it is dropped."""
    begun = []

    async def make(item):
        begun.append(item)
        if item == 2:
            raise ValueError(item)
        return item

    async def read(items):
        async for item in in_order(items, make, at_once=2):
            got.append(item)  # noqa: PERF401 - what came before an error counts

    got = []
    with pytest.raises(ValueError, match="2"):
        await read(each(range(100)))
    assert (got, max(begun) <= 4) == ([0, 1], True)
    with pytest.raises(KeyError):
        await read(each([0, 1], KeyError()))
    assert got == [0, 1, 0, 1]


async def test_in_order_that_is_left_early_cancels_what_it_began():
    """A reader that goes away leaves nothing running."""
    ended = []

    async def make(item):
        try:
            await asyncio.sleep(0 if item == 0 else 3600)
        finally:
            ended.append(item)
        return item

    items = in_order(each(range(5)), make, at_once=3)
    before = len(asyncio.all_tasks())
    assert await anext(items) == 0
    await items.aclose()
    assert 0 in ended
    assert len(asyncio.all_tasks()) == before


async def test_lines_that_leave_members_out_have_empty_cells():
    """Rows of a pivot, which have not every column, become whole rows in every other format."""
    batch = pa.record_batch({"a": [1, 2], "b": pa.array([None, 5]), "c": pa.array([[1], None], pa.list_(pa.int64()))})
    lines = b'{"a":1,"c":[1]}\n{"a":2,"b":5}\n'
    for only_raw, format_ in ((True, ExportFormat.CSV), (False, ExportFormat.CSV), (True, ExportFormat.PARQUET)):
        options = ExportOptions(format=format_, only_raw=only_raw, byte_order_mark=False)
        plan = ExportPlan.of(options, schema_to_bytes(batch.schema), sparse=True)
        part = encoded_part(plan, lines)
        if format_ is ExportFormat.CSV:
            assert part == b"1,,[1]\n2,5,\n"
        else:
            assert pa.ipc.open_stream(part).read_all().to_batches() == [batch]
