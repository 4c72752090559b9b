"""The end of a run: what must hold of every acknowledged query, seen from outside."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from tests.chaos.load import ENDED
from tests.servers.http_api import raw_rows
from tests.servers.service_process import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.http import Answer, Http, Journal
    from tests.chaos.load import Load, Story
    from tests.chaos.observer import WarehouseObserver
    from tests.chaos.stack import ChaosStack

OVERLAP_SECONDS = 0.5  # how long a query may have two server sessions: the older one is being ended
CLEAN_SECONDS = 60.0  # for the janitor to have removed what killed attempts left
_READ_SECONDS = 60.0
# What may end a query in `error`: the part that was away, named. Everything else must end as if nothing had happened.
_EXCUSES = ("WarehouseConnectionError", "S3Error")


class Verdict:
    """Checks one run whose load has ended.

    Args:
        stack: Everything runs again.
        http: To the service.
        load: Its stories are checked.
        observer: Of the warehouse; has ended.
        journal: Gets what is wrong.
    """

    def __init__(
        self, stack: ChaosStack, http: Http, load: Load, observer: WarehouseObserver, journal: Journal
    ) -> None:
        self._stack = stack
        self._http = http
        self._load = load
        self._observer = observer
        self._journal = journal
        self._stories = [story for story in load.snapshot() if story.query_uuid is not None]

    def check(self) -> None:
        """Check everything; what is wrong is in the journal then."""
        self._check_database()
        for story in self._stories:
            self._check_end(story)
        ready = [story for story in self._stories if story.status == "ready"]
        for story in ready:
            self._check_pages(story)
        self._check_objects(ready)
        self._check_warehouse()

    def _check_end(self, story: Story) -> None:
        """It has ended, still in the state first seen, and in one that the asker's own doing explains."""
        answer = self._read(self._load.path(story))
        if not answer.is_good:
            self._journal.accuse(f"{story.name}: {answer.described()} at the end")
            return
        self._load.note(story, answer.results, answer.ended_at)
        if story.status not in ENDED:
            self._journal.accuse(f"{story.name}: {story.status} at the end")
        if story.status == "cancelled" and story.question.cancel_after_seconds is None:
            self._journal.accuse(f"{story.name}: nobody cancelled it")
        if story.status == "error" and not story.error.startswith(_EXCUSES):
            self._journal.accuse(f"{story.name}: ended with {story.error}")

    def _read(self, path: str) -> Answer:
        answer = self._http.ask("GET", path)
        deadline = time.monotonic() + _READ_SECONDS
        while answer.status in (None, 503) and time.monotonic() < deadline:
            wait_until(lambda: False, seconds=answer.retry_seconds)
            answer = self._http.ask("GET", path)
        return answer

    def _check_pages(self, story: Story) -> None:
        """Every page, whatever its size, has exactly the rows it must have."""
        expected = list(story.question.rows())
        size = 977 if len(expected) > 977 else 61
        rows: list[dict[str, object]] = []
        page: int | None = 1
        while page is not None:
            answer = self._read(self._load.path(story, f"?page={page}&pageSize={size}"))
            if not answer.is_good:
                self._journal.accuse(f"{story.name}: page {page}: {answer.described()}")
                return
            poll = answer.results
            if poll["totalResults"] != len(expected):
                self._journal.accuse(f"{story.name}: {poll['totalResults']} rows, not {len(expected)}")
                return
            rows += raw_rows(poll)
            page = poll.get("nextPage")
        if rows != expected:
            self._journal.accuse(f"{story.name}: the pages are not what was asked for")

    def _check_database(self) -> None:
        """One query for each Idempotency-Key, and none that runs."""
        with self._stack.status_connection() as connection:
            rows = connection.execute("select query_uuid::text, idempotency_key, status, attempt from query").fetchall()
        by_key: dict[str, list[str]] = {}
        for query_uuid, key, _, _ in rows:
            by_key.setdefault(key, []).append(query_uuid)
        for story in self._load.snapshot():
            found = by_key.pop(story.key, [])
            if story.query_uuid is not None and found != [story.query_uuid]:
                self._journal.accuse(f"{story.name}: stored as {found}")
        if by_key:
            self._journal.accuse(f"queries nobody asked for: {by_key}")
        for query_uuid, _, status, attempt in rows:
            if status not in ENDED:
                self._journal.accuse(f"{query_uuid} is {status} in the database, attempt {attempt}")

    def _check_objects(self, ready: list[Story]) -> None:
        """The store has the chunks of ready results, byte for byte, and soon nothing else."""
        attempts = self._attempts_with_rows()
        for story in ready:
            folder = self._stack.results_folder / str(story.query_uuid) / str(attempts.get(str(story.query_uuid)))
            stored = b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl")))
            if hashlib.sha256(stored).digest() != hashlib.sha256(story.question.stored_bytes()).digest():
                self._journal.accuse(f"{story.name}: its chunks in {folder} are not what was asked for")
        if not wait_until(lambda: not self._strangers(attempts), seconds=CLEAN_SECONDS):
            for path in self._strangers(attempts)[:20]:
                self._journal.accuse(f"left in the store: {path.relative_to(self._stack.results_folder)}")

    def _attempts_with_rows(self) -> dict[str, int]:
        with self._stack.status_connection() as connection:
            rows = connection.execute("select query_uuid::text, attempt from query where status = 'ready'").fetchall()
        return dict(rows)

    def _strangers(self, attempts: dict[str, int]) -> list[Path]:
        """Return the stored files that belong to no ready result."""
        files = [path for path in self._stack.results_folder.rglob("*") if path.is_file()]
        return [path for path in files if str(attempts.get(path.parts[-3])) != path.parts[-2]]

    def _check_warehouse(self) -> None:
        """No query had two sessions for longer than it takes to end one, and none has any now."""
        for overlap in self._observer.overlaps:
            if overlap.seconds > OVERLAP_SECONDS:
                since = overlap.began_at - self._journal.began_at
                self._journal.accuse(
                    f"{overlap.query_uuid} had {len(overlap.sessions)} sessions in the warehouse for "
                    f"{overlap.seconds:.1f} s from {since:.1f} s on"
                )
        if self._observer.now:
            self._journal.accuse(f"sessions left in the warehouse: {self._observer.now}")
