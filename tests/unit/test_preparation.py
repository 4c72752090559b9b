"""What is checked before a service starts."""

from __future__ import annotations

import pytest

from cluster.preparation import check_store
from queryfleet.errors import ConfigurationError
from queryfleet.settings import Settings


@pytest.mark.parametrize("url", ["none", "gopher://bucket", "file://relative/folder"])
def test_store_url_that_names_no_store_is_refused_with_its_variable(url):
    """Whoever starts a service with it is told which variable to change, before anything runs."""
    with pytest.raises(ConfigurationError, match=r"^QUERYFLEET_STORE_URL: ") as caught:
        check_store(Settings(store_url=url))
    assert caught.value.details["variable"] == "QUERYFLEET_STORE_URL"


@pytest.mark.parametrize("url", [None, "file:///var/results"])
def test_store_url_that_is_absent_or_right_is_accepted(url):
    """Without one, a store is started; with a right one nothing is connected to."""
    check_store(Settings(store_url=url))
