"""A long run with a random schedule: `python -m tests.chaos --minutes 10 [--seed 1] [--only "query actor"]`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.run import Run
from tests.chaos.stack import ChaosStack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# How often each kind is killed, compared with the others; the head takes long to come back.
_WEIGHTS = {"nothing": 1, "query actor": 5, "status actor": 4, "database": 4, "warehouse": 4, "head": 1}
_OVERLAPPING = 0.3


def _schedule(kinds: Sequence[str], rng: random.Random, seconds: float) -> Iterator[str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield rng.choices(kinds, [_WEIGHTS.get(kind, 3) for kind in kinds])[0]


def main() -> int:
    """Run, print the report, and return how many promises were broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to kill parts")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--only", action="append", help="a kind of kill; repeatable")
    parser.add_argument("--clients", type=int, default=4, help="how many ask at the same time")
    parser.add_argument("--overlapping", type=float, default=_OVERLAPPING, help="share of kills not waited for")
    parser.add_argument("--keep", type=Path, help="a folder to keep data and logs in")
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        root = wanted.keep or Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        with ChaosStack(root) as stack:
            run = Run(stack, seed=wanted.seed, clients=wanted.clients, overlapping=wanted.overlapping)
            kinds = wanted.only or run.kinds
            outcome = run.carry_out(_schedule(kinds, random.Random(wanted.seed), wanted.minutes * 60))
            outcome.journal.write_bad(root / "bad-answers.txt")
            print(outcome.text, flush=True)
    return min(100, len(outcome.journal.violations))


if __name__ == "__main__":
    sys.exit(main())
