"""Ask the service over HTTP, from blocking or asyncio code.

Errors arrive as the classes of `queryfleet.errors`.

Example:
    with Client("http://127.0.0.1:8000", token=token) as client:
        query = client.submit_sql(project_uuid, "select city, fare from rides")
        for page in client.pages(project_uuid, query.query_uuid, page_size=1000):
            for record in page.records():
                print(record["city"])
"""

from queryfleet.client.answers import Health, Progress, QueryFailure, QuerySnapshot, ResultPage, Timings
from queryfleet.client.blocking import Client
from queryfleet.client.concurrent import AsyncClient
from queryfleet.client.concurrent_result import AsyncResult
from queryfleet.client.model_calls import ExploreSummary, NewToken
from queryfleet.client.question import Filter, Question, Sort
from queryfleet.client.result import Result
from queryfleet.client.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "AsyncResult",
    "Client",
    "ExploreSummary",
    "Filter",
    "Health",
    "NewToken",
    "Progress",
    "QueryFailure",
    "QuerySnapshot",
    "Question",
    "Result",
    "ResultPage",
    "RetryPolicy",
    "Sort",
    "Timings",
]
