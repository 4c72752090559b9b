r"""Arrow batches as JSON lines.

One line per row, one JSON object per line: keys in the order of the columns, nulls written out, no spaces,
UTF-8.

    {"id":17,"price":12.5,"day":"2024-02-29","note":null}

    Arrow type        JSON
    ----------------  --------------------------------------------------------------------------------------
    integers          number within ±(2^53 - 1), which every reader keeps; beyond, a string of the digits
    floats            number, the shortest text that reads back as the same value (float32: the same float32);
                      `100` for 100.0, `-0.0` for negative zero; `"NaN"`, `"Infinity"`, `"-Infinity"`
    decimals, typed   number iff the nearest double prints the same value again (so it is up to 15 digits):
    or as text        no zeros at the end of the fraction, an exponent only beyond 15 digits; otherwise a
                      string of the exact digits with their scale. Text `NaN` and `±Infinity` as for floats;
                      text that is no number: a string
    boolean, null     `true`, `false`, `null`
    text              string; only `"`, `\` and control characters are escaped
    date              `"2024-02-29"`; years outside 0 to 9999 `"+012345-01-01"`, `"-000001-01-01"`
    timestamp, with   `"2024-01-02T03:04:05.678Z"`, always UTC, 3 digits of a second; 6 when this value has
    or without zone   microseconds, 9 when it has nanoseconds; years as for dates
    time              `"03:04:05.678901"`, as many digits as the unit has
    duration,         ISO 8601 `"P1Y2M3DT4H5M6.789S"`; months, days and time are never converted into one
    interval          another; of several signs each part has its own
    binary            string, base64 with padding
    UUID              `"00112233-4455-6677-8899-aabbccddeeff"`
    JSON document     the document as it is, without line breaks; text that is no JSON: a string
    list, struct,     `[...]`, `{...}`, `{...}` with the same spellings inside; keys of a map are strings
    map
    dictionary,       as the values
    run-end encoded

The text of a value depends on the value and its type only, never on its neighbours: cutting a result into
other batches gives the same bytes. `queryfleet.results.decoder` is the inverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from queryfleet.encoding.json_text import column_texts, json_texts, line_gaps
from queryfleet.encoding.lines import EncodedBatch
from queryfleet.encoding.texts import assemble
from queryfleet.errors import InternalError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["EncodedBatch", "Encoder", "json_texts"]

_BLOCK_ROWS = 8192  # rows encoded at once: fewer cost more per call, more fall out of the processor's cache


class Encoder:
    """Turns the batches of one result into lines. Keeps no state between calls: threads may share it."""

    def __init__(self, schema: pa.Schema) -> None:
        """Prepare for batches of this schema, whose names must be unique.

        Raises:
            NotSupportedError: A column's type has no JSON form.
        """
        self._schema = schema
        self._gaps = line_gaps(schema.names, end=b"\n") if len(schema) else [b"{}\n"]
        for field in schema:
            # An empty array takes the same way as a full one, and shows at once what cannot be encoded.
            json_texts(_empty_array(field), field)

    def encode(self, batch: pa.RecordBatch) -> EncodedBatch:
        """Return the lines of one batch, in its order.

        Raises:
            InternalError: The batch has another schema.

        Cost: 15 to 30 ns per value on common types, nearly all of it without the GIL; memory about five times
        the lines of 8,192 rows, plus the result. Batches of 8,192 rows are best: larger ones are cut, then
        joined again.
        """
        if not batch.schema.equals(self._schema):
            raise InternalError(f"A batch has the columns {batch.schema.names}, not {self._schema.names}.")
        if batch.num_rows <= _BLOCK_ROWS:
            data, offsets = self._lines(batch)
            return EncodedBatch(data=data[: int(offsets[-1])].data, offsets=offsets)
        blocks = [self._lines(batch.slice(first, _BLOCK_ROWS)) for first in range(0, batch.num_rows, _BLOCK_ROWS)]
        sizes = np.array([0, *(int(offsets[-1]) for _, offsets in blocks)], dtype=np.int64)
        begins = np.cumsum(sizes)
        data = np.concatenate([block[: int(offsets[-1])] for block, offsets in blocks])
        shifted = [offsets[:-1] + begin for (_, offsets), begin in zip(blocks, begins[:-1], strict=True)]
        return EncodedBatch(data=data.data, offsets=np.concatenate([*shifted, begins[-1:]]))

    def _lines(self, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        if not len(self._schema):
            line = np.frombuffer(self._gaps[0], dtype=np.uint8)
            return np.tile(line, batch.num_rows), np.arange(batch.num_rows + 1, dtype=np.int64) * line.size
        columns = [column_texts(array, field) for array, field in zip(batch.columns, self._schema, strict=True)]
        return assemble(columns, self._gaps)


def _empty_array(field: pa.Field) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(0, field.type)
