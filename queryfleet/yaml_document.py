"""Read a YAML file that a person wrote into JSON values, remembering the line of each.

Only what has a JSON form is let through: no tags, no binary, no NaN, keys that are text and not repeated.
Dates become ISO text. Anchors, aliases and merge keys work; what they expand to is bounded. A message shows
where the fault is and never quotes the file, because the broken line may hold a secret.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from queryfleet.errors import ConfigurationError, JsonValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    import yaml

__all__ = ["YamlDocument", "YamlPath", "parse_yaml", "parse_yaml_stream"]

YamlPath: TypeAlias = tuple[str | int, ...]  # from the top: keys of mappings and indexes (from 0) of lists

VALUES_MAX = 100_000  # after aliases are expanded: a short file can stand for billions
BYTES_MAX = 10_000_000
MERGE = "tag:yaml.org,2002:merge"  # of the key << without quotes, which brings another mapping's entries in


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """One file's value and where its parts stand."""

    source: str  # what messages call the file
    value: JsonValue
    lines: Mapping[YamlPath, int] = field(default_factory=dict)  # from 1; of an entry: where its key is

    def where(self, path: YamlPath) -> str:
        """Return `file, line n` of the value at `path`, or of the nearest one around it that is known."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return f"{self.source}, line {self.lines[path[:length]]}"
        return self.source


def parse_yaml(data: bytes, *, source: str) -> YamlDocument:
    """Return the one document in `data`.

    Args:
        data: UTF-8, at most 10 MB; a byte order mark is allowed.
        source: What messages call the file.

    Raises:
        ConfigurationError: It is empty, not UTF-8, not YAML, or holds something without a JSON form.
    """
    found = parse_yaml_stream(data, source=source)
    if len(found) > 1:
        raise _fault(source, found[1].lines[()], "a second document begins here: write one, without `---` in it")
    return found[0]


def parse_yaml_stream(data: bytes, *, source: str) -> tuple[YamlDocument, ...]:
    """Return every document in `data` that holds something; `---` stands between two.

    Args:
        data: As of `parse_yaml`.
        source: What messages call the file.

    Raises:
        ConfigurationError: As `parse_yaml`.
    """
    import yaml

    text = _decoded(data, source)
    found: list[YamlDocument] = []
    try:
        loader = yaml.SafeLoader(text)
        builder = _Builder(loader, source)
        while loader.check_node():
            builder.lines = {}
            node = loader.get_node()
            value = None if node is None else builder.value(node, ())
            if value is not None:
                found.append(YamlDocument(source=source, value=value, lines=builder.lines))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise _fault(source, line, f"this is not valid YAML: {_problem(error)}") from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else None
        raise _fault(source, line, "there is a character that YAML does not allow: remove it") from None
    except RecursionError:
        raise ConfigurationError(f"{source} is nested too deeply, or an alias in it contains itself") from None
    if not found:
        raise ConfigurationError(f"{source} is empty: write the mapping of settings it should hold")
    return tuple(found)


def _decoded(data: bytes, source: str) -> str:
    if len(data) > BYTES_MAX:
        raise ConfigurationError(f"{source} is larger than {BYTES_MAX} bytes: is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _fault(source, line, "the text is not UTF-8: save the file in UTF-8") from None


def _fault(source: str, line: int | None, text: str) -> ConfigurationError:
    if line is None:
        return ConfigurationError(f"{source}: {text}", source=source)
    return ConfigurationError(f"{source}, line {line}: {text}", source=source, line=line)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return what the parser says without the words it quotes from the file."""
    return re.sub(r"(['\"]).{2,}\1", "…", error.problem or "it cannot be read")


class _Builder:
    """Turns nodes into values; `lines` fills as it goes."""

    def __init__(self, loader: yaml.SafeLoader, source: str) -> None:
        self.lines: dict[YamlPath, int] = {}
        self._loader = loader
        self._source = source
        self._left = VALUES_MAX

    def value(self, node: yaml.Node, path: YamlPath) -> JsonValue:
        import yaml

        self._left -= 1
        if self._left < 0:
            raise ConfigurationError(f"{self._source} holds more than {VALUES_MAX} values once aliases are expanded")
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._wrong(node, "tags (!…) are not allowed: write a plain mapping or list")

    def _mapping(self, node: yaml.MappingNode, path: YamlPath) -> dict[str, JsonValue]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            key = "<< (merge)" if key_node.tag == MERGE else self._key(key_node)
            if key in seen:
                raise self._wrong(key_node, f"the key `{key}` is already on line {seen[key]}: keep one of them")
            seen[key] = key_node.start_mark.line + 1
        built: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                built.update(self._merged(value_node, path))
        for key_node, value_node in node.value:  # what the mapping says itself comes last and wins
            if key_node.tag != MERGE:
                key = self._key(key_node)
                self.lines[*path, key] = key_node.start_mark.line + 1
                built[key] = self.value(value_node, (*path, key))
        return built

    def _merged(self, node: yaml.Node, path: YamlPath) -> dict[str, JsonValue]:
        """Return what a merge key brings in: one mapping, or several of which the earlier win.

        Not the loader's own merging, which can grow without bound before anything is counted.
        """
        import yaml

        built: dict[str, JsonValue] = {}
        for each in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):
            value = self.value(each, path)
            if not isinstance(value, dict):
                raise self._wrong(each, "a merge key (<<) needs a mapping, or a list of mappings")
            built.update(value)
        return built

    def _key(self, node: yaml.Node) -> str:
        key = self._scalar(node)
        if not isinstance(key, str):
            raise self._wrong(node, "a key must be text: put it in quotes")
        return key

    def _scalar(self, node: yaml.Node) -> JsonValue:
        import yaml

        try:
            value = self._loader.construct_object(node)
        except yaml.constructor.ConstructorError:
            raise self._wrong(node, "tags (!…) are not allowed: write a plain value") from None
        except (ValueError, LookupError, AttributeError, OverflowError):
            raise self._wrong(node, "the value has no meaning as what it looks like: put it in quotes") from None
        if isinstance(value, str):
            if re.search("[\0\ud800-\udfff]", value):
                raise self._wrong(node, "the text holds a character that cannot be stored: remove the escape")
            return value
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, dt.date):  # a datetime is one, too
            return value.isoformat()
        raise self._wrong(node, "only text, finite numbers, true, false, dates, lists and mappings are allowed")

    def _wrong(self, node: yaml.Node, text: str) -> ConfigurationError:
        return _fault(self._source, node.start_mark.line + 1, text)
