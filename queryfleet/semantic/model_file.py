"""The standalone spelling: one model a document, `type: model`.

type: model
name: orders
sql_from: orders
dimensions:
  - name: status
    type: string
    sql: ${TABLE}.status
metrics:
  revenue: {type: sum, sql: "${TABLE}.amount"}
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from queryfleet.semantic.field_keys import read_dimension, read_metric
from queryfleet.semantic.model_keys import ModelParts, read_model
from queryfleet.semantic.section_value import checked_name, section_items, section_map

if TYPE_CHECKING:
    from queryfleet.section import Section
    from queryfleet.semantic.definition import Model
    from queryfleet.semantic.explore import Dimension, Metric
    from queryfleet.semantic.reading import Reading

__all__ = ["MODEL_TYPES", "read_model_file"]

MODEL_TYPES: Final = ("model", "model/v1beta", "model/v1")  # values of `type` at the top of a file


def read_model_file(section: Section, reading: Reading) -> Model:
    """Return the model that a file describes.

    Args:
        section: A whole document; its `type` is one of `MODEL_TYPES`.
        reading: Gets the problems. Unknown keys are errors unless it says `strict: false`.

    Raises:
        ConfigurationError: The name is missing, or something is wrong that decides which rows or fields the model
            shows.
    """
    reading = replace(reading, is_strict=section.flag("strict", default=True))
    name = checked_name(section, "name", section.required_text("name", "orders"))
    dimensions: dict[str, Dimension] = {}
    metrics: dict[str, Metric] = {}
    places: dict[str, str] = {}
    for each in section_items(section, "dimensions"):
        field_name = checked_name(each, "name", each.required_text("name", "status"))
        if field_name in dimensions:
            raise each.error("name", f"is taken: there is a dimension `{field_name}` already")
        base = read_dimension(each, field_name, name, reading, other_keys=frozenset({"name", "metrics"}))
        dimensions[field_name] = base
        places[f"field {field_name}"] = each.document.where(each.path)
        for metric_name, inner in section_map(each, "metrics").items():
            checked_name(inner, None, metric_name)
            if metric_name in metrics:
                raise inner.error(None, f"is taken: there is a metric `{metric_name}` already")
            metrics[metric_name] = read_metric(inner, metric_name, name, reading, base=base)
            places.setdefault(f"field {metric_name}", inner.document.where(inner.path))
    parts = ModelParts(
        name=name,
        dimensions=dimensions,
        metrics=metrics,
        places=places,
        other_keys=frozenset({"type", "name", "dimensions", "strict"}),
    )
    return read_model(section, parts, reading)
