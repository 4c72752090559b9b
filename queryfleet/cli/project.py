"""`queryfleet project check` and `push`: say what is wrong with the models of a folder, or have a service take them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queryfleet.cli.failure import ExitCode
from queryfleet.client.texts import printable
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from queryfleet.cli.connection import Service
    from queryfleet.errors import JsonValue
    from queryfleet.semantic.catalog import Catalog

__all__ = ["CheckReport", "check_project", "push_project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found."""

    text: str  # for stdout; ends in a line end
    exit_code: ExitCode  # FAILED when there is any error; warnings are allowed


def check_project(folder: Path, *, as_json: bool) -> CheckReport:
    """Read and compile every model of a project, and read its content; asks no server and no warehouse.

    Args:
        folder: Holds `project.yml` and `models`.
        as_json: One JSON object (`explores`, `broken`, `problems`, `skipped`) instead of lines for people.

    Raises:
        ConfigurationError: The package that reads YAML is not installed.
    """
    from queryfleet.semantic.catalog import Catalog, load_catalog
    from queryfleet.semantic.problem import Problems

    try:
        catalog = _with_content(load_catalog(folder), folder)
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


def _with_content(catalog: Catalog, folder: Path) -> Catalog:
    """Return a catalog with what is wrong with the content of its project among its problems."""
    from dataclasses import replace

    from queryfleet.content.files import collect_content, read_content
    from queryfleet.project import load_project
    from queryfleet.semantic.problem import Problems

    problems = Problems()
    read_content(collect_content(folder.absolute()), load_project(folder).project_uuid, problems, catalog)
    return replace(catalog, problems=(*catalog.problems, *problems.found))


def push_project(service: Service, folder: Path, *, as_json: bool) -> CheckReport:
    """Have a service replace the models of a project by those of a folder, or leave them when anything is wrong.

    Args:
        service: Where; its token must be of an admin.
        folder: Holds `project.yml` and `models`.
        as_json: One JSON object (`version`, `explores`, `problems`) instead of lines for people; `version` is null
            when nothing was changed.

    Raises:
        ConfigurationError: There is no project in the folder, or the package that reads YAML is not installed.
        ServiceError: Refused for another reason than what the files say.
    """
    from queryfleet.errors import CompileError

    try:
        from queryfleet.semantic.project_files import collect_files
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        raise ConfigurationError(
            "pushing a project needs PyYAML, which is not installed: pip install 'queryfleet[server]'"
        ) from error
    files = collect_files(folder.absolute())
    try:
        with service.client() as client:
            answer = client.push_models(files)
    except CompileError as error:
        problems = error.details.get("problems")
        if not isinstance(problems, list):
            raise
        return _pushed({"version": None, "explores": [], "problems": problems}, ExitCode.FAILED, as_json=as_json)
    return _pushed(answer if isinstance(answer, dict) else {}, ExitCode.OK, as_json=as_json)


def _pushed(answer: dict[str, JsonValue], exit_code: ExitCode, *, as_json: bool) -> CheckReport:
    if as_json:
        return CheckReport(text=json.dumps(answer, ensure_ascii=False, indent=2) + "\n", exit_code=exit_code)
    problems, explores = answer.get("problems"), answer.get("explores")
    lines = [_problem_line(each) for each in problems if isinstance(each, dict)] if isinstance(problems, list) else []
    if exit_code is ExitCode.OK:
        count = len(explores) if isinstance(explores, list) else 0
        lines.append(f"version {answer.get('version')}: {_counted(count, 'explore')}")
    else:
        lines.append("Nothing was changed.")
    return CheckReport(text="".join(f"{printable(line)}\n" for line in lines), exit_code=exit_code)


def _problem_line(problem: dict[str, JsonValue]) -> str:
    line = problem.get("line")
    place = f"{problem.get('file')}" + (f", line {line}" if line is not None else "")
    return f"{place}: {problem.get('severity')}: {problem.get('message')}"


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
