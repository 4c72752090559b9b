"""What a benchmark found, and how it is printed: Markdown that goes into README.md as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Finding", "Report", "markdown", "milliseconds", "seconds", "times", "without_targets"]

_HEAD = ("measurement", "queryfleet", "compared with", "ratio", "target", "met")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a table. Figures are texts with their units."""

    what: str
    ours: str
    other: str = ""  # what it is compared with, and that one's figure
    ratio: str = ""
    target: str = ""  # empty: there is none
    met: bool | None = None  # None: there is no target


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one benchmark found."""

    findings: tuple[Finding, ...]
    setting: str  # one sentence: sizes, numbers of runs


def markdown(name: str, report: Report, *, load: tuple[float, float], took_seconds: float) -> str:
    """Return a section: heading, conditions, table.

    Args:
        name: Of the benchmark.
        report: What it found.
        load: The machine's load average of one minute before and after.
        took_seconds: Length of the run, preparation included.
    """
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(finding) for finding in report.findings)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    conditions = f"Load average {load[0]:.2f} before, {load[1]:.2f} after; took {took_seconds:.0f} s."
    return f"### {name}\n\n{report.setting} {conditions}\n\n{table}\n"


def _cells(finding: Finding) -> tuple[str, ...]:
    met = "" if finding.met is None else ("yes" if finding.met else "**no**")
    return (finding.what, finding.ours, finding.other, finding.ratio, finding.target, met)


def without_targets(report: Report) -> Report:
    """Return the same figures unjudged: small sizes say nothing about targets that are set for large ones."""
    return replace(report, findings=tuple(replace(finding, met=None) for finding in report.findings))


def milliseconds(value_seconds: float) -> str:
    """Spell a time given in seconds as milliseconds."""
    value = value_seconds * 1000
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def seconds(value: float) -> str:
    """Spell a time in seconds."""
    return f"{value:.2f} s"


def times(value: float) -> str:
    """Spell a ratio."""
    return f"{value:,.0f}x" if value >= 20 else f"{value:.1f}x" if value >= 5 else f"{value:.2f}x"
