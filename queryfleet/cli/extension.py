"""Commands of other packages, found by the entry-point group `queryfleet.commands`, imported only when run.

`queryfleet --help` lists them without importing anything. The service's own commands are listed even where
the service is not installed; running one there says what to install.
"""

from __future__ import annotations

from functools import wraps
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup

from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    # The bases of typer's own classes; the module is private, so it is looked at by type checkers only.
    from typer._click import Command, Context

__all__ = ["GROUP", "CommandGroup"]

P = ParamSpec("P")

GROUP: Final = "queryfleet.commands"

_KNOWN: Final = {
    "up": "Start the whole service on this machine.",
    "doctor": "Check the installation, the settings and every part the service needs.",
}


class _Listed(TyperCommand):
    """Stands for a command that has not been imported: enough for help and completion."""

    def load(self) -> Command:
        """Import the command and return it.

        Raises:
            ConfigurationError: Its package, or something that needs, is not installed.
        """
        name = self.name or ""
        found = next(iter(entry_points(group=GROUP, name=name)), None)
        if found is None:
            raise ConfigurationError(_missing_text(name, "it is not installed"))
        try:
            function = found.load()
        except ModuleNotFoundError as error:
            raise ConfigurationError(_missing_text(name, f"there is no module {error.name!r}")) from error
        application = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        application.command(name)(_told_what_is_missing(name, function))
        return typer.main.get_command(application)


class CommandGroup(TyperGroup):
    """The commands of the client, and those that other packages bring."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names in the order of the help: the client's, the service's, then any other."""
        others = sorted(found.name for found in entry_points(group=GROUP))
        return list(dict.fromkeys([*super().list_commands(ctx), *_KNOWN, *others]))

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return a command of the client, or a stand-in for one that `resolve_command` imports."""
        command = super().get_command(ctx, cmd_name)
        if command is not None or (cmd_name not in _KNOWN and not entry_points(group=GROUP, name=cmd_name)):
            return command
        return _Listed(cmd_name, short_help=_KNOWN.get(cmd_name, ""), help=_KNOWN.get(cmd_name))

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Return the command to run, imported now if it was not.

        Raises:
            ConfigurationError: The command's package is not installed.
        """
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, _Listed) else command, rest


def _told_what_is_missing(name: str, function: Callable[P, None]) -> Callable[P, None]:
    """Return a command whose imports, which happen when it runs, may fail with an error of ours."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise ConfigurationError(_missing_text(name, f"there is no module {error.name!r}")) from error

    return run


def _missing_text(name: str, reason: str) -> str:
    return (
        f"`queryfleet {name}` needs the service, of which something is missing here ({reason})."
        " Install it with: pip install 'queryfleet[local]'"
    )
