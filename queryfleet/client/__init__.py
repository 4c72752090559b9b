"""Ask the service over HTTP, from blocking or asyncio code.

Errors arrive as the classes of `queryfleet.errors`. Each name is imported when it is asked for: blocking code never
loads asyncio.

Example:
    with Client() as client:
        frame = client.sql("select city, fare from rides").to_pandas()

        result = client.query("rides", dimensions=["rides_city"], metrics=["rides_fare"]).result()
        duckdb.sql("select * from result")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queryfleet.client.answers import Health, Progress, QueryFailure, QuerySnapshot, ResultPage, Timings
    from queryfleet.client.asking import Terms
    from queryfleet.client.blocking.client import Client
    from queryfleet.client.blocking.query import Query
    from queryfleet.client.blocking.result import Result
    from queryfleet.client.concurrent.client import AsyncClient
    from queryfleet.client.concurrent.query import AsyncQuery
    from queryfleet.client.concurrent.result import AsyncResult
    from queryfleet.client.history import HistoryEntry, ProjectSummary
    from queryfleet.client.model_calls import ExploreSummary, NewToken
    from queryfleet.client.question import Filter, Sort
    from queryfleet.client.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "AsyncQuery",
    "AsyncResult",
    "Client",
    "ExploreSummary",
    "Filter",
    "Health",
    "HistoryEntry",
    "NewToken",
    "Progress",
    "ProjectSummary",
    "Query",
    "QueryFailure",
    "QuerySnapshot",
    "Result",
    "ResultPage",
    "RetryPolicy",
    "Sort",
    "Terms",
    "Timings",
]

_NAMES = {
    "answers": ("Health", "Progress", "QueryFailure", "QuerySnapshot", "ResultPage", "Timings"),
    "asking": ("Terms",),
    "blocking.client": ("Client",),
    "blocking.query": ("Query",),
    "blocking.result": ("Result",),
    "concurrent.client": ("AsyncClient",),
    "concurrent.query": ("AsyncQuery",),
    "concurrent.result": ("AsyncResult",),
    "history": ("HistoryEntry", "ProjectSummary"),
    "model_calls": ("ExploreSummary", "NewToken"),
    "question": ("Filter", "Sort"),
    "retry": ("RetryPolicy",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take it for leave to use any name

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            from importlib import import_module

            found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
            globals()[name] = found
            return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
