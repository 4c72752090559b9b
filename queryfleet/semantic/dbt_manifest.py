"""Models of a dbt project as dbt itself understood them: `target/manifest.json`, and types from `catalog.json`.

The manifest knows relation names, inherited configuration and packages; the catalog, where there is one, knows
what the warehouse's columns really are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConfigurationError, JsonValue
from queryfleet.section import Section
from queryfleet.semantic.dbt import read_dbt_model
from queryfleet.semantic.problem import Skipped
from queryfleet.yaml_document import YamlDocument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from queryfleet.semantic.definition import Model
    from queryfleet.semantic.reading import Reading

__all__ = ["CATALOG", "MANIFEST", "ManifestModels", "read_manifest"]

MANIFEST: Final = "target/manifest.json"
CATALOG: Final = "target/catalog.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestModels:
    """What a manifest holds for us."""

    models: tuple[Model, ...]  # in the order of their names
    failed: Mapping[str, str]  # models that are wrong: why, by name
    skipped: tuple[Skipped, ...]  # models left out on purpose


def read_manifest(folder: Path, reading: Reading) -> ManifestModels:
    """Return the models of the dbt project in a folder.

    Args:
        folder: Holds `target/manifest.json`, and `target/catalog.json` when `dbt docs generate` has run.
        reading: Gets the problems; those of a model name the file that describes it.

    Raises:
        ConfigurationError: The manifest is there but cannot be read.

    Cost: the whole manifest is held in memory while it is read, some five times its size.
    """
    nodes = _mapping(_loaded(folder, MANIFEST), "nodes")
    catalog = _mapping(_loaded(folder, CATALOG), "nodes") if (folder / CATALOG).is_file() else {}
    models: dict[str, Model] = {}
    failed: dict[str, str] = {}
    skipped: list[Skipped] = []
    for key, node in sorted(nodes.items()):
        if not isinstance(node, dict) or node.get("resource_type") != "model":
            continue
        name = str(node.get("name"))
        reason = _skip_reason(node)
        if reason is None and (name in models or name in failed):
            reason = "another package has a model of that name, which comes first"
        if reason is not None:
            skipped.append(Skipped(name=name, reason=reason))
            continue
        section = Section.of(YamlDocument(source=_source(node, name), value=node))
        try:
            models[name] = _model(section, catalog.get(key), reading)
        except ConfigurationError as error:
            failed[name] = reading.problems.raised(error, section.document.source)
    return ManifestModels(models=tuple(models[name] for name in sorted(models)), failed=failed, skipped=tuple(skipped))


def _model(section: Section, catalog_node: JsonValue, reading: Reading) -> Model:
    columns = _mapping(catalog_node, "columns")
    types: dict[str, str] = {}
    for name, column in columns.items():
        written = column.get("type") if isinstance(column, dict) else None
        if isinstance(written, str):
            types[name.lower()] = written
    return read_dbt_model(section, reading, relation=section.text("relation_name"), column_types=types)


def _skip_reason(node: Mapping[str, JsonValue]) -> str | None:
    config = _mapping(dict(node), "config")
    if config.get("enabled") is False:
        return "it is disabled"
    if config.get("materialized") == "ephemeral":
        return "it is ephemeral: there is no table to ask"
    if node.get("version") is not None and node.get("version") != node.get("latest_version"):
        return f"version {node.get('version')} is not the latest"
    if not node.get("columns"):
        return "it describes no columns: list them in its schema.yml"
    return None


def _source(node: Mapping[str, JsonValue], name: str) -> str:
    """Return what messages call the model: the file a person would open, and which entry of it."""
    patch = node.get("patch_path")
    file = patch.rpartition("://")[2] if isinstance(patch, str) and patch else node.get("original_file_path")
    return f"{file if isinstance(file, str) else MANIFEST} (model {name})"


def _loaded(folder: Path, name: str) -> JsonValue:
    try:
        value: JsonValue = json.loads((folder / name).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{name}: this is not JSON: run `dbt parse` again") from None
    if not isinstance(value, dict) or not isinstance(value.get("nodes"), dict):
        raise ConfigurationError(f"{name}: there are no `nodes`: is it dbt's? Run `dbt parse` again")
    return value


def _mapping(value: JsonValue, key: str) -> dict[str, JsonValue]:
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}
