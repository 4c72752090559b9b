"""YAML files become JSON values with lines; what has no JSON form is refused in words."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import ConfigurationError
from queryfleet.yaml_document import parse_yaml, parse_yaml_stream

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def parsed(text: str) -> object:
    """Return the value of a text."""
    return parse_yaml(text.encode(), source="a.yml").value


@given(value=st.dictionaries(TEXT, JSON_VALUES, min_size=1, max_size=4))
def test_parse_yaml_what_yaml_writes_comes_back(value: dict[str, object]) -> None:
    """Every JSON value survives being written as YAML and read."""
    assert parsed(yaml.safe_dump(value, allow_unicode=False)) == value


@given(data=st.binary(max_size=60))
def test_parse_yaml_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever the bytes, the answer is a JSON value or a ConfigurationError."""
    try:
        document = parse_yaml(data, source="a.yml")
    except ConfigurationError:
        return
    json.dumps(document.value, allow_nan=False)


@given(text=st.text(st.sampled_from("ab:-?&*!|>'\"%@`#{}[], \n\t<0.~_x"), max_size=40))
def test_parse_yaml_any_punctuation_is_read_or_refused(text: str) -> None:
    """No arrangement of YAML's own marks makes the reader fail in another way."""
    try:
        json.dumps(parsed(text), allow_nan=False)
    except ConfigurationError:
        return


def test_parse_yaml_dates_anchors_and_merges_are_understood() -> None:
    """Dates become ISO text, aliases repeat their anchor, and a mapping's own keys win over merged ones."""
    text = """
day: 2024-06-12
moment: 2024-06-12T15:30:00Z
base: &base {a: 1, b: 2}
again: *base
merged: {<<: *base, b: 3}
quoted: {'<<': 1}
several: {c: 0, <<: [{a: 7}, *base]}
"""
    assert parsed(text) == {
        "day": "2024-06-12",
        "moment": "2024-06-12T15:30:00+00:00",
        "base": {"a": 1, "b": 2},
        "again": {"a": 1, "b": 2},
        "merged": {"a": 1, "b": 3},
        "quoted": {"<<": 1},
        "several": {"a": 7, "b": 2, "c": 0},
    }


def test_parse_yaml_byte_order_mark_is_allowed() -> None:
    """Files saved by editors that write a byte order mark can be read."""
    assert parse_yaml(b"\xef\xbb\xbfa: 1\n", source="a.yml").value == {"a": 1}


def test_yaml_document_where_names_the_nearest_line() -> None:
    """A value's line is that of its key; what has no line of its own gets that of what is around it."""
    document = parse_yaml(b"a: 1\nb:\n  c:\n    - 5\n", source="a.yml")
    assert document.where(("b", "c")) == "a.yml, line 3"
    assert document.where(("b", "c", 0)) == "a.yml, line 4"
    assert document.where(("b", "missing")) == "a.yml, line 2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"a\.yml is empty"),
        (b"# only a comment\n", r"a\.yml is empty"),
        (b"a: \xff", r"line 1: the text is not UTF-8"),
        (b"x: 1\na: \xe4", r"line 2: the text is not UTF-8"),
        (b"a: 1\nb: 2\na: 3\n", r"line 3: the key `a` is already on line 1"),
        (b"o:\n  a: 1\n  'a': 3\n", r"line 3: the key `a` is already on line 2"),
        (b"a: [1\nb: 2\n", r"line \d: this is not valid YAML"),
        (b"a:\n\tb: 1\n", r"line 2: this is not valid YAML"),
        (b"a: *nowhere\n", r"line 1: this is not valid YAML"),
        (b"a: \x07", r"line 1: there is a character that YAML does not allow"),
        (b"a: 1\n---\nb: 1\n", r"line 3: a second document begins here"),
        (b"a: !!python/object:os.system {}\n", r"line 1: tags"),
        (b"a: !secret x\n", r"line 1: tags"),
        (b"a: !!set {x}\n", r"line 1: tags"),
        (b"a: !!binary aGk=\n", r"line 1: only text"),
        (b"a: .nan\n", r"line 1: only text, finite numbers"),
        (b"a: .inf\n", r"line 1: only text, finite numbers"),
        (b"a: 2024-13-45\n", r"line 1: the value has no meaning"),
        (b"a: !!bool perhaps\n", r"line 1: the value has no meaning"),
        (b"a: " + b"9" * 5000, r"line 1: the value has no meaning"),
        (b"1: x\n", r"line 1: a key must be text"),
        (b"yes: x\n", r"line 1: a key must be text"),
        (b"? [a]\n: x\n", r"line 1: "),
        (b'a: "\\0"\n', r"line 1: the text holds a character that cannot be stored"),
        (b'a: "\\ud800"\n', r"line 1: the text holds a character that cannot be stored"),
        (b"a: &a [*a]\n", r"nested too deeply, or an alias in it contains itself"),
        (b"a: &a {<<: *a}\n", r"nested too deeply, or an alias in it contains itself"),
        (b"a: {<<: 5}\n", r"line 1: a merge key \(<<\) needs a mapping"),
        (b"a: {<<: {}, <<: {}}\n", r"line 1: the key `<< .merge.` is already on line 1"),
        (b"[" * 5000, r"nested too deeply"),
    ],
)
def test_parse_yaml_wrong_text_is_refused_with_its_line(text: bytes, message: str) -> None:
    """Each kind of wrong file has a message of its own that says where."""
    with pytest.raises(ConfigurationError, match=message):
        parse_yaml(text, source="a.yml")


def test_parse_yaml_stream_keeps_each_document_with_its_lines() -> None:
    """Lines count from the top of the file, and documents without anything in them are none."""
    found = parse_yaml_stream(b"---\na: 1\n---\n# nothing\n---\nb:\n  c: 2\n...\n", source="a.yml")
    assert [each.value for each in found] == [{"a": 1}, {"b": {"c": 2}}]
    assert found[1].where(("b", "c")) == "a.yml, line 7"


def test_parse_yaml_exploding_aliases_are_refused() -> None:
    """A short file that stands for billions of values is refused quickly."""
    merged = "{a: 1}"
    for n in range(12):
        merged = f"{{<<: [&m{n} {merged}{f', *m{n}' * 9}]}}"
    with pytest.raises(ConfigurationError, match="more than 100000 values"):
        parsed(f"a: {merged}")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigurationError, match="more than 100000 values"):
        parsed("\n".join(lines))


@pytest.mark.parametrize(
    "text", ["password: *hunter2\n", "a: !hunter2 x\n", "a: [hunter2\nb: {\n", "a: !hunter2!x y\n"]
)
def test_parse_yaml_messages_do_not_quote_the_file(text: str) -> None:
    """A broken line may hold a secret; the message does not."""
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    assert "hunter2" not in caught.value.message
