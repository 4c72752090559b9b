"""The keys of a model that both spellings share: everything but its name and its dimensions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConfigurationError
from queryfleet.semantic.definition import ExploreDefinition, JoinDefinition, Model
from queryfleet.semantic.explore import JoinType, Relationship
from queryfleet.semantic.field_keys import (
    group_names,
    read_default_time_dimension,
    read_dimension,
    read_metric,
)
from queryfleet.semantic.parameter_keys import read_parameters
from queryfleet.semantic.reading import check_keys, filter_rule
from queryfleet.semantic.section_value import (
    access_rule,
    checked_name,
    humanised,
    optional_flag,
    prose,
    section_items,
    section_map,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.section import Section
    from queryfleet.semantic.explore import Dimension, FilterRule, Metric
    from queryfleet.semantic.reading import Reading

__all__ = ["ModelParts", "read_model"]

_KEYS: Final = frozenset(
    {
        "label", "description", "group_label", "groups", "group_details", "order_fields_by", "hidden", "tags",
        "sql_from", "sql_filter", "sql_where", "sql_filter_on_join", "primary_key", "joins", "explores",
        "required_filters", "default_filters", "required_attributes", "any_attributes", "default_time_dimension",
        "default_show_underlying_values", "sets", "case_sensitive", "parameters", "metrics",
    }
)  # fmt: skip
_JOIN_KEYS: Final = frozenset(
    {
        "join", "alias", "sql_on", "type", "relationship", "fields", "hidden", "always", "label", "description",
        "sql_filter_on_join",
    }
)  # fmt: skip
_EXPLORE_KEYS: Final = frozenset(
    {
        "label", "description", "joins", "sql_filter", "sql_where", "required_filters", "default_filters", "tags",
        "additional_dimensions", "parameters", "group_label", "groups", "required_attributes", "any_attributes",
    }
)  # fmt: skip
_STATEMENT: Final = re.compile(r"\s*(?:select|with|--|/\*)", re.IGNORECASE)
_ORDERS: Final = ("index", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """What a spelling has its own way of saying."""

    name: str  # checked
    sql_from: str | None = None  # used when `sql_from` is not given; None: it must be
    description: str | None = None  # used when `description` is not given
    tags: tuple[str, ...] = ()  # likewise
    dimensions: Mapping[str, Dimension] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)  # those that stand under dimensions
    places: Mapping[str, str] = field(default_factory=dict)  # of the fields; see `Model.places`
    other_keys: frozenset[str] = frozenset()  # keys beside the shared ones that the spelling reads itself


def read_model(section: Section, parts: ModelParts, reading: Reading) -> Model:
    """Return the model whose shared keys stand in a mapping.

    Fields and extra explores that are wrong keep their reason; the rest of the model is of use.

    Args:
        section: The mapping.
        parts: The rest of the model.
        reading: Gets the problems.

    Raises:
        ConfigurationError: Something is wrong that decides which rows or fields the model shows.
    """
    check_keys(section, _KEYS | parts.other_keys, reading)
    places = dict(parts.places)
    metrics = _metrics(section, parts, places, reading)
    joins = _joins(section, places, reading)
    failed: dict[str, str] = {}
    return Model(
        name=parts.name,
        label=prose(section, "label") or humanised(parts.name),
        sql_from=_sql_from(section, parts.sql_from),
        description=prose(section, "description") or parts.description,
        dimensions=parts.dimensions,
        metrics=metrics,
        sql_filter=_sql_filter(section),
        sql_filter_on_join=section.flag("sql_filter_on_join", default=False),
        primary_key=texts(section, "primary_key") or (),
        joins=joins,
        explores=_explores(section, parts.name, places, failed, reading),
        failed_explores=failed,
        filters=_filters(section, reading) or (),
        parameters=read_parameters(section, "parameters"),
        sets=_sets(section),
        access=access_rule(section),
        case_sensitive=optional_flag(section, "case_sensitive"),
        hidden=section.flag("hidden", default=False),
        groups=group_names(section),
        group_details=_group_details(section),
        order_fields_by=_order(section),
        tags=texts(section, "tags") or parts.tags,
        default_time_dimension=read_default_time_dimension(section, reading),
        default_show_underlying_values=texts(section, "default_show_underlying_values") or (),
        places={
            "": section.document.where(section.path),
            **{key: section.document.where((*section.path, key)) for key in _KEYS if key in section.values},
            **places,
        },
    )


def _sql_from(section: Section, default: str | None) -> str:
    written = section.text("sql_from") or default or section.required_text("sql_from", "shop.orders")
    written = written.strip().removesuffix(";").rstrip()
    # The bracket on a line of its own: the statement may end in a comment.
    return f"({written}\n)" if _STATEMENT.match(written) else written


def _sql_filter(section: Section) -> str | None:
    here, older = section.text("sql_filter"), section.text("sql_where")
    if here is not None and older is not None:
        raise section.error("sql_where", "is the older name of `sql_filter`, which is here, too: keep one of them")
    for key in ("sql_filter", "sql_where"):
        # A filter that was meant to be there and is not would show every row.
        if key in section.values and section.values[key] is None:
            raise section.error(key, "is empty: give it a condition or remove the line")
    return here or older


def _order(section: Section) -> str:
    word = section.text("order_fields_by")
    if word is not None and word.lower() not in _ORDERS:
        raise section.error("order_fields_by", "must be `index` or `label`")
    return (word or "index").lower()


def _group_details(section: Section) -> dict[str, str]:
    found = {}
    for name, each in section_map(section, "group_details").items():
        each.refuse_unknown(("label", "description"))
        found[name] = prose(each, "label") or humanised(name)
    return found


def _sets(section: Section) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, each in section_map(section, "sets").items():
        checked_name(each, None, name)
        each.refuse_unknown(("fields",))
        entries = texts(each, "fields")
        if not entries:
            raise each.error(None, "lacks `fields`: add a list of fields")
        found[name] = entries
    return found


def _metrics(section: Section, parts: ModelParts, places: dict[str, str], reading: Reading) -> dict[str, Metric]:
    """Return the metrics under dimensions, then the model's own; names that are taken are left out, and said."""
    found: dict[str, Metric] = {}
    own: dict[str, Metric] = {}
    for name, each in section_map(section, "metrics").items():
        checked_name(each, None, name)
        own[name] = read_metric(each, name, parts.name, reading)
        places.setdefault(f"field {name}", each.document.where(each.path))
    for name, metric in (*parts.metrics.items(), *own.items()):
        place = places.get(f"field {name}", section.document.where(section.path))
        if name in parts.dimensions:
            reading.problems.warning(place, f"the metric `{name}` is left out: a dimension has that name, too")
        elif name in found:
            reading.problems.error(place, f"the metric `{name}` is there twice: rename one")
        else:
            found[name] = metric
    return found


