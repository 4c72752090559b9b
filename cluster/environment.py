"""The environment that every `ray start` of a cluster needs, from one place.

Why each is set stands beside it; what was measured stands in `docs/architecture.md`.
"""

from __future__ import annotations

__all__ = ["RAY_ENVIRONMENT"]

RAY_ENVIRONMENT: dict[str, str] = {
    # Ray nices every worker, replicas too. Ours stay at 0, and query actors step back by themselves.
    "RAY_worker_niceness": "0",
    # HAProxy in front of the replicas answers several times as many polls as the Python proxy.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    # A node that is cut off is noticed in about 9 s instead of 65 s.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    # Replacements of query actors are ready one import earlier.
    "RAY_preload_python_modules": "pyarrow",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}
