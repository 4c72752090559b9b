"""The rows that must come out of a metric query: slow, and short enough to be checked by reading.

Every question is answered from the raw rows: join by looping, keep what every condition calls True, put rows into
groups, and aggregate. An aggregate of a table counts each row of that table once in a group, however many rows
of other tables it met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.oracle.aggregates import aggregate
from tests.oracle.calculations import post_calculation, templated
from tests.oracle.conditions import effective_rules, group_truth, rule_truth, rules_of
from tests.oracle.fields import column_of, metric_of
from tests.oracle.joining import joined_rows
from tests.oracle.moments import DAYS_AND_LONGER, shifted
from tests.oracle.ordering import Sort, ordered

POST_CALCULATIONS = ("percent_of_previous", "percent_of_total", "running_total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows in order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def answer(explore, query, setting):
    """Return the answer to a metric query.

    Args:
        explore: Described twice; only the Python side is read.
        query: In wire form.
        setting: Clock, zone, caller.
    """
    return _Question(explore, query, setting).answer()


class _Question:
    """One query on its way to an answer."""

    def __init__(self, explore, query, setting):
        self.explore, self.query, self.setting = explore, query, setting
        self.filters = query.get("filters") or {}
        self.dimensions = list(dict.fromkeys(query.get("dimensions") or ()))
        self.metrics = list(dict.fromkeys(query.get("metrics") or ()))
        self.calculations = list(query.get("tableCalculations") or ())
        zoomed = self._zoomed()
        self.columns = {
            each: column_of(explore, query, setting, each, zoom=zoomed.get(each)) for each in self.dimensions
        }
        self.computed = self._computed()
        self.sorts = self._sorts()

    def answer(self):
        groups = self._groups(self._kept_rows())
        rows = self._with_periods(self._aggregated(groups))
        sorts = self._known_sorts(rows)  # not by one another
        for each in self._post_calculations():
            (source,) = self.computed[each].needs
            values = post_calculation(self.computed[each].type, source, rows, sorts, self.setting)
            rows = [row | {each: value} for row, value in zip(rows, values, strict=True)]
        rows = [row for row in rows if self._passes(row, "metrics", self._metric_truth)]
        rows = self._calculated(rows)
        rows = [row for row in rows if self._passes(row, "tableCalculations", self._calculation_truth)]
        shown = (*self.dimensions, *self.metrics, *(each["name"] for each in self.calculations))
        rows = ordered(rows, self.sorts, self.setting)[: self.query.get("limit")]
        return Answer(columns=shown, rows=tuple(tuple(row[each] for each in shown) for row in rows))

    # Which fields

    def _column(self, field_id):
        return column_of(self.explore, self.query, self.setting, field_id)

    def _metric(self, field_id):
        return metric_of(self.explore, self.query, self.setting, field_id)

    def _zoomed(self):
        zoom = self.setting.date_zoom
        if not zoom:
            return {}
        dates = []
        for each in self.dimensions:
            column = self._column(each)
            if column.base_type in ("date", "timestamp") and column.type in ("date", "timestamp"):
                dates.append(column)
        chosen = next((each for each in dates if each.id == zoom.get("xAxisFieldId")), dates[0] if dates else None)
        granularity = zoom["granularity"].upper()
        if chosen is None or (chosen.base_type == "date" and granularity not in DAYS_AND_LONGER):
            return {}
        return {chosen.id: granularity}

    def _computed(self):
        """Return every metric that must be computed, by id, each after those it needs."""
        found = {}

        def add(field_id):
            metric = self._metric(field_id)
            needs = (metric.period["baseMetricId"],) if metric.period else metric.needs
            for each in needs:
                add(each)
            found[field_id] = metric

        for each in (*self.metrics, *(rule["target"]["fieldId"] for rule in rules_of(self.filters.get("metrics")))):
            add(each)
        return found

    def _post_calculations(self):
        return [each for each, metric in self.computed.items() if metric.type in POST_CALCULATIONS]

    def _sorts(self):
        asked = [
            Sort(id=each["fieldId"], descending=each.get("descending", False), nulls_first=each.get("nullsFirst"))
            for each in self.query.get("sorts") or ()
        ]
        if not asked and self.dimensions:
            dates = [each for each in self.dimensions if self.columns[each].type in ("date", "timestamp")]
            if dates:
                asked = [Sort(id=dates[0], descending=True)]
            elif self.metrics:
                asked = [Sort(id=self.metrics[0], descending=True)]
        asked = [replace(sort, rank=self.columns[sort.id].rank) if sort.id in self.columns else sort for sort in asked]
        # A tie is broken by values as they are: what matters is that the order is always the same.
        left = [each for each in self.dimensions if each not in {sort.id for sort in asked}]
        return [*asked, *(Sort(id=each) for each in left)]

    def _known_sorts(self, rows):
        """Return the sorts by what the rows have already: nothing can be in the order of itself."""
        return [sort for sort in self.sorts if not rows or sort.id in rows[0]]

    # Rows

    def _tables(self):
        needed = set()
        for column in self.columns.values():
            needed |= column.tables
        for rule in effective_rules(self._dimension_filter()):
            needed |= self._column(rule["target"]["fieldId"]).tables
        for metric in self.computed.values():
            needed |= metric.tables
            for field_id in (*(rule["target"]["fieldId"] for rule in metric.filters), *metric.distinct_keys):
                needed |= self._column(field_id).tables
        if self.explore.base.row_filter is not None:
            needed |= set(self.explore.base.row_filter.reaches)
        return needed

    def _dimension_filter(self):
        asked = self.filters.get("dimensions") or {"and": []}
        return {"and": [asked, *(rule for rule in self.explore.required if not self._is_met(rule, asked))]}

    def _is_met(self, required, asked):
        """Tell whether a rule of the query, reachable through AND alone, is on the same field or a sibling grain."""
        wanted = self._column(required["target"]["fieldId"]).base

        def met(node):
            if "target" in node:
                is_alive = not node.get("disabled") and (
                    node.get("values") or node["operator"] in ("isNull", "notNull")
                )
                return bool(is_alive) and self._column(node["target"]["fieldId"]).base == wanted
            return any(met(member) for member in node.get("and", ()))

        return met(asked)

    def _kept_rows(self, node=None):
        node = self._dimension_filter() if node is None else node
        row_filter = self.explore.base.row_filter
        return [
            env
            for env in joined_rows(self.explore, self._tables(), self.setting)
            if (row_filter is None or row_filter.truth(env, self.explore.base.name) is True)
            and group_truth(node, lambda rule, env=env: self._dimension_truth(rule, env)) is True
        ]

    def _dimension_truth(self, rule, env):
        column = self._column(rule["target"]["fieldId"])
        return rule_truth(
            rule,
            column.value(env),
            column.type,
            is_case_sensitive=column.is_case_sensitive,
            zone=column.zone,
            setting=self.setting,
        )

    def _groups(self, envs, dimensions=None):
        """Return joined rows by the values of the dimensions; without dimensions there is one group, always."""
        dimensions = self.dimensions if dimensions is None else dimensions
        found = {} if dimensions else {(): []}
        for env in envs:
            found.setdefault(tuple(self.columns[each].value(env) for each in dimensions), []).append(env)
        return found

    # Metrics

    def _aggregated(self, groups, dimensions=None):
        dimensions = self.dimensions if dimensions is None else dimensions
        return [dict(zip(dimensions, key, strict=True)) | self._metrics_of(envs) for key, envs in groups.items()]

    def _metrics_of(self, envs):
        found = {}
        for field_id, metric in self.computed.items():
            if metric.over is not None:
                found[field_id] = metric.over(found)
            elif metric.whole is not None:
                found[field_id] = metric.whole(list(dict(zip(self._keys(metric, envs), envs, strict=True)).values()))
            elif metric.period is None and metric.type not in POST_CALCULATIONS:
                found[field_id] = aggregate(metric.type, self._values(metric, envs), metric.percentile)
        return found

    def _values(self, metric, envs):
        """Return what an aggregate sees: one value for each row of its table, or for each key."""
        found = {}
        for key, env in zip(self._keys(metric, envs), envs, strict=True):
            value = self._argument(metric, env)
            # A filter on another table may hold for some of the joined rows only: one is enough.
            if value is not None or key not in found:
                found[key] = value
        return list(found.values())

    def _keys(self, metric, envs):
        """Return what tells apart the rows that count."""
        if metric.distinct_keys:
            return [tuple(self._column(each).value(env) for each in metric.distinct_keys) for env in envs]
        if self._can_count_once(metric):
            # What mixes tables is of rows made of one row of each.
            return [tuple(id(env.rows[table]) for table in sorted(metric.tables)) for env in envs]
        return range(len(envs))

    def _can_count_once(self, metric):
        """Tell whether key and relationships are known; without them rows count as often as they come."""
        used = {alias for column in self.columns.values() for alias in column.tables} | self._tables()
        related = all(join.relationship is not None for join in self.explore.joins if join.alias in used)
        return related and bool(self.explore.sources()[metric.table].primary_key)

    def _argument(self, metric, env):
        truths = (self._exact_truth(rule, env) for rule in metric.filters)
        return metric.argument(env) if all(truth is True for truth in truths) else None

    def _exact_truth(self, rule, env):
        column = self._column(rule["target"]["fieldId"])
        return rule_truth(
            rule, column.value(env), column.type, is_case_sensitive=True, zone=column.zone, setting=self.setting
        )

    def _metric_truth(self, rule, row):
        metric = self.computed[rule["target"]["fieldId"]]
        kind = metric.type if metric.type in ("string", "date", "timestamp", "boolean") else "number"
        return rule_truth(
            rule, row[metric.id], kind, is_case_sensitive=True, zone=self.setting.timezone, setting=self.setting
        )

    def _passes(self, row, kind, truth):
        return group_truth(self.filters.get(kind) or {"and": []}, lambda rule: truth(rule, row)) is True

    # Period over period

    def _with_periods(self, rows):
        for field_id, metric in self.computed.items():
            if metric.period is not None:
                earlier = self._earlier(metric.period)
                rows = [row | {field_id: self._then(metric.period, row, earlier)} for row in rows]
        return rows

    def _earlier(self, period):
        """Return the base metric by dimensions over all rows, filters on the time dimension left out."""
        base = self._column(period["timeDimensionId"]).base

        def without(node):
            if "target" in node:
                return None if self._column(node["target"]["fieldId"]).base == base else node
            kind = "or" if "or" in node else "and"
            return {kind: [kept for member in node.get(kind, ()) if (kept := without(member)) is not None]}

        groups = self._groups(self._kept_rows(without(self._dimension_filter())))
        return {tuple(row[each] for each in self.dimensions): row for row in self._aggregated(groups)}

    def _then(self, period, row, earlier):
        time = row[period["timeDimensionId"]]
        if time is None:
            return None
        unit = period["granularity"].lower() + "s"
        key = tuple(
            shifted(time, -period["periodOffset"], unit) if each == period["timeDimensionId"] else row[each]
            for each in self.dimensions
        )
        return earlier[key][period["baseMetricId"]] if key in earlier else None

    # Table calculations

    def _calculated(self, rows):
        sorts = self._known_sorts(rows)
        rows = ordered(rows, sorts, self.setting)
        for calculation in self._in_order():
            name = calculation["name"]
            if "template" in calculation:
                values = templated(calculation["template"], rows, sorts, self.setting)
            else:
                meaning = self.setting.meanings[name]
                values = [meaning(rows, index, self._total) for index in range(len(rows))]
            rows = [row | {name: value} for row, value in zip(rows, values, strict=True)]
        return rows

    def _in_order(self):
        """Return the calculations, each after those it mentions."""
        waiting, found = list(self.calculations), []
        names = {each["name"] for each in waiting}
        while waiting:
            done = {each["name"] for each in found}
            ready = [each for each in waiting if _mentioned(each, names) <= done]
            found += ready
            waiting = [each for each in waiting if each not in ready]
        return found

    def _total(self, field_id):
        """Return a metric over all rows of the query."""
        (envs,) = self._groups(self._kept_rows(), ()).values()
        return self._metrics_of(envs)[field_id]

    def _calculation_truth(self, rule, row):
        name = rule["target"]["fieldId"]
        (kind,) = (each.get("type", "string") for each in self.calculations if each["name"] == name)
        return rule_truth(
            rule, row[name], kind, is_case_sensitive=True, zone=self.setting.timezone, setting=self.setting
        )


def _mentioned(calculation, names):
    text = calculation.get("sql") or str(calculation.get("template"))
    return {name for name in names if f"${{{name}}}" in text or f"'{name}'" in text}
