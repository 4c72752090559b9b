"""`/docs` and `/openapi.json`, from assets that a package brings: the page works without the internet."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import HTMLResponse

__all__ = ["install"]


def install(app: FastAPI) -> None:
    """Add the documentation routes to `app`."""
    # Only the package's files are wanted, so it is located and not imported.
    spec = importlib.util.find_spec("fastapi_offline")
    assert spec is not None and spec.origin is not None  # noqa: PT018, S101 - a dependency of the server
    app.mount("/docs/assets", StaticFiles(directory=Path(spec.origin).parent / "static"), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Queryfleet API",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
        )
