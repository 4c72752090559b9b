"""The error tree: drawn as it is, and fit to travel between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from queryfleet import errors
from queryfleet.errors import ServiceError


def _classes() -> list[type[ServiceError]]:
    found: list[type[ServiceError]] = [ServiceError]
    for cls in found:
        found.extend(sub for sub in cls.__subclasses__() if sub.__module__ == errors.__name__)
    return found


def _drawn_parents() -> dict[str, str | None]:
    """Read the drawing at the top of the module: class name to parent's name."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ((?:[│ ]  )*)(├─ |└─ )?(\w+Error)", line)
        if match is None:
            continue
        depth = len(match[1]) // 3 + (1 if match[2] else 0)
        path[depth:] = [match[3]]
        parents[match[3]] = path[depth - 1] if depth else None
    return parents


def test_drawing_of_the_tree_equals_the_classes():
    """The tree in the module's docstring names every class once, under its real parent."""
    real = {cls.__name__: None if cls is ServiceError else cls.__mro__[1].__name__ for cls in _classes()}
    assert real == _drawn_parents()


def test_all_lists_every_class():
    """Every error class is public, and `__all__` is sorted."""
    assert {cls.__name__ for cls in _classes()} | {"JsonValue"} == set(errors.__all__)
    assert sorted(errors.__all__) == errors.__all__


@pytest.mark.parametrize("cls", _classes(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_error_pickled_keeps_class_message_and_details(cls, protocol):
    """An error that crosses a process boundary arrives as it left."""
    details = {"position": 7, "nested": {"list": [1, "two", None]}, "message": "in the data", "self": True}
    arrived = pickle.loads(pickle.dumps(cls("Column x does not exist.", **details), protocol))
    assert (cls, "Column x does not exist.", details) == (type(arrived), arrived.message, arrived.details)
    assert str(arrived) == "Column x does not exist."


def test_codes_are_unique_except_for_the_generic_failure():
    """A stored code names one class; only the base shares the code of `InternalError`."""
    codes = [cls.code for cls in _classes() if cls is not ServiceError]
    assert sorted(set(codes)) == sorted(codes)


_WIRE = {
    "ServiceError": ("UnexpectedServerError", 500, False),
    "RequestError": ("ParameterError", 400, False),
    "InvalidRequestError": ("ValidateError", 422, False),
    "ParameterError": ("ParameterError", 400, False),
    "PaginationError": ("PaginationError", 422, False),
    "AuthorizationError": ("AuthorizationError", 401, False),
    "ForbiddenError": ("ForbiddenError", 403, False),
    "NotFoundError": ("NotFoundError", 404, False),
    "ResultsExpiredError": ("ResultsExpiredError", 404, False),
    "ConflictError": ("ConflictError", 409, False),
    "PayloadTooLargeError": ("PayloadTooLargeError", 413, False),
    "TooManyRequestsError": ("TooManyRequestsError", 429, True),
    "NotSupportedError": ("NotImplemented", 501, False),
    "CompileError": ("CompileError", 400, False),
    "FieldReferenceError": ("FieldReferenceError", 400, False),
    "WarehouseError": ("WarehouseQueryError", 400, False),
    "WarehouseConnectionError": ("WarehouseConnectionError", 400, True),
    "WarehouseQueryError": ("WarehouseQueryError", 400, False),
    "WarehouseTimeoutError": ("TimeoutError", 400, False),
    "LimitExceededError": ("LimitExceededError", 400, False),
    "StorageError": ("S3Error", 503, True),
    "ObjectNotFoundError": ("S3Error", 503, False),
    "ResultCorruptError": ("S3Error", 500, False),
    "StatusStoreError": ("UnexpectedDatabaseError", 503, True),
    "IllegalTransitionError": ("UnexpectedDatabaseError", 500, False),
    "AttemptFencedError": ("UnexpectedDatabaseError", 500, False),
    "QueryCancelledError": ("ConflictError", 409, False),
    "ServiceUnreachableError": ("ServiceUnreachableError", 503, True),
    "ConfigurationError": ("MissingConfigError", 422, False),
    "InternalError": ("UnexpectedServerError", 500, False),
}


def test_wire_names_and_statuses_are_those_of_the_contract():
    """What clients see of an error changes only together with this table."""
    real = {cls.__name__: (cls.wire_name, cls.status, cls.retryable) for cls in _classes()}
    assert _WIRE == real
