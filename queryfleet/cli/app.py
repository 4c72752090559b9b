"""What the command line understands. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

import queryfleet
from queryfleet.cli.extension import CommandGroup
from queryfleet.cli.failure import EXIT_CODES_HELP, exit_code, failure_text
from queryfleet.cli.output import OutputFormat
from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    from queryfleet.cli.connection import Connection
    from queryfleet.client import QuerySnapshot

__all__ = ["app", "run"]

app = typer.Typer(
    name="queryfleet",
    cls=CommandGroup,
    help="Ask a data warehouse through the query service, and read any page of the answer.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its traceback would print local variables, the token among them
)

_Url = Annotated[str | None, typer.Option(envvar="QUERYFLEET_URL", help="Address of the service.")]
_Token = Annotated[
    str | None,
    typer.Option(
        envvar="QUERYFLEET_TOKEN",
        help="Personal token. Flags can be seen by other users: prefer the variable.",
    ),
]
_Project = Annotated[
    str | None,
    typer.Option(envvar="QUERYFLEET_PROJECT", help="UUID of the project whose warehouse is asked."),
]
_DataDir = Annotated[
    Path,
    typer.Option(envvar="QUERYFLEET_DATA_DIR", help="Folder in which `queryfleet up` left the address of its service."),
]
_Json = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]
_QueryUuid = Annotated[UUID, typer.Argument(metavar="UUID", help="The query.")]
_DATA_DIR = Path(".queryfleet")

_project_app = typer.Typer(
    help="Look after the folder a project is: its models.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(_project_app, name="project")


def run() -> None:
    """Run a command and end the process; errors raised on purpose become a message and an exit code."""
    try:
        app()
    except ServiceError as error:
        sys.stderr.write(f"{failure_text(error)}\n")
        raise SystemExit(int(exit_code(error))) from error


def _on_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"queryfleet {queryfleet.__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_on_version, help="Show the version and end.")
    ] = False,
) -> None:
    pass


@app.command("sql", epilog=EXIT_CODES_HELP)
def _sql(  # noqa: PLR0917 - one parameter per flag
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement; `-` reads it from stdin.")],
    output_format: Annotated[
        OutputFormat,
        typer.Option("--format", help="`table` shows the first rows; `jsonl` and `csv` write every row, raw."),
    ] = OutputFormat.TABLE,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows of the result.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows shown by `table`.")] = 50,
    page_size: Annotated[
        int | None,
        typer.Option(min=1, help="Rows fetched at once. [default: the service's largest, up to 5000]"),
    ] = None,
    stream: Annotated[
        bool, typer.Option(help="Write rows while the query still runs; else only once all are there.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    url: _Url = None,
    token: _Token = None,
    project: _Project = None,
    data_dir: _DataDir = _DATA_DIR,
) -> None:
    """Run a statement and write its rows to stdout. Ctrl-C cancels it in the warehouse."""
    from queryfleet.cli.sql import SqlCommand, run_sql

    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        raise typer.BadParameter("The statement is empty.", param_hint="SQL")
    command = SqlCommand(
        sql=text,
        format=output_format,
        limit=limit,
        row_count=rows,
        page_size=page_size,
        is_quiet=quiet,
        is_streaming=stream,
    )
    connection = _connection(url, token, project, data_dir)
    width = _terminal_width() if sys.stdout.isatty() else None
    code = run_sql(connection, command, stdout=sys.stdout.buffer, stderr=sys.stderr, width=width)
    raise typer.Exit(int(code))


@app.command("status", epilog=EXIT_CODES_HELP)
def _status(  # noqa: PLR0917 - one parameter per flag
    query_uuid: _QueryUuid,
    as_json: _Json = False,
    url: _Url = None,
    token: _Token = None,
    project: _Project = None,
    data_dir: _DataDir = _DATA_DIR,
) -> None:
    """Show how a query is. Ends with 0 whatever its status."""
    from queryfleet.cli.inspect import query_status

    _write(query_status(_connection(url, token, project, data_dir), str(query_uuid)), as_json=as_json)


@app.command("cancel", epilog=EXIT_CODES_HELP)
def _cancel(  # noqa: PLR0917 - one parameter per flag
    query_uuid: _QueryUuid,
    as_json: _Json = False,
    url: _Url = None,
    token: _Token = None,
    project: _Project = None,
    data_dir: _DataDir = _DATA_DIR,
) -> None:
    """Cancel a query, in the warehouse too, and show how it is then. One that has ended stays as it is."""
    from queryfleet.cli.inspect import cancel_query

    _write(cancel_query(_connection(url, token, project, data_dir), str(query_uuid)), as_json=as_json)


@_project_app.command("check", epilog=EXIT_CODES_HELP)
def _check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Holds `project.yml` and `models`.")],
    as_json: _Json = False,
) -> None:
    """Check every model of a project, without a server. Ends with 1 when there is an error."""
    from queryfleet.cli.project import check_project

    report = check_project(folder, as_json=as_json)
    sys.stdout.write(report.text)
    raise typer.Exit(int(report.exit_code))


def _connection(url: str | None, token: str | None, project: str | None, data_dir: Path) -> Connection:
    from queryfleet.cli.connection import find_connection, read_service_file

    return find_connection(url=url, token=token, project=project, file=read_service_file(data_dir))


def _write(snapshot: QuerySnapshot, *, as_json: bool) -> None:
    from queryfleet.cli.inspect import status_json, status_text

    sys.stdout.write(f"{status_json(snapshot) if as_json else status_text(snapshot)}\n")


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
