"""The keys of a parameter, and what a project says for all of its models."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConfigurationError
from queryfleet.model import ColumnType
from queryfleet.project import PROJECT_FILE
from queryfleet.section import Section, nearest
from queryfleet.semantic.definition import ProjectDefaults
from queryfleet.semantic.explore import CustomGranularity, ParameterDefinition, ParameterType, TimeInterval
from queryfleet.semantic.section_value import checked_name, humanised, prose, scalars, section_map, text_map, texts
from queryfleet.yaml_document import YamlDocument, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.errors import JsonValue
    from queryfleet.project import Project
    from queryfleet.semantic.parameter import ParameterScalar
    from queryfleet.semantic.problem import Problems
    from queryfleet.yaml_document import YamlPath

__all__ = ["project_defaults", "read_parameters"]

_KEYS: Final = (
    "label", "type", "options", "options_from_dimension", "default", "multiple", "allow_custom_values", "description",
)  # fmt: skip
_DEFAULT_KEYS: Final = ("case_sensitive", "column_totals", "additional_time_intervals", "granularity_labels")
_COLUMN: Final = "${COLUMN}"


def read_parameters(section: Section, key: str) -> dict[str, ParameterDefinition]:
    """Return the parameters that a mapping defines, by name.

    Raises:
        ConfigurationError: A name, a key or a value is wrong.
    """
    found = {}
    for name, each in section_map(section, key).items():
        checked_name(each, None, name)
        found[name] = _parameter(each, name)
    return found


def _parameter(section: Section, name: str) -> ParameterDefinition:
    section.refuse_unknown(_KEYS)
    word = section.one_of("type", [each.value for each in ParameterType])
    source = section.section("options_from_dimension")
    source.refuse_unknown(("model", "dimension"))
    is_sourced = bool(source.values)
    parameter = ParameterDefinition(
        type=ParameterType.STRING if word is None else ParameterType(word),
        label=prose(section, "label") or humanised(name),
        description=prose(section, "description"),
        default=scalars(section, "default"),
        multiple=section.flag("multiple", default=False),
        allow_custom_values=section.flag("allow_custom_values", default=False),
        options=scalars(section, "options"),
        options_model=source.required_text("model", "orders") if is_sourced else None,
        options_dimension=source.required_text("dimension", "status") if is_sourced else None,
    )
    _check(section, parameter)
    return parameter


def _check(section: Section, parameter: ParameterDefinition) -> None:
    """Raise when values do not fit the definition: better here than in the middle of somebody's query."""
    if parameter.options and parameter.options_model is not None:
        raise section.error("options_from_dimension", "cannot stand beside `options`: keep one of them")
    if len(parameter.default) > 1 and not parameter.multiple:
        raise section.error("default", "is a list, but only one value is allowed: add `multiple: true`")
    for key, values in (("default", parameter.default), ("options", parameter.options)):
        if not all(_fits(value, parameter.type) for value in values):
            raise section.error(key, f"has a value that is no {parameter.type.value}")
    if parameter.options and not parameter.allow_custom_values and not set(parameter.default) <= set(parameter.options):
        raise section.error("default", "is not one of `options`")


def _fits(value: ParameterScalar, type_: ParameterType) -> bool:
    match type_:
        case ParameterType.STRING:
            return isinstance(value, str)
        case ParameterType.NUMBER:
            return not isinstance(value, str) and math.isfinite(value)
        case _:
            try:
                return isinstance(value, str) and dt.date.fromisoformat(value).isoformat() == value
            except ValueError:
                return False


def project_defaults(project: Project, problems: Problems) -> ProjectDefaults:
    """Return what `project.yml` says for all models; what is wrong in it becomes a problem and is left out."""
    written: dict[str, JsonValue] = {
        "parameters": dict(project.parameters),
        "defaults": dict(project.defaults),
        "custom_granularities": dict(project.custom_granularities),
    }
    section = Section.of(YamlDocument(source=PROJECT_FILE, value=written, lines=_lines(project)))
    found = ProjectDefaults()
    for completed in (_with_granularities, _with_defaults, _with_parameters):
        try:
            found = completed(found, section)
        except ConfigurationError as error:
            problems.raised(error, PROJECT_FILE)
    return found


def _lines(project: Project) -> Mapping[YamlPath, int]:
    """Return where things stand in the file that the project was read from; nothing when it is not there any more."""
    try:
        return parse_yaml((project.folder / PROJECT_FILE).read_bytes(), source=PROJECT_FILE).lines
    except (OSError, ConfigurationError):
        return {}


def _with_parameters(found: ProjectDefaults, section: Section) -> ProjectDefaults:
    return replace(found, parameters=read_parameters(section, "parameters"))


def _with_granularities(found: ProjectDefaults, section: Section) -> ProjectDefaults:
    granularities = {}
    for name, each in section_map(section, "custom_granularities").items():
        checked_name(each, None, name)
        each.refuse_unknown(("label", "sql", "type"))
        if name.upper() in list(TimeInterval):
            raise each.error(None, "has the name of a built-in interval: choose another")
        sql = each.required_text("sql", "date_trunc('year', ${COLUMN})")
        # The text is put around the dimension's own as it is: another reference would have no table to belong to.
        if _COLUMN not in sql or "${" in sql.replace(_COLUMN, ""):
            raise each.error("sql", "must hold `${COLUMN}`, in the place of the dimension, and no other reference")
        word = each.one_of("type", [type_.value for type_ in ColumnType])
        granularities[name] = CustomGranularity(
            name=name,
            label=prose(each, "label") or humanised(name).lower(),
            sql=sql,
            type=None if word is None else ColumnType(word),
        )
    return replace(found, custom_granularities=granularities)


def _with_defaults(found: ProjectDefaults, section: Section) -> ProjectDefaults:
    defaults = section.section("defaults")
    defaults.refuse_unknown(_DEFAULT_KEYS)
    known = {each.value: each.value for each in TimeInterval} | {own.upper(): own for own in found.custom_granularities}
    intervals = texts(defaults, "additional_time_intervals") or ()
    labels = text_map(defaults, "granularity_labels")
    for key, words in (("additional_time_intervals", intervals), ("granularity_labels", labels)):
        for word in words:
            if word.upper() not in known:
                names = [name.lower() for name in known]
                raise defaults.error(key, f"has an interval that is not known; {nearest(word, names)}")
    return replace(
        found,
        case_sensitive=defaults.flag("case_sensitive", default=True),
        additional_time_intervals=tuple(known[word.upper()] for word in intervals),
        granularity_labels={known[word.upper()]: label for word, label in labels.items()},
    )
