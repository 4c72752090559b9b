"""A model told twice, once as SQL and once as Python, so that two parties can answer the same question.

    Explore
    ├─ base    Source: rows, dimensions, measures
    └─ joins   each with a Source under an alias

A `Source` becomes a model file by `model_file`; its rows become a table of a real database. The evaluator reads
the Python side only.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOW = dt.datetime(2024, 5, 20, 10, 5, 0, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything about a question that is not in it."""

    timezone: str = "UTC"
    data_timezone: str = "UTC"  # of the session, and of moments without a zone
    start_of_week: int | None = None  # 0 is Monday
    now: dt.datetime = NOW
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    email: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    date_zoom: Mapping[str, str] | None = None  # `granularity`, `xAxisFieldId`
    nulls_first_descending: bool = False  # what the database does when nobody says
    # What SQL in the query means, by id: of a metric or custom dimension `(env, table)`, of a calculation
    # `(rows, index, total)`.
    meanings: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """One row of the joined tables; a table that has no part in it has None."""

    rows: Mapping[str, Mapping[str, Any] | None]  # by alias
    setting: Setting

    def cell(self, table, column):
        """Return a column's value, None where the table has no row."""
        row = self.rows[table]
        return None if row is None else row[column]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dim:
    """A dimension."""

    type: str
    sql: str
    value: Callable[[Env, str], Any]  # of the joined row and the alias of its table
    keys: Mapping[str, Any] = field(default_factory=dict)  # more keys of the model file
    reaches: tuple[str, ...] = ()  # aliases it needs besides its own

    @property
    def converts(self):
        """Tell whether its instants are shifted."""
        return self.keys.get("convert_timezone", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A metric."""

    type: str
    sql: str
    argument: Callable[[Env, str], Any] | None = None  # of aggregates: what is aggregated
    whole: Callable[[list[Env], str], Any] | None = None  # of SQL with its own aggregates: of the rows of a group
    over: Callable[[Mapping[str, Any]], Any] | None = None  # of expressions: of all metrics of the group, by id
    needs: tuple[str, ...] = ()  # of expressions and post-calculations: ids of metrics
    filters: tuple[Mapping[str, Any], ...] = ()  # rules in wire form, their fields written as ids of the explore
    filters_written: tuple[Mapping[str, Any], ...] = ()  # the same in the model's words
    percentile: float = 50
    distinct_keys: tuple[str, ...] = ()  # names of dimensions of its table
    reaches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFilter:
    """A condition on rows."""

    sql: str
    truth: Callable[[Env, str], Any]
    reaches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model and its rows."""

    name: str
    columns: Mapping[str, str] = field(repr=False)  # type of PostgreSQL and DuckDB by name
    rows: tuple[Mapping[str, Any], ...]
    dims: Mapping[str, Dim] = field(repr=False)
    measures: Mapping[str, Measure] = field(repr=False)
    primary_key: tuple[str, ...] = ()
    row_filter: RowFilter | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)  # more keys of the model file
    sql_from: str | None = None  # None: a table of its name
    visible: Callable[[Mapping[str, Any], Setting], bool] | None = None  # rows that `sql_from` leaves; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """One join."""

    source: Source
    alias: str
    sql_on: str
    matches: Callable[[Env], Any]
    type: str = "left"
    relationship: str | None = None
    always: bool = False
    filters_rows: bool = False  # the source's row filter is part of the condition
    needs: tuple[str, ...] = ()  # other aliases that the condition mentions


@dataclass(frozen=True, slots=True, kw_only=True)
class Explore:
    """What is asked."""

    base: Source
    joins: tuple[Joined, ...] = ()
    required: tuple[Mapping[str, Any], ...] = ()  # rules in wire form
    required_written: tuple[Mapping[str, Any], ...] = ()  # the same in the model's words
    case_sensitive: bool = True  # what the project says of texts

    @property
    def name(self):
        """Return its name, which is that of its base."""
        return self.base.name

    def sources(self):
        """Return every source by alias, in the order of the joins."""
        return {self.base.name: self.base} | {join.alias: join.source for join in self.joins}


def column(name, type_, **keys):
    """Return the dimension of a plain column."""
    return Dim(
        type=type_, sql=f'${{TABLE}}."{name}"', value=lambda env, table, name=name: env.cell(table, name), keys=keys
    )


def model_files(explore):
    """Return the model files of an explore, as mappings by path."""
    joined = {}
    for join in explore.joins:
        joined.setdefault(join.source.name, join.source)
    files = {explore.base.name: _model_file(explore.base, explore)}
    for name, source in joined.items():
        files.setdefault(name, _model_file(source, None))
    return {f"models/{name}.yml": found for name, found in files.items()}


def _model_file(source, explore):
    file = {
        "type": "model",
        "name": source.name,
        "sql_from": source.sql_from or f'"{source.name}"',
        "dimensions": [
            {"name": name, "type": dim.type, "sql": dim.sql, **dim.keys} for name, dim in source.dims.items()
        ],
        "metrics": {name: _metric(measure) for name, measure in source.measures.items()},
        **source.keys,
    }
    if source.primary_key:
        file["primary_key"] = list(source.primary_key)
    if source.row_filter is not None:
        file["sql_filter"] = source.row_filter.sql
    if explore is not None:
        file["joins"] = [_join(join) for join in explore.joins]
        if explore.required_written:
            file["required_filters"] = list(explore.required_written)
    return file


def _metric(measure):
    found = {"type": measure.type, "sql": measure.sql}
    if measure.filters_written:
        found["filters"] = list(measure.filters_written)
    if measure.type == "percentile":
        found["percentile"] = measure.percentile
    if measure.distinct_keys:
        found["distinct_keys"] = list(measure.distinct_keys)
    return found


def _join(join):
    found = {"join": join.source.name, "alias": join.alias, "sql_on": join.sql_on, "type": join.type}
    if join.relationship is not None:
        found["relationship"] = join.relationship
    if join.always:
        found["always"] = True
    if join.filters_rows:
        found["sql_filter_on_join"] = True
    return found
