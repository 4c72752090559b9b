"""Settings: read once, checked, and never telling a secret."""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from queryfleet.errors import ConfigurationError
from queryfleet.settings import PREFIX, Settings, load_settings, unknown_variables
from serve_app.clock import question_time

DATABASE_URL = "postgresql://app:geheim@db.example.com/queryfleet"


def test_load_settings_of_an_empty_environment_has_defaults():
    """Nothing has to be set."""
    settings = load_settings()
    assert settings.database_url is None
    assert (settings.page_size_default, settings.page_size_max) == (500, 5000)


def test_load_settings_reads_each_field_from_its_variable(monkeypatch):
    """Numbers, flags, texts and secrets come from `QUERYFLEET_<NAME>`."""
    given = {
        "DATABASE_URL": DATABASE_URL,
        "REPLICAS": "3",
        "STORE_SHARED": "true",
        "STORE_URL": "s3://bucket/prefix",
        "CHUNK_AGE_SECONDS": "0.25",
        "LOG_LEVEL": "debug",
    }
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == DATABASE_URL
    assert (settings.replicas, settings.store_shared, settings.store_url) == (3, True, "s3://bucket/prefix")
    assert (settings.chunk_age_seconds, settings.log_level) == (0.25, "DEBUG")


def test_load_settings_lets_flags_win_and_passes_over_those_not_given(monkeypatch):
    """A flag beats the environment; None means that there was no flag."""
    monkeypatch.setenv("QUERYFLEET_STORE_URL", "file:///environment")
    monkeypatch.setenv("QUERYFLEET_REPLICAS", "2")
    settings = load_settings(store_url="file:///flag", replicas=None)
    assert (settings.store_url, settings.replicas) == ("file:///flag", 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REPLICAS", "many"),
        ("REPLICAS", "0"),
        ("PAGE_SIZE_MAX", "0"),
        ("CHUNK_BYTES", "1"),
        ("LEASE_SECONDS", "0.5"),
        ("LOG_LEVEL", "LOUD"),
        ("STORE_SHARED", "perhaps"),
        ("CANCEL_WAIT_SECONDS", "61"),
    ],
)
def test_load_settings_with_a_bad_value_names_the_variable(monkeypatch, name, value):
    """The message begins with the variable, so that it can be fixed."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert caught.value.message.startswith(f"{PREFIX}{name}: ")
    assert caught.value.details["variable"] == PREFIX + name


def test_load_settings_with_a_default_page_larger_than_the_largest_names_both(monkeypatch):
    """Limits that contradict each other are told at the start, not at every poll."""
    monkeypatch.setenv("QUERYFLEET_PAGE_SIZE_MAX", "100")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "QUERYFLEET_PAGE_SIZE_DEFAULT" in caught.value.message
    assert "QUERYFLEET_PAGE_SIZE_MAX" in caught.value.message


def test_load_settings_with_an_unknown_flag_names_it():
    """A typing error in code is an error, not a setting that does nothing."""
    with pytest.raises(ConfigurationError, match="QUERYFLEET_REPLICA"):
        load_settings(replica=2)


def test_settings_never_show_a_secret(monkeypatch):
    """Neither the text of the settings nor an error about them has a password or key in it."""
    settings = Settings(database_url=DATABASE_URL, store_secret_access_key="geheim")  # type: ignore[arg-type]
    shown = repr(settings) + str(settings) + settings.model_dump_json()
    monkeypatch.setenv("QUERYFLEET_DATABASE_URL", DATABASE_URL)
    monkeypatch.setenv("QUERYFLEET_REPLICAS", "geheim")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    shown += str(caught.value) + repr(caught.value) + repr(caught.value.details)
    with pytest.raises(ValidationError) as detailed:
        Settings(store_secret_access_key=["geheim"])  # type: ignore[arg-type]
    assert "geheim" not in shown + str(detailed.value)


def test_settings_are_frozen_and_travel_to_actors():
    """Settings cannot be changed, and an actor gets equal ones, secrets included."""
    settings = Settings(database_url=DATABASE_URL, replicas=2)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        settings.replicas = 3  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(settings))
    assert settings == copy
    assert copy.database_url.get_secret_value() == DATABASE_URL


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("QUERYFLEET_DATABSE_URL", "QUERYFLEET_DATABASE_URL"),
        ("QUERYFLEET_PAGESIZE_MAX", "QUERYFLEET_PAGE_SIZE_MAX"),
        ("QUERYFLEET_TOKENS", "QUERYFLEET_TOKEN"),
        ("QUERYFLEET_XYZZY", None),
    ],
)
def test_unknown_variables_name_the_nearest_right_one(variable, nearest):
    """A variable with our prefix that nobody reads is told, with the one that was probably meant."""
    assert unknown_variables({variable: "1", "PATH": "/bin"}) == {variable: nearest}


def test_unknown_variables_accept_every_setting_and_the_clients_own():
    """What exists is not reported, and other programs' variables are none of ours."""
    known = {PREFIX + name.upper(): "1" for name in Settings.model_fields}
    known |= {"QUERYFLEET_URL": "x", "QUERYFLEET_TOKEN": "x", "OTHER_REPLICAS": "1"}
    assert unknown_variables(known) == {}


def test_settings_each_say_what_they_are_for():
    """Every setting has a description: the reference page is made of them."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("text", ["", "soon", "2024-06-12", "2024-06-12T15:30:00"])
def test_test_clock_that_is_no_moment_is_refused(monkeypatch, text):
    """A fixed clock without a zone would mean another moment on another machine."""
    monkeypatch.setenv("QUERYFLEET_TEST_NOW", text)
    with pytest.raises(ConfigurationError, match="QUERYFLEET_TEST_NOW"):
        load_settings()


def test_test_clock_is_the_time_of_questions():
    """With it the moment stands still; without it, it is the last whole step."""
    fixed = question_time(Settings(test_now="2024-06-12T17:30:00.5+02:00"))
    assert fixed.isoformat() == "2024-06-12T15:30:00.500000+00:00"
    now = question_time(Settings(clock_step_seconds=3600))
    assert (now.minute, now.second, now.microsecond) == (0, 0, 0)
