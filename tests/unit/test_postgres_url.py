"""PostgreSQL URLs in configuration: no secret in them, and any password can be put in."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.postgres_url import resolved_url, url_fault


@pytest.mark.parametrize(
    "url",
    [
        "${DATABASE_URL}",
        "postgresql://db/shop",
        "postgres://reader@db:5432/shop?sslmode=require",
        "postgresql://reader:${PASSWORD}@db/shop",
        "postgresql://${USER}:${PASSWORD}@${HOST}:${PORT}/${DB}?sslmode=${MODE}",
        "postgresql://reader@[::1]:5432/shop",
        "postgresql://reader@one:5432,two:5433/shop?target_session_attrs=any",
        "postgresql://db/shop?password=${PASSWORD}",
        "postgresql:///shop",
    ],
)
def test_url_fault_without_a_secret_is_none(url: str) -> None:
    """URLs whose secrets are references, or that have none, are accepted."""
    assert url_fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:hunter2@db/shop",
        "postgresql://reader:hunter2${X}@db/shop",
        "postgresql://reader:hunter2@${HOST}/shop",
        "postgresql://reader:hun/ter2@db/shop",
        "postgresql://reader:hun@ter2@db/shop",
        "postgresql://reader:hun?ter2@db/shop",
        "postgresql://db/shop?password=hunter2",
        "postgresql://db/shop?sslmode=require&pass%77ord=hunter2",
        "postgresql://db/shop?sslpassword=hunter2",
        "postgresql://db/shop?password=hunter2@x",
        "postgresql://reader:hunter2",
        "postgresql://reader:hunter2/shop",
        "mysql://reader:hunter2@db/shop",
        "host=db password=hunter2",
    ],
)
def test_url_fault_with_a_secret_is_told_without_it(url: str) -> None:
    """A literal password is noticed wherever it stands, and not repeated."""
    fault = url_fault(url)
    assert fault is not None
    assert "hun" not in fault
    assert "ter2" not in fault


@given(user=st.text(min_size=1), password=st.text(min_size=1), database=st.text(min_size=1))
def test_resolved_url_any_password_arrives(user: str, password: str, database: str) -> None:
    """Whatever characters user, password and database name hold, they are read back from the resolved URL."""
    environ = {"U": user, "P": password, "D": database, "H": "db.example.com:6000"}
    try:
        for value in environ.values():
            value.encode()
    except UnicodeEncodeError:
        return
    url = resolved_url("postgresql://${U}:${P}@${H}/${D}?options=${D}", environ)
    assert url is not None
    parts = urlsplit(url)
    assert unquote(parts.username or "") == user
    assert unquote(parts.password or "") == password
    assert unquote(parts.path[1:]) == database
    assert (parts.hostname, parts.port) == ("db.example.com", 6000)


def test_resolved_url_whole_reference_is_inserted_as_it_is() -> None:
    """A variable that holds the whole URL is not encoded again."""
    whole = "postgresql://u:p%40ss@db:1/x?y=z"
    assert resolved_url("${DATABASE_URL}", {"DATABASE_URL": whole}) == whole
    assert resolved_url(None, {}) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://${H}/x", "postgresql://a:1,b:2/x"),
        ("postgresql://${H}?dbname=${H}", "postgresql://a:1,b:2?dbname=a%3A1%2Cb%3A2"),
        ("postgresql://${H}", "postgresql://a:1,b:2"),
    ],
)
def test_resolved_url_host_is_inserted_as_it_is(url: str, expected: str) -> None:
    """A variable may hold host and port, or several of them."""
    assert resolved_url(url, {"H": "a:1,b:2"}) == expected
