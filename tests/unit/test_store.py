"""Store URLs, options and keys: what is accepted and what is said otherwise."""

from __future__ import annotations

import copy
import pickle
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from queryfleet.errors import ConfigurationError, InternalError
from queryfleet.results.store import StoreOptions, check_key, check_prefix, open_store


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file:///var/lib/qf", "file:///var/lib/qf"),
        ("file:///var/a%20b/%23", "file:///var/a%20b/%23"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("S3://bucket/%C3%A4%20x", "s3://bucket/%C3%A4%20x"),
        ("memory://one", "memory://one"),
    ],
)
def test_open_store_good_url_is_told_back(url, told):
    """A store tells a URL that opens the same store."""
    assert told == open_store(url).url == open_store(told).url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "no scheme"),
        ("/var/lib/qf", "no scheme"),
        ("gs://bucket/x", "'gs' is unknown"),
        ("file://data", "three slashes"),
        ("file://./data", "three slashes"),
        ("file:data", "three slashes"),
        ("file:///", "directory of its own"),
        ("file:///a?b", "%3F"),
        ("s3://", "no bucket"),
        ("s3:///prefix", "no bucket"),
        ("s3://ab/prefix", "no bucket name"),
        ("s3://127.0.0.1:9000/bucket", "endpoint_url"),
        ("s3://bucket/a//b", "empty segment"),
        ("s3://bucket/../b", "'..'"),
        ("memory://", "memory://name"),
        ("memory://a/b", "memory://name"),
        ("s3://[bucket", "cannot be read"),
    ],
)
def test_open_store_wrong_url_says_what_is_expected(url, says):
    """Each mistake in a store URL gets its own remedy."""
    with pytest.raises(ConfigurationError, match=says.replace("?", r"\?")):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hushhush@bucket/x",
        "s3://bucket/x?secret=hushhush",
        "s3://bucket/x#hushhush",
        "gs://a:hushhush@b",
    ],
)
def test_open_store_url_with_a_secret_is_refused_without_repeating_it(url):
    """Credentials in a URL are refused, and do not reach the message."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert "hushhush" not in caught.value.message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"access_key_id": "a"}, "secret_access_key"),
        ({"secret_access_key": SecretStr("hushhush")}, "access_key_id"),
        ({"request_timeout_seconds": 0.0}, "request_timeout_seconds"),
        ({"request_timeout_seconds": float("nan")}, "request_timeout_seconds"),
        ({"max_connections": 0}, "max_connections"),
        ({"endpoint_url": "localhost:9000"}, "endpoint_url"),
        ({"endpoint_url": "http://"}, "endpoint_url"),
        ({"endpoint_url": "http://k:hushhush@h"}, "endpoint_url"),
        ({"endpoint_url": "http://h:99999"}, "endpoint_url"),
        ({"endpoint_url": "http://h/bucket"}, "endpoint_url"),
    ],
)
def test_options_out_of_bounds_are_refused(options, says):
    """A wrong option is named, and a secret in it is not repeated."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        StoreOptions(**options)
    assert "hushhush" not in caught.value.message


def test_options_never_show_their_secret_and_survive_a_trip():
    """Options can be logged and sent to another process."""
    options = StoreOptions(access_key_id="a", secret_access_key=SecretStr("hushhush"))
    assert "hushhush" not in repr(options) + str(options)
    for arrived in (pickle.loads(pickle.dumps(options)), copy.copy(options)):
        assert options == arrived
        assert arrived.secret_access_key.get_secret_value() == "hushhush"


segments = st.text(min_size=1, max_size=20)


@given(st.one_of(st.text(max_size=60), st.lists(segments, max_size=5).map("/".join)))
def test_check_key_accepted_key_stays_below_its_root(key):
    """Every accepted key names a path below the root, in one way only."""
    try:
        accepted = check_key(key)
    except InternalError:
        return
    path = PurePosixPath("/root") / accepted
    assert str(path) == f"/root/{key}"
    assert ".." not in path.parts
    assert len(key.encode()) <= 1024


@given(
    st.lists(st.text("abc.-_ äΩ漢", min_size=1, max_size=8).filter(lambda s: s not in (".", "..")), min_size=1),
    st.data(),
)
def test_check_prefix_every_beginning_of_a_key_is_accepted(parts, data):
    """Whatever a key begins with can be asked for in a listing."""
    key = check_key("/".join(parts)[:300].rstrip("/.")) if "/".join(parts)[:300].rstrip("/.") else "a"
    end = data.draw(st.integers(0, len(key)))
    assert key[:end] == check_prefix(key[:end])


@pytest.mark.parametrize("prefix", ["/", "/a", "a//b", "../a", "a/../b", "a\nb", "a/\0"])
def test_check_prefix_impossible_prefix_is_a_bug(prefix):
    """A prefix no key can have would only hide a mistake."""
    with pytest.raises(InternalError):
        check_prefix(prefix)
