"""What an S3 service or its client can fail with, in our own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import ObjectNotFoundError, ResultCorruptError, StorageError

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["Failure", "Place", "client_errors", "is_transient", "storage_error"]

_TRANSIENT = {
    "BadDigest",  # the body was damaged on its way
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "UnexpectedRange",
    "XAmzContentSHA256Mismatch",
}
_NO_OBJECT = {"NoSuchKey", "404"}
_NO_ACCESS = {
    "401",
    "403",
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "NotSignedUp",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnauthorizedAccess",
}
_OTHER_REGION = {"301", "307", "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"}
_FIXES = {
    "NoSuchBucket": "it does not exist: create it, or correct the store URL",
    "InvalidBucketName": "the service refuses this name: correct the store URL",
    "RequestTimeTooSkewed": "this machine's clock differs from the service's: correct it",
}
_NO_CREDENTIALS = "there are no usable credentials: set access_key_id and secret_access_key, or an AWS profile or role"
_UNTRUSTED = "its TLS certificate is not trusted: add its authority to the system's certificates"


class Failure(Exception):  # noqa: N818  # never leaves the store
    """A failure reported inside a successful answer: its code and the service's message."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an error message says about where it happened."""

    bucket: str
    url: str  # of the store
    endpoint_url: str | None  # None: AWS
    secret: SecretStr | None  # to be kept out of every text

    def __str__(self) -> str:
        return f"the bucket {self.bucket!r} at {self.endpoint_url or 'AWS'}"

    def clean(self, text: str) -> str:
        """Return at most 500 characters of `text`, without the secret."""
        secret = self.secret.get_secret_value() if self.secret is not None else ""
        return (text.replace(secret, "***") if secret else text)[:500]

    def timed_out(self, action: str, seconds: float) -> StorageError:
        """Return the error for an operation that used up its time."""
        return StorageError(
            f"Could not {action} in {self}: no complete answer within {seconds:g} s",
            bucket=self.bucket,
            transient=True,
        )


def client_errors() -> tuple[type[Exception], ...]:
    """Return what the client raises when service, network or credentials fail. Imports the client."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return OSError, BotoCoreError, ClientError, ResponseParserError, HttpError, Failure


def is_transient(error: Exception) -> bool:
    """Tell whether the same request may succeed a little later."""
    from aiohttp import ClientError as HttpError
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    code, status = _code_and_status(error)
    if code is not None:
        return code in _TRANSIENT or status == 429 or (status >= 500 and status != 501)  # noqa: PLR2004
    if isinstance(error, boto.SSLError):
        return False
    passing = (
        ConnectionError,
        TimeoutError,
        HttpError,
        boto.HTTPClientError,
        boto.ConnectionError,
        boto.IncompleteReadError,
        ResponseParserError,
    )
    return isinstance(error, passing)


def storage_error(error: Exception, place: Place, *, action: str, key: str | None) -> StorageError:
    """Return the error to raise for what the client raised.

    Its details say with `transient` whether time alone may mend it: a refused access is not.

    Args:
        error: One of `client_errors`.
        place: Where it happened.
        action: What was tried: `read`, `write`, `delete` or `list`.
        key: The object it was tried on, if it was one.
    """
    code, status = _code_and_status(error)
    cause = place.clean(str(error.__cause__ or error))
    if key is not None and code in _NO_OBJECT and action == "read":
        return ObjectNotFoundError(f"There is no object {key!r} in {place.url}", key=key, cause=cause)
    if key is not None and (code == "InvalidRange" or status == 416):  # noqa: PLR2004
        return ResultCorruptError(f"The object {key!r} in {place.url} is shorter than expected", key=key, cause=cause)
    what = f"{action} {key!r}" if key is not None else action
    text = f"Could not {what} in {place}: {_reason(error)}"
    return StorageError(text, bucket=place.bucket, transient=is_transient(error), cause=cause)


def _code_and_status(error: Exception) -> tuple[str | None, int]:
    """Return the service's error code and HTTP status; None and 0 when there was no answer."""
    from botocore.exceptions import ClientError

    answered = error if isinstance(error, ClientError) else error.__cause__  # s3fs wraps it in an OSError
    if isinstance(answered, ClientError):
        code = str(answered.response.get("Error", {}).get("Code") or "Unknown")
        return code, int(answered.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return (error.code, 0) if isinstance(error, Failure) else (None, 0)


def _reason(error: Exception) -> str:
    code, status = _code_and_status(error)
    if code is None:
        return _reason_without_answer(error)
    if code in _FIXES:
        return _FIXES[code]
    if code in _OTHER_REGION:
        return f"it is in another region ({code}): set the store's region and endpoint to the bucket's own"
    if code in _NO_ACCESS or status in (401, 403):
        return (
            f"access was refused ({code}): check the access key id and its secret key, and that they may "
            "read, write, list and delete objects there"
        )
    return f"the service answered {code}" + (f" (HTTP {status})" if status else "")


def _reason_without_answer(error: Exception) -> str:
    from botocore import exceptions as boto

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return _NO_CREDENTIALS
    if isinstance(error, boto.SSLError):
        return _UNTRUSTED
    return f"it cannot be reached ({type(error).__name__})"
