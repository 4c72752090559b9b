"""What the command line understands, and commands that other packages bring."""

from __future__ import annotations

import importlib.metadata

import pytest
from typer.testing import CliRunner

from queryfleet.cli.app import app, run
from queryfleet.cli.extension import GROUP
from queryfleet.errors import ConfigurationError

_UUID = "0b8f5a37-6f0e-4f5e-9d6e-2f1f4c7a9b10"


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """Run a command in an empty folder with no settings in the environment."""
    for name in ("URL", "TOKEN", "PROJECT", "DATA_DIR"):
        monkeypatch.delenv(f"QUERYFLEET_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, list(args))


@pytest.mark.parametrize("command", [(), ("sql",), ("status",), ("cancel",)])
def test_help_documents_the_exit_codes(invoke, command):
    """Every help text says what the exit codes mean."""
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "130 interrupted" in " ".join(result.output.split())


def test_help_lists_commands_of_the_service_without_importing_them(invoke, monkeypatch):
    """The list of commands is complete and cheap."""

    def load(_self):
        raise AssertionError("imported for a list")

    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", load)
    output = invoke("--help").output
    assert all(f" {name} " in output for name in ("sql", "status", "cancel", "up", "doctor"))


@pytest.mark.parametrize(
    "args",
    [
        ("sql",),
        ("sql", ""),
        ("sql", "select 1", "--format", "xml"),
        ("sql", "select 1", "--rows", "0"),
        ("sql", "select 1", "--limit", "-1"),
        ("sql", "select 1", "--page-size", "0"),
        ("status", "not-a-uuid"),
        ("cancel",),
        ("sqll", "select 1"),
    ],
)
def test_wrong_use_ends_with_two(invoke, args):
    """What was typed wrongly is exit code 2."""
    assert invoke(*args).exit_code == 2


@pytest.mark.parametrize("args", [("sql", "select 1"), ("status", _UUID), ("cancel", _UUID)])
def test_command_without_a_service_raises_what_to_do(invoke, args):
    """Without any service the error says how to get one."""
    result = invoke(*args)
    assert isinstance(result.exception, ConfigurationError)
    assert "queryfleet up" in result.exception.message


def test_run_of_configuration_error_ends_with_two_and_a_message(monkeypatch, tmp_path, capsys):
    """An error raised on purpose becomes a message and an exit code, never a traceback."""
    monkeypatch.setattr("sys.argv", ["queryfleet", "status", _UUID, "--data-dir", str(tmp_path)])
    for name in ("URL", "TOKEN", "PROJECT"):
        monkeypatch.delenv(f"QUERYFLEET_{name}", raising=False)
    with pytest.raises(SystemExit) as caught:
        run()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("Error: No service is known.")


def test_version_is_the_packages(invoke):
    """--version says what is installed."""
    assert invoke("--version").output.startswith("queryfleet ")


class _Found:
    """An entry point that was found."""

    def __init__(self, name, load):
        self.name = name
        self.load = load


@pytest.fixture
def installed(monkeypatch):
    """Replace what the entry-point group holds."""

    def install(**loads):
        found = [_Found(name, load) for name, load in loads.items()]

        def entry_points(*, group, name=None):
            assert group == GROUP
            return [point for point in found if name in (None, point.name)]

        monkeypatch.setattr("queryfleet.cli.extension.entry_points", entry_points)

    return install


def test_command_of_another_package_runs_with_its_own_options(invoke, installed):
    """A function with a signature that typer can read is a command."""
    calls = []

    def load():
        def up(port: int = 8000, *, verbose: bool = False) -> None:
            """Start it."""
            calls.append((port, verbose))

        return up

    installed(up=load)
    assert invoke("up", "--port", "9", "--verbose").exit_code == 0
    assert calls == [(9, True)]
    assert "--port" in invoke("up", "--help").output


def test_command_that_nobody_announced_is_listed_and_runs(invoke, installed):
    """Packages may bring commands this one has never heard of."""
    calls = []
    installed(extra=lambda: lambda: calls.append("ran"))
    assert "extra" in invoke("--help").output.split()
    assert invoke("extra").exit_code == 0
    assert calls == ["ran"]


def test_command_whose_packages_are_missing_says_what_to_install(invoke, installed):
    """`up` without the service names the missing module and the extra."""

    def load():
        raise ModuleNotFoundError("No module named 'ray'", name="ray")

    installed(up=load)
    result = invoke("up")
    assert isinstance(result.exception, ConfigurationError)
    assert "'ray'" in result.exception.message
    assert "pip install 'queryfleet[local]'" in result.exception.message


def test_command_of_a_package_that_is_absent_says_what_to_install(invoke, installed):
    """`doctor` is known even where no package brings it."""
    installed()
    result = invoke("doctor")
    assert isinstance(result.exception, ConfigurationError)
    assert "pip install 'queryfleet[local]'" in result.exception.message
