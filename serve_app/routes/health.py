"""Whether the service lives, is ready, and which limits it has."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from queryfleet import __version__
from queryfleet.errors import ServiceError, StatusStoreError
from queryfleet.schemas.responses import HealthAnswer, LivenessAnswer, ReadinessAnswer
from serve_app.dependencies import ServicesOf
from serve_app.envelope import error_response, ok
from serve_app.routes._answers import errors

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["health"])

_PROBE_SECONDS = 3.0
_PROBE_KEY = "probe/readiness"


@router.get(
    "/health",
    operation_id="getHealth",
    summary="Version and limits",
    responses={200: {"model": HealthAnswer}, **errors()},
    response_model=None,
)
async def health(services: ServicesOf) -> Response:
    """Return the version and the limits that clients need to know. Needs no token and no other part."""
    settings = services.settings
    results: dict[str, Any] = {
        "healthy": True,
        "version": __version__,
        "storesResults": settings.stores_rows,
        "query": {
            "maxPageSize": settings.page_size_max,
            "defaultPageSize": settings.page_size_default,
            "maxLimit": settings.row_limit_max,
            "maxWaitMs": settings.wait_ms_max,
            "maxBodyBytes": settings.body_bytes_max,
            "resultsTtlSeconds": settings.results_ttl_seconds,
        },
    }
    if settings.test_now is not None:
        results["testNow"] = settings.test_now
    return ok(results)


@router.get(
    "/livez",
    operation_id="getLiveness",
    summary="Is this process alive?",
    responses={200: {"model": LivenessAnswer}, **errors()},
    response_model=None,
)
async def livez() -> Response:
    """Answer at once: the process runs and its loop turns."""
    return ok({"alive": True})


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Can it answer a query?",
    responses={200: {"model": ReadinessAnswer}, **errors(503)},
    response_model=None,
)
async def readyz(services: ServicesOf) -> Response:
    """Check that the database answers and the result store, where there is one, takes and gives bytes."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            version = await services.statuses.ping()
            if services.settings.stores_rows:
                await services.store.put(_PROBE_KEY, b"ok")
                await services.store.get(_PROBE_KEY)
    except TimeoutError:
        return error_response(StatusStoreError(f"A part did not answer in {_PROBE_SECONDS:.0f} s."))
    except ServiceError as error:
        return error_response(StatusStoreError(error.message))
    return ok({"ready": True, "schemaVersion": version})
