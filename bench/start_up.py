"""How long the client and the command line take until they can do something.

Each is a new Python process, timed from outside in turn with one that does nothing, which is the baseline. Importing
is what is left after that; the command line is shown whole, since that is what a person waits for. The processes have
the files of this environment in the system's cache.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.figures import median
from bench.report import Finding, Report, milliseconds

if TYPE_CHECKING:
    from bench.stand import Stand

__all__ = ["run"]

IMPORT_TARGET, HELP_TARGET = 0.150, 0.300  # seconds
COMMANDS = {
    "nothing": ["-c", "pass"],
    "package": ["-c", "import queryfleet"],
    "client": ["-c", "from queryfleet import Client"],
    "both": ["-c", "from queryfleet import AsyncClient, Client"],
    "made": ["-c", "from queryfleet import Client; Client('http://127.0.0.1:9', token='t')"],
    "help": ["-m", "queryfleet.cli", "--help"],
}


def run(stand: Stand) -> Report:
    """Start each many times, in turn. Takes about half a minute."""
    rounds = 5 if stand.quick else 25
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(-2, rounds):
        for name, arguments in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if number >= 0:
                taken[name].append(time.perf_counter() - began)
    whole = {name: median(values) for name, values in taken.items()}
    alone = whole["nothing"]

    def finding(what: str, name: str, target: float | None = None) -> Finding:
        seconds = whole[name] - alone if name != "help" else whole[name]
        return Finding(
            what=what,
            ours=milliseconds(seconds),
            other=f"Python alone: {milliseconds(alone)}",
            target="" if target is None else f"< {milliseconds(target)}",
            met=None if target is None else seconds < target,
        )

    return Report(
        findings=(
            finding("`import queryfleet`", "package"),
            finding("`from queryfleet import Client`", "client", IMPORT_TARGET),
            finding("both clients", "both"),
            finding("a client that is made, its HTTP library loaded", "made"),
            finding("`queryfleet --help`, the whole process", "help", HELP_TARGET),
        ),
        setting=f"Medians of {rounds} processes each, in turn.",
    )
