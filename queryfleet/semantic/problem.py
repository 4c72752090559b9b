"""What is wrong with the models of a project, collected instead of raised: one check shows everything."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue, ServiceError

__all__ = ["Problem", "Problems", "Skipped"]

_PLACE: Final = re.compile(r"(?P<file>.+?)(?:, line (?P<line>\d+))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding."""

    message: str  # what is wrong and what to do about it, without the place
    place: str  # `file` or `file, line n`
    is_error: bool  # False: a warning; nothing that was asked for is missing without a reason

    @property
    def text(self) -> str:
        """Return `file, line n: message`."""
        return f"{self.place}: {self.message}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return it for a machine: `severity`, `file`, `line` (from 1, or null) and `message`."""
        match = _PLACE.fullmatch(self.place)
        line = match["line"] if match is not None else None
        return {
            "severity": "error" if self.is_error else "warning",
            "file": match["file"] if match is not None else self.place,
            "line": int(line) if line is not None else None,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A model of a dbt project that was left out on purpose."""

    name: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Problems:
    """A list that fills as models are read; what is found twice is kept once."""

    found: dict[Problem, None] = field(default_factory=dict)  # in the order of finding

    def error(self, place: str, message: str) -> None:
        """Note something that makes a model, a field or an explore unusable."""
        self.found.setdefault(Problem(message=message, place=place, is_error=True))

    def warning(self, place: str, message: str) -> None:
        """Note something that was passed over."""
        self.found.setdefault(Problem(message=message, place=place, is_error=False))

    def raised(self, error: ServiceError, source: str) -> str:
        """Note an error about a file, and return its message without the place.

        Args:
            error: Its message may begin with the place: `source, line n: …`.
            source: What messages call the file.
        """
        place, message = source, error.message
        match = re.match(rf"{re.escape(source)}(?:, line \d+)?(?=: )", message)
        if match is not None:
            place, message = match[0], message[match.end() + 2 :]
        self.error(place, message)
        return message
