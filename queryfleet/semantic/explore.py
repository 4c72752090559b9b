"""An explore: a base table with its joins, compiled once, ready for every question and every caller.

    Explore
    ├─ tables     by alias, the base first, then joined ones in declared order
    │   └─ Table  FROM expression, row filter, key
    │       ├─ dimensions   by name; every listed interval is a dimension of its own
    │       └─ metrics      by name
    ├─ joins      in declared order
    └─ rules      required and default filters, parameters

Nothing here holds a caller's attributes or a parameter's value: expressions keep them as references.
Fields are found by field id, `<table>_<name>`, and only so: an id cannot be split, since both parts may hold
an underscore.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the stored form is derived from the annotations at run time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from queryfleet.errors import CompileError, FieldReferenceError, ForbiddenError
from queryfleet.model import ColumnType
from queryfleet.semantic.expression import DimensionRef, Expression, SqlPart, SqlText
from queryfleet.semantic.field import (
    AccessRule,
    Dimension,
    Field,
    FilterAutocomplete,
    Format,
    Metric,
    MetricClass,
    MetricType,
    UrlTemplate,
)
from queryfleet.semantic.filter_rule import FilterOperator, FilterRule, FilterValue, UnitOfTime
from queryfleet.semantic.intervals import (
    TimeInterval,
    interval_label,
    interval_suffixes,
    interval_type,
    is_interval_possible,
)
from queryfleet.semantic.nearest_name import nearest_name
from queryfleet.semantic.parameter import ParameterDefinition, ParameterType

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "AccessRule",
    "CustomGranularity",
    "DefaultTimeDimension",
    "Dimension",
    "Explore",
    "Field",
    "FieldSet",
    "FilterAutocomplete",
    "FilterOperator",
    "FilterRule",
    "FilterValue",
    "Format",
    "Join",
    "JoinType",
    "Metric",
    "MetricClass",
    "MetricType",
    "ParameterDefinition",
    "ParameterType",
    "Relationship",
    "Table",
    "TimeInterval",
    "UnitOfTime",
    "UrlTemplate",
    "interval_dimension",
    "unlisted_interval",
]


class JoinType(StrEnum):
    """How a table is joined."""

    LEFT = "left"
    INNER = "inner"
    RIGHT = "right"
    FULL = "full"


class Relationship(StrEnum):
    """How many rows of the tables before a join meet how many of the joined one; first: the side joined from."""

    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    ONE_TO_ONE = "one-to-one"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSet:
    """Fields under one name, for drill-downs and joins (`name*`)."""

    name: str  # without the star
    fields: tuple[str, ...]  # `field` or `table.field`; sets within are resolved, exclusions applied


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultTimeDimension:
    """What a table is usually looked at over."""

    field: str  # name of a dimension of the table
    interval: str  # name of an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomGranularity:
    """An interval of the project's own, such as a fiscal quarter."""

    name: str  # as in `time_intervals`; in field ids lower case
    label: str
    sql: str  # holds `${COLUMN}`, which stands for the dimension's SQL
    type: ColumnType | None = None  # of the result; None: that of the base


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of an explore."""

    name: str  # alias inside the explore; field ids begin with it
    model: str  # name of the model it comes from; equal to `name` unless it has an alias
    label: str
    # What stands in FROM, without the alias: a table name, or a SELECT already in parentheses. An attribute in it is
    # rendered RAW and must be checked: letters, digits, `_`, `.`, `-`.
    sql_from: Expression
    dimensions: Mapping[str, Dimension]  # by name, in declared order, each base before its intervals
    metrics: Mapping[str, Metric]  # by name, in declared order
    description: str | None = None
    # Rows a caller may see. Of the base it is in `Explore.row_filters` already, of a join that asks for it in
    # `Join.row_filter`; a search for values of a field of this table must AND it, in parentheses, itself.
    sql_filter: Expression | None = None
    sql_filter_error: str | None = None  # it has one that means nothing in this explore: refuse to search its values
    primary_key: tuple[str, ...] = ()  # names of dimensions of this table; empty: not known
    sets: Mapping[str, FieldSet] = field(default_factory=dict)  # by name
    access: AccessRule = field(default_factory=AccessRule)
    case_sensitive: bool | None = None  # default of text filters; None: as the project says
    groups: tuple[str, ...] = ()  # headings it is listed under, outermost first
    group_details: Mapping[str, str] = field(default_factory=dict)  # label by group name
    order_fields_by: str = "index"  # `index` (as declared) or `label`; for clients
    tags: tuple[str, ...] = ()
    default_time_dimension: DefaultTimeDimension | None = None
    default_show_underlying_values: tuple[str, ...] = ()  # of drill-downs: `field`, `table.field`, `set*`


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """One join of an explore."""

    table: str  # alias of the joined table, key of `Explore.tables`
    type: JoinType
    sql_on: Expression  # its `tables` are those it mentions, the joined one included
    relationship: Relationship | None = None  # None: not known, fan-out cannot be handled
    always: bool = False  # joined even if no field of it is used
    hidden: bool = False  # its fields are not listed
    row_filter: Expression | None = None  # to be ANDed, in parentheses, to `sql_on` (`sql_filter_on_join`)
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explore:
    """A base table and its joins. Equal explores answer every question alike.

    Raises:
        CompileError: Two fields have the same field id; the message names both.
    """

    name: str  # key of the catalog
    label: str
    base_table: str  # alias of the base table, key of `tables`
    tables: Mapping[str, Table]  # by alias, the base first, then joined ones in declared order
    joins: tuple[Join, ...] = ()  # in declared order, which is the order of the SQL
    # Rows a caller may see: the base's `sql_filter`, and that of the explore if it has its own. Each is put in
    # parentheses and ANDed to everything else.
    row_filters: tuple[Expression, ...] = ()
    # `required_filters`, then `default_filters`, one for each field. Those with `is_required` must be added to a query
    # that has no rule for the field, or a sibling interval of it, reachable through AND groups.
    filters: tuple[FilterRule, ...] = ()
    parameters: Mapping[str, ParameterDefinition] = field(
        default_factory=dict
    )  # the project's `x`, a model's `model.x`
    custom_granularities: Mapping[str, CustomGranularity] = field(default_factory=dict)  # by name
    granularity_labels: Mapping[str, str] = field(default_factory=dict)  # the project's words by interval name
    case_sensitive: bool = True  # default of text filters where neither field nor table says
    description: str | None = None
    groups: tuple[str, ...] = ()  # headings it is listed under, outermost first
    tags: tuple[str, ...] = ()
    access: AccessRule = field(default_factory=AccessRule)  # besides that of the base table
    denied: tuple[str, ...] = ()  # field ids that the caller must not use; see `access.permitted_explore`
    warnings: tuple[str, ...] = ()  # what was left out and why, fields that failed included
    _by_id: dict[str, Field] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        by_id = self._by_id
        for each in self._all():
            other = by_id.setdefault(each.field_id, each)
            if other is not each:
                raise CompileError(
                    f"explore `{self.name}`: `{other.table}.{other.name}` and `{each.table}.{each.name}` would both be "
                    f"called `{each.field_id}` in results: rename one, or give its table another alias"
                )

    def _all(self) -> Iterator[Field]:
        for table in self.tables.values():
            yield from table.dimensions.values()
            yield from table.metrics.values()

    @property
    def fields(self) -> Mapping[str, Field]:
        """Return every field by its id, hidden and failed ones included, in the order of the tables."""
        return self._by_id

    def field(self, field_id: str) -> Field:
        """Return a usable field that a caller asks for; an interval that no model lists is made on the spot.

        Raises:
            FieldReferenceError: There is no such field; the message has the nearest name.
            ForbiddenError: There is, but not for this caller.
            CompileError: There is, but it could not be compiled; the message says why.
        """
        found = self._by_id.get(field_id) or self._unlisted_interval(field_id)
        if found is None:
            listed = self._by_id.values()
            shown = [each.field_id for each in listed if not each.hidden and each.field_id not in self.denied]
            advice = nearest_name(field_id, shown)
            raise FieldReferenceError(f"explore `{self.name}` has no field `{field_id}`; {advice}")
        self.check_open(field_id)
        if found.error is not None:
            raise CompileError(f"the field `{field_id}` cannot be used: {found.error}", fieldId=field_id)
        return found

    def check_open(self, name: str) -> None:
        """Raise when a name is the id of a field that is not the caller's; whatever else it is passes.

        Raises:
            ForbiddenError: It is.
        """
        found = self._by_id.get(name) or self._unlisted_interval(name)
        if found is not None and (name in self.denied or self._base_id(found) in self.denied):
            raise ForbiddenError(f"the field `{name}` is not open to you: ask who gives out user attributes")

    def referenced(self, field_id: str) -> Field:
        """Return the field that a `DimensionRef` or `MetricRef` of this explore names, whoever asks.

        Raises:
            FieldReferenceError: The reference is none of this explore.
        """
        found = self._by_id.get(field_id) or self._unlisted_interval(field_id)
        if found is None:
            raise FieldReferenceError(f"explore `{self.name}` has no field `{field_id}`")
        return found

    def _base_id(self, each: Field) -> str:
        return self.base_of(each).field_id if isinstance(each, Dimension) else each.field_id

    def dimension(self, field_id: str) -> Dimension:
        """Return a usable dimension, as `field` does.

        Raises:
            FieldReferenceError: There is no such field, or it is a metric.
            CompileError: It could not be compiled.
        """
        found = self.field(field_id)
        if not isinstance(found, Dimension):
            raise FieldReferenceError(f"`{field_id}` is a metric of explore `{self.name}`; a dimension is needed here")
        return found

    def metric(self, field_id: str) -> Metric:
        """Return a usable metric.

        Raises:
            FieldReferenceError: There is no such field, or it is a dimension.
            CompileError: It could not be compiled.
        """
        found = self.field(field_id)
        if not isinstance(found, Metric):
            raise FieldReferenceError(f"`{field_id}` is a dimension of explore `{self.name}`; a metric is needed here")
        return found

    def base_of(self, dimension: Dimension) -> Dimension:
        """Return the dimension an interval belongs to; of any other dimension, itself."""
        if dimension.base_dimension is None:
            return dimension
        return self.tables[dimension.table].dimensions[dimension.base_dimension]

    def interval_of(self, dimension: Dimension, interval: str) -> Dimension | None:
        """Return the same dimension at another interval, listed or not; None when that is not possible.

        Args:
            dimension: A base, or any interval of it.
            interval: Name of a built-in interval or custom granularity, in any case.
        """
        base = self.base_of(dimension)
        name = f"{base.name}_{interval.lower()}"
        listed = self.tables[base.table].dimensions.get(name)
        if listed is not None and listed.base_dimension == base.name:
            return listed
        granularity: TimeInterval | CustomGranularity | None = interval_suffixes().get(interval.lower())
        if granularity is None:
            own = self.custom_granularities.values()
            granularity = next((each for each in own if each.name.lower() == interval.lower()), None)
        return None if granularity is None else interval_dimension(base, granularity, self.granularity_labels)

    def _unlisted_interval(self, field_id: str) -> Dimension | None:
        for table in self.tables.values():
            if field_id.startswith(f"{table.name}_"):
                name = field_id[len(table.name) + 1 :]
                made = unlisted_interval(table.dimensions, name, self.custom_granularities, self.granularity_labels)
                if made is not None:
                    return made
        return None


def unlisted_interval(
    dimensions: Mapping[str, Dimension],
    name: str,
    custom_granularities: Mapping[str, CustomGranularity],
    labels: Mapping[str, str] | None = None,
) -> Dimension | None:
    """Return the interval `<dimension>_<interval>` of a dimension of one table that does not list it.

    Args:
        dimensions: Of the table, by name.
        name: What is asked for.
        custom_granularities: Of the project, by name.
        labels: The project's own words for built-in intervals.

    Returns:
        None when no dimension of a date or timestamp fits.
    """
    granularities: list[tuple[str, TimeInterval | CustomGranularity]] = [
        *interval_suffixes().items(),
        *((own.name.lower(), own) for own in custom_granularities.values()),
    ]
    for suffix, granularity in granularities:
        base = dimensions.get(name.removesuffix(f"_{suffix}")) if name.endswith(f"_{suffix}") else None
        if base is not None and base.base_dimension is None:
            made = interval_dimension(base, granularity, labels)
            if made is not None:
                return made
    return None


def interval_dimension(
    base: Dimension, granularity: TimeInterval | CustomGranularity, labels: Mapping[str, str] | None = None
) -> Dimension | None:
    """Return the dimension of one interval of a base dimension.

    Args:
        base: Compiled or not; the interval is what its base is.
        granularity: Which.
        labels: The project's own words for built-in intervals.

    Returns:
        None when the base is neither date nor timestamp, or the interval is shorter than its days.
    """
    if base.type not in (ColumnType.DATE, ColumnType.TIMESTAMP):
        return None
    if isinstance(granularity, CustomGranularity):
        name, label = granularity.name, (labels or {}).get(granularity.name) or granularity.label
        made = replace(
            base,
            type=granularity.type or base.type,
            custom_granularity=name,
            expression=_granularity_expression(base, granularity),
        )
    elif is_interval_possible(granularity, base.type):
        name, label = granularity.value, interval_label(granularity, labels)
        made = replace(base, type=interval_type(granularity, base.type), interval=granularity)
    else:
        return None
    is_whole = made.interval is TimeInterval.RAW
    return replace(
        made,
        name=f"{base.name}_{name.lower()}",
        label=f"{base.label} {label}",
        format=base.format if is_whole else Format(),  # made for whole moments, it does not fit their parts
        colors=base.colors if is_whole else {},
        filter_autocomplete=None,
        time_intervals=(),
        base_dimension=base.name,
        base_type=base.type,
    )


def _granularity_expression(base: Dimension, granularity: CustomGranularity) -> Expression | None:
    """Return the granularity's SQL with the base in the place of `${COLUMN}`; None while the base has none."""
    if base.expression is None:
        return None
    pieces = granularity.sql.split("${COLUMN}")
    parts: list[SqlPart] = []
    for index, piece in enumerate(pieces):
        if index:
            parts.append(DimensionRef(field_id=base.field_id))
        if piece:
            parts.append(SqlText(text=piece))
    return replace(base.expression, parts=tuple(parts))
