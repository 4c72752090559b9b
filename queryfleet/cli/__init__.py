"""The command line; nothing heavy is imported before a command needs it."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on the process's arguments and end the process with its exit code."""
    from queryfleet.cli.app import run

    run()
