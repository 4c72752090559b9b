"""Ask the service over HTTP, from blocking or asyncio code.

Errors arrive as the classes of `queryfleet.errors`.

Example:
    with Client() as client:
        frame = client.sql("select city, fare from rides").to_pandas()

        result = client.query("rides", dimensions=["rides_city"], metrics=["rides_fare"]).result()
        duckdb.sql("select * from result")
"""

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
