"""The reference of all settings, as Markdown, made from `Settings` itself.

    python -m queryfleet.settings_reference > docs/settings.md

A test compares the file with the output, so the two cannot drift apart.
"""

from __future__ import annotations

import sys
from types import UnionType
from typing import TYPE_CHECKING, Final, Union, get_args, get_origin

from pydantic import SecretStr

from queryfleet.settings import PREFIX, Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["SECTIONS", "settings_markdown"]

_KIB, _MIB = 1024, 1024 * 1024

# A section begins at the field named; fields keep the order of `Settings`.
SECTIONS: Final = {
    "database_url": "Where the parts are",
    "host": "HTTP",
    "pool_size": "Query actors",
    "running_per_project_max": "Admission and limits",
    "exports_max": "Files of results",
    "attempts_max": "Leases and retention",
    "chunk_bytes": "Stored results",
    "log_level": "Other",
}

_INTRODUCTION: Final = f"""\
# Settings

<!-- Made by `python -m queryfleet.settings_reference`. Change the descriptions in queryfleet/settings.py. -->

`queryfleet up` reads these variables once, when it starts, and hands them to every actor and replica. The
same variables on another node are not looked at. Two things are looked up where the work is done, so set them
on every node: the `${{NAME}}` variables of a project, and the usual AWS sources when no S3 key is given here.

A wrong value stops the start; the message names the variable and never shows a secret. A variable that begins
with `{PREFIX}` and names no setting gives a warning with the nearest right name.

Sizes are bytes. Times are seconds unless the name says `MS`.
"""

_KINDS: Final[dict[object, str]] = {
    str: "text",
    SecretStr: "text, secret",
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
}
_BOUNDS: Final = {"gt": ">", "ge": "≥", "le": "≤"}  # by the member of a validation rule that holds the bound

_OTHER_VARIABLES: Final = """\
## Variables of the client, the command line and Ray

These are not settings of the service.

| Variable | Read by | Meaning |
|---|---|---|
| `QUERYFLEET_URL` | the client, every command that asks a service | Address of the service. |
| `QUERYFLEET_TOKEN` | the same, and `up` | Personal token. `up` makes one when it is not set. |
| `QUERYFLEET_PROJECT` | the client, every command that asks a service | UUID or name of the project that is asked. |
| `QUERYFLEET_PROFILE` | the same | Name of a [profile](data-science.md#profiles); `default` when not set. |
| `QUERYFLEET_DATA_DIR` | the client, every command | Folder of the local stack; `.queryfleet` when not set. |
| `RAY_ADDRESS` | `up`, `doctor` | A running Ray cluster to use; without it `up` starts one. |
| `RAY_AUTH_MODE` | `up`, `doctor` | How Ray protects its ports; see [security](architecture.md#security). |
"""


def settings_markdown() -> str:
    """Return the whole reference; ends with a line feed."""
    parts = [_INTRODUCTION]
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            parts.append(f"\n## {SECTIONS[name]}\n\n| Variable | Value | Default | Meaning |\n|---|---|---|---|\n")
        cells = (
            f"`{PREFIX}{name.upper()}`",
            _value(name, field),
            _default(name, field),
            field.description or "",
        )
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join([*parts, "\n", _OTHER_VARIABLES])


def _value(name: str, field: FieldInfo) -> str:
    """Return what kind of value a field takes, with its bounds."""
    bounds = [
        f"{sign} {_number(name, getattr(rule, bound))}"
        for rule in field.metadata
        for bound, sign in _BOUNDS.items()
        if hasattr(rule, bound)
    ]
    return ", ".join([_KINDS[_plain_type(field.annotation)], *bounds])


def _plain_type(annotation: object) -> object:
    """Return the type of a field's values; of `X | None` it is X."""
    if get_origin(annotation) in (Union, UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _default(name: str, field: FieldInfo) -> str:
    value: object = field.default
    match value:
        case None:
            return "not set"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return _number(name, value)
        case _:
            return f"`{value}`"


def _number(name: str, value: float) -> str:
    """Return a number as it is typed, with its size for readers when it counts bytes."""
    if "bytes" not in name or value < _KIB:
        return f"`{value}`"
    size = f"{value / _MIB:g} MiB" if value >= _MIB else f"{value / _KIB:g} KiB"
    return f"`{value}` ({size})"


if __name__ == "__main__":
    sys.stdout.write(settings_markdown())
