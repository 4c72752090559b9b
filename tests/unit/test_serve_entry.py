"""Arguments of the Serve application."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.serve_entry import ServeArguments, app
from queryfleet.errors import ConfigurationError


def test_projects_as_text_are_separated_by_commas():
    """The command line gives one text, a configuration file a list."""
    both = (Path("/srv/a"), Path("/srv/b"))
    assert ServeArguments.model_validate({"projects": "/srv/a,/srv/b"}).projects == both
    assert ServeArguments.model_validate({"projects": ["/srv/a", "/srv/b"]}).projects == both
    assert ServeArguments.model_validate({}).projects == ()


@pytest.mark.parametrize("given", [{"projects": "shop"}, {"project": "/srv/a"}])
def test_wrong_argument_is_refused(given):
    """A relative folder and a misspelled name are errors, and are not passed over."""
    with pytest.raises(ValidationError):
        ServeArguments.model_validate(given)


def test_app_without_store_says_what_to_set():
    """A missing setting is named before anything is touched."""
    with pytest.raises(ConfigurationError, match="QUERYFLEET_STORE_URL"):
        app(ServeArguments())
