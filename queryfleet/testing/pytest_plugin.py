"""The pytest fixture `queryfleet_service`; pytest finds it by itself where this package is installed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queryfleet.testing.service import TestService

__all__ = ["queryfleet_service"]


@pytest.fixture
def queryfleet_service() -> Iterator[Callable[..., TestService]]:
    """Start a service in this process: call it with the arguments of `queryfleet.testing.service`."""
    with ExitStack() as services:

        def start(*args: Any, **kwargs: Any) -> TestService:
            from queryfleet.testing.service import service

            return services.enter_context(service(*args, **kwargs))

        yield start
