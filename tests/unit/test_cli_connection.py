"""Where the command line finds the service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from queryfleet.cli.connection import ServiceFile, find_connection, read_service_file
from queryfleet.errors import ConfigurationError

_FILE = ServiceFile(path=Path("service.json"), url="http://127.0.0.1:1", token="of-the-file", project_uuids=("p1",))
_NO_FILE = ServiceFile(path=Path("service.json"))


def test_find_connection_with_the_file_alone_takes_everything_from_it():
    """After `queryfleet up` nothing needs to be said."""
    found = find_connection(url=None, token=None, project="", file=_FILE)
    assert (found.url, found.token, found.project_uuid) == ("http://127.0.0.1:1", "of-the-file", "p1")


def test_find_connection_with_flags_prefers_them():
    """What a person says wins, value by value."""
    found = find_connection(url="http://127.0.0.1:1/", token="mine", project="p2", file=_FILE)
    assert (found.token, found.project_uuid) == ("mine", "p2")


@pytest.mark.parametrize("file", [_FILE, _NO_FILE])
def test_find_connection_to_another_address_does_not_send_the_files_token(file):
    """The token of the local service never leaves for another one."""
    with pytest.raises(ConfigurationError, match="QUERYFLEET_TOKEN"):
        find_connection(url="http://elsewhere", token=None, project="p1", file=file)


def test_find_connection_to_another_address_does_not_use_the_files_project():
    """The project of the local service means nothing elsewhere."""
    with pytest.raises(ConfigurationError, match="QUERYFLEET_PROJECT"):
        find_connection(url="http://elsewhere", token="t", project=None, file=_FILE)


def test_find_connection_without_anything_says_what_to_do():
    """A newcomer learns about `up` and `--url`."""
    with pytest.raises(ConfigurationError, match=r"queryfleet up.*--url"):
        find_connection(url=None, token=None, project=None, file=_NO_FILE)


def test_find_connection_with_several_projects_lists_them():
    """Nobody has to guess which projects there are, and none is chosen silently."""
    file = ServiceFile(path=Path("s"), url="http://h", token="t", project_uuids=("p1", "p2"))
    with pytest.raises(ConfigurationError, match=r"(?s)2 projects.*--project.*p1.*p2"):
        find_connection(url=None, token=None, project=None, file=file)


def test_connection_and_file_do_not_show_their_token():
    """A token appears in no repr, so in no traceback and no log."""
    found = find_connection(url=None, token=None, project=None, file=_FILE)
    assert "of-the-file" not in f"{found!r}{_FILE!r}"


def test_read_service_file_reads_what_up_writes(tmp_path):
    """Address, token and projects are read; other members are left alone."""
    written = {"url": "http://h:1", "token": "t", "project_uuids": ["p1", "p2"], "pid": 3}
    (tmp_path / "service.json").write_text(json.dumps(written))
    found = read_service_file(tmp_path)
    assert (found.url, found.token, found.project_uuids) == ("http://h:1", "t", ("p1", "p2"))


def test_read_service_file_without_one_is_empty(tmp_path):
    """No service on this machine is no error yet."""
    assert read_service_file(tmp_path / "missing").url == ""


@pytest.mark.parametrize("text", ["", "[]", "{", "7"])
def test_read_service_file_with_other_content_names_the_file(tmp_path, text):
    """A broken file is named."""
    (tmp_path / "service.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"service\.json"):
        read_service_file(tmp_path)
