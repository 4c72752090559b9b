"""Questions whose rows are known without asking anybody."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

KINDS = ("shop_short", "ledger_short", "shop_long", "ledger_long", "ledger_silent", "cancelled")
_WEIGHTS = (4, 4, 2, 4, 1, 2)
_FILLER = 8000  # characters of a row: so many that the rows of two seconds come in several batches
_DUCKDB_ELEMENTS = 2000  # of the list that makes every row of a long question cost something


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One statement and what must come back. `serial` makes its text, and so its rows, those of no other."""

    kind: str
    project: Literal["shop", "ledger"]
    serial: int
    row_count: int
    sql: str
    cancel_after_seconds: float | None = None  # None: it is left alone

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield every row of the result, in order."""
        for n in range(1, self.row_count + 1):
            hashed = hashlib.md5(f"{n}/{self.serial}".encode(), usedforsecurity=False).hexdigest()
            row: dict[str, object] = {"n": n, "hash": hashed}
            if self.kind in ("ledger_long", "cancelled"):
                row |= {"filler": chr(65 + n % 26) * _FILLER, "slept": ""}
            elif self.kind == "shop_long":
                row |= {"total": n * (_DUCKDB_ELEMENTS - 1) * _DUCKDB_ELEMENTS // 2}
            yield row

    def stored_bytes(self) -> bytes:
        """Return what all chunks must hold, one after the other."""
        return b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in self.rows())


def question(rng: random.Random, serial: int, kind: str | None = None) -> Question:
    """Make a question; about 2 s of work for the long ones on an idle machine.

    Args:
        rng: Decides kind and sizes.
        serial: Not used before.
        kind: One of `KINDS`; None: any.
    """
    kind = kind or rng.choices(KINDS, _WEIGHTS)[0]
    hashed = f"md5(n::text || '/{serial}') as hash"
    cancel_after = rng.uniform(0.0, 1.2) if kind == "cancelled" else None
    if kind == "shop_short":
        count = rng.randint(1, 3000)
        sql = f"select n, {hashed} from range(1, {count + 1}) as t(n) order by n"
    elif kind == "shop_long":
        count = rng.randint(10_000, 30_000)
        total = f"list_sum(list_transform(range({_DUCKDB_ELEMENTS}), lambda x: x * n))::bigint as total"
        sql = f"select n, {hashed}, {total} from range(1, {count + 1}) as t(n)"
    elif kind == "ledger_short":
        count = rng.randint(1, 3000)
        sql = f"select n, {hashed} from generate_series(1, {count}) as s(n) order by n"
    elif kind == "ledger_silent":
        # Nothing to read until the end: its server session learns nothing from writing to a client that is gone.
        count = rng.randint(10, 100)
        wait = f"(select pg_sleep({rng.uniform(1.5, 3.0):.2f})::text as slept offset 0)"
        sql = f"select n, {hashed} from generate_series(1, {count}) as s(n), {wait} w where slept = '' order by n"
    else:
        count = rng.randint(80, 250)
        pause = "pg_sleep(0.01)::text as slept"
        sql = f"select n, {hashed}, repeat(chr(65 + n % 26), {_FILLER}) as filler, {pause} from generate_series(1, {count}) as s(n)"  # noqa: E501 - one statement
    project: Literal["shop", "ledger"] = "shop" if kind.startswith("shop") else "ledger"
    return Question(
        kind=kind, project=project, serial=serial, row_count=count, sql=sql, cancel_after_seconds=cancel_after
    )
