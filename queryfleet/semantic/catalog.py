"""The explores of a project, compiled once: read from its folder, stored, and looked up by name.

Where models come from, all of it at once:

- `models/**/*.yml` with `type: model`: one model a YAML document;
- `target/manifest.json`, when dbt has made one, else `models/**/*.yml` with `models:`.

A model that is wrong does not keep the others from working: `load_catalog` collects what it finds, and an explore
that cannot be used is remembered with the reason. Whoever wants all or nothing looks at `Catalog.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the stored form is derived from the annotations at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from queryfleet.errors import CompileError, ConfigurationError, NotFoundError
from queryfleet.project import Project, load_project
from queryfleet.semantic.assembly import assembled_explore, own_explore
from queryfleet.semantic.explore import Explore  # noqa: TC001 - likewise
from queryfleet.semantic.json_form import from_json, to_json
from queryfleet.semantic.mentions import check_model_mentions, check_parameter_options
from queryfleet.semantic.model_source import read_models
from queryfleet.semantic.nearest_name import nearest_name
from queryfleet.semantic.parameter_keys import project_defaults
from queryfleet.semantic.problem import Problem, Problems, Skipped
from queryfleet.semantic.reading import Reading

if TYPE_CHECKING:
    from pathlib import Path

    from queryfleet.errors import JsonValue
    from queryfleet.semantic.definition import ExploreDefinition, Model, ProjectDefaults
    from queryfleet.semantic.model_source import FoundModels

__all__ = ["Catalog", "load_catalog"]

_VERSION: Final = 1  # of the stored form; raised when an older one cannot be read any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The explores of one project. Can be pickled, compared, and stored; holds no secret and no SQL of a caller."""

    explores: Mapping[str, Explore] = field(default_factory=dict)  # by name, in the order of names
    broken: Mapping[str, str] = field(default_factory=dict)  # explores that cannot be used: why, by name
    problems: tuple[Problem, ...] = ()  # everything that was found, in the order of files
    skipped: tuple[Skipped, ...] = ()  # models of dbt that were left out on purpose

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Return the problems that make something unusable."""
        return tuple(each for each in self.problems if each.is_error)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Return the problems that do not."""
        return tuple(each for each in self.problems if not each.is_error)

    def explore(self, name: str) -> Explore:
        """Return an explore.

        Raises:
            NotFoundError: There is none of that name; the message has the nearest one.
            CompileError: There is, but it cannot be used; the message says why.
        """
        found = self.explores.get(name)
        if found is not None:
            return found
        if name in self.broken:
            raise CompileError(f"the explore `{name}` cannot be used: {self.broken[name]}")
        advice = nearest_name(name, self.explores)
        raise NotFoundError(f"there is no explore `{name}`; {advice}")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `from_json` reads it back to an equal catalog.

        Cost: some 20 µs and 300 bytes for each field; reading it back costs the same.
        """
        form = to_json(self)
        return {"version": _VERSION, **form} if isinstance(form, dict) else {}

    @classmethod
    def from_json(cls, stored: Mapping[str, JsonValue]) -> Catalog:
        """Return the catalog that `to_json` described.

        Raises:
            ConfigurationError: It is of another version, or damaged: load the project's folder again.
        """
        if stored.get("version") != _VERSION:
            raise ConfigurationError("the stored models are of another version: load the project again")
        try:
            return from_json(cls, dict(stored))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                "the stored models cannot be read: load the project again", reason=type(error).__name__
            ) from None


def load_catalog(project: Project | Path) -> Catalog:
    """Read and compile every model of a project.

    Args:
        project: A loaded project, or the folder of one.

    Raises:
        ConfigurationError: `project.yml` is wrong, or dbt's manifest cannot be read. What is wrong with a model is in
            `Catalog.problems` instead.

    Cost: some 30 µs for each field of each explore; reading YAML costs ten times that.
    """
    loaded = project if isinstance(project, Project) else load_project(project)
    problems = Problems()
    defaults = project_defaults(loaded, problems)
    found = read_models(loaded.folder, Reading(defaults=defaults, problems=problems))
    return _catalog(found, defaults, problems)


def _catalog(found: FoundModels, defaults: ProjectDefaults, problems: Problems) -> Catalog:
    models = {model.name: model for model in found.models}
    broken = dict(found.failed)
    explores: dict[str, Explore] = {}
    check_parameter_options(defaults, models, problems)
    for model in found.models:
        broken |= model.failed_explores
    for definition, base in _definitions(found.models, problems):
        failed = next((join.model for join in definition.joins if join.model in found.failed), None)
        if failed is not None:  # that model's own problem has been noted
            broken[definition.name] = f"the model `{failed}`, which it joins, cannot be used: {found.failed[failed]}"
            continue
        try:
            explores[definition.name] = assembled_explore(definition, base, models, defaults, problems)
        except CompileError as error:
            broken[definition.name] = error.message
            text = f"the explore `{definition.name}` cannot be used: {error.message}"
            problems.error(str(error.details.get("place", base.place(""))), text)
            continue
        if definition.name == base.name:
            check_model_mentions(base, explores[definition.name], models, problems)
    return Catalog(
        explores={name: explores[name] for name in sorted(explores)},
        broken={name: broken[name] for name in sorted(broken) if name not in explores},
        problems=tuple(problems.found),
        skipped=found.skipped,
    )


def _definitions(models: tuple[Model, ...], problems: Problems) -> list[tuple[ExploreDefinition, Model]]:
    """Return every explore there is to make; a name that is taken is an error."""
    found: dict[str, tuple[ExploreDefinition, Model]] = {}
    for model in models:
        if not model.hidden:
            found[model.name] = (own_explore(model), model)
    for model in models:
        for name, definition in model.explores.items():
            if name in found:
                text = f"there is an explore `{name}` already: choose another name"
                problems.error(model.place(f"explore {name}"), text)
            else:
                found[name] = (definition, model)
    return list(found.values())
