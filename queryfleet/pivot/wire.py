"""`pivotConfiguration` of a request as a `PivotSpec`, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, TypeVar

from queryfleet.errors import InvalidRequestError, ParameterError
from queryfleet.pivot.spec import Aggregation, AxisType, IndexColumn, PinnedValue, PivotSpec, SortKey, ValueColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

    from queryfleet.errors import JsonValue

    _Word = TypeVar("_Word", bound=StrEnum)

__all__ = ["parse_pivot", "pivot_to_wire"]

_ROOT = "pivotConfiguration"


def parse_pivot(configuration: Mapping[str, JsonValue]) -> PivotSpec:
    """Read a pivot from its wire form. Members it does not know are ignored.

    A sort whose reference is no part of the pivot does nothing; `PivotSpec.warnings` says so.

    Raises:
        InvalidRequestError: A member has the wrong shape; details name it.
        ParameterError: A word or a combination is not possible.
    """
    index = configuration.get("indexColumn")
    spec = PivotSpec(
        index=tuple(
            IndexColumn(
                reference=_reference(entry, path), type=_word(entry, "type", AxisType, path, default=AxisType.CATEGORY)
            )
            for path, entry in _entries([index] if isinstance(index, dict) else index, "indexColumn")
        ),
        values=_values(configuration, "valuesColumns"),
        groups=_references(configuration, "groupByColumns"),
        sort=tuple(_sort(entry, path) for path, entry in _entries(configuration.get("sortBy"), "sortBy")),
        metrics_as_rows=_flag(configuration, "metricsAsRows", _ROOT) or False,
        sort_only_values=_values(configuration, "sortOnlyColumns"),
        sort_only_dimensions=_references(configuration, "sortOnlyDimensions"),
        passthrough=_references(configuration, "passthroughDimensions"),
        column_order=_references(configuration, "pivotColumnsOrder"),
        index_is_list=not isinstance(index, dict),
    )
    return _without_idle_parts(spec)


def _without_idle_parts(spec: PivotSpec) -> PivotSpec:
    """Take out what cannot have an effect, and say so."""
    warnings = []
    hidden = tuple(reference for reference in spec.sort_only_dimensions if reference not in spec.groups)
    if hidden and not spec.groups:
        warnings.append(f"sortOnlyDimensions ({', '.join(hidden)}) order columns, and the pivot has no groupByColumns.")
        hidden = ()
    spec = replace(spec, sort_only_dimensions=hidden)
    known = {*(column.reference for column in spec.index), *spec.column_dimensions}
    sort = tuple(key for key in spec.sort if key.reference in known or spec.value_of(key.reference) is not None)
    idle = [key.reference for key in spec.sort if key not in sort]
    if idle:
        warnings.append(f"sortBy names {', '.join(idle)}, which the pivot does not have; it was left out.")
    return replace(spec, sort=sort, warnings=tuple(warnings))


def pivot_to_wire(spec: PivotSpec) -> dict[str, JsonValue]:
    """Return the configuration of a pivot; `parse_pivot` reads it back."""
    index: list[JsonValue] = [{"reference": column.reference, "type": column.type.value} for column in spec.index]
    found: dict[str, JsonValue] = {
        "indexColumn": index if spec.index_is_list else index[0],
        "valuesColumns": _values_to_wire(spec.values),
        "groupByColumns": _references_to_wire(spec.groups),
        "sortBy": [_sort_to_wire(key) for key in spec.sort],
    }
    if spec.metrics_as_rows:
        found["metricsAsRows"] = True
    if spec.sort_only_values:
        found["sortOnlyColumns"] = _values_to_wire(spec.sort_only_values)
    lists = {
        "sortOnlyDimensions": spec.sort_only_dimensions,
        "passthroughDimensions": spec.passthrough,
        "pivotColumnsOrder": spec.column_order,
    }
    found |= {member: _references_to_wire(references) for member, references in lists.items() if references}
    return found


def _values_to_wire(columns: tuple[ValueColumn, ...]) -> list[JsonValue]:
    return [{"reference": column.reference, "aggregation": column.aggregation.value} for column in columns]


def _references_to_wire(references: tuple[str, ...]) -> list[JsonValue]:
    return [{"reference": reference} for reference in references]


def _sort_to_wire(key: SortKey) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {"reference": key.reference, "direction": "DESC" if key.descending else "ASC"}
    if key.nulls_first is not None:
        found["nullsFirst"] = key.nulls_first
    if key.pinned:
        found["pivotValues"] = [{"reference": pin.reference, "value": pin.value} for pin in key.pinned]
    return found


def _values(configuration: Mapping[str, JsonValue], member: str) -> tuple[ValueColumn, ...]:
    return tuple(
        ValueColumn(reference=_reference(entry, path), aggregation=_word(entry, "aggregation", Aggregation, path))
        for path, entry in _entries(configuration.get(member), member)
    )


def _references(configuration: Mapping[str, JsonValue], member: str) -> tuple[str, ...]:
    return tuple(_reference(entry, path) for path, entry in _entries(configuration.get(member), member))


def _sort(entry: Mapping[str, JsonValue], path: str) -> SortKey:
    direction = entry.get("direction", "ASC")
    if direction not in ("ASC", "DESC"):
        _unknown_word(f"{path}.direction", direction, ["ASC", "DESC"])
    pins = []
    for pin_path, pin in _entries(entry.get("pivotValues"), "pivotValues", path):
        if "value" not in pin:
            _malformed(f"{pin_path}.value", "is missing")
        pins.append(PinnedValue(reference=_reference(pin, pin_path), value=pin["value"]))
    return SortKey(
        reference=_reference(entry, path),
        descending=direction == "DESC",
        nulls_first=_flag(entry, "nullsFirst", path),
        pinned=tuple(pins),
    )


def _entries(value: JsonValue, member: str, root: str = _ROOT) -> list[tuple[str, dict[str, JsonValue]]]:
    """Return the objects of a list with their paths; absent and null are an empty list."""
    path = f"{root}.{member}"
    if value is None:
        return []
    if not isinstance(value, list):
        _malformed(path, "must be a list of objects")
    found = []
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            _malformed(f"{path}.{number}", "must be an object with a reference")
        found.append((f"{path}.{number}", entry))
    return found


def _reference(entry: Mapping[str, JsonValue], path: str) -> str:
    value = entry.get("reference")
    if not isinstance(value, str) or not value:
        _malformed(f"{path}.reference", "must be the name of a field")
    return value


def _flag(entry: Mapping[str, JsonValue], member: str, path: str) -> bool | None:
    value = entry.get(member)
    if value is not None and not isinstance(value, bool):
        _malformed(f"{path}.{member}", "must be true or false")
    return value


def _word(
    entry: Mapping[str, JsonValue], member: str, words: Callable[[str], _Word], path: str, default: _Word | None = None
) -> _Word:
    value = entry.get(member)
    if value is None and default is not None:
        return default
    try:
        return words(value if isinstance(value, str) else "")
    except ValueError:
        _unknown_word(f"{path}.{member}", value, [word.value for word in words])  # type: ignore[attr-defined]


def _unknown_word(path: str, value: JsonValue, words: list[str]) -> NoReturn:
    shown = repr(value) if isinstance(value, str) else "missing or no text"
    raise ParameterError(f"{path} is {shown}; it must be one of {', '.join(words)}.", field=path)


def _malformed(path: str, problem: str) -> NoReturn:
    found: dict[str, JsonValue] = {path: {"message": problem}}
    raise InvalidRequestError(f"The request is not valid: {path}: {problem}.", **found)
