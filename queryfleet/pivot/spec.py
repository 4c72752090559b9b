"""What a pivot is made of: index, groups, values, order, limits. Checked when it is made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from queryfleet.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from queryfleet.errors import JsonValue

__all__ = [
    "Aggregation",
    "AxisType",
    "IndexColumn",
    "NullOrder",
    "PinnedValue",
    "PivotLimits",
    "PivotPlan",
    "PivotSpec",
    "SortKey",
    "ValueColumn",
    "coverage_warnings",
]


class Aggregation(StrEnum):
    """How the values that fall into one cell become one."""

    ANY = "any"  # they are one already, or it does not matter which
    SUM = "sum"
    COUNT = "count"
    AVG = "avg"
    MIN = "min"
    MAX = "max"


class AxisType(StrEnum):
    """What an index column is for a chart."""

    TIME = "time"
    CATEGORY = "category"


class NullOrder(StrEnum):
    """Where a warehouse sorts NULL when the sort does not say it."""

    FIRST = "first"
    LAST = "last"
    LARGEST = "largest"  # last when ascending, first when descending
    SMALLEST = "smallest"

    def nulls_first(self, *, descending: bool) -> bool:
        """Whether NULL comes before all values in this direction."""
        return self is NullOrder.FIRST or self is (NullOrder.LARGEST if descending else NullOrder.SMALLEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexColumn:
    """A column whose values tell the rows of the pivot apart."""

    reference: str
    type: AxisType = AxisType.CATEGORY


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueColumn:
    """A column whose values fill the cells."""

    reference: str
    aggregation: Aggregation

    @property
    def name(self) -> str:
        """Its name among the flat rows, and the beginning of its pivot columns' names."""
        return f"{self.reference}_{self.aggregation.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedValue:
    """One group column's value in the name of a pivot column."""

    reference: str
    value: JsonValue  # as a page shows it in `raw`


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """One entry of `sortBy`. It orders rows, columns or both, by what its reference is."""

    reference: str
    descending: bool = False
    nulls_first: bool | None = None  # None: as the warehouse does it
    pinned: tuple[PinnedValue, ...] = ()  # names the pivot column whose cells order the rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotSpec:
    """A pivot as a client asks for it.

    Raises:
        ParameterError: A reference stands where it cannot; the message names the member of `pivotConfiguration`.
    """

    index: tuple[IndexColumn, ...]  # none: the pivot has one row
    values: tuple[ValueColumn, ...]  # at least one, in the order of their columns
    groups: tuple[str, ...] = ()  # spread into columns; none: rows stay as they are
    sort: tuple[SortKey, ...] = ()
    metrics_as_rows: bool = False  # the client turns values into rows: they do not count as columns
    sort_only_values: tuple[ValueColumn, ...] = ()  # may be sorted by, not shown
    sort_only_dimensions: tuple[str, ...] = ()  # order columns, no part of their names
    passthrough: tuple[str, ...] = ()  # carried along in each row
    column_order: tuple[str, ...] = ()  # groups and sort-only dimensions as they sort; those not named come after
    index_is_list: bool = True  # how the client spelled `indexColumn`
    warnings: tuple[str, ...] = ()  # what was left out, for the person who asks

    def __post_init__(self) -> None:
        """Refuse references that stand where they cannot."""
        if not self.values:
            raise ParameterError(
                "pivotConfiguration.valuesColumns is empty; name at least one value.",
                field="pivotConfiguration.valuesColumns",
            )
        index = [column.reference for column in self.index]
        _refuse_repeated("indexColumn", index)
        _refuse_repeated("groupByColumns", self.groups)
        _refuse_repeated("valuesColumns", [column.name for column in self.values])
        for member, references in (("groupByColumns", self.groups), ("sortOnlyDimensions", self.sort_only_dimensions)):
            for reference in references:
                if reference in index:
                    _refuse(member, reference, "is also an index column; use it as one of both")
        dimensions = {*index, *self.groups, *self.sort_only_dimensions, *self.passthrough}
        for column in (*self.values, *self.sort_only_values):
            if column.name in dimensions:
                _refuse("valuesColumns", column.name, "is also the name of an index, group or passthrough column")

    @property
    def column_dimensions(self) -> tuple[str, ...]:
        """What tells pivot columns apart, in the order in which it sorts them."""
        found = {*self.groups, *self.sort_only_dimensions}
        ordered = [reference for reference in self.column_order if reference in found]
        return tuple(dict.fromkeys((*ordered, *self.groups, *self.sort_only_dimensions)))

    @property
    def carried(self) -> tuple[str, ...]:
        """What each line begins with: index and passthrough columns."""
        return tuple(dict.fromkeys((*(column.reference for column in self.index), *self.passthrough)))

    def value_of(self, reference: str) -> ValueColumn | None:
        """Return the value column that a sort means, by its reference or else by its name."""
        columns = (*self.values, *self.sort_only_values)
        by_reference = next((column for column in columns if column.reference == reference), None)
        return by_reference or next((column for column in columns if column.name == reference), None)

    @property
    def value_sorts(self) -> tuple[tuple[SortKey, ValueColumn], ...]:
        """The entries of `sort` that are about values, with their columns."""
        dimensions = {*(column.reference for column in self.index), *self.column_dimensions}
        found = [(key, self.value_of(key.reference)) for key in self.sort if key.reference not in dimensions]
        return tuple((key, column) for key, column in found if column is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotLimits:
    """How large a pivot may become.

    Raises:
        ParameterError: A limit is not positive.
    """

    rows: int | None = 500  # rows shown; None: all
    columns: int = 200  # value columns shown; at least one for each value is, whatever this says
    columns_max: int = 20_000  # value columns that may exist at all; more is an error

    def __post_init__(self) -> None:
        """Refuse limits below one."""
        for name, value in (("limit", self.rows), ("columnLimit", self.columns), ("columns_max", self.columns_max)):
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}; a pivot needs at least 1.", field=name, value=value)

    def groups_shown(self, spec: PivotSpec) -> int:
        """Return how many combinations of group values are shown; at least one."""
        return max(1, self.columns // (1 if spec.metrics_as_rows else len(spec.values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotPlan:
    """All that decides how flat rows become a pivot."""

    spec: PivotSpec
    limits: PivotLimits = field(default_factory=PivotLimits)
    nulls: NullOrder = NullOrder.LAST
    order_by: Mapping[str, str] = field(
        default_factory=dict
    )  # dimension → the flat column that orders it (month names)
    rank_hidden_rows: bool = False  # columns of rows beyond the row limit take places too

    def warnings(self) -> tuple[str, ...]:
        """Return what a client should be told about the pivot as a whole."""
        found = list(self.spec.warnings)
        values = len(self.spec.values)
        if not self.spec.metrics_as_rows and self.spec.groups and values > self.limits.columns:
            found.append(
                f"The pivot has {values} values and may show {self.limits.columns} columns; one group is shown."
            )
        return tuple(found)


def coverage_warnings(spec: PivotSpec, dimensions: Sequence[str]) -> tuple[str, ...]:
    """Return what to tell a client whose pivot leaves dimensions of its query out.

    Args:
        spec: The pivot.
        dimensions: All dimensions of the query.
    """
    covered = {*spec.carried, *spec.column_dimensions}
    missing = [dimension for dimension in dimensions if dimension not in covered]
    arbitrary = [column.reference for column in spec.values if column.aggregation is Aggregation.ANY]
    if not missing or not arbitrary:
        return ()
    message = (
        f"The pivot uses {', '.join(missing)} neither as index nor as group; where {', '.join(arbitrary)} has several "
        "values in a cell, any of them is shown."
    )
    return (message,)


def _refuse_repeated(member: str, references: Sequence[str]) -> None:
    for reference, count in Counter(references).items():
        if count > 1:
            _refuse(member, reference, f"stands there {count} times; name it once")


def _refuse(member: str, reference: str, problem: str) -> None:
    path = f"pivotConfiguration.{member}"
    raise ParameterError(f"{path}: {reference!r} {problem}.", field=path, reference=reference)
