"""The keys of a dimension and of a metric, the same in both spellings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConfigurationError
from queryfleet.model import ColumnType
from queryfleet.section import nearest
from queryfleet.semantic.explore import (
    DefaultTimeDimension,
    Dimension,
    FilterAutocomplete,
    Format,
    Metric,
    MetricClass,
    MetricType,
    TimeInterval,
    UrlTemplate,
)
from queryfleet.semantic.intervals import default_intervals, is_interval_possible
from queryfleet.semantic.reading import check_keys, filter_rule
from queryfleet.semantic.section_value import (
    access_rule,
    checked_name,
    humanised,
    number,
    optional_flag,
    prose,
    section_items,
    text_map,
    texts,
)

if TYPE_CHECKING:
    from queryfleet.section import Section
    from queryfleet.semantic.reading import Reading

__all__ = [
    "DIMENSION_KEYS",
    "METRIC_KEYS",
    "group_names",
    "read_default_time_dimension",
    "read_dimension",
    "read_metric",
]

_COMMON_KEYS: Final = frozenset(
    {
        "label", "type", "sql", "description", "hidden", "groups", "group_label", "round", "compact", "format",
        "separator", "urls", "required_attributes", "any_attributes", "tags",
    }
)  # fmt: skip
DIMENSION_KEYS: Final = _COMMON_KEYS | {
    "colors", "time_intervals", "convert_timezone", "timestamp_domain", "case_sensitive", "filter_autocomplete",
}  # fmt: skip
METRIC_KEYS: Final = _COMMON_KEYS | {
    "filters", "percentile", "distinct_keys", "show_underlying_values", "drivers", "default_time_dimension",
}  # fmt: skip

_GROUPS_MAX: Final = 5  # headings inside one another
_ROUND_MAX: Final = 20
_UNITS: Final = ("thousands", "millions", "billions", "trillions")
_COMPACTS: Final = frozenset(("auto", *_UNITS, *(unit.removesuffix("s") for unit in _UNITS), "k", "m", "b", "t"))
_SEPARATORS: Final = (
    "default", "commaPeriod", "spacePeriod", "periodComma", "noSeparatorPeriod", "apostrophePeriod",
)  # fmt: skip


def read_dimension(
    section: Section,
    name: str,
    table: str,
    reading: Reading,
    *,
    default_sql: str | None = None,
    default_type: ColumnType | None = None,
    default_description: str | None = None,
    other_keys: frozenset[str] = frozenset(),
) -> Dimension:
    """Return the dimension that a mapping describes; one that is wrong keeps the reason and cannot be selected.

    Args:
        section: Its keys.
        name: Checked already.
        table: Name of its model.
        reading: Gets the problems.
        default_sql: None: `sql` must be given.
        default_type: None: `type` must be given.
        default_description: Used when the mapping has none.
        other_keys: Keys that somebody else reads from the same mapping.
    """
    try:
        check_keys(section, DIMENSION_KEYS | other_keys, reading)
        return _dimension(section, name, table, reading, (default_sql, default_type, default_description))
    except ConfigurationError as error:
        reason = reading.problems.raised(error, section.document.source)
        return Dimension(
            name=name, table=table, type=ColumnType.STRING, label=humanised(name), sql="", hidden=True, error=reason
        )


def _dimension(
    section: Section,
    name: str,
    table: str,
    reading: Reading,
    defaults: tuple[str | None, ColumnType | None, str | None],
) -> Dimension:
    default_sql, default_type, default_description = defaults
    word = section.one_of("type", [each.value for each in ColumnType])
    type_ = default_type if word is None else ColumnType(word)
    if type_ is None:
        raise section.error(None, "lacks `type`: add a line such as `type: string`")
    return Dimension(
        name=name,
        table=table,
        type=type_,
        label=prose(section, "label") or humanised(name),
        sql=section.text("sql") or default_sql or section.required_text("sql", f"${{TABLE}}.{name}"),
        description=prose(section, "description") or default_description,
        hidden=section.flag("hidden", default=False),
        groups=group_names(section),
        format=_format(section, reading),
        urls=_urls(section),
        colors=text_map(section, "colors"),
        tags=texts(section, "tags") or (),
        access=access_rule(section),
        case_sensitive=optional_flag(section, "case_sensitive"),
        filter_autocomplete=_autocomplete(section, reading),
        convert_timezone=section.flag("convert_timezone", default=True),
        timestamp_domain=section.text("timestamp_domain"),
        time_intervals=_time_intervals(section, type_, reading),
    )


def read_metric(section: Section, name: str, table: str, reading: Reading, *, base: Dimension | None = None) -> Metric:
    """Return the metric that a mapping describes; one that is wrong keeps the reason and cannot be selected.

    Args:
        section: Its keys.
        name: Checked already.
        table: Name of its model.
        reading: Gets the problems.
        base: The dimension it stands under: what is aggregated unless `sql` says otherwise. None: `sql` must be given.
    """
    try:
        check_keys(section, METRIC_KEYS, reading)
        metric = _metric(section, name, table, reading, default_sql=None if base is None else f"${{{base.name}}}")
    except ConfigurationError as error:
        reason = reading.problems.raised(error, section.document.source)
        return Metric(
            name=name, table=table, type=MetricType.NUMBER, label=humanised(name), sql="", hidden=True, error=reason
        )
    return metric if base is None else replace(metric, base_dimension=base.name, base_dimension_type=base.type)


def _metric(section: Section, name: str, table: str, reading: Reading, *, default_sql: str | None) -> Metric:
    word = section.one_of("type", [each.value for each in MetricType])
    if word is None:
        raise section.error(None, "lacks `type`: add a line such as `type: sum`")
    type_ = MetricType(word)
    filters = tuple(filter_rule(each) for each in section_items(section, "filters"))
    if filters and type_.metric_class in (MetricClass.EXPRESSION, MetricClass.POST_CALCULATION):
        raise section.error("filters", f"cannot be used with type {word}: put them on the metrics it refers to")
    distinct_keys = texts(section, "distinct_keys") or ()
    is_deduplicated = type_.metric_class is MetricClass.DEDUPLICATED
    if distinct_keys and not is_deduplicated:
        raise section.error("distinct_keys", f"is for sum_distinct and average_distinct, not for {word}")
    if is_deduplicated and not distinct_keys:
        raise section.error(None, "lacks `distinct_keys`: add a line such as `distinct_keys: [order_id]`")
    default_time = read_default_time_dimension(section, reading)
    percentile = number(section, "percentile", low=0, high=100)
    return Metric(
        name=name,
        table=table,
        type=type_,
        label=prose(section, "label") or humanised(name),
        sql=section.text("sql") or default_sql or section.required_text("sql", "${TABLE}.amount"),
        description=prose(section, "description"),
        hidden=section.flag("hidden", default=False),
        groups=group_names(section),
        format=_format(section, reading),
        urls=_urls(section),
        tags=texts(section, "tags") or (),
        access=access_rule(section),
        filters=filters,
        percentile=50.0 if percentile is None else percentile,
        distinct_keys=distinct_keys,
        show_underlying_values=texts(section, "show_underlying_values") or (),
        drivers=texts(section, "drivers") or (),
        default_time_dimension=None if default_time is None else default_time.field,
        default_time_interval=None if default_time is None else default_time.interval,
    )


def group_names(section: Section) -> tuple[str, ...]:
    """Return the headings of `groups`, outermost first, or the one of the older `group_label`."""
    groups = texts(section, "groups") or ()
    label = section.text("group_label")
    if len(groups) > _GROUPS_MAX:
        raise section.error("groups", f"has more than {_GROUPS_MAX} levels")
    return groups or (() if label is None else (label,))


def read_default_time_dimension(section: Section, reading: Reading) -> DefaultTimeDimension | None:
    """Return what `default_time_dimension` names, or None when it is not given."""
    inner = section.section("default_time_dimension")
    if not inner.values:
        return None
    inner.refuse_unknown(("field", "interval"))
    written = inner.required_text("interval", "DAY")
    interval = _interval(written, reading)
    if interval is None:
        raise inner.error("interval", f"is not an interval; {_nearest_interval(written, reading)}")
    return DefaultTimeDimension(field=inner.required_text("field", "ordered_at"), interval=interval)


def _format(section: Section, reading: Reading) -> Format:
    compact = section.text("compact")
    if compact is not None and compact.strip().lower() not in _COMPACTS:
        place = section.document.where((*section.path, "compact"))
        advice = nearest(compact, (*_UNITS, "auto"))
        reading.problems.warning(place, f"`compact` has a value that has no effect; {advice}")
    return Format(
        format=section.text("format"),
        round=section.whole("round", low=-_ROUND_MAX, high=_ROUND_MAX),
        compact=compact,
        separator=section.one_of("separator", _SEPARATORS),
    )


def _urls(section: Section) -> tuple[UrlTemplate, ...]:
    found = []
    for each in section_items(section, "urls"):
        each.refuse_unknown(("label", "url"))
        url = each.required_text("url", "https://example.com/${value.raw}")
        found.append(UrlTemplate(label=each.required_text("label", "Open"), url=url))
    return tuple(found)


def _autocomplete(section: Section, reading: Reading) -> FilterAutocomplete | None:
    inner = section.section("filter_autocomplete")
    if not inner.values:
        return None
    check_keys(inner, ("values", "fetch_from_warehouse", "label_dimension"), reading)
    label = inner.text("label_dimension")
    return FilterAutocomplete(
        values=texts(inner, "values") or (),
        fetch_from_warehouse=inner.flag("fetch_from_warehouse", default=True),
        label_dimension=None if label is None else checked_name(inner, "label_dimension", label),
    )


def _time_intervals(section: Section, type_: ColumnType, reading: Reading) -> tuple[str, ...]:
    """Return the names of the intervals a dimension lists, each once."""
    value = section.values.get("time_intervals")
    if value is False or (isinstance(value, str) and value.upper() == "OFF"):
        return ()
    place = section.document.where((*section.path, "time_intervals"))
    if value is None or (isinstance(value, str) and value.lower() == "default"):
        usual = default_intervals(type_)
        written = [each.value for each in usual] + list(reading.defaults.additional_time_intervals if usual else ())
    elif isinstance(value, list):
        written = list(texts(section, "time_intervals") or ())
        if written and not default_intervals(type_):
            reading.problems.warning(place, f"`time_intervals` has no effect on type {type_.value}")
            return ()
    else:
        raise section.error("time_intervals", "must be a list such as `[DAY, MONTH]`, `default`, or `OFF`")
    found: dict[str, None] = {}
    for word in written:
        name = _interval(word, reading)
        if name is None:
            raise section.error(
                "time_intervals", f"has an interval that is not known; {_nearest_interval(word, reading)}"
            )
        if name in list(TimeInterval) and not is_interval_possible(TimeInterval(name), type_):
            if value is not None:
                reading.problems.warning(place, f"`{name}` needs a timestamp; this is a date, and it is passed over")
            continue
        found[name] = None
    return tuple(found)


def _interval(word: str, reading: Reading) -> str | None:
    """Return the name of an interval as it is kept; None when there is none."""
    for own in reading.defaults.custom_granularities:
        if own.lower() == word.lower():
            return own
    return word.upper() if word.upper() in list(TimeInterval) else None


def _nearest_interval(word: str, reading: Reading) -> str:
    known = [each.value.lower() for each in TimeInterval]
    return nearest(word, [*known, *(own.lower() for own in reading.defaults.custom_granularities)])
