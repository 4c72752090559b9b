"""What the command line understands. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from uuid import UUID

import typer

import queryfleet
from queryfleet.cli.extension import CommandGroup
from queryfleet.cli.failure import EXIT_CODES_HELP, exit_code, failure_text
from queryfleet.cli.output import OutputFormat
from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    from queryfleet.cli.connection import Connection
    from queryfleet.cli.sql import SqlCommand
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
_token_app = typer.Typer(
    help="Let people into a project.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(_token_app, name="token")


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
    from queryfleet.cli.sql import SqlCommand

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
    _run(command, _connection(url, token, project, data_dir))


def _run(command: SqlCommand, connection: Connection) -> NoReturn:
    """Ask, write the rows to stdout, and end with the exit code."""
    from queryfleet.cli.sql import run_sql

    width = _terminal_width() if sys.stdout.isatty() else None
    code = run_sql(connection, command, stdout=sys.stdout.buffer, stderr=sys.stderr, width=width)
    raise typer.Exit(int(code))


@app.command("query", epilog=EXIT_CODES_HELP)
def _query(  # noqa: PLR0917 - one parameter per flag
    explore: Annotated[str, typer.Argument(metavar="EXPLORE", help="`queryfleet explores` lists them.")],
    dimensions: Annotated[
        list[str] | None, typer.Option("--dimensions", "-d", help="Field ids, separated by commas; repeatable.")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metrics", "-m", help="Field ids, separated by commas; repeatable.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filters",
            "--filter",
            "-f",
            help="Such as orders_status=placed,shipped or orders_amount>=100; repeatable.",
        ),
    ] = None,
    sort: Annotated[
        list[str] | None, typer.Option("--sort", "-s", help="Field ids; a `-` before one: largest first; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows of the result.")] = 500,
    parameters: Annotated[list[str] | None, typer.Option("--parameter", help="NAME=VALUE; repeatable.")] = None,
    timezone: Annotated[str | None, typer.Option(help="In which days begin; the project's if not given.")] = None,
    output_format: Annotated[
        OutputFormat,
        typer.Option("--format", help="`table` shows the first rows; `jsonl` and `csv` write every row, raw."),
    ] = OutputFormat.TABLE,
    rows: Annotated[int, typer.Option(min=1, help="Rows shown by `table`.")] = 50,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    url: _Url = None,
    token: _Token = None,
    project: _Project = None,
    data_dir: _DataDir = _DATA_DIR,
) -> None:
    """Ask the models and write the rows to stdout. Ctrl-C cancels the query in the warehouse."""
    from queryfleet.cli.sql import SqlCommand
    from queryfleet.client.question import Question, filter_of_text, sort_of_text

    question = Question(
        explore=explore,
        dimensions=_listed(dimensions),
        metrics=_listed(metrics),
        filters=[filter_of_text(each) for each in filters or ()],
        sorts=[sort_of_text(each) for each in _listed(sort)],
        limit=limit,
        parameters=dict(map(_pair, parameters or ())),
        timezone=timezone,
    )
    command = SqlCommand(
        sql="",
        format=output_format,
        limit=None,
        row_count=rows,
        page_size=None,
        is_quiet=quiet,
        is_streaming=True,
        question=question,
    )
    _run(command, _connection(url, token, project, data_dir))


@app.command("explores", epilog=EXIT_CODES_HELP)
def _explores(  # noqa: PLR0917 - one parameter per flag
    explore: Annotated[str | None, typer.Argument(metavar="EXPLORE", help="Show its fields.")] = None,
    as_json: _Json = False,
    url: _Url = None,
    token: _Token = None,
    project: _Project = None,
    data_dir: _DataDir = _DATA_DIR,
) -> None:
    """List what can be asked about, or the fields of one explore."""
    from queryfleet.cli.explores import explore_text, explores_text

    connection = _connection(url, token, project, data_dir)
    if explore is None:
        sys.stdout.write(explores_text(connection, as_json=as_json))
    else:
        sys.stdout.write(explore_text(connection, explore, as_json=as_json))


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


@_project_app.command("push", epilog=EXIT_CODES_HELP)
def _push(  # noqa: PLR0917 - one parameter per flag
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Holds `project.yml` and `models`.")],
    as_json: _Json = False,
    url: _Url = None,
    token: _Token = None,
    project: _Project = None,
    data_dir: _DataDir = _DATA_DIR,
) -> None:
    """Replace a service's models by those of a folder: all of them, or none when there is an error."""
    from queryfleet.cli.project import push_project

    report = push_project(_connection(url, token, project, data_dir), folder, as_json=as_json)
    sys.stdout.write(report.text)
    raise typer.Exit(int(report.exit_code))


@_token_app.command("create", epilog=EXIT_CODES_HELP)
def _create_token(  # noqa: PLR0917 - one parameter per flag
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, for people.")],
    role: Annotated[str, typer.Option(help="viewer, editor or admin.")] = "viewer",
    attributes: Annotated[
        list[str] | None, typer.Option("--attribute", help="NAME=VALUE; repeatable, also with one name.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Of the user, for models that ask for it.")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, help="Days it works; without: for ever.")] = None,
    url: _Url = None,
    token: _Token = None,
    project: _Project = None,
    data_dir: _DataDir = _DATA_DIR,
) -> None:
    """Make a token of a new user of the project and write it to stdout, once. Needs the role admin."""
    from queryfleet.cli.token import create_token
    from queryfleet.client import NewToken

    given: dict[str, list[str]] = {}
    for attribute, value in map(_pair, attributes or ()):
        given.setdefault(attribute, []).append(value)
    seconds = None if expires_days is None else expires_days * 86_400
    wanted = NewToken(name=name, role=role, email=email, attributes=given, expires_in_seconds=seconds)
    sys.stdout.write(f"{create_token(_connection(url, token, project, data_dir), wanted)}\n")


def _listed(texts: list[str] | None) -> list[str]:
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE.")
    return name.strip(), value


def _connection(url: str | None, token: str | None, project: str | None, data_dir: Path) -> Connection:
    from queryfleet.cli.connection import find_connection, read_service_file

    return find_connection(url=url, token=token, project=project, file=read_service_file(data_dir))


def _write(snapshot: QuerySnapshot, *, as_json: bool) -> None:
    from queryfleet.cli.inspect import status_json, status_text

    sys.stdout.write(f"{status_json(snapshot) if as_json else status_text(snapshot)}\n")


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
