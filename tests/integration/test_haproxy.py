"""The script through which Serve starts HAProxy."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
from pathlib import Path

import pytest

from cluster.haproxy import PROGRAM_VARIABLE, haproxy_environment

pytestmark = pytest.mark.integration

# Lines of Ray's own template, with the values it puts in.
_LINES = {
    "    retry-on {{ config.retry_on }}": "    retry-on conn-failure",
    "    errorfile 502 {{ config.error_file_path }}": "    errorfile 502 /x/500.http",
    "    errorfile 503 {{ config.error_file_path }}": "    errorfile 503 /x/500.http",
    "    http-reuse always": "    http-reuse always",
}
_NOT_FOUND = "    http-request return status 404 content-type text/plain lf-string"


def _template_lines():
    """Return the lines of Ray's template; its file alone is run, because importing Serve warns."""
    folder = Path(importlib.util.find_spec("ray").origin).parent
    values = runpy.run_path(str(folder / "serve" / "_private" / "haproxy_templates.py"))
    return values["HAPROXY_CONFIG_TEMPLATE"].splitlines()


def _not_found_line():
    (line,) = [line for line in _template_lines() if line.startswith(_NOT_FOUND)]
    return line


@pytest.fixture
def started(tmp_path):
    """Run the script as Serve does, and return the configuration that HAProxy found and what it was called with."""
    environment = haproxy_environment()
    config = tmp_path / "haproxy.cfg"
    config.write_text("\n".join(["defaults", *_LINES.values(), _not_found_line(), ""]))
    done = subprocess.run(
        [environment["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(config), "-sf", "1 2"],
        env={**os.environ, PROGRAM_VARIABLE: "/bin/echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    return config, done.stdout.strip()


def test_template_of_this_ray_has_the_lines_that_are_changed():
    """With another Ray this says what to look at again."""
    assert set(_LINES) <= set(_template_lines())
    assert _not_found_line()


def test_script_hands_every_word_on(started):
    """HAProxy is called as Serve wanted it to be."""
    config, called = started
    assert called == f"-db -f {config} -sf 1 2"


def test_script_answers_503_in_our_envelope_where_nobody_can(started):
    """No bare 500, and no 404 that reads as if a query did not exist."""
    config, _ = started
    text = config.read_text()
    answer = (config.parent / "away.http").read_bytes()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert b'"statusCode":503' in body
    assert f"errorfile 502 {config.parent}/away.http" in text
    assert f"errorfile 503 {config.parent}/away.http" in text
    assert "    http-request return status 503 default-errorfiles" in text
    assert "status 404" not in text
    assert "500.http" not in text


def test_script_repeats_what_may_be_repeated(started):
    """A request without an answer goes to another replica, but no execute that could run twice."""
    config, _ = started
    text = config.read_text()
    assert "    retry-on conn-failure empty-response\n" in text
    assert "disable-l7-retry if METH_POST !{ req.hdr(idempotency-key) -m found } !{ path_end /cancel }" in text


def test_environment_names_programs_that_can_be_run():
    """What Ray will start exists."""
    for path in haproxy_environment().values():
        assert os.access(path, os.X_OK)
