"""From models to an explore: tables under their aliases, every reference resolved, intervals made.

What protects rows fails closed: an explore whose row filter, join or required filter cannot be compiled is not
there at all. What is only a field fails alone: it stays, with the reason, and the explore is of use without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from queryfleet.errors import CompileError
from queryfleet.semantic.definition import ExploreDefinition
from queryfleet.semantic.explore import (
    CustomGranularity,
    Dimension,
    Explore,
    FieldSet,
    Join,
    Table,
    TimeInterval,
    interval_dimension,
)
from queryfleet.semantic.expression import DimensionRef, TableRef
from queryfleet.semantic.field_set import expanded_fields
from queryfleet.semantic.nearest_name import nearest_name
from queryfleet.semantic.resolver import Namespace, Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.semantic.definition import JoinDefinition, Model, ProjectDefaults
    from queryfleet.semantic.explore import Field, FilterRule, Metric, ParameterDefinition
    from queryfleet.semantic.expression import Expression
    from queryfleet.semantic.problem import Problems

__all__ = ["assembled_explore", "own_explore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One table of the explore and the model it comes from."""

    alias: str
    model: Model
    join: JoinDefinition | None = None  # None: the base


def own_explore(model: Model) -> ExploreDefinition:
    """Return the explore that a model is by itself, unless it is hidden."""
    return ExploreDefinition(
        name=model.name,
        label=model.label,
        description=model.description,
        joins=model.joins,
        groups=model.groups,
        tags=model.tags,
    )


def assembled_explore(
    definition: ExploreDefinition,
    base: Model,
    models: Mapping[str, Model],
    defaults: ProjectDefaults,
    problems: Problems,
) -> Explore:
    """Return the explore over a model, compiled.

    Args:
        definition: The model's own (`own_explore`) or an extra one of it.
        base: The model.
        models: All models that can be joined, by name.
        defaults: Of the project.
        problems: Gets what fails. A field of a joined model that refers to a table which is not in this explore is
            a warning: in its own explore it may be fine.

    Raises:
        CompileError: The explore cannot be of use: a join, a row filter, a required filter or a table cannot be
            compiled, or two fields have the same id. The detail `place` is `file, line n`.

    Cost: some 20 µs for each field and reference.
    """
    return _Assembly(definition, base, models, defaults, problems).explore()


