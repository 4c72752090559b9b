"""What the command line understands. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import queryfleet
from queryfleet.cli.extension import CommandGroup
from queryfleet.cli.failure import EXIT_CODES_HELP, ExitCode, exit_code, failure_text
from queryfleet.cli.options import (
    AsJson,
    DataDir,
    Format,
    Json,
    PageSize,
    Profile,
    Project,
    QueryUuid,
    Quiet,
    Rows,
    Stream,
    Token,
    Url,
)
from queryfleet.cli.output import OutputFormat
from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    from queryfleet.cli.connection import Service
    from queryfleet.cli.reading import ReadCommand
    from queryfleet.client import Client, Query, QuerySnapshot, Terms

__all__ = ["app", "run"]

app = typer.Typer(
    name="queryfleet",
    cls=CommandGroup,
    help="Ask a data warehouse through the query service, and read any page of the answer.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: importing what draws boxes takes longer than the rest
    pretty_exceptions_enable=False,  # its traceback would print local variables, the token among them
)

_DATA_DIR = Path(".queryfleet")

_project_app = typer.Typer(
    help="Look after the folder a project is: its models.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: importing what draws boxes takes longer than the rest
    pretty_exceptions_enable=False,
)
app.add_typer(_project_app, name="project")
_token_app = typer.Typer(
    help="Let people into a project.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: importing what draws boxes takes longer than the rest
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
    output_format: Format = OutputFormat.TABLE,
    as_json: AsJson = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows of the result.")] = None,
    parameters: Annotated[list[str] | None, typer.Option("--parameter", help="NAME=VALUE; repeatable.")] = None,
    rows: Rows = 50,
    page_size: PageSize = None,
    stream: Stream = True,
    quiet: Quiet = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Run a statement and write its rows to stdout. Ctrl-C cancels it in the warehouse."""
    from queryfleet.cli.reading import ReadCommand

    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        raise typer.BadParameter("The statement is empty.", param_hint="SQL")
    values = dict(map(_pair, parameters or ())) or None
    command = ReadCommand(
        start=lambda client, terms: client.sql(text, limit=limit, parameters=values, **terms),
        sql=text,
        format=OutputFormat.JSON if as_json else output_format,
        row_count=rows,
        page_size=page_size,
        is_quiet=quiet,
        is_streaming=stream,
    )
    _read(command, _service(url, token, project, profile=profile, data_dir=data_dir))


def _read(command: ReadCommand, service: Service) -> NoReturn:
    """Ask, write the rows to stdout, and end with the exit code."""
    from queryfleet.cli.reading import run_read

    width = _terminal_width() if sys.stdout.isatty() else None
    code = run_read(service, command, stdout=sys.stdout.buffer, stderr=sys.stderr, width=width)
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
    pivot: Annotated[
        list[str] | None, typer.Option("--pivot", help="Dimensions whose values become columns; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows of the result.")] = 500,
    parameters: Annotated[list[str] | None, typer.Option("--parameter", help="NAME=VALUE; repeatable.")] = None,
    timezone: Annotated[str | None, typer.Option(help="In which days begin; the project's if not given.")] = None,
    output_format: Format = OutputFormat.TABLE,
    as_json: AsJson = False,
    rows: Rows = 50,
    quiet: Quiet = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Ask the models and write the rows to stdout. Ctrl-C cancels the query in the warehouse."""
    from queryfleet.cli.reading import ReadCommand

    def start(client: Client, terms: Terms) -> Query:
        return client.query(
            explore,
            dimensions=_listed(dimensions),
            metrics=_listed(metrics),
            filters=filters or (),
            sorts=_listed(sort),
            limit=limit,
            pivot=_listed(pivot) or None,
            parameters=dict(map(_pair, parameters or ())) or None,
            timezone=timezone,
            **terms,
        )

    command = ReadCommand(
        start=start, format=OutputFormat.JSON if as_json else output_format, row_count=rows, is_quiet=quiet
    )
    _read(command, _service(url, token, project, profile=profile, data_dir=data_dir))


@app.command("results", epilog=EXIT_CODES_HELP)
def _results(  # noqa: PLR0917 - one parameter per flag
    query_uuid: QueryUuid,
    output_format: Format = OutputFormat.TABLE,
    as_json: AsJson = False,
    rows: Rows = 50,
    page_size: PageSize = None,
    stream: Stream = True,
    quiet: Quiet = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Write the rows of a query that was started before; one that still runs is waited for. Ctrl-C leaves it alone."""
    from queryfleet.cli.reading import ReadCommand

    command = ReadCommand(
        start=lambda client, _terms: client.attach(str(query_uuid)),
        is_own=False,
        format=OutputFormat.JSON if as_json else output_format,
        row_count=rows,
        page_size=page_size,
        is_quiet=quiet,
        is_streaming=stream,
    )
    _read(command, _service(url, token, project, profile=profile, data_dir=data_dir))


