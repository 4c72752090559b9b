"""The Serve deployment of the HTTP edge and its options; no logic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queryfleet.client.carried import CarriedAnswer, CarriedRequest
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
        from actors.page_actor import RayPages
        from queryfleet.telemetry import configure_logging
        from serve_app.app import create_app

        configure_logging(settings.log_level)
        return create_app(settings, RayMeter(), RayParts(settings), kept_pages=RayPages(settings))

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
    """Holds the application in a replica, and answers what comes through Ray: see `queryfleet.ray`.

    A caller's token is checked here, request by request, as over HTTP.
    """

    app: Any  # the application, put here by Serve

    async def about(self) -> dict[str, str]:
        """Return the versions that a caller has to fit."""
        from queryfleet import __version__

        return {"queryfleet": __version__}

    async def carry(self, request: CarriedRequest) -> CarriedAnswer:
        """Answer a request as if it had come over HTTP."""
        from serve_app.carried import answer_of

        return await answer_of(self.app, request)

    async def grant(self, authorization: str, project_uuid: str, query_uuid: str) -> str:
        """Return leave to read the chunks of a result; see `serve_app.grants.new_grant`."""
        from serve_app.grants import new_grant

        return await new_grant(self.app.state.services, authorization, project_uuid, query_uuid)

    async def granted_chunk(self, grant: str, index: int) -> bytes:
        """Return the stored lines of a chunk; see `serve_app.grants.granted_chunk`."""
        from serve_app.grants import granted_chunk

        return await granted_chunk(self.app.state.services, grant, index)
