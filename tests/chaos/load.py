"""A steady load of questions, and the story of each as its asker saw it."""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.questions import Question, question
from tests.chaos.stack import PROJECTS
from tests.servers.http_api import raw_rows

if TYPE_CHECKING:
    from tests.chaos.http import Answer, Http, Journal

ENDED = ("ready", "error", "cancelled")
GIVE_UP_SECONDS = 180.0
_FAILED_PAUSE_SECONDS = 0.2
_FIRST_ROWS = 100  # of a page read while a query runs, or right after it became ready


@dataclass(slots=True)
class Story:
    """One query from its asker's side. Times are seconds of `time.monotonic`."""

    question: Question
    key: str  # Idempotency-Key
    query_uuid: str | None = None
    accepted_at: float | None = None
    ended_at: float | None = None  # when an answer first said that it had ended
    status: str = "unknown"  # latest
    attempt: int = 0  # latest
    error: str = ""
    cancel_answered: bool = False
    polls: int = 0
    seen: list[str] = field(default_factory=list)  # statuses, each where it changed

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.question.kind} {self.query_uuid or self.key}"


class Load:
    """Clients that ask one question after the other.

    Args:
        http: To the service.
        journal: Gets what is wrong.
        seed: Decides what is asked.
        clients: How many ask at the same time.
    """

    def __init__(self, http: Http, journal: Journal, *, seed: int, clients: int) -> None:
        self._http = http
        self._journal = journal
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._serial = 0
        self.stories: list[Story] = []
        self._threads = [
            threading.Thread(target=self._ask_on, args=(random.Random(seed * 1000 + number),), daemon=True)
            for number in range(clients)
        ]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Ask nothing new, and return when every question has been answered or given up."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def snapshot(self) -> list[Story]:
        """Return the stories so far."""
        with self._lock:
            return list(self.stories)

    def open_stories(self) -> list[Story]:
        """Return the acknowledged queries whose end nobody has seen yet."""
        return [story for story in self.snapshot() if story.accepted_at is not None and story.ended_at is None]

    def _ask_on(self, rng: random.Random) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._serial += 1
                story = Story(question=question(rng, self._serial), key=uuid.uuid4().hex)
                self.stories.append(story)
            try:
                self._live_through(story, rng)
            except Exception as error:  # noqa: BLE001 - a client that ends silently would hide what it saw
                self._journal.accuse(f"{story.name}: the answer could not be used: {type(error).__name__}: {error}")

    def _live_through(self, story: Story, rng: random.Random) -> None:
        if not self._post(story):
            return
        if rng.random() < 0.1:
            self._post_again(story)
        after = story.question.cancel_after_seconds
        if after is not None:
            self._poll_until_ended(story, rng, seconds=after)
            if story.ended_at is None:
                self._cancel(story)
        self._poll_until_ended(story, rng, seconds=GIVE_UP_SECONDS)
        if story.ended_at is None:
            self._journal.accuse(f"{story.name}: {story.status} still, {GIVE_UP_SECONDS:.0f} s after it was accepted")

    def path(self, story: Story, rest: str = "") -> str:
        """Return the route of a story's query."""
        return f"/api/v2/projects/{PROJECTS[story.question.project]}/query/{story.query_uuid}{rest}"

    def _execute(self, story: Story) -> Answer:
        path = f"/api/v2/projects/{PROJECTS[story.question.project]}/query/sql"
        return self._http.ask("POST", path, {"sql": story.question.sql, "invalidateCache": True}, key=story.key)

    def _post(self, story: Story) -> bool:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline and not self._stop.is_set():
            answer = self._execute(story)
            if answer.is_good:
                story.query_uuid, story.accepted_at = answer.results["queryUuid"], answer.ended_at
                return True
            self._failed(story, answer)
        return False

    def _post_again(self, story: Story) -> None:
        answer = self._execute(story)
        if not answer.is_good:
            self._failed(story, answer)
        elif answer.results["queryUuid"] != story.query_uuid:
            self._journal.accuse(f"{story.name}: the same Idempotency-Key gave {answer.results['queryUuid']} too")

    def _cancel(self, story: Story) -> None:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            answer = self._http.ask("POST", self.path(story, "/cancel"))
            if answer.is_good:
                story.cancel_answered = True
                return
            self._failed(story, answer)

    def _failed(self, story: Story, answer: Answer) -> None:
        """Judge an answer that is not good, and pause as it asks."""
        if answer.status is not None and (answer.status != 503 or "retry-after" not in answer.headers):
            self._journal.accuse(f"{story.name}: {answer.described()}")
        if b"Traceback" in answer.body:
            self._journal.accuse(f"{story.name}: a traceback in an answer")
        threading.Event().wait(answer.retry_seconds if answer.status else _FAILED_PAUSE_SECONDS)

    def _poll_until_ended(self, story: Story, rng: random.Random, *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while story.ended_at is None and (left := deadline - time.monotonic()) > 0:
            wait_ms = rng.choice((0, 200, 500, 1000))
            page = f"&page=1&pageSize={_FIRST_ROWS}" if rng.random() < 0.3 else ""
            answer = self._http.ask("GET", self.path(story, f"?waitMs={min(wait_ms, int(left * 1000))}{page}"))
            if not answer.is_good:
                self._failed(story, answer)
                continue
            self.note(story, answer.results, answer.ended_at)
            if wait_ms == 0:
                threading.Event().wait(0.05)

    def note(self, story: Story, poll: dict[str, Any], at: float) -> None:
        """Take an answer into the story, and accuse the service when it contradicts an earlier one."""
        status, attempt = poll["status"], poll["attempt"]
        if story.status in ENDED and status != story.status:
            self._journal.accuse(f"{story.name}: was {story.status} and is {status}")
        if attempt < story.attempt:
            self._journal.accuse(f"{story.name}: attempt {attempt} after attempt {story.attempt}")
        if "rows" in poll:
            self._compare_first_rows(story, poll)
        if not story.seen or story.seen[-1] != status:
            story.seen.append(status)
        story.polls += 1
        story.status, story.attempt = status, attempt
        if status in ENDED and story.ended_at is None:
            story.ended_at = at
            story.error = f"{poll.get('errorName')}: {poll.get('error')}" if status == "error" else ""

    def _compare_first_rows(self, story: Story, poll: dict[str, Any]) -> None:
        rows = raw_rows(poll)
        expected = story.question.rows()
        if rows != [next(expected) for _ in rows]:
            self._journal.accuse(f"{story.name}: wrong rows on the first page while {poll['status']}")
