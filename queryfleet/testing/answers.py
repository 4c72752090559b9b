"""What a warehouse answers in a test: tables and errors by SQL text."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from queryfleet.errors import ParameterError, ServiceError, WarehouseQueryError
from queryfleet.testing.scripted_warehouse import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

__all__ = ["Answer", "Answers", "script_of"]

Answer: TypeAlias = "pa.Table | pa.RecordBatch | ServiceError | Script"

_SHOWN_CHARACTERS = 200


class Answers:
    """Finds the script of a statement. Space between words and a semicolon at the end make no difference.

    Args:
        given: Answers by SQL text, or a function from SQL text that returns None for what it does not know.
        dialect: Of the warehouse, for the check of statements.
    """

    def __init__(self, given: Mapping[str, Answer] | Callable[[str], Answer | None], *, dialect: str) -> None:
        self._dialect = dialect
        self._lock = threading.Lock()
        self._made = given if callable(given) else None
        self._scripts = {} if callable(given) else {_words(sql): self._script(given[sql]) for sql in given}

    def put(self, sql: str, answer: Answer) -> None:
        """Add or replace the answer to a statement."""
        with self._lock:
            self._scripts[_words(sql)] = self._script(answer)

    def __call__(self, sql: str) -> Script | None:
        """Return the script of a statement; None for the connecting that comes before there is one.

        Raises:
            WarehouseQueryError: There is no answer; the message shows the statement and what there is.
        """
        if not sql:
            return None
        with self._lock:
            script = self._scripts.get(_words(sql))
        if script is None and self._made is not None:
            answer = self._made(sql)
            script = None if answer is None else self._script(answer)
        if script is None:
            known = "; ".join(repr(_shown(text)) for text in self._scripts) or "none"
            raise WarehouseQueryError(f"The test has no answer for the statement {_shown(sql)!r}. It has: {known}.")
        return script

    def _script(self, answer: Answer) -> Script:
        return replace(script_of(answer), dialect=self._dialect)


def script_of(answer: Answer, *, delay_seconds: float = 0.0, pause: bool = False) -> Script:
    """Return what a statement does that answers so.

    Args:
        answer: Rows, or the error that the warehouse refuses the statement with.
        delay_seconds: How long the warehouse works before the first row; a cancel ends it.
        pause: Stop before the first row until `session.release("schema")`, or a cancel.

    Raises:
        ParameterError: `answer` is nothing of the kind.
    """
    import pyarrow as pa

    if isinstance(answer, Script):
        return answer
    timing = {"schema": delay_seconds} if delay_seconds else {}
    pauses = ("schema",) if pause else ()
    if isinstance(answer, ServiceError):
        return Script(schema=pa.schema([]), failures={"schema": answer}, delays=timing, pauses=pauses)
    if isinstance(answer, pa.RecordBatch):
        answer = pa.Table.from_batches([answer])
    if not isinstance(answer, pa.Table):
        raise ParameterError(f"An answer is a table or an error, not {type(answer).__name__}.")
    return Script(batches=tuple(answer.to_batches()), schema=answer.schema, delays=timing, pauses=pauses)


def _words(sql: str) -> str:
    return " ".join(sql.split()).rstrip("; ")


def _shown(sql: str) -> str:
    text = _words(sql)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
