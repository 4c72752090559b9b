"""Ask a data warehouse a question and read any page of the answer.

    import queryfleet

    with queryfleet.Client() as client:
        frame = client.sql("select city, fare from rides").to_pandas()

The library behind the service: everything here works without Ray and without a web server. The service itself is
put together by the packages `actors`, `serve_app` and `cluster`. Importing this package imports nothing else; the
client comes when it is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queryfleet import errors
    from queryfleet.client import AsyncClient, AsyncQuery, AsyncResult, Client, Filter, Query, Result, Sort

__all__ = [
    "AsyncClient",
    "AsyncQuery",
    "AsyncResult",
    "Client",
    "Filter",
    "Query",
    "Result",
    "Sort",
    "__version__",
    "errors",
]

__version__ = "0.1.0"


if not TYPE_CHECKING:  # a type checker would take it for leave to use any name

    def __getattr__(name: str) -> object:
        if name in __all__:
            from importlib import import_module

            found = import_module("queryfleet.errors" if name == "errors" else "queryfleet.client")
            return found if name == "errors" else getattr(found, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
