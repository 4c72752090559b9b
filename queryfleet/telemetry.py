"""Logs and metrics: what they are called and how they leave a process.

A log line is one JSON object with `query_uuid` where there is one, never a secret and never a row. Metrics are listed
in `METRICS`; the cluster's way to export them is a `Meter` that is handed in.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

__all__ = ["METRICS", "Meter", "Metric", "MetricKind", "NoMeter", "configure_logging"]


def configure_logging(level: str = "INFO") -> None:
    """Set up structlog for this process; call once, before anything logs."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


class MetricKind(StrEnum):
    """What a metric does."""

    COUNTER = "counter"  # only grows
    GAUGE = "gauge"  # what is true now
    HISTOGRAM = "histogram"  # how observations are spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. Its name ends in its unit; its tags have few possible values."""

    name: str
    kind: MetricKind
    help: str
    tags: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # upper bounds of a histogram's buckets


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="queryfleet_queue_queries", kind=MetricKind.GAUGE, help="Queries that wait for an actor."),
        Metric(
            name="queryfleet_queue_oldest_seconds", kind=MetricKind.GAUGE, help="Wait of the query that waits longest."
        ),
        Metric(name="queryfleet_running_queries", kind=MetricKind.GAUGE, help="Queries that run."),
        Metric(name="queryfleet_pool_actors", kind=MetricKind.GAUGE, help="Query actors.", tags=("state",)),
        Metric(
            name="queryfleet_queries_total",
            kind=MetricKind.COUNTER,
            help="Attempts that ended, by outcome and, for errors, by the error's name.",
            tags=("outcome", "error"),
        ),
        Metric(
            name="queryfleet_phase_seconds",
            kind=MetricKind.HISTOGRAM,
            help="Time spent in each phase: queue, connect, execute, fetch, finish, total.",
            tags=("phase",),
            bounds=_SECONDS,
        ),
        Metric(name="queryfleet_rows_total", kind=MetricKind.COUNTER, help="Rows stored by finished queries."),
        Metric(name="queryfleet_bytes_total", kind=MetricKind.COUNTER, help="Bytes of JSONL stored by them."),
        Metric(
            name="queryfleet_attempts_lost_total",
            kind=MetricKind.COUNTER,
            help="Attempts taken from an actor: its process died, or its lease ran out.",
            tags=("reason",),
        ),
        Metric(
            name="queryfleet_store_retries_total",
            kind=MetricKind.COUNTER,
            help="Object store operations that were repeated.",
        ),
        Metric(name="queryfleet_pages_total", kind=MetricKind.COUNTER, help="Result pages served."),
        Metric(
            name="queryfleet_page_seconds",
            kind=MetricKind.HISTOGRAM,
            help="Time to read and render one page.",
            bounds=_SECONDS[:10],
        ),
        Metric(
            name="queryfleet_exports_total",
            kind=MetricKind.COUNTER,
            help="Files of results that were begun.",
            tags=("format",),
        ),
        Metric(
            name="queryfleet_cleaned_total",
            kind=MetricKind.COUNTER,
            help="What the janitor removed: expired results, orphaned objects, queries of the history.",
            tags=("kind",),
        ),
    )
}


class Meter(Protocol):
    """Takes measurements of the metrics in `METRICS`. Never raises for a known name and its tags; never blocks."""

    def count(self, name: str, amount: float = 1.0, **tags: str) -> None:
        """Add to a counter."""
        ...

    def set(self, name: str, value: float, **tags: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, value: float, **tags: str) -> None:
        """Add an observation to a histogram."""
        ...


class NoMeter:
    """Takes measurements and forgets them."""

    def count(self, name: str, amount: float = 1.0, **tags: str) -> None:
        """Do nothing."""

    def set(self, name: str, value: float, **tags: str) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, **tags: str) -> None:
        """Do nothing."""
