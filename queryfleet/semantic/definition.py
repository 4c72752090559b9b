"""What one model file says, before anything is resolved: the same value whichever spelling it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queryfleet.semantic.explore import AccessRule, JoinType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.semantic.explore import (
        CustomGranularity,
        DefaultTimeDimension,
        Dimension,
        FilterRule,
        Metric,
        ParameterDefinition,
        Relationship,
    )

__all__ = ["ExploreDefinition", "JoinDefinition", "Model", "ProjectDefaults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectDefaults:
    """What the project says for all of its models."""

    case_sensitive: bool = True  # of text filters
    additional_time_intervals: tuple[str, ...] = ()  # for every date or timestamp that lists none of its own
    granularity_labels: Mapping[str, str] = field(default_factory=dict)  # by interval name
    custom_granularities: Mapping[str, CustomGranularity] = field(default_factory=dict)  # by name
    parameters: Mapping[str, ParameterDefinition] = field(default_factory=dict)  # by name


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinDefinition:
    """One entry of `joins`."""

    model: str  # name of the model to join
    alias: str  # its name inside the explore; the model's when none is given
    sql_on: str  # as written
    type: JoinType = JoinType.LEFT
    relationship: Relationship | None = None
    fields: tuple[str, ...] | None = None  # names, `set*` and `-name`: the only ones listed; None: all
    hidden: bool = False
    always: bool = False
    sql_filter_on_join: bool = False  # the joined model's row filter holds here, too
    label: str | None = None  # in place of the model's
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreDefinition:
    """One explore over a model: the model's own, or an entry of `explores`."""

    name: str
    label: str
    description: str | None = None
    joins: tuple[JoinDefinition, ...] = ()
    sql_filter: str | None = None  # besides the model's, which always holds
    filters: tuple[FilterRule, ...] | None = None  # required and default ones; None: those of the model
    additional_dimensions: Mapping[str, Dimension] = field(default_factory=dict)  # of the base, in this explore only
    parameters: Mapping[str, ParameterDefinition] = field(default_factory=dict)  # by name
    groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    access: AccessRule = field(default_factory=AccessRule)  # besides the model's


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model: a table and everything that is said about it."""

    name: str
    label: str
    sql_from: str  # a table name, or a SELECT already in parentheses; may hold references
    description: str | None = None
    dimensions: Mapping[str, Dimension] = field(default_factory=dict)  # by name, as declared, without intervals
    metrics: Mapping[str, Metric] = field(default_factory=dict)  # by name, as declared
    sql_filter: str | None = None  # as written
    sql_filter_on_join: bool = False  # the row filter holds wherever the model is joined, too
    primary_key: tuple[str, ...] = ()
    joins: tuple[JoinDefinition, ...] = ()
    explores: Mapping[str, ExploreDefinition] = field(default_factory=dict)  # extra ones, by name
    failed_explores: Mapping[str, str] = field(default_factory=dict)  # extra ones that are wrong: why, by name
    filters: tuple[FilterRule, ...] = ()  # required, then default, one for each field
    parameters: Mapping[str, ParameterDefinition] = field(default_factory=dict)  # by name without the model's
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # entries as written
    access: AccessRule = field(default_factory=AccessRule)
    case_sensitive: bool | None = None
    hidden: bool = False  # no explore of its own; it can be joined
    groups: tuple[str, ...] = ()
    group_details: Mapping[str, str] = field(default_factory=dict)  # label by group name
    order_fields_by: str = "index"
    tags: tuple[str, ...] = ()
    default_time_dimension: DefaultTimeDimension | None = None
    default_show_underlying_values: tuple[str, ...] = ()
    # Where things stand, for messages: `file, line n` by `field <name>`, `join <alias>`, `explore <name>`, a key, or
    # "" for the model itself. Says nothing about the model, so it does not count in comparisons.
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def place(self, key: str) -> str:
        """Return where something stands, or where the model does."""
        return self.places.get(key) or self.places.get("", self.name)