class _Assembly:
    """One explore in the making."""

    def __init__(
        self,
        definition: ExploreDefinition,
        base: Model,
        models: Mapping[str, Model],
        defaults: ProjectDefaults,
        problems: Problems,
    ) -> None:
        self._definition = definition
        self._base = base
        self._defaults = defaults
        self._problems = problems
        self._warnings: list[str] = []
        self._sources = self._tables(models)
        self._parameters = self._all_parameters()
        namespaces = {alias: self._namespace(source) for alias, source in self._sources.items()}
        self._namespaces = namespaces
        self._resolver = Resolver(
            namespaces,
            parameters=self._parameters,
            custom_granularities=defaults.custom_granularities,
        )

    def explore(self) -> Explore:
        """Put everything together."""
        definition, base = self._definition, self._base
        filters = self._filters()
        tables = {alias: self._table(source) for alias, source in self._sources.items()}
        joins = self._joins()
        try:
            return Explore(
                name=definition.name,
                label=definition.label,
                description=definition.description,
                base_table=base.name,
                tables=tables,
                joins=joins,
                row_filters=self._row_filters(tables[base.name]),
                filters=filters,
                parameters=self._parameters,
                custom_granularities=self._defaults.custom_granularities,
                granularity_labels=self._defaults.granularity_labels,
                case_sensitive=self._defaults.case_sensitive,
                groups=definition.groups,
                tags=definition.tags,
                access=definition.access,
                warnings=tuple(self._warnings),
            )
        except CompileError as error:
            raise CompileError(error.message, place=self._place()) from None

    def _place(self, key: str = "") -> str:
        """Return where the explore, or something the explore itself says, stands in the file."""
        if self._definition.name in self._base.explores:
            places = self._base.places
            own = places.get(f"{self._definition.name}.{key}")
            return own or self._base.place(f"explore {self._definition.name}")
        return self._base.place(key)

    def _tables(self, models: Mapping[str, Model]) -> dict[str, _Source]:
        found = {self._base.name: _Source(alias=self._base.name, model=self._base)}
        for join in self._definition.joins:
            place = self._place(f"join {join.alias}")
            model = models.get(join.model)
            if model is None:
                raise CompileError(
                    f"there is no model `{join.model}` to join; {nearest_name(join.model, models)}", place=place
                )
            if join.alias in found:
                raise CompileError(
                    f"the explore has a table `{join.alias}` already: give the join an `alias`", place=place
                )
            found[join.alias] = _Source(alias=join.alias, model=model, join=join)
        return found

    def _all_parameters(self) -> dict[str, ParameterDefinition]:
        found = dict(self._defaults.parameters)
        for source in self._sources.values():
            found |= {f"{source.model.name}.{name}": each for name, each in source.model.parameters.items()}
        return found | {f"{self._definition.name}.{name}": each for name, each in self._definition.parameters.items()}

    def _namespace(self, source: _Source) -> Namespace:
        label = (source.join.label if source.join is not None else None) or source.model.label
        dimensions, metrics = dict(source.model.dimensions), dict(source.model.metrics)
        if source.join is None:
            for name, each in self._definition.additional_dimensions.items():
                if name in dimensions or name in metrics:
                    place = self._place(f"field {name}")
                    raise CompileError(
                        f"the model has a field `{name}` already: give this one another name", place=place
                    )
                dimensions[name] = each
        return Namespace(
            alias=source.alias,
            model=source.model.name,
            dimensions={
                name: replace(each, table=source.alias, table_label=label) for name, each in dimensions.items()
            },
            metrics={name: replace(each, table=source.alias, table_label=label) for name, each in metrics.items()},
        )

    def _table(self, source: _Source) -> Table:
        model, namespace = source.model, self._namespaces[source.alias]
        dimensions = self._dimensions(source, namespace)
        metrics = {name: self._metric(each, source) for name, each in namespace.metrics.items()}
        visible = self._visible(source, dimensions, metrics)
        if visible is not None:
            dimensions = {
                name: each if visible & {name, each.base_dimension} else replace(each, hidden=True)
                for name, each in dimensions.items()
            }
            metrics = {name: each if name in visible else replace(each, hidden=True) for name, each in metrics.items()}
        sql_filter, filter_error = self._sql_filter(source)
        return Table(
            name=source.alias,
            model=model.name,
            label=(source.join.label if source.join is not None else None) or model.label,
            sql_from=self._sql_from(source),
            dimensions=dimensions,
            metrics=metrics,
            description=(source.join.description if source.join is not None else None) or model.description,
            sql_filter=sql_filter,
            sql_filter_error=filter_error,
            primary_key=self._primary_key(source, dimensions),
            sets=self._sets(source),
            access=model.access,
            case_sensitive=model.case_sensitive,
            groups=model.groups,
            group_details=model.group_details,
            order_fields_by=model.order_fields_by,
            tags=model.tags,
            default_time_dimension=model.default_time_dimension,
            default_show_underlying_values=model.default_show_underlying_values,
        )

    def _dimensions(self, source: _Source, namespace: Namespace) -> dict[str, Dimension]:
        """Return the dimensions compiled, each base before the intervals it lists."""
        found: dict[str, Dimension] = {}
        for name, each in namespace.dimensions.items():
            compiled = self._resolver.compiled(each)
            base = replace(each, error=compiled) if isinstance(compiled, str) else replace(each, expression=compiled)
            self._report(base, source)
            found[name] = base
            for interval in base.time_intervals:
                made = interval_dimension(base, self._granularity(interval), self._defaults.granularity_labels)
                if made is None:
                    continue
                if made.name in namespace.dimensions or made.name in namespace.metrics:
                    self._problems.warning(
                        source.model.place(f"field {name}"),
                        f"the interval {interval} of `{name}` is left out: there is a field `{made.name}` already",
                    )
                else:
                    found[made.name] = made
        return found

    def _granularity(self, name: str) -> TimeInterval | CustomGranularity:
        return self._defaults.custom_granularities.get(name) or TimeInterval(name)

    def _metric(self, each: Metric, source: _Source) -> Metric:
        compiled = self._resolver.compiled(each)
        if isinstance(compiled, str):
            found = replace(each, error=compiled)
        else:
            found = replace(
                each,
                expression=compiled,
                filters=tuple(self._with_id(rule, source.alias) for rule in each.filters),
                distinct_keys=tuple(self._resolver.dimension_id(key, source.alias) for key in each.distinct_keys),
            )
        self._report(found, source)
        return found

    def _with_id(self, rule: FilterRule, own: str) -> FilterRule:
        return replace(rule, field_id=self._resolver.dimension_id(rule.field_id, own))

    def _report(self, each: Field, source: _Source) -> None:
        """Note a field that failed, once; what its file says wrongly has been noted by whoever read it."""
        if each.error is None:
            return
        text = f"`{source.model.name}.{each.name}` cannot be used: {each.error}"
        self._warnings.append(text)
        in_model = source.model.dimensions.get(each.name) or source.model.metrics.get(each.name)
        if in_model is None:  # an additional dimension of this explore
            in_model = self._definition.additional_dimensions[each.name]
            place = self._place(f"field {each.name}")
        else:
            place = source.model.place(f"field {each.name}")
        if in_model.error is not None:
            return
        if source.join is None and self._definition.name == source.model.name:
            self._problems.error(place, text)
        elif source.join is None:
            self._problems.warning(place, f"in explore `{self._definition.name}`, {text}")
        else:
            self._problems.warning(place, f"joined into explore `{self._definition.name}`, {text}")

    def _visible(
        self, source: _Source, dimensions: Mapping[str, Dimension], metrics: Mapping[str, Metric]
    ) -> set[str | None] | None:
        """Return the names that a join lists; None when it does not restrict them."""
        join = source.join
        if join is None:
            return None
        if join.hidden:
            return set()
        if join.fields is None:
            return None
        place = self._place(f"join {join.alias}")
        try:
            names = expanded_fields(join.fields, source.model.sets)
        except CompileError as error:
            raise CompileError(f"`fields`: {error.message}", place=place) from None
        known = [*dimensions, *metrics]
        for name in names:
            if name not in dimensions and name not in metrics:
                self._problems.error(
                    place, f"`fields` names no field of `{join.model}`: `{name}`; {nearest_name(name, known)}"
                )
        return set(names)

    def _sql_from(self, source: _Source) -> Expression:
        expression = self._expression(source.model.sql_from, source, "sql_from")
        if any(isinstance(part, (TableRef, DimensionRef)) for part in expression.parts):
            place = source.model.place("sql_from")
            text = "`sql_from` refers to a field; only attributes and parameters are known there"
            raise CompileError(text, place=place)
        return expression

    def _sql_filter(self, source: _Source) -> tuple[Expression | None, str | None]:
        """Return a table's row filter, or why it has none here; raises where the filter must hold."""
        if source.model.sql_filter is None:
            return None, None
        try:
            return self._expression(source.model.sql_filter, source, "sql_filter"), None
        except CompileError as error:
            if source.join is None or _is_filtered(source):
                raise
            return None, error.message

    def _expression(self, sql: str, source: _Source, key: str) -> Expression:
        try:
            return self._resolver.expression(sql, source.alias)
        except CompileError as error:
            raise CompileError(f"`{key}`: {error.message}", place=source.model.place(key)) from None

    def _row_filters(self, base: Table) -> tuple[Expression, ...]:
        found = [] if base.sql_filter is None else [base.sql_filter]
        own = self._definition.sql_filter
        if own is not None:
            try:
                found.append(self._resolver.expression(own, base.name))
            except CompileError as error:
                raise CompileError(f"`sql_filter`: {error.message}", place=self._place()) from None
        return tuple(found)

    def _joins(self) -> tuple[Join, ...]:
        before = {self._base.name}
        found = []
        for alias, source in self._sources.items():
            join = source.join
            if join is None:
                continue
            before.add(alias)
            place = self._place(f"join {alias}")
            try:
                sql_on = self._resolver.expression(join.sql_on, alias, is_join=True)
            except CompileError as error:
                raise CompileError(f"`sql_on`: {error.message}", place=place) from None
            row_filter = self._sql_filter(source)[0] if _is_filtered(source) else None
            for expression, key in ((sql_on, "sql_on"), (row_filter, "sql_filter")):
                later = [] if expression is None else [name for name in expression.tables if name not in before]
                if later:
                    text = f"`{key}` needs `{later[0]}`, which is joined later: change the order"
                    raise CompileError(text, place=place)
            found.append(
                Join(
                    table=alias,
                    type=join.type,
                    sql_on=sql_on,
                    relationship=join.relationship,
                    always=join.always,
                    hidden=join.hidden,
                    row_filter=row_filter,
                    description=join.description,
                )
            )
        return tuple(found)

    def _filters(self) -> tuple[FilterRule, ...]:
        inherited = self._definition.filters is None
        rules = self._base.filters if self._definition.filters is None else self._definition.filters
        found: dict[str, FilterRule] = {}
        for rule in rules:
            key = "required_filters" if rule.is_required else "default_filters"
            place = self._base.place(key) if inherited else self._place()
            try:
                resolved = self._with_id(rule, self._base.name)
            except CompileError as error:
                if rule.is_required:
                    raise CompileError(f"`{key}`: {error.message}", place=place) from None
                self._problems.error(place, f"a rule of `{key}` is left out: {error.message}")
                continue
            found.setdefault(resolved.field_id, resolved)
        return tuple(found.values())

    def _primary_key(self, source: _Source, dimensions: Mapping[str, Dimension]) -> tuple[str, ...]:
        for name in source.model.primary_key:
            if name not in dimensions:
                known = [each for each in dimensions if dimensions[each].base_dimension is None]
                advice = nearest_name(name, known)
                self._problems.error(
                    source.model.place("primary_key"), f"`primary_key` names no dimension: `{name}`; {advice}"
                )
                return ()
        return source.model.primary_key

    def _sets(self, source: _Source) -> dict[str, FieldSet]:
        found = {}
        for name, entries in source.model.sets.items():
            try:
                found[name] = FieldSet(name=name, fields=expanded_fields(entries, source.model.sets))
            except CompileError as error:
                self._problems.error(source.model.place("sets"), f"the set `{name}` is left out: {error.message}")
        return found


def _is_filtered(source: _Source) -> bool:
    """Tell whether a joined model's row filter holds in the join, too."""
    return source.join is not None and (source.join.sql_filter_on_join or source.model.sql_filter_on_join)
