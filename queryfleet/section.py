"""One mapping of a configuration file, taken apart key by key.

Each way of taking a value names, when it fails, the place, the key, what was found and what should stand
there. It does not repeat the value: a secret may have ended up under the wrong key. A key without a value
counts as not given.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, JsonValue

if TYPE_CHECKING:
    from collections.abc import Collection

    from queryfleet.yaml_document import YamlDocument, YamlPath

__all__ = ["Section", "nearest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A mapping and where it stands."""

    document: YamlDocument
    values: dict[str, JsonValue]
    path: YamlPath = ()

    @classmethod
    def of(cls, document: YamlDocument) -> Section:
        """Return the mapping at the top of a document.

        Raises:
            ConfigurationError: Something else is there.
        """
        if not isinstance(document.value, dict):
            raise ConfigurationError(
                f"{document.where(())}: expected a mapping of `key: value` lines, found {_kind(document.value)}"
            )
        return cls(document=document, values=document.value)

    def error(self, key: str | None, text: str) -> ConfigurationError:
        """Return an error about one key, or the whole mapping: `file, line n: key text`."""
        if key is None:
            path = self.path
            name = ".".join(str(step) for step in path)
        else:
            path = (*self.path, key)
            name = ".".join(str(step) for step in path)
        return ConfigurationError(f"{self.document.where(path)}: {f'`{name}` ' if name else ''}{text}", field=name)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Check that every key is one of `known`.

        Raises:
            ConfigurationError: One is not; the message has its line and the nearest right name.
        """
        for key in self.values:
            if key not in known:
                raise self.error(key, f"is not a known key; {nearest(key, known)}")

    def text(self, key: str) -> str | None:
        """Return text that is not empty, or None when the key is not given."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.error(key, f"must be text, found {_kind(value)}: put it in quotes")
        if not value.strip():
            raise self.error(key, "is empty: give it a value or remove the line")
        return value

    def required_text(self, key: str, example: str) -> str:
        """Return text that must be there; `example` is shown when it is not."""
        value = self.text(key)
        if value is None:
            raise self.error(None, f"lacks `{key}`: add a line such as `{key}: {example}`") from None
        return value

    def one_of(self, key: str, allowed: Collection[str]) -> str | None:
        """Return text that is one of `allowed`, or None when the key is not given."""
        value = self.text(key)
        if value is not None and value not in allowed:
            raise self.error(key, f"has a value that is not known; {nearest(value, allowed)}")
        return value

    def whole(self, key: str, *, low: int, high: int) -> int | None:
        """Return a whole number from `low` to `high`, or None when the key is not given."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be a whole number from {low} to {high}, found {_kind(value)}")
        if not low <= value <= high:
            raise self.error(key, f"must be a whole number from {low} to {high}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false without quotes, found {_kind(value)}")
        return value

    def mapping(self, key: str) -> dict[str, JsonValue]:
        """Return a mapping, empty when the key is not given."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(key, f"must be a mapping of `key: value` lines, found {_kind(value)}")
        return value

    def section(self, key: str) -> Section:
        """Return a mapping as a section of its own, empty when the key is not given."""
        return Section(document=self.document, values=self.mapping(key), path=(*self.path, key))


def nearest(word: str, known: Collection[str]) -> str:
    """Return advice: the known name most like `word`, or all of them when none is like it."""
    close = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"choose one of: {', '.join(sorted(known))}"


def _kind(value: JsonValue) -> str:
    """Return what a value is, in a reader's words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"
