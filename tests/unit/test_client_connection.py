"""Where client and command line find the service."""

from __future__ import annotations

import json

import pytest

from queryfleet.client.connection import find_connection
from queryfleet.errors import ConfigurationError

LOCAL = {"url": "http://127.0.0.1:1", "token": "of-the-file", "project_uuids": ["p1"]}
PROFILES = """
[profiles.default]
url = "http://default"
token = "of-default"
project = "Shop"

[profiles.staging]
url = "http://staging"
token = "of-staging"
"""


@pytest.fixture
def find(tmp_path):
    """Look in an environment of the test's own; returns address, token and project."""

    def find(*, service=None, profiles=None, environ=None, **said):
        (tmp_path / "data").mkdir()
        if service is not None:
            (tmp_path / "data" / "service.json").write_text(
                service if isinstance(service, str) else json.dumps(service)
            )
        if profiles is not None:
            (tmp_path / "queryfleet").mkdir()
            (tmp_path / "queryfleet" / "config.toml").write_text(profiles)
        given = {f"QUERYFLEET_{name}": value for name, value in (environ or {}).items()}
        variables = {"XDG_CONFIG_HOME": str(tmp_path), "QUERYFLEET_DATA_DIR": str(tmp_path / "data")} | given
        found = find_connection(environ=variables, **said)
        return found.url, found.token, found.project

    return find


def test_after_up_nothing_needs_to_be_said(find):
    """The file that `up` leaves has everything."""
    assert find(service=LOCAL) == ("http://127.0.0.1:1", "of-the-file", "p1")


def test_arguments_win_value_by_value(find):
    """What a person says comes before everything else; a slash at the end is no other address."""
    said = {"url": "http://127.0.0.1:1/", "token": "mine"}
    assert find(service=LOCAL, environ={"TOKEN": "env"}, **said) == ("http://127.0.0.1:1/", "mine", "p1")


def test_default_profile_comes_before_the_local_service(find):
    """A profile called default is always there, without being named."""
    assert find(service=LOCAL, profiles=PROFILES) == ("http://default", "of-default", "Shop")


def test_environment_wins_over_the_profile_it_names(find):
    """A variable is nearer than the profile that another variable names."""
    found = find(profiles=PROFILES, environ={"PROFILE": "staging", "TOKEN": "env"})
    assert found == ("http://staging", "env", None)


def test_profile_that_is_said_wins_over_the_environment(find):
    """`--profile` means that profile, whatever the shell has."""
    found = find(profiles=PROFILES, profile="staging", environ={"URL": "http://env", "TOKEN": "env"})
    assert found == ("http://staging", "of-staging", None)


@pytest.mark.parametrize("files", [{"service": LOCAL}, {"profiles": PROFILES}])
def test_token_of_a_file_is_not_sent_to_another_address(find, files):
    """A token leaves for the service that it stands beside, and for no other."""
    with pytest.raises(ConfigurationError, match="QUERYFLEET_TOKEN"):
        find(url="http://elsewhere", **files)


def test_project_of_a_file_stays_with_its_address(find):
    """The project of the local service means nothing elsewhere."""
    environ = {"URL": "http://elsewhere", "TOKEN": "t"}
    assert find(service=LOCAL, profiles=PROFILES, environ=environ) == ("http://elsewhere", "t", None)


def test_without_anything_the_message_says_what_to_do(find):
    """A newcomer learns about `up`, the flag, the variable and profiles."""
    with pytest.raises(ConfigurationError, match=r"queryfleet up.*--url.*QUERYFLEET_URL.*config\.toml"):
        find()


def test_several_local_projects_choose_none(find):
    """Which one is meant is asked of the service, not guessed."""
    assert find(service=LOCAL | {"project_uuids": ["p1", "p2"]})[2] is None


@pytest.mark.parametrize(
    ("profiles", "words"),
    [
        ("[profiles.default]\nurl = 'x'", "no profile 'gone'.*default"),
        ("profiles = 3", "must be a table"),
        ("[profiles]\ngone = 3", "must be a table"),
        ("[profiles.gone]\nurl = 3", "url of profiles.gone.*must be a text"),
        ("[profiles.gone]\nkey = 'x'", "has 'key'; a profile has url, token and project"),
        ("[profiles.gone]\ntoken = secret", "not TOML.*line 2"),
    ],
)
def test_wrong_profile_names_place_and_fix(find, profiles, words):
    """File, profile and key are named, and never what stands there: it may be a token."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        find(profiles=profiles, profile="gone")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{", "7"])
def test_broken_service_file_is_named(find, text):
    """Whoever finds it broken knows which one."""
    with pytest.raises(ConfigurationError, match=r"service\.json"):
        find(service=text)


def test_connection_does_not_show_its_token(tmp_path):
    """A token appears in no repr, so in no traceback and no log."""
    assert "mine" not in repr(find_connection(url="http://h", token="mine", environ={"HOME": str(tmp_path)}))
