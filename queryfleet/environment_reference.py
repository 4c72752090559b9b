"""`${NAME}` in configuration: the environment has the value, so files and the database hold no secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["has_reference", "is_malformed", "is_only_references", "substituted"]

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def has_reference(text: str) -> bool:
    """Is there a reference anywhere in the text?"""
    return _REFERENCE.search(text) is not None


def is_only_references(text: str) -> bool:
    """Does the text consist of references, one or more, and nothing else?"""
    return bool(text) and _REFERENCE.sub("", text) == ""


def is_malformed(text: str) -> bool:
    """Is there a `${` that does not begin a reference?"""
    return "${" in _REFERENCE.sub("", text)


def substituted(
    text: str, environ: Mapping[str, str], *, field: str, spell: Callable[[int, str], str] | None = None
) -> str:
    """Return the text with each reference replaced by its variable's value, which is not looked into again.

    Args:
        text: With any number of references, also none.
        environ: The environment.
        field: Where the text stands, for the message.
        spell: Turns (position of the reference in `text`, value) into what is inserted; None: the value
            itself.

    Raises:
        ConfigurationError: A variable is not set or empty; the message names it and no value.
    """

    def value_of(match: re.Match[str]) -> str:
        value = environ.get(match[1], "")
        if not value:
            raise ConfigurationError(
                f"the environment variable {match[1]}, which `{field}` refers to, is not set or is empty: "
                f"set it before the service starts",
                variable=match[1],
                field=field,
            )
        return spell(match.start(), value) if spell is not None else value

    return _REFERENCE.sub(value_of, text)
