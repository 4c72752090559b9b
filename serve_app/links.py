"""Links to files: signed, so that they work without a token, and stable until the result expires."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import quote

from queryfleet.errors import NotFoundError, ResultsExpiredError

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["base_url", "check_link", "file_path"]

_SIGNATURE_DIGITS = 43  # of base 16: more than 170 bits


def file_path(key: bytes, job_uuid: str, file_name: str, *, expires_at: int) -> str:
    """Return the path of a file with its signature.

    Args:
        key: What links are signed with.
        job_uuid: Of the job that made the file.
        file_name: What a browser calls it; the last part of the path.
        expires_at: Seconds since 1970 until which the link works.
    """
    signature = _signature(key, job_uuid, expires_at)
    return f"/api/v1/files/{job_uuid}/{quote(file_name, safe='')}?expires={expires_at}&signature={signature}"


def check_link(key: bytes, job_uuid: str, *, expires_at: int, signature: str, now: float) -> None:
    """Accept what `file_path` signed.

    Raises:
        NotFoundError: It did not sign that.
        ResultsExpiredError: The link's time is over.
    """
    if not hmac.compare_digest(_signature(key, job_uuid, expires_at).encode(), signature.encode("utf-8", "replace")):
        raise NotFoundError("There is no such file: the link is not complete, or not one of this service.")
    if now >= expires_at:
        raise ResultsExpiredError("The link has expired with its result; run the query again.")


def _signature(key: bytes, job_uuid: str, expires_at: int) -> str:
    said = f"files\n{job_uuid}\n{expires_at}".encode()
    return hmac.new(key, said, hashlib.sha256).hexdigest()[:_SIGNATURE_DIGITS]


def base_url(request: Request) -> str:
    """Return how the client spells this service's address, as far as its request tells."""
    scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    url = request.url
    return f"{scheme if scheme in ('http', 'https') else url.scheme}://{url.netloc}"
