"""Run benchmarks and print what they found as Markdown.

python -m bench [names…] [--quick] [--readme] [--megabytes 1000]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine import load_average, machine_line
from bench.report import Report, markdown, without_targets
from bench.stand import Stand

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = (
    "encode",
    "compile",
    "pivot",
    "pivot_heavy",
    "pivot_memory",
    "pivot_scaling",
    "format_page",
    "page",
    "poll",
    "first_page",
    "trivial",
    "memory",
    "end_to_end",
    "export",
    "fan_out",
    "ray_dataset",
    "dashboard",
    "start_up",
    "client",
)
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, or all; returns 1 when one of them could not be run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run benchmarks; see bench/README.md.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which ones; all of them: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: see that they work; no figures to quote")
    parser.add_argument("--readme", action="store_true", help="put what was found into bench/README.md")
    parser.add_argument("--megabytes", type=int, default=250, help="stored lines that `client` reads (default: 250)")
    options = parser.parse_args(arguments)
    names = options.names or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(NAMES)}")
    head = machine_line() + (" (`--quick`: small sizes)" if options.quick else "")
    print(head, flush=True)
    sections, failed = [head + "\n"], []
    with (
        tempfile.TemporaryDirectory(prefix="queryfleet-bench-") as folder,
        Stand(Path(folder), quick=options.quick, megabytes=options.megabytes) as stand,
    ):
        for name in names:
            section = _section(name, stand)
            if section is None:
                failed.append(name)
            else:
                sections.append(section)
                print(f"\n{section}", flush=True)
    if failed:
        print(f"could not be run: {', '.join(failed)}", file=sys.stderr)
    elif options.readme:
        _put_into_readme("\n".join(sections))
    return 1 if failed else 0


def _section(name: str, stand: Stand) -> str | None:
    """Run one benchmark; None when it failed, its traceback printed."""
    load_before, began = load_average(), time.monotonic()
    try:
        report = importlib.import_module(f"bench.{name}").run(stand)
    except Exception:  # noqa: BLE001 - the others are still worth running
        traceback.print_exc()
        return None
    assert isinstance(report, Report)
    if stand.quick:
        report = without_targets(report)
    return markdown(name, report, load=(load_before, load_average()), took_seconds=time.monotonic() - began)


def _put_into_readme(text: str) -> None:
    old = README.read_text(encoding="utf-8")
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
