"""What the ids of a query name: dimensions at their intervals, custom dimensions, metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.oracle.description import Env
from tests.oracle.joining import joined_rows
from tests.oracle.moments import DAYS_AND_LONGER, NAMES, PARTS, TRUNCATIONS, calendar_position, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

INTERVALS = ("RAW", *TRUNCATIONS, *PARTS, *NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A dimension of a query, of whatever kind."""

    id: str
    type: str
    value: Callable[[Any], Any]  # of the joined row
    tables: frozenset[str]
    base: str  # id of the dimension it is an interval of; its own id where it is none
    base_type: str
    zone: str  # what its days are counted in
    is_case_sensitive: bool = True
    rank: Callable[[Any, Mapping[str, Any]], Any] | None = None  # what it is sorted by
    interval: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregated:
    """A metric of a query, of the model or its own."""

    id: str
    table: str
    type: str
    argument: Callable[[Any], Any] | None
    whole: Callable[[list[Any]], Any] | None = None
    over: Callable[[Mapping[str, Any]], Any] | None = None
    needs: tuple[str, ...] = ()
    filters: tuple[Mapping[str, Any], ...] = ()
    percentile: float = 50
    distinct_keys: tuple[str, ...] = ()  # ids
    tables: frozenset[str] = field(default_factory=frozenset)
    period: Mapping[str, Any] | None = None  # of period over period: its wire form


def column_of(explore, query, setting, field_id, *, zoom=None):
    """Return the dimension that an id names.

    Raises:
        KeyError: It names none.
    """
    for custom in query.get("customDimensions") or ():
        if custom["id"] == field_id:
            return _custom(explore, query, setting, custom)
    for alias, source in explore.sources().items():
        for name, dim in source.dims.items():
            base = f"{alias}_{name}"
            if field_id == base:
                return _column(alias, explore, dim, setting, field_id, interval=zoom)
            for interval in INTERVALS:
                if field_id == f"{base}_{interval.lower()}" and dim.type in ("date", "timestamp"):
                    return _column(alias, explore, dim, setting, field_id, base=base, interval=zoom or interval)
    raise KeyError(field_id)


def _column(alias, explore, dim, setting, field_id, *, base=None, interval=None):
    # Days are those of the asker; only moments may count in the zone of the data.
    zone = setting.timezone if dim.type == "date" or dim.converts else setting.data_timezone

    def value(env):
        found = dim.value(env, alias)
        return found if interval is None else cut(found, interval, zone=zone, start_of_week=setting.start_of_week)

    of_table = explore.sources()[alias].keys.get("case_sensitive")
    sensitive = [dim.keys.get("case_sensitive"), of_table, explore.case_sensitive]
    rank = None
    if interval in NAMES:
        rank = lambda name, _: calendar_position(name, setting.start_of_week)  # noqa: E731
    return Column(
        id=field_id,
        type=_cut_type(interval, dim.type),
        value=value,
        tables=frozenset((alias, *dim.reaches)),
        base=base or field_id,
        base_type=dim.type,
        zone=zone,
        is_case_sensitive=next(each for each in sensitive if each is not None),
        rank=rank,
        interval=interval,
    )


def _cut_type(interval, base_type):
    if interval in (None, "RAW"):
        return base_type
    if interval in DAYS_AND_LONGER:
        return "date"
    if interval in TRUNCATIONS:
        return "timestamp"
    return "number" if interval in PARTS else "string"


def _custom(explore, query, setting, custom):
    if custom["type"] == "sql":
        meaning = setting.meanings[custom["id"]]
        tables = frozenset((custom["table"],))
        value, type_, rank = (lambda env: meaning(env, custom["table"])), custom["dimensionType"], None
        base_type, zone = type_, setting.timezone
    else:
        base = column_of(explore, query, setting, custom["dimensionId"])
        label, order = _BINS[custom["binType"]](custom, base, explore, setting)
        tables, type_, base_type, zone = base.tables, "string", base.base_type, base.zone
        value = lambda env: label(base.value(env))  # noqa: E731
        rank = None if order is None else lambda shown, _: order(shown)
    return Column(
        id=custom["id"], type=type_, value=value, tables=tables, base=custom["id"], base_type=base_type, zone=zone,
        rank=rank,
    )  # fmt: skip


def _number(value):
    return format(Decimal(str(value)).normalize(), "f")


def _fixed_width(custom, base, explore, setting):
    width = custom["binWidth"]

    def label(value):
        if value is None:
            return None
        low = math.floor(value / Decimal(str(width))) * width
        return f"{_number(low)} - {_number(low + width - 1)}"

    return label, _low


