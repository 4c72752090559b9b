"""What a model mentions outside of SQL: names that must be there, and rules that must fit the type of their field.

Nothing here keeps an explore from working. It would only be noticed later: a drill-down without a column, a filter
without suggestions, a rule that fails every query.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError, FieldReferenceError
from queryfleet.model import ColumnType
from queryfleet.semantic.explore import Dimension, unlisted_interval
from queryfleet.semantic.field_set import expanded_fields
from queryfleet.semantic.filter_rule import OPERATORS, FilterOperator
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from queryfleet.semantic.definition import Model, ProjectDefaults
    from queryfleet.semantic.explore import Explore, FilterRule, ParameterDefinition
    from queryfleet.semantic.filter_rule import FilterValue
    from queryfleet.semantic.problem import Problems

__all__ = ["check_model_mentions", "check_parameter_options"]

_RELATIVE: Final = frozenset({FilterOperator.IN_THE_PAST, FilterOperator.NOT_IN_THE_PAST, FilterOperator.IN_THE_NEXT})
_NUMBER: Final = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_BOOLEANS: Final = frozenset({"true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0"})
_PARAMETER: Final = "${"  # a value that holds one is known only when a query runs


def check_parameter_options(defaults: ProjectDefaults, models: Mapping[str, Model], problems: Problems) -> None:
    """Note every `options_from_dimension` that names no dimension.

    Args:
        defaults: Of the project; has parameters and granularities.
        models: All models by name; theirs are checked, too.
        problems: Is filled.
    """

    def check(parameters: Mapping[str, ParameterDefinition], place: str) -> None:
        for name, each in parameters.items():
            fault = _options_fault(each, models, defaults)
            if fault is not None:
                problems.error(place, f"`options_from_dimension` of the parameter `{name}` {fault}")

    check(defaults.parameters, "project.yml")
    for model in models.values():
        check(model.parameters, model.place("parameters"))
        for name, definition in model.explores.items():
            check(definition.parameters, model.place(f"explore {name}"))


def _options_fault(
    parameter: ParameterDefinition, models: Mapping[str, Model], defaults: ProjectDefaults
) -> str | None:
    name, dimension = parameter.options_model, parameter.options_dimension
    if name is None or dimension is None:
        return None
    model = models.get(name)
    if model is None:
        return f"names no model: `{name}`; {nearest_name(name, models)}"
    known = model.dimensions
    if dimension in known or unlisted_interval(known, dimension, defaults.custom_granularities) is not None:
        return None
    return f"names no dimension of `{name}`: `{dimension}`; {nearest_name(dimension, known)}"


def check_model_mentions(model: Model, explore: Explore, models: Mapping[str, Model], problems: Problems) -> None:
    """Note what a model mentions wrongly.

    Args:
        model: As written.
        explore: Its own, which has the tables that its fields may name.
        models: All models by name: another explore may have a table that this one lacks.
        problems: Is filled.
    """
    for place, text in (
        *_display_faults(model, explore, models),
        *_underlying_faults(model, explore, models),
        *_rule_faults(model, explore),
    ):
        problems.error(place, text)


def _display_faults(model: Model, explore: Explore, models: Mapping[str, Model]) -> Iterator[tuple[str, str]]:
    """Yield labels of suggestions and default times that are no dimension of the table."""
    table = explore.tables[model.name]
    for name, dimension in model.dimensions.items():
        label = None if dimension.filter_autocomplete is None else dimension.filter_autocomplete.label_dimension
        if label is not None and label not in table.dimensions:
            advice = nearest_name(label, model.dimensions)
            yield model.place(f"field {name}"), f"`label_dimension` of `{name}` names no dimension: `{label}`; {advice}"
    default = model.default_time_dimension
    times = [("default_time_dimension", None if default is None else default.field)]
    times += [(f"field {name}", metric.default_time_dimension) for name, metric in model.metrics.items()]
    for place, written in times:
        fault = None if written is None else _name_fault(written, model, explore, models)
        if fault is not None:
            yield model.place(place), f"`default_time_dimension` {fault}"


def _underlying_faults(model: Model, explore: Explore, models: Mapping[str, Model]) -> Iterator[tuple[str, str]]:
    """Yield columns of drill-downs that are no fields of the explore."""
    lists = [("default_show_underlying_values", "default_show_underlying_values", model.default_show_underlying_values)]
    lists += [
        (f"field {name}", "show_underlying_values", metric.show_underlying_values)
        for name, metric in model.metrics.items()
    ]
    for place, key, entries in lists:
        for fault in _list_faults(entries, model, explore, models):
            yield model.place(place), f"`{key}` {fault}"


def _list_faults(entries: Sequence[str], model: Model, explore: Explore, models: Mapping[str, Model]) -> Iterator[str]:
    try:
        names = expanded_fields(entries, model.sets)
    except CompileError as error:
        yield f"cannot be used: {error.message}"
        return
    for name in names:
        fault = _name_fault(name, model, explore, models)
        if fault is not None:
            yield fault


def _name_fault(written: str, model: Model, explore: Explore, models: Mapping[str, Model]) -> str | None:
    """Return what is wrong with `field` or `table.field`; None: nothing."""
    owner, _, name = written.rpartition(".")
    table = explore.tables.get(owner or model.name)
    if table is None and owner in models:
        return None
    if table is None:
        return f"names no table of the explore: `{written}`; {nearest_name(owner, explore.tables)}"
    known = [*table.dimensions, *table.metrics]
    made = unlisted_interval(table.dimensions, name, explore.custom_granularities)
    return None if name in known or made is not None else f"names no field: `{written}`; {nearest_name(name, known)}"


def _rule_faults(model: Model, explore: Explore) -> Iterator[tuple[str, str]]:
    """Yield rules of metrics and of the model that no query could use."""
    rules = [
        (f"field {name}", f"a rule in `filters` of `{name}`", rule)
        for name, metric in explore.tables[model.name].metrics.items()
        if metric.error is None
        for rule in metric.filters
    ]
    for rule in explore.filters:
        key = "required_filters" if rule.is_required else "default_filters"
        rules.append((key, f"a rule of `{key}`", rule))
    for place, what, rule in rules:
        fault = _rule_fault(rule, explore)
        if fault is not None:
            yield model.place(place), f"{what} {fault}"


def _rule_fault(rule: FilterRule, explore: Explore) -> str | None:
    try:
        field = explore.referenced(rule.field_id)
    except FieldReferenceError:
        return None  # noted where the rule was resolved
    if not isinstance(field, Dimension) or rule.operator in (FilterOperator.IS_NULL, FilterOperator.NOT_NULL):
        return None
    if rule.operator not in OPERATORS[field.type]:
        return f"uses `{rule.operator}` on `{rule.field_id}`, which does not fit its type {field.type}"
    expected = ColumnType.NUMBER if rule.operator in _RELATIVE else field.type
    wrong = next((value for value in rule.values if not _is_of(value, expected)), None)
    return None if wrong is None else f"has a value on `{rule.field_id}` that is no {expected}: `{str(wrong)[:60]}`"


def _is_of(value: FilterValue, type_: ColumnType) -> bool:
    """Tell whether a value can be one of a type; text may hold a parameter, which is known only later."""
    if isinstance(value, str) and _PARAMETER in value:
        return True
    known: Callable[[FilterValue], bool] | None = _CHECKS.get(type_)
    return known is None or known(value)


def _is_number(value: FilterValue) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return value is not None and not isinstance(value, bool)


def _is_boolean(value: FilterValue) -> bool:
    return value is not None and str(value).strip().lower() in _BOOLEANS


def _is_moment(value: FilterValue) -> bool:
    try:
        return isinstance(value, str) and bool(dt.date.fromisoformat(value.strip()[:10]))
    except ValueError:
        return False


_CHECKS: Final[Mapping[ColumnType, Callable[[FilterValue], bool]]] = {
    ColumnType.NUMBER: _is_number,
    ColumnType.BOOLEAN: _is_boolean,
    ColumnType.DATE: _is_moment,
    ColumnType.TIMESTAMP: _is_moment,
}
