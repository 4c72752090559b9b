"""The wheel alone, with what it depends on and nothing else: what a client's user installs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSUMER = ROOT / "tests" / "fixtures" / "consumer.py"

pytestmark = pytest.mark.integration

# Everything that a client's user may import; none of it may bring what only the service needs.
_IMPORTS = """
import importlib, sys
for name in ("queryfleet", "actors", "serve_app", "cluster", *("queryfleet." + part for part in (
    "errors", "client", "cli", "testing", "ray", "schemas", "compiler", "semantic"))):
    assert importlib.import_module(name).__doc__, name
import queryfleet
for name in queryfleet.__all__:
    getattr(queryfleet, name)
heavy = {"ray", "fastapi", "starlette", "polars", "duckdb", "psycopg", "sqlalchemy", "pandas", "yaml"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert "site-packages" in queryfleet.__file__
for starting in (lambda: queryfleet.testing.service().__enter__(), lambda: queryfleet.ray.connect(token="t")):
    try:
        starting()
    except queryfleet.errors.ConfigurationError as error:
        assert "pip install" in error.message, error.message
    else:
        raise AssertionError("it needs what is not installed")
print("everything")
"""


def _run(*command, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _done(*command, cwd, **environment):
    done = _run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the `bin` folder of a fresh environment that has the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    beside = Path(sys.executable).with_name("uv")
    uv = beside if beside.exists() else shutil.which("uv")
    assert uv, "uv builds and installs the wheel; `make install` puts it into .venv"
    _done(uv, "build", "--wheel", "--quiet", "--out-dir", folder / "dist", ROOT, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    _done(uv, "venv", "--quiet", "--python", sys.executable, folder / "env", cwd=folder)
    _done(uv, "pip", "install", "--quiet", "--python", folder / "env" / "bin" / "python", wheel, cwd=folder)
    return folder / "env" / "bin"


def test_client_needs_nothing_but_its_dependencies(installed, tmp_path):
    """Every public module can be imported without the service's packages, and says what to install for the rest."""
    assert _done(installed / "python", "-c", _IMPORTS, cwd=tmp_path) == "everything\n"


def test_command_line_works_and_names_what_the_service_needs(installed, tmp_path):
    """The help is there; a command of the service says how to install it."""
    assert "Usage: queryfleet" in _done(installed / "queryfleet", "--help", cwd=tmp_path, COLUMNS="100")
    refused = _run(installed / "queryfleet", "up", cwd=tmp_path)
    assert refused.returncode != 0
    assert "queryfleet[local]" in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


def test_types_of_the_public_surface_hold_for_mypy(installed, tmp_path):
    """A user's strictly typed module passes, and its mistakes are found."""
    shutil.copy(CONSUMER, tmp_path)
    _done(
        *(sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file="),
        *("--python-executable", installed / "python", "consumer.py"),
        cwd=tmp_path,
    )


def test_types_of_the_public_surface_hold_for_pyright(installed, tmp_path):
    """The same module passes pyright, and its mistakes are found there, too."""
    shutil.copy(CONSUMER, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "standard", "enableTypeIgnoreComments": true, '
        '"reportUnnecessaryTypeIgnoreComment": "error"}'
    )
    checker = Path(sys.executable).with_name("basedpyright")
    done = _run(checker, "--pythonpath", installed / "python", "consumer.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
