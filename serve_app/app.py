"""The ASGI application. It needs no Ray: `create_app(settings)` runs under any ASGI server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from queryfleet import __version__
from queryfleet.schemas import content_answers, exports, model_answers, responses
from queryfleet.schemas.content import ChartBody, DashboardBody, SqlChartBody
from queryfleet.schemas.exports import BatchStatusRequest, DownloadRequest
from queryfleet.schemas.requests import (
    CalculateTotalRequest,
    CompileRequest,
    FieldValuesRequest,
    MetricQueryRequest,
    ProjectRequest,
    SqlJobRequest,
    SqlRequest,
    TokenRequest,
)
from queryfleet.schemas.saved_requests import (
    ChartRequest,
    DashboardChartRequest,
    DashboardSqlChartRequest,
    SqlChartRequest,
    UnderlyingDataRequest,
)
from queryfleet.telemetry import NoMeter
from serve_app import docs, error_handlers
from serve_app.routes import (
    ask,
    content,
    downloads,
    events,
    execute,
    explores,
    health,
    history,
    jobs,
    manifest,
    org,
    projects,
    results,
    saved_queries,
    sql_runner,
    streams,
)
from serve_app.services import close_services, open_services, services_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from actors.kept_pages import PageReader
    from queryfleet.export.parts import PartMaker
    from queryfleet.settings import Settings
    from queryfleet.telemetry import Meter
    from serve_app.services import Stores

__all__ = ["create_app"]

log = structlog.get_logger()

_DESCRIPTION = """
Ask a data warehouse a question, get a `queryUuid` back at once, poll, and read any page of the result at the cost of
that page alone.

Send `Authorization: ApiKey <token>` (or `Bearer <token>`) with every call except the health routes.
"""

_BODIES = (
    BatchStatusRequest,
    CalculateTotalRequest,
    ChartBody,
    ChartRequest,
    CompileRequest,
    DashboardBody,
    DashboardChartRequest,
    DashboardSqlChartRequest,
    DownloadRequest,
    FieldValuesRequest,
    MetricQueryRequest,
    ProjectRequest,
    SqlChartBody,
    SqlChartRequest,
    SqlJobRequest,
    SqlRequest,
    TokenRequest,
    UnderlyingDataRequest,
)  # read by hand, to bound their size, so FastAPI does not know them
_TOKEN = {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`ApiKey <token>`"}


def create_app(
    settings: Settings,
    meter: Meter | None = None,
    parts: PartMaker | None = None,
    *,
    stores: Stores | None = None,
    kept_pages: PageReader | None = None,
) -> FastAPI:
    """Build the application; it opens its connections when the server starts it.

    Args:
        settings: Of the service.
        meter: Takes measurements; None: they are dropped.
        parts: Makes the parts of streams that are not passed on as they are stored; None: threads of this process do.
        stores: Where everything is kept, opened already; None: those that the settings name.
        kept_pages: Reads pages of results that stay in the warehouse; None: likewise.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.test_now is not None:
            log.warning("clock.is_fixed", now=settings.test_now, advice="unset QUERYFLEET_TEST_NOW")
        if stores is None:
            app.state.services = await open_services(settings, meter or NoMeter(), parts, kept_pages)
        else:
            app.state.services = services_on(stores, settings, meter or NoMeter(), parts, kept_pages)
        try:
            yield
        finally:
            await close_services(app.state.services)

    app = FastAPI(
        title="Queryfleet",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        servers=[{"url": "/"}],
    )
    error_handlers.install(app)
    for routes in (
        execute,
        ask,
        saved_queries,
        results,
        events,
        streams,
        manifest,
        downloads,
        history,
        explores,
        sql_runner,
        jobs,
        projects,
        org,
        content,
        health,
    ):
        app.include_router(routes.router)
    docs.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, servers=app.servers
        )
        components = schema["components"]
        components["securitySchemes"] = {"token": _TOKEN}
        for model in _BODIES:
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            components["schemas"] |= described.pop("$defs", {}) | {model.__name__: described}
        for name, described in components["schemas"].items():
            answer = next(
                (getattr(of, name) for of in (responses, model_answers, exports, content_answers) if hasattr(of, name)),
                None,
            )
            extra = getattr(answer, "model_config", {}).get("json_schema_extra", {})
            if "examples" in extra:
                described["examples"] = extra["examples"]  # FastAPI drops every null of an example
        for methods in schema["paths"].values():
            for operation in methods.values():
                if "401" in operation["responses"]:
                    operation["security"] = [{"token": []}]
        app.openapi_schema = schema
    return app.openapi_schema
