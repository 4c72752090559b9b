"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from queryfleet.cli.output import OutputFormat

__all__ = [
    "AsJson",
    "DataDir",
    "Format",
    "Json",
    "PageSize",
    "Profile",
    "Project",
    "QueryUuid",
    "Quiet",
    "Rows",
    "Stream",
    "Token",
    "Url",
]

# The environment is read later, with the profiles: a profile that is named here wins over it.
Url = Annotated[str | None, typer.Option(help="Address of the service. [env: QUERYFLEET_URL]")]
Token = Annotated[
    str | None,
    typer.Option(
        help="Personal token. Flags can be seen by other users: prefer the variable. [env: QUERYFLEET_TOKEN]",
    ),
]
Project = Annotated[
    str | None,
    typer.Option(help="UUID or name of the project that is asked. [env: QUERYFLEET_PROJECT]"),
]
Profile = Annotated[
    str | None,
    typer.Option(help="Profile of ~/.config/queryfleet/config.toml. [env: QUERYFLEET_PROFILE]"),
]
DataDir = Annotated[
    Path,
    typer.Option(envvar="QUERYFLEET_DATA_DIR", help="Folder in which `queryfleet up` left the address of its service."),
]
Format = Annotated[
    OutputFormat,
    typer.Option(
        "--format",
        help="`table` shows the first rows; the others write every row, raw. `arrow` and `parquet` are binary.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --format json: one object with every row.")]
Rows = Annotated[int, typer.Option(min=1, help="Rows shown by `table`.")]
PageSize = Annotated[
    int | None,
    typer.Option(min=1, help="Rows fetched at once. [default: the service's largest, up to 5000]"),
]
Stream = Annotated[bool, typer.Option(help="Write rows while the query still runs; else only once all are there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object.")]
QueryUuid = Annotated[UUID, typer.Argument(metavar="UUID", help="The query.")]
