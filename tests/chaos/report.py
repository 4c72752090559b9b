"""What a run came to, in figures."""

from __future__ import annotations

import re
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

_VARYING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|[0-9.]+ s|[a-z]+_[a-z]+ ")
_SHOWN_CHARACTERS = 500

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.http import Journal
    from tests.chaos.kills import Kill
    from tests.chaos.load import Story
    from tests.chaos.observer import WarehouseObserver


def report(
    *,
    seed: int,
    seconds: float,
    stories: Sequence[Story],
    kills: Sequence[Kill],
    journal: Journal,
    observer: WarehouseObserver,
) -> str:
    """Return the report of a run as Markdown.

    Args:
        seed: Of the run.
        seconds: How long the load lasted.
        stories: Every question.
        kills: Every kill, measured.
        journal: Answers and violations.
        observer: Of the warehouse.
    """
    accepted = [story for story in stories if story.query_uuid is not None]
    ends = Counter(story.status for story in accepted)
    retried = sum(1 for story in accepted if story.attempt > 1)
    failed = Counter(
        "no answer" if answer.status is None else str(answer.status) for answer in journal.answers if not answer.is_good
    )
    lines = [
        f"Seed {seed}; {seconds:.0f} s; {len(accepted)} queries: "
        + ", ".join(f"{count} {status}" for status, count in sorted(ends.items()))
        + f"; {retried} needed more than one attempt; {len(journal.answers)} requests, not good: "
        + (", ".join(f"{count} × {status}" for status, count in sorted(failed.items())) or "none"),
        "",
        "| killed | times | all queries ended, p50 s | max s | no good answers, p50 s | max s |",
        "|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(kill.kind for kill in kills):
        alone = [kill for kill in kills if kill.kind == kind and not kill.overlaps]
        settled = [kill.settled_seconds for kill in alone if kill.settled_seconds is not None]
        silent = [kill.silent_seconds for kill in alone if kill.silent_seconds is not None]
        times = sum(1 for kill in kills if kill.kind == kind)
        lines.append(f"| {kind} | {times} | {_figures(settled)} | {_figures(silent)} |")
    again = sum(1 for sessions in observer.sessions.values() if len(sessions) > 1)
    longest = max([0.0, *(overlap.seconds for overlap in observer.overlaps)])
    lines += [
        "",
        (
            f"Looked at the warehouse {observer.looks} times: {len(observer.sessions)} queries had a session, {again} "
            f"of them more than one; at the same time {len(observer.overlaps)}, for {longest:.1f} s at most."
        ),
    ]
    lines += ["", f"Violations: {len(journal.violations)}", *_told(journal.violations)]
    errors = Counter(story.error.split(":")[0] for story in accepted if story.status == "error")
    if errors:
        lines += ["", "Errors: " + ", ".join(f"{count} × {name}" for name, count in errors.items())]
    return "\n".join(lines)


def _told(violations: Sequence[str]) -> list[str]:
    """Return one line for each that is not the same as an earlier one but for its time and the query."""
    alike: dict[str, tuple[str, int]] = {}
    for text in violations:
        kind = _VARYING.sub("", text)
        first, times = alike.get(kind, (text, 0))
        alike[kind] = (first, times + 1)
    return [f"- {times} × {first[:_SHOWN_CHARACTERS]}" for first, times in alike.values()]


def _figures(values: Sequence[float]) -> str:
    return f"{median(values):.1f} | {max(values):.1f}" if values else "– | –"
