"""The Serve deployment of the HTTP edge and its options; no logic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queryfleet.settings import Settings

__all__ = ["http_application"]

_REQUESTS_ONGOING_MAX = 4000  # long polls wait without a thread, so many may be open


def http_application(settings: Settings) -> Any:
    """Return the Serve application that answers HTTP."""
    from ray import serve

    def build() -> Any:
        import os

        # Page rendering shares the core with the loop; more threads than one only add contention.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        from actors.export_tasks import RayParts
        from actors.meter import RayMeter
        from queryfleet.telemetry import configure_logging
        from serve_app.app import create_app

        configure_logging(settings.log_level)
        return create_app(settings, RayMeter(), RayParts(settings))

    deployment = serve.deployment(serve.ingress(build)(_Ingress)).options(
        name="http",
        num_replicas=settings.replicas,
        max_ongoing_requests=_REQUESTS_ONGOING_MAX,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=5,
        graceful_shutdown_timeout_s=10,
        logging_config={"encoding": "JSON", "enable_access_log": False},
    )
    return deployment.bind()


class _Ingress:
    """Holds the application in a replica."""
