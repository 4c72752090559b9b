"""The dbt spelling: models in `schema.yml`, ours under `meta` or `config.meta`.

    models:
      - name: orders
        meta: {joins: […], metrics: {…}}
        columns:
          - name: status
            data_type: varchar
            meta:
              dimension: {label: State}
              metrics: {…}
              additional_dimensions: {…}

Where both `meta` and `config.meta` stand, `config.meta` wins key by key. Under `meta` lie other tools' keys, too, so
one that is not known is a warning; inside `dimension` and `metrics`, which are ours alone, it is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConfigurationError
from queryfleet.model import ColumnType
from queryfleet.section import Section
from queryfleet.semantic.column_type import column_type
from queryfleet.semantic.field_keys import read_dimension, read_metric
from queryfleet.semantic.model_keys import ModelParts, read_model
from queryfleet.semantic.reading import check_keys
from queryfleet.semantic.section_value import checked_name, prose, section_items, section_map, texts
from queryfleet.yaml_document import YamlDocument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.semantic.definition import Model
    from queryfleet.semantic.explore import Dimension, Metric
    from queryfleet.semantic.reading import Reading

__all__ = ["merged_meta", "read_dbt_model"]

_COLUMN_META_KEYS: Final = ("dimension", "metrics", "additional_dimensions")


@dataclass(slots=True, kw_only=True)
class _Fields:
    """Fills as columns are read."""

    dimensions: dict[str, Dimension] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def merged_meta(section: Section) -> Section:
    """Return the keys of `meta` and `config.meta` of a model or column as one mapping that knows every line.

    Raises:
        ConfigurationError: One of them is no mapping.
    """
    plain = section.section("meta")
    config = section.section("config")
    configured = config.section("meta")
    if not configured.values:
        return plain
    if not plain.values:
        return configured
    document = section.document
    lines = {
        path[len(each.path) :]: line
        for each in (plain, configured)
        for path, line in document.lines.items()
        if len(path) > len(each.path) and path[: len(each.path)] == each.path
    }
    if section.path in document.lines:
        lines[()] = document.lines[section.path]
    return Section.of(YamlDocument(source=document.source, value=plain.values | configured.values, lines=lines))


def read_dbt_model(
    section: Section,
    reading: Reading,
    *,
    relation: str | None = None,
    column_types: Mapping[str, str] | None = None,
) -> Model:
    """Return the model that an entry of `models`, or a node of a manifest, describes.

    Every column becomes a dimension. Its type is the one in its `dimension`, else the warehouse's, else its
    `data_type`, else text, with a warning.

    Args:
        section: The entry.
        reading: Gets the problems.
        relation: What stands in FROM when `sql_from` is not given; None: the model's `alias` or name.
        column_types: Types the warehouse has, by column name in lower case.

    Raises:
        ConfigurationError: The name is missing, or something is wrong that decides which rows or fields the model
            shows.
    """
    lenient = replace(reading, is_strict=False)
    name = checked_name(section, "name", section.required_text("name", "orders"))
    found = _Fields()
    for column in _columns(section):
        _read_column(column, name, reading, found, column_types or {})
    parts = ModelParts(
        name=name,
        sql_from=relation or section.section("config").text("alias") or section.text("alias") or name,
        description=prose(section, "description"),
        tags=texts(section, "tags") or texts(section.section("config"), "tags") or (),
        dimensions=found.dimensions,
        metrics=found.metrics,
        places=found.places,
    )
    return _placed(read_model(merged_meta(section), parts, lenient), section)


def _placed(model: Model, section: Section) -> Model:
    """Return the model standing where its entry begins, which is earlier than its keys do."""
    return replace(model, places={**model.places, "": section.document.where(section.path)})


def _columns(section: Section) -> list[Section]:
    """Return the columns: a list in a `schema.yml`, a mapping by name in a manifest."""
    if isinstance(section.values.get("columns"), dict):
        return list(section_map(section, "columns").values())
    return list(section_items(section, "columns"))


def _read_column(
    column: Section, table: str, reading: Reading, found: _Fields, column_types: Mapping[str, str]
) -> None:
    name = column.required_text("name", "status")
    place = column.document.where(column.path)
    try:
        checked_name(column, "name", name)
    except ConfigurationError as error:
        # A column may be called anything; only what we are asked for needs a name that fits in field ids.
        reading.problems.warning(place, f"the column is left out: {error.message.partition(': ')[2]}")
        return
    meta = merged_meta(column)
    check_keys(meta, _COLUMN_META_KEYS, replace(reading, is_strict=False))
    warehouse_type = column_types.get(name.lower()) or prose(column, "data_type")
    base = _dimension(column, meta.section("dimension"), table, reading, warehouse_type)
    _add(found, base, place)
    for metric_name, each in section_map(meta, "metrics").items():
        checked_name(each, None, metric_name)
        if metric_name in found.metrics:
            raise each.error(None, f"is taken: there is a metric `{metric_name}` already")
        found.metrics[metric_name] = read_metric(each, metric_name, table, reading, base=base)
        found.places.setdefault(f"field {metric_name}", each.document.where(each.path))
    for other_name, each in section_map(meta, "additional_dimensions").items():
        checked_name(each, None, other_name)
        _add(found, read_dimension(each, other_name, table, reading), each.document.where(each.path))


def _add(found: _Fields, dimension: Dimension, place: str) -> None:
    if dimension.name in found.dimensions:
        raise ConfigurationError(
            f"{place}: there is a dimension `{dimension.name}` already: give one of them another name"
        )
    found.dimensions[dimension.name] = dimension
    found.places[f"field {dimension.name}"] = place


def _dimension(
    column: Section, section: Section, table: str, reading: Reading, warehouse_type: str | None
) -> Dimension:
    """Return the dimension over a column, as its mapping `dimension` describes it."""
    column_name = column.required_text("name", "status")
    own_name = section.text("name")
    if warehouse_type is None and section.values.get("type") is None:
        reading.problems.warning(
            column.document.where(column.path),
            f"the type of column `{column_name}` is not known, so it is text: give it a `data_type`, "
            "or its dimension a `type`",
        )
    return read_dimension(
        section,
        column_name if own_name is None else checked_name(section, "name", own_name),
        table,
        reading,
        default_sql=f"${{TABLE}}.{column_name}",
        default_type=ColumnType.STRING if warehouse_type is None else column_type(warehouse_type),
        default_description=prose(column, "description"),
        other_keys=frozenset({"name"}),
    )
