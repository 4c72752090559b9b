"""One run: a load, a schedule of kills, and the verdict."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.http import Http, Journal
from tests.chaos.kills import Kill, Killer
from tests.chaos.load import Load
from tests.chaos.observer import WarehouseObserver
from tests.chaos.report import report
from tests.chaos.verdict import Verdict
from tests.servers.service_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.load import Story
    from tests.chaos.stack import ChaosStack

SETTLE_SECONDS = 15.0  # the promise: from when a part is back until every query accepted before has ended
_BREAK_CONNECTIONS = ("serve replica", "haproxy", "proxy actor", "worker node", "head")
_LEAVE_SECONDS = 10.0  # for the last sessions to leave the warehouse
# Between a kill and the next one of those that may overlap; a worker or head that is being replaced is awaited.
_PAUSE = (0.5, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    stories: list[Story]
    kills: list[Kill]
    journal: Journal
    text: str  # the report


class Run:
    """A load on a stack while parts of it are killed.

    Args:
        stack: Runs.
        seed: Decides questions, victims and moments.
        clients: How many ask at the same time.
        overlapping: The share of kills after which the next one does not wait for the recovery.
    """

    def __init__(self, stack: ChaosStack, *, seed: int, clients: int = 4, overlapping: float = 0.0) -> None:
        self._stack = stack
        self._seed = seed
        self._rng = random.Random(seed)
        self._overlapping = overlapping
        self.journal = Journal()
        self._http = Http(stack.url, stack.token, self.journal)
        self._load = Load(self._http, self.journal, seed=seed, clients=clients)
        self._observer = WarehouseObserver(stack.warehouse_url)
        self._killer = Killer(stack, self._rng)
        self.kills: list[Kill] = []
        self._is_unsettled = False  # the latest kill was not waited for

    @property
    def kinds(self) -> tuple[str, ...]:
        """What can be killed."""
        return self._killer.kinds

    def carry_out(self, schedule: Iterable[str]) -> Outcome:
        """Kill what `schedule` says, one after the other, under load; then let the load end and judge."""
        began_at = time.monotonic()
        self._observer.start()
        self._load.start()
        try:
            self._pause()
            for kind in schedule:
                self._kill(kind)
            self._load.finish()
            wait_until(lambda: not self._observer.now, seconds=_LEAVE_SECONDS)
        finally:
            self._observer.stop()
        seconds = time.monotonic() - began_at
        self._measure()
        self._check_unanswered()
        Verdict(self._stack, self._http, self._load, self._observer, self.journal).check()
        stories = self._load.snapshot()
        text = report(
            seed=self._seed,
            seconds=seconds,
            stories=stories,
            kills=self.kills,
            journal=self.journal,
            observer=self._observer,
        )
        return Outcome(stories=stories, kills=self.kills, journal=self.journal, text=text)

    def _pause(self) -> None:
        threading.Event().wait(self._rng.uniform(*_PAUSE))

    def _kill(self, kind: str) -> None:
        waits = self._rng.random() >= self._overlapping
        kill = Kill(kind=kind, overlaps=self._is_unsettled or not waits)
        self.kills.append(kill)
        self._killer.kill(kill)
        print(f"{kill.at - self.journal.began_at:7.1f} s  {kind} {kill.detail}", flush=True)
        if waits:
            self._await_settled(kill)
        self._is_unsettled = not waits
        self._pause()

    def _await_settled(self, kill: Kill) -> None:
        """Return when every query accepted before the part was back has ended."""

        def is_settled() -> bool:
            return not any(story.accepted_at <= kill.back_at for story in self._load.open_stories())

        wait_until(is_settled, seconds=120)

    def _check_unanswered(self) -> None:
        """A connection that gives no answer belongs to a proxy, a replica or a node that was killed just before."""
        for answer in self.journal.answers:
            told = any(
                kill.kind in _BREAK_CONNECTIONS
                and answer.ended_at >= kill.at
                and answer.began_at <= kill.back_at + 10.0
                for kill in self.kills
            )
            if answer.status is None and not told:
                since = answer.began_at - self.journal.began_at
                self.journal.accuse(f"at {since:.1f} s, with every proxy running: {answer.described()}")

    def _measure(self) -> None:
        stories = [story for story in self._load.snapshot() if story.accepted_at is not None]
        for number, kill in enumerate(self.kills):
            until = self.kills[number + 1].at if number + 1 < len(self.kills) else float("inf")
            touched = [
                story
                for story in stories
                if story.accepted_at <= kill.back_at and (story.ended_at is None or story.ended_at > kill.at)
            ]
            late = [story.ended_at - kill.back_at for story in touched if story.ended_at is not None]
            kill.settled_seconds = max([0.0, *late])
            failed = [a.ended_at for a in self.journal.answers if not a.is_good and kill.at <= a.ended_at < until]
            kill.silent_seconds = max(failed) - kill.at if failed else 0.0
            if not kill.overlaps and kill.settled_seconds > SETTLE_SECONDS:
                slow = [story.name for story in touched if (story.ended_at or 0) - kill.back_at > SETTLE_SECONDS]
                self.journal.accuse(
                    f"{kill.kind} killed at {kill.at - self.journal.began_at:.1f} s ({kill.detail}): "
                    f"{kill.settled_seconds:.1f} s until {slow} had ended"
                )