def _low(label):
    return None if label is None else Decimal(label.split(" - ")[0])


def _seen_rows(explore, tables, setting):
    """Return the rows that bounds are taken from: whole tables, as far as row filters let them be seen."""
    row_filter = explore.base.row_filter
    is_filtered = row_filter is not None or any(
        join.filters_rows and join.source.row_filter is not None for join in explore.joins
    )
    if not is_filtered and len(tables) == 1:
        (alias,) = tables
        return [Env(rows={alias: row}, setting=setting) for row in explore.sources()[alias].rows]
    needed = tables | set(row_filter.reaches if row_filter else ())
    envs = joined_rows(explore, needed, setting)
    return [env for env in envs if row_filter is None or row_filter.truth(env, explore.name) is True]


def _fixed_number(custom, base, explore, setting):
    rows = _seen_rows(explore, base.tables, setting)
    values = [base.value(env) for env in rows]
    values = [value for value in values if value is not None]
    count = custom["binNumber"]
    low, high = (math.floor(min(values)), math.ceil(max(values))) if values else (0, 0)
    width = (high - low) // count

    def label(value):
        if value is None:
            return None
        for index in range(count - 1):
            if low + width * index <= value < low + width * (index + 1):
                return f"{low + width * index} - {low + width * (index + 1)}"
        return f"{low + width * (count - 1)} - {high}"

    return label, _low


def _custom_range(custom, base, explore, setting):
    ranges = custom["customRange"]

    def text(bounds):
        if bounds.get("from") is None:
            return f"<{_number(bounds['to'])}"
        if bounds.get("to") is None:
            return f"≥{_number(bounds['from'])}"
        return f"{_number(bounds['from'])}-{_number(bounds['to'])}"

    def label(value):
        if value is None:
            return None
        for bounds in ranges:
            low, high = bounds.get("from"), bounds.get("to")
            if (low is None or value >= low) and (high is None or value < high):
                return text(bounds)
        return None

    texts = [text(bounds) for bounds in ranges]
    return label, lambda shown: None if shown is None else texts.index(shown)


_MATCHES = {
    "exact": lambda text, value: text == value,
    "startsWith": lambda text, value: text.startswith(value),
    "endsWith": lambda text, value: text.endswith(value),
    "includes": lambda text, value: value in text,
}


def _custom_group(custom, base, explore, setting):
    def label(value):
        for group in custom["customGroups"]:
            for each in group["values"]:
                if value is not None and _MATCHES[each["matchType"]](value, each["value"]):
                    return group["name"]
        return "Other"

    return label, None


_BINS = {
    "fixed_width": _fixed_width,
    "fixed_number": _fixed_number,
    "custom_range": _custom_range,
    "custom_group": _custom_group,
}


def metric_of(explore, query, setting, field_id):
    """Return the metric that an id names.

    Raises:
        KeyError: It names none.
    """
    for extra in query.get("additionalMetrics") or ():
        if f"{extra['table']}_{extra['name']}" == field_id:
            return _additional(explore, setting, extra, field_id)
    for alias, source in explore.sources().items():
        for name, measure in source.measures.items():
            if field_id == f"{alias}_{name}":
                return _of_model(alias, measure, field_id)
    raise KeyError(field_id)


def _of_model(alias, measure, field_id):
    return Aggregated(
        id=field_id,
        table=alias,
        type=measure.type,
        argument=None if measure.argument is None else lambda env: measure.argument(env, alias),
        whole=None if measure.whole is None else lambda envs: measure.whole(envs, alias),
        over=measure.over,
        needs=measure.needs,
        filters=measure.filters,
        percentile=measure.percentile,
        distinct_keys=tuple(f"{alias}_{key}" for key in measure.distinct_keys),
        tables=frozenset((alias, *measure.reaches)),
    )


def _additional(explore, setting, extra, field_id):
    if extra.get("generationType") == "periodOverPeriod":
        return Aggregated(id=field_id, table=extra["table"], type="number", argument=None, period=extra)
    meaning = setting.meanings[field_id]
    rules = tuple({**rule, "target": {"fieldId": _flat(rule["target"])}} for rule in extra.get("filters") or ())
    return Aggregated(
        id=field_id,
        table=extra["table"],
        type=extra["type"],
        argument=lambda env: meaning(env, extra["table"]),
        filters=rules,
        percentile=extra.get("percentile", 50),
        tables=frozenset((extra["table"],)),
    )


def _flat(target):
    return target["fieldRef"].replace(".", "_") if "fieldRef" in target else target["fieldId"]
