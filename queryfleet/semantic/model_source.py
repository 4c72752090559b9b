"""Which files of a project hold models, and every model in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConfigurationError
from queryfleet.section import Section, nearest
from queryfleet.semantic.dbt import read_dbt_model
from queryfleet.semantic.dbt_manifest import MANIFEST, read_manifest
from queryfleet.semantic.model_file import MODEL_TYPES, read_model_file
from queryfleet.semantic.section_value import section_items
from queryfleet.yaml_document import parse_yaml_stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from queryfleet.semantic.definition import Model
    from queryfleet.semantic.problem import Skipped
    from queryfleet.semantic.reading import Reading

__all__ = ["MODELS_FOLDER", "FoundModels", "read_models"]

MODELS_FOLDER: Final = "models"
_SUFFIXES: Final = (".yml", ".yaml")
# What else dbt keeps in files beside its models; none of it is about explores.
_OTHER_DBT_KEYS: Final = frozenset(
    {
        "version", "sources", "seeds", "snapshots", "macros", "analyses", "exposures", "metrics", "semantic_models",
        "saved_queries", "groups", "unit_tests", "data_tests", "tests", "anchors",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModels:
    """Every model of a project."""

    models: tuple[Model, ...]  # in the order of files; names are unique
    failed: Mapping[str, str]  # models that are wrong as a whole: why, by name
    skipped: tuple[Skipped, ...]  # models of dbt that were left out on purpose


@dataclass(slots=True, kw_only=True)
class _Found:
    """Fills as files are read."""

    reading: Reading
    models: dict[str, Model] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, model: Model) -> None:
        other = self.models.get(model.name)
        if other is None:
            self.models[model.name] = model
        else:
            text = f"there is a model `{model.name}` already, in {other.place('')}: rename one"
            self.reading.problems.error(model.place(""), text)

    def fail(self, section: Section, error: ConfigurationError) -> None:
        reason = self.reading.problems.raised(error, section.document.source)
        name = section.values.get("name")
        if isinstance(name, str):
            self.failed[name] = reason


def read_models(folder: Path, reading: Reading) -> FoundModels:
    """Return every model of a project's folder.

    Args:
        folder: Of the project; that it holds no models at all is a warning.
        reading: Gets the problems, which name files relative to the folder.

    Raises:
        ConfigurationError: dbt's manifest is there but cannot be read.

    Cost: reading YAML, some 100 µs for each line of it.
    """
    found = _Found(reading=reading)
    has_manifest = (folder / MANIFEST).is_file()
    if has_manifest:
        of_dbt = read_manifest(folder, reading)
        for model in of_dbt.models:
            found.add(model)
        found.failed |= of_dbt.failed
        found.skipped += of_dbt.skipped
    files = sorted(path for path in (folder / MODELS_FOLDER).rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    for path in files:
        source = path.relative_to(folder).as_posix()
        try:
            documents = parse_yaml_stream(path.read_bytes(), source=source)
        except ConfigurationError as error:
            reading.problems.raised(error, source)
            continue
        except OSError as error:
            reading.problems.error(source, f"cannot be read: {error.strerror}")
            continue
        for document in documents:
            try:
                _read_document(Section.of(document), found, has_manifest=has_manifest)
            except ConfigurationError as error:
                reading.problems.raised(error, source)
    if not files and not has_manifest:
        text = f"there are no models: write {MODELS_FOLDER}/orders.yml, or let dbt write {MANIFEST}"
        reading.problems.warning(MODELS_FOLDER, text)
    models = {name: model for name, model in found.models.items() if name not in found.failed}
    return FoundModels(models=tuple(models.values()), failed=found.failed, skipped=tuple(found.skipped))


def _read_document(section: Section, found: _Found, *, has_manifest: bool) -> None:
    type_ = section.values.get("type")
    if type_ is not None:
        if type_ not in MODEL_TYPES:
            advice = nearest(str(type_), MODEL_TYPES)
            raise section.error("type", f"is nothing that a file in {MODELS_FOLDER} can be; {advice}")
        try:
            found.add(read_model_file(section, found.reading))
        except ConfigurationError as error:
            found.fail(section, error)
    elif "models" in section.values:
        # The manifest says the same, and more: relation names, and configuration that was inherited.
        if not has_manifest:
            for each in section_items(section, "models"):
                try:
                    found.add(read_dbt_model(each, found.reading))
                except ConfigurationError as error:
                    found.fail(each, error)
    elif not section.values.keys() & _OTHER_DBT_KEYS:
        raise section.error(None, "describes no model: begin with `type: model`, or list them under `models:`")
