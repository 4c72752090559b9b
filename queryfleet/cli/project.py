"""`queryfleet project check`: read the models of a project's folder and say everything that is wrong with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.cli.failure import ExitCode, printable
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from queryfleet.semantic.catalog import Catalog

__all__ = ["CheckReport", "check_project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found."""

    text: str  # for stdout; ends in a line end
    exit_code: ExitCode  # FAILED when there is any error; warnings are allowed


def check_project(folder: Path, *, as_json: bool) -> CheckReport:
    """Read and compile every model of a project; asks no server and no warehouse.

    Args:
        folder: Holds `project.yml` and `models`.
        as_json: One JSON object (`explores`, `broken`, `problems`, `skipped`) instead of lines for people.

    Raises:
        ConfigurationError: The package that reads YAML is not installed.
    """
    from queryfleet.semantic.catalog import Catalog, load_catalog
    from queryfleet.semantic.problem import Problems

    try:
        catalog = load_catalog(folder)
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        raise ConfigurationError(
            "checking a project needs PyYAML, which is not installed: pip install 'queryfleet[server]'"
        ) from error
    except ConfigurationError as error:
        problems = Problems()
        problems.raised(error, str(folder.absolute() / "project.yml"))
        catalog = Catalog(problems=tuple(problems.found))
    return CheckReport(
        text=_json_text(catalog) if as_json else _plain_text(catalog),
        exit_code=ExitCode.FAILED if catalog.errors else ExitCode.OK,
    )


def _json_text(catalog: Catalog) -> str:
    report = {
        "explores": [
            {"name": each.name, "label": each.label, "tables": list(each.tables), "fields": len(each.fields)}
            for each in catalog.explores.values()
        ],
        "broken": [{"name": name, "reason": reason} for name, reason in catalog.broken.items()],
        "problems": [each.to_json() for each in catalog.problems],
        "skipped": [{"name": each.name, "reason": each.reason} for each in catalog.skipped],
    }
    return json.dumps(report, ensure_ascii=False, indent=2) + "\n"


def _plain_text(catalog: Catalog) -> str:
    lines = [f"{each.place}: {'error' if each.is_error else 'warning'}: {each.message}" for each in catalog.problems]
    lines += [f"dbt model {each.name}: skipped: {each.reason}" for each in catalog.skipped]
    fields = sum(len(each.fields) for each in catalog.explores.values())
    counts = [
        _counted(len(catalog.explores), "explore"),
        _counted(fields, "field"),
        _counted(len(catalog.errors), "error"),
        _counted(len(catalog.warnings), "warning"),
    ]
    return "".join(f"{printable(line)}\n" for line in [*lines, ", ".join(counts)])


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
