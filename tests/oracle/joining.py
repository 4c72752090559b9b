"""Joins by looping: every row of one side against every row of the other."""

from __future__ import annotations

from tests.oracle.description import Env


def joined_rows(explore, aliases, setting):
    """Return the joined rows of an explore, before any condition.

    Args:
        explore: What is asked.
        aliases: Tables that the question needs; others are not joined.
        setting: Of the question.
    """
    needed = _closure(explore, aliases)
    name = explore.base.name
    nothing = dict.fromkeys(explore.sources())
    found = [Env(rows=nothing | {name: row}, setting=setting) for row in _rows(explore.base, setting)]
    for join in explore.joins:
        if join.alias in needed:
            found = _joined(found, join, nothing, setting)
    return found


def _rows(source, setting):
    return [row for row in source.rows if source.visible is None or source.visible(row, setting)]


def _closure(explore, aliases):
    needed = set(aliases) | {join.alias for join in explore.joins if join.always}
    for join in reversed(explore.joins):  # a condition mentions tables that come before
        if join.alias in needed:
            needed |= set(join.needs)
            if join.filters_rows and join.source.row_filter is not None:
                needed |= set(join.source.row_filter.reaches)
    return needed


def _joined(left, join, nothing, setting):
    rows = _rows(join.source, setting)
    found, met_rows = [], set()
    for env in left:
        matched = False
        for index, row in enumerate(rows):
            pair = Env(rows={**env.rows, join.alias: row}, setting=setting)
            if _matches(pair, join):
                matched = True
                met_rows.add(index)
                found.append(pair)
        if not matched and join.type in ("left", "full"):
            found.append(env)
    if join.type in ("right", "full"):
        alone = [row for index, row in enumerate(rows) if index not in met_rows]
        found += [Env(rows=nothing | {join.alias: row}, setting=setting) for row in alone]
    return found


def _matches(pair, join):
    if join.matches(pair) is not True:
        return False
    if join.filters_rows and join.source.row_filter is not None:
        return join.source.row_filter.truth(pair, join.alias) is True
    return True
