"""Athena's and S3's requests, through botocore: its own retries, its own ways to find credentials.

boto3 is not needed for it, and would have to be of the very version that s3fs' botocore allows.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from queryfleet.errors import JsonValue

__all__ = ["AthenaClients", "AthenaLogin", "location_parts"]

_CONNECT_SECONDS, _ANSWER_SECONDS = 10, 60
_TRIES = 4  # of a request; a statement is submitted with a token of its own, by which it runs once
_PAUSE_SECONDS = 0.25  # before an answer that broke off is asked for again; grows


@dataclass(frozen=True, slots=True, kw_only=True)
class AthenaLogin:
    """Where Athena is, and who asks: a key, a profile, or whatever AWS' clients find by themselves."""

    region: str
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    endpoint_url: str | None = None  # of Athena, another than the region's
    s3_endpoint_url: str | None = None  # of the store of the results, likewise

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may show."""
        return tuple(secret for secret in (self.secret_access_key, self.session_token) if secret)


_making = threading.Lock()  # held while a client is made: a session is not for two threads at once


@cache
def _session(profile: str | None) -> Any:
    """Return the process' session for a profile. It keeps what is expensive: descriptions of services, logins found."""
    from botocore.session import Session

    return Session(profile=profile)


class AthenaClients:
    """Makes clients. Safe to share between threads."""

    def __init__(self, login: AthenaLogin) -> None:
        self._login = login

    def connect(self) -> AthenaService:
        """Return the clients for one statement; raises botocore's errors when there is no such profile.

        Cost: the first time in a process 0.3 s, then 10 ms.
        """
        from botocore.config import Config

        login = self._login
        config = Config(
            region_name=login.region,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_ANSWER_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _TRIES},
            user_agent_extra="queryfleet",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if login.s3_endpoint_url is not None else None,
        )
        keys = {
            "aws_access_key_id": login.access_key_id,
            "aws_secret_access_key": login.secret_access_key,
            "aws_session_token": login.session_token,
        }
        with _making:
            session = _session(login.profile)
            athena = session.create_client("athena", config=config, endpoint_url=login.endpoint_url, **keys)
            s3 = session.create_client("s3", config=config, endpoint_url=login.s3_endpoint_url, **keys)
        return AthenaService(athena, s3)


class AthenaService:
    """The requests of one statement; they raise botocore's errors. Safe to share between threads."""

    def __init__(self, athena: Any, s3: Any) -> None:
        self._athena, self._s3 = athena, s3

    def workgroup(self, name: str) -> Mapping[str, JsonValue]:
        """Return what Athena says of a workgroup."""
        found: Mapping[str, JsonValue] = self._athena.get_work_group(WorkGroup=name)["WorkGroup"]
        return found

    def check_database(self, catalog: str, database: str) -> None:
        """Pass when the catalog has the database."""
        self._athena.get_database(CatalogName=catalog, DatabaseName=database)

    def start(self, request: Mapping[str, JsonValue]) -> str:
        """Submit a statement and return its id."""
        return str(self._athena.start_query_execution(**request)["QueryExecutionId"])

    def execution(self, query_id: str) -> Mapping[str, JsonValue]:
        """Return what Athena says of a statement."""
        found: Mapping[str, JsonValue] = self._athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        return found

    def stop(self, query_id: str) -> None:
        """Cancel a statement; harmless when it has ended."""
        self._athena.stop_query_execution(QueryExecutionId=query_id)

    def results(self, query_id: str, *, max_rows: int) -> Iterator[Mapping[str, JsonValue]]:
        """Yield the pages of a result as Athena keeps it, of up to 1000 rows each."""
        token: str | None = None
        while True:
            more = {} if token is None else {"NextToken": token}
            page = self._athena.get_query_results(QueryExecutionId=query_id, MaxResults=max_rows, **more)
            yield page
            token = page.get("NextToken")
            if not token:
                return

    def exists(self, location: str) -> bool:
        """Tell whether a file is in S3."""
        from botocore.exceptions import ClientError

        bucket, key = location_parts(location)
        try:
            self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"404", "NoSuchKey"}:
                return False
            raise
        return True

    def read(self, location: str, start: int, end: int) -> tuple[bytes, int]:
        """Return a range of a file in S3, and the file's size."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        tries = 1
        while True:
            try:
                return self._range(location, start, end)
            except (HTTPClientError, IncompleteReadError):
                # Requests that fail are repeated below already; this is an answer that breaks off.
                if tries == _TRIES:
                    raise
            time.sleep(_PAUSE_SECONDS * tries)
            tries += 1

    def _range(self, location: str, start: int, end: int) -> tuple[bytes, int]:
        bucket, key = location_parts(location)
        answer = self._s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}")
        with closing(answer["Body"]) as body:  # entered, it would be the stream below, with other errors
            data: bytes = body.read()
        size = str(answer.get("ContentRange") or "").rpartition("/")[2]
        return data, int(size) if size.isdecimal() else start + len(data)

    def close(self) -> None:
        """Close connections."""
        self._athena.close()
        self._s3.close()


def location_parts(location: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key
