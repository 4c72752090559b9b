"""Joining columns of texts into lines."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from queryfleet.encoding.texts import (
    assemble,
    from_strings,
    interleaved,
    listed,
    merged,
    overlay,
    picked,
    text_array,
)

_WORD = st.none() | st.binary(max_size=9) | st.sampled_from([b"x" * 63, b"y" * 64, b"z" * 65, b"w" * 300])


def _texts(words, wrap):
    array = pa.array(words, pa.large_binary())
    nulls = np.array([word is None for word in words], dtype=np.bool_)
    return from_strings(array, wrap=wrap, nulls=nulls if nulls.any() else None)


def _naive(word, wrap):
    return b"null" if word is None else wrap[:1] + word + wrap[1:]


@settings(deadline=None)
@given(st.data())
def test_assemble_any_texts_equals_naive_join(data):
    """Joined lines are what joining row by row gives, for any lengths, gaps, wraps and nulls."""
    rows, width = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 4))
    wraps = [data.draw(st.sampled_from([b"", b'""', b"[]"])) for _ in range(width)]
    table = [data.draw(st.lists(_WORD, min_size=rows, max_size=rows)) for _ in range(width)]
    gaps = [data.draw(st.binary(max_size=5)) for _ in range(width + 1)]
    data_bytes, offsets = assemble([_texts(words, wrap) for words, wrap in zip(table, wraps, strict=True)], gaps)
    lines = []
    for row in range(rows):
        parts = [_naive(words[row], wrap) for words, wrap in zip(table, wraps, strict=True)]
        pieces = [piece for pair in zip(gaps, [*parts, b""], strict=True) for piece in pair]
        lines.append(b"".join(pieces))
    assert b"".join(lines) == data_bytes[: offsets[-1]].tobytes()
    assert [0, *np.cumsum([len(line) for line in lines], dtype=int).tolist()] == offsets.tolist()


@settings(deadline=None)
@given(st.data())
def test_interleaved_with_heads_equals_naive_join(data):
    """Lines with room for heads, and the heads written into it, are what joining row by row gives."""
    rows, width = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 3))
    wraps = [data.draw(st.sampled_from([b"", b'""', b"[]"])) for _ in range(width)]
    table = [data.draw(st.lists(_WORD, min_size=rows, max_size=rows)) for _ in range(width)]
    heads = [data.draw(st.binary(max_size=4) | st.just(b"h" * 150)) for _ in range(rows)]
    spaces = np.array([len(head) for head in heads], dtype=np.int64)
    out, offsets = interleaved([_texts(words, wrap) for words, wrap in zip(table, wraps, strict=True)], spaces)
    begins = offsets[:-1] - spaces
    overlay(out, begins, listed(heads))
    lines = [
        head + b"".join(_naive(words[row], wrap) for words, wrap in zip(table, wraps, strict=True))
        for row, head in enumerate(heads)
    ]
    assert b"".join(lines) == out[: offsets[-1]].tobytes()
    assert np.cumsum([0, *map(len, lines)], dtype=int).tolist() == [*begins.tolist(), int(offsets[-1])]


def test_text_array_sliced_strings_keep_their_rows():
    """Arrays that begin in the middle of their buffers are read from there."""
    array = pa.array(["zero", "one", None, "three"]).slice(1, 2)
    assert ['"one"', "null"] == text_array(from_strings(array, wrap=b'""', nulls=np.array([False, True]))).to_pylist()


def test_merged_rows_are_replaced_and_others_kept():
    """Replacing rows leaves the others as they are."""
    texts = picked(listed([b"a", b"bb"]), np.array([0, 1, 0]))
    found = merged(texts, np.array([1]), listed([b"long text"]))
    assert ["a", "long text", "a"] == text_array(found).to_pylist()
    assert ["a", "bb", "a"] == text_array(texts).to_pylist()


def test_picked_long_and_short_texts_are_those_asked_for():
    """Rows chosen from a list are the texts of the list, however long, and null where asked."""
    for tail in (b"", b"x" * 100):
        texts = listed([b"a" + tail, b"", b"c" * 9], wrap=b'""')
        found = text_array(picked(texts, np.array([2, 0, 0, 1]), nulls=np.array([False, True, False, False])))
        assert ['"ccccccccc"', "null", f'"a{tail.decode()}"', '""'] == found.to_pylist()