def _joins(section: Section, places: dict[str, str], reading: Reading, owner: str = "") -> tuple[JoinDefinition, ...]:
    found: list[JoinDefinition] = []
    for each in section_items(section, "joins"):
        join = _join(each, reading)
        if any(join.alias == other.alias for other in found):
            raise each.error(None, f"joins `{join.alias}` a second time: give it another `alias`")
        found.append(join)
        places[f"{owner}join {join.alias}"] = each.document.where(each.path)
    return tuple(found)


def _join(section: Section, reading: Reading) -> JoinDefinition:
    check_keys(section, _JOIN_KEYS, reading)
    model = checked_name(section, "join", section.required_text("join", "customers"))
    alias = section.text("alias")
    type_ = section.one_of("type", [each.value for each in JoinType])
    relationship = section.one_of("relationship", [each.value for each in Relationship])
    return JoinDefinition(
        model=model,
        alias=model if alias is None else checked_name(section, "alias", alias),
        sql_on=section.required_text("sql_on", "${orders.customer_id} = ${customers.customer_id}"),
        type=JoinType.LEFT if type_ is None else JoinType(type_),
        relationship=None if relationship is None else Relationship(relationship),
        fields=texts(section, "fields"),
        hidden=section.flag("hidden", default=False),
        always=section.flag("always", default=False),
        sql_filter_on_join=section.flag("sql_filter_on_join", default=False),
        label=prose(section, "label"),
        description=prose(section, "description"),
    )


def _explores(
    section: Section, model: str, places: dict[str, str], failed: dict[str, str], reading: Reading
) -> dict[str, ExploreDefinition]:
    found: dict[str, ExploreDefinition] = {}
    for name, each in section_map(section, "explores").items():
        checked_name(each, None, name)
        places[f"explore {name}"] = each.document.where(each.path)
        try:
            found[name] = _explore(each, name, model, places, reading)
        except ConfigurationError as error:
            failed[name] = reading.problems.raised(error, each.document.source)
    return found


def _explore(section: Section, name: str, model: str, places: dict[str, str], reading: Reading) -> ExploreDefinition:
    check_keys(section, _EXPLORE_KEYS, reading)
    dimensions = {}
    for field_name, each in section_map(section, "additional_dimensions").items():
        checked_name(each, None, field_name)
        dimensions[field_name] = read_dimension(each, field_name, model, reading)
        places[f"{name}.field {field_name}"] = each.document.where(each.path)
    return ExploreDefinition(
        name=name,
        label=prose(section, "label") or humanised(name),
        description=prose(section, "description"),
        joins=_joins(section, places, reading, f"{name}."),
        sql_filter=_sql_filter(section),
        filters=_filters(section, reading),
        additional_dimensions=dimensions,
        parameters=read_parameters(section, "parameters"),
        groups=group_names(section),
        tags=texts(section, "tags") or (),
        access=access_rule(section),
    )


def _filters(section: Section, reading: Reading) -> tuple[FilterRule, ...] | None:
    """Return required, then default filters, the first for each field; None when neither key is given."""
    keys = (("required_filters", True), ("default_filters", False))
    found: dict[str, FilterRule] = {}
    for key, is_required in keys:
        for each in section_items(section, key):
            rule = filter_rule(each, is_required=is_required)
            if rule.field_id in found:
                place = each.document.where(each.path)
                reading.problems.warning(place, f"a filter on `{rule.field_id}` is there already: this one is left out")
            else:
                found[rule.field_id] = rule
    return tuple(found.values()) if any(section.values.get(key) is not None for key, _ in keys) else None