@app.command("attach", epilog=EXIT_CODES_HELP)
def _attach(  # noqa: PLR0917 - one parameter per flag
    query_uuid: QueryUuid,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Follow a query until it has ended, and show how it is then; 1 unless it is ready. Ctrl-C leaves it alone."""
    from queryfleet.cli.inspect import follow_query
    from queryfleet.cli.interrupt import Interrupted, interruptible

    service = _service(url, token, project, profile=profile, data_dir=data_dir)
    try:
        with interruptible():
            snapshot = follow_query(service, str(query_uuid), stderr=sys.stderr, is_quiet=quiet)
    except Interrupted:
        sys.stderr.write("\nInterrupted. The query goes on.\n")
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    _write(snapshot, as_json=as_json)
    raise typer.Exit(int(ExitCode.OK if snapshot.page is not None else ExitCode.FAILED))


@app.command("download", epilog=EXIT_CODES_HELP)
def _download(  # noqa: PLR0917 - one parameter per flag
    query_uuid: QueryUuid,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Gets its name when it is whole; replaces another.")],
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="csv, xlsx, jsonl, parquet, arrow or arrow_stream. [default: by the ending]"),
    ] = None,
    formatted: Annotated[bool, typer.Option(help="csv, xlsx: values as people read them.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Write all rows of a query to a file, made by the service. The same command goes on with what broke off."""
    from queryfleet.cli.download import download_result

    code = download_result(
        _service(url, token, project, profile=profile, data_dir=data_dir),
        str(query_uuid),
        path,
        format_=file_format,
        formatted=formatted,
        is_quiet=quiet,
        as_json=as_json,
        stdout=sys.stdout,
        stderr=sys.stderr,
    )
    raise typer.Exit(int(code))


@app.command("history", epilog=EXIT_CODES_HELP)
def _history(  # noqa: PLR0917 - one parameter per flag
    limit: Annotated[int, typer.Option(min=1, help="Most queries.")] = 20,
    status: Annotated[
        list[str] | None, typer.Option(help="pending, running, ready, error or cancelled; repeatable.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="UUID of a user. [default: oneself; for an admin everybody]")] = None,
    since: Annotated[datetime | None, typer.Option(help="Asked then or later, by the clock of this machine.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Asked before then.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """List who asked what, newest first."""
    from queryfleet.cli.history import history_text

    text = history_text(
        _service(url, token, project, profile=profile, data_dir=data_dir),
        limit=limit,
        statuses=status,
        user_uuid=user,
        since=since,
        until=until,
        as_json=as_json,
    )
    sys.stdout.write(text)


@app.command("projects", epilog=EXIT_CODES_HELP)
def _projects(
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """List the projects that one may ask."""
    from queryfleet.cli.history import projects_text

    sys.stdout.write(projects_text(_service(url, token, None, profile=profile, data_dir=data_dir), as_json=as_json))


@app.command("explores", epilog=EXIT_CODES_HELP)
def _explores(  # noqa: PLR0917 - one parameter per flag
    explore: Annotated[str | None, typer.Argument(metavar="EXPLORE", help="Show its fields.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """List what can be asked about, or the fields of one explore."""
    from queryfleet.cli.explores import explore_text, explores_text

    service = _service(url, token, project, profile=profile, data_dir=data_dir)
    if explore is None:
        sys.stdout.write(explores_text(service, as_json=as_json))
    else:
        sys.stdout.write(explore_text(service, explore, as_json=as_json))


@app.command("status", epilog=EXIT_CODES_HELP)
def _status(  # noqa: PLR0917 - one parameter per flag
    query_uuid: QueryUuid,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Show how a query is. Ends with 0 whatever its status."""
    from queryfleet.cli.inspect import query_status

    _write(
        query_status(_service(url, token, project, profile=profile, data_dir=data_dir), str(query_uuid)),
        as_json=as_json,
    )


@app.command("cancel", epilog=EXIT_CODES_HELP)
def _cancel(  # noqa: PLR0917 - one parameter per flag
    query_uuid: QueryUuid,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Cancel a query, in the warehouse too, and show how it is then. One that has ended stays as it is."""
    from queryfleet.cli.inspect import cancel_query

    _write(
        cancel_query(_service(url, token, project, profile=profile, data_dir=data_dir), str(query_uuid)),
        as_json=as_json,
    )


@_project_app.command("check", epilog=EXIT_CODES_HELP)
def _check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Holds `project.yml` and `models`.")],
    as_json: Json = False,
) -> None:
    """Check every model of a project, without a server. Ends with 1 when there is an error."""
    from queryfleet.cli.project import check_project

    report = check_project(folder, as_json=as_json)
    sys.stdout.write(report.text)
    raise typer.Exit(int(report.exit_code))


@_project_app.command("push", epilog=EXIT_CODES_HELP)
def _push(  # noqa: PLR0917 - one parameter per flag
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Holds `project.yml` and `models`.")],
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Replace a service's models by those of a folder: all of them, or none when there is an error."""
    from queryfleet.cli.project import push_project

    report = push_project(_service(url, token, project, profile=profile, data_dir=data_dir), folder, as_json=as_json)
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
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Make a token of a new user of the project and write it to stdout, once. Needs the role admin."""
    from queryfleet.cli.token import create_token
    from queryfleet.client import NewToken

    given: dict[str, list[str]] = {}
    for attribute, value in map(_pair, attributes or ()):
        given.setdefault(attribute, []).append(value)
    seconds = None if expires_days is None else expires_days * 86_400
    wanted = NewToken(name=name, role=role, email=email, attributes=given, expires_in_seconds=seconds)
    sys.stdout.write(f"{create_token(_service(url, token, project, profile=profile, data_dir=data_dir), wanted)}\n")


@_token_app.command("list", epilog=EXIT_CODES_HELP)
def _list_tokens(  # noqa: PLR0917 - one parameter per flag
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """List who has a role in the project. Needs the role admin."""
    from queryfleet.cli.token import tokens_text

    sys.stdout.write(tokens_text(_service(url, token, project, profile=profile, data_dir=data_dir), as_json=as_json))


@_token_app.command("revoke", epilog=EXIT_CODES_HELP)
def _revoke_token(  # noqa: PLR0917 - one parameter per flag
    token_uuid: Annotated[str, typer.Argument(metavar="TOKEN_UUID", help="As `token list` shows it.")],
    url: Url = None,
    token: Token = None,
    project: Project = None,
    profile: Profile = None,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Take a token's role in the project away. Needs the role admin."""
    from queryfleet.cli.token import revoke_token

    sys.stdout.write(revoke_token(_service(url, token, project, profile=profile, data_dir=data_dir), token_uuid))


def _listed(texts: list[str] | None) -> list[str]:
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE.")
    return name.strip(), value


def _service(
    url: str | None, token: str | None, project: str | None, *, profile: str | None, data_dir: Path
) -> Service:
    from queryfleet.cli.connection import Service
    from queryfleet.client.connection import find_connection

    place = find_connection(url=url, token=token, project=project, profile=profile, data_dir=data_dir)
    return Service(place=place)


def _write(snapshot: QuerySnapshot, *, as_json: bool) -> None:
    from queryfleet.cli.inspect import status_json, status_text

    sys.stdout.write(f"{status_json(snapshot) if as_json else status_text(snapshot)}\n")


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns
