"""Measurements through Ray: each node's metrics port shows them as `ray_<name>`, for Prometheus to collect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.util.metrics import Counter, Gauge, Histogram

from queryfleet.telemetry import METRICS, MetricKind

if TYPE_CHECKING:
    from queryfleet.telemetry import Metric

__all__ = ["RayMeter"]


class RayMeter:
    """A `queryfleet.telemetry.Meter` for processes of a Ray cluster. Metrics are made on first use."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def _metric(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _made(METRICS[name])
        return self._known[name]

    def count(self, name: str, amount: float = 1.0, **tags: str) -> None:
        """Add to a counter; adding nothing is no error."""
        if amount > 0:
            self._metric(name).inc(amount, tags=tags)

    def set(self, name: str, value: float, **tags: str) -> None:
        """Set a gauge."""
        self._metric(name).set(value, tags=tags)

    def observe(self, name: str, value: float, **tags: str) -> None:
        """Add an observation to a histogram."""
        self._metric(name).observe(value, tags=tags)


def _made(metric: Metric) -> Any:
    match metric.kind:
        case MetricKind.COUNTER:
            return Counter(metric.name, description=metric.help, tag_keys=metric.tags)
        case MetricKind.GAUGE:
            return Gauge(metric.name, description=metric.help, tag_keys=metric.tags)
        case MetricKind.HISTOGRAM:
            return Histogram(metric.name, description=metric.help, boundaries=list(metric.bounds), tag_keys=metric.tags)
