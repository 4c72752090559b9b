"""Content as files of a project's folder: `charts/**/*.yml` and `dashboards/**/*.yml`, one content a file.

A file in `charts` that has `sql` is a SQL chart, any other a chart. The slug is that of the file, else the file's name.
What is wrong is collected with file and line, as for models.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from queryfleet.content.record import ContentKind, FileContent, file_content_uuid, slug_of
from queryfleet.content.values import BODY_OF, checked_body, saved_chart
from queryfleet.errors import ConfigurationError, RequestError
from queryfleet.schemas.content import TileBody
from queryfleet.section import Section, nearest
from queryfleet.semantic.nearest_name import nearest_name
from queryfleet.yaml_document import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from queryfleet.errors import JsonValue
    from queryfleet.semantic.catalog import Catalog
    from queryfleet.semantic.problem import Problems

__all__ = ["CONTENT_FOLDERS", "collect_content", "is_content_path", "read_content"]

CONTENT_FOLDERS: Final = ("charts", "dashboards")
_SUFFIXES: Final = (".yml", ".yaml")
# Keys that other tools write and that change nothing here; `version` is that of their format.
_IGNORED: Final = frozenset(
    {"version", "contentType", "spaceSlug", "updatedAt", "downloadedAt", "dashboardSlug", "verified", "verification"}
)
_TILE_KEYS: Final = frozenset(TileBody.model_fields) | {"tabSlug"}


def collect_content(folder: Path) -> dict[str, str]:
    """Return the text of every file of a project that describes content, by path in the folder.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    found = {}
    for name in CONTENT_FOLDERS:
        for path in sorted((folder / name).rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                try:
                    found[path.relative_to(folder).as_posix()] = path.read_text(encoding="utf-8")
                except OSError as error:
                    raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
                except UnicodeDecodeError:
                    raise ConfigurationError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    return found


def is_content_path(path: PurePosixPath) -> bool:
    """Tell whether a path in a project's folder is that of a file which describes content."""
    return path.parts[:1] != () and path.parts[0] in CONTENT_FOLDERS and path.suffix in _SUFFIXES


def read_content(
    files: Mapping[str, str], project_uuid: str, problems: Problems, catalog: Catalog | None = None
) -> tuple[FileContent, ...]:
    """Return the content that files describe.

    Args:
        files: Text by path in the project's folder; those of other folders are passed over.
        project_uuid: Of the project; uuids of tiles are derived from it.
        problems: Gets what is wrong; a file that is wrong is left out.
        catalog: Of the project; charts that ask for what it does not have get a warning. None: they are not checked.

    Cost: reading YAML, some 100 µs for each line of it.
    """
    found: dict[tuple[ContentKind, str], _Read] = {}
    for name, text in sorted(files.items()):
        if not is_content_path(PurePosixPath(name)):
            continue
        try:
            section = Section.of(parse_yaml(text.encode("utf-8", "replace"), source=name))
            read = _read(section, PurePosixPath(name), project_uuid)
            other = found.setdefault((read.content.kind, read.content.slug), read)
            if other is not read:
                raise section.error("slug", f"is taken: `{read.content.slug}` is that of {other.source}, too")
        except ConfigurationError as error:
            problems.raised(error, name)
    for read in found.values():
        _check_tiles(read, {slug for kind, slug in found if kind is not ContentKind.DASHBOARD}, problems)
        if catalog is not None and read.content.kind is ContentKind.CHART:
            _check_fields(read, catalog, problems)
    return tuple(read.content for read in found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """Content, and the file it came from."""

    content: FileContent
    section: Section

    @property
    def source(self) -> str:
        return self.section.document.source


def _read(section: Section, path: PurePosixPath, project_uuid: str) -> _Read:
    if path.parts[0] == "dashboards":
        kind = ContentKind.DASHBOARD
    else:
        kind = ContentKind.SQL_CHART if "sql" in section.values else ContentKind.CHART
    known = frozenset(BODY_OF[kind].model_fields) | _IGNORED
    section.refuse_unknown(known)
    slug = section.text("slug") or slug_of(path.stem)
    values: dict[str, JsonValue] = {
        name: value for name, value in section.values.items() if name not in _IGNORED and value is not None
    }
    if kind is ContentKind.CHART:
        values = _with_explore(section, values)
    elif kind is ContentKind.DASHBOARD:
        values = _with_tile_uuids(section, values, file_content_uuid(project_uuid, kind, slug))
    values = {"name": path.stem} | values | {"slug": slug}
    try:
        body = checked_body(kind, values)
    except RequestError as error:
        raise _placed(section, error) from None
    return _Read(content=FileContent(kind=kind, slug=slug, name=str(body["name"]), body=body), section=section)


def _with_explore(section: Section, values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    query = section.mapping("metricQuery")
    if not query:
        raise section.error(None, "lacks `metricQuery`: write the explore's fields, filters and sorts under it")
    if "exploreName" not in query and section.text("tableName") is None:
        raise section.error(None, "lacks `tableName`: name the explore")
    return {**values, "metricQuery": query}


def _with_tile_uuids(section: Section, values: Mapping[str, JsonValue], dashboard_uuid: str) -> dict[str, JsonValue]:
    """Return a dashboard whose tiles have the same uuids at every load, in targets of its filters, too."""
    tiles = values.get("tiles") or []
    if not isinstance(tiles, list):
        raise section.error("tiles", "must be a list of tiles")
    named: dict[str, str] = {}
    made: list[JsonValue] = []
    for place, tile in enumerate(tiles):
        at = Section(document=section.document, values=tile if isinstance(tile, dict) else {}, path=("tiles", place))
        if not isinstance(tile, dict):
            raise at.error(None, "must be a mapping of `key: value` lines")
        for key in tile:
            if key not in _TILE_KEYS:
                raise at.error(key, f"is not a known key; {nearest(key, _TILE_KEYS)}")
        name = at.text("tileSlug") or _default_tile_slug(at, place)
        if name in named:
            raise at.error("tileSlug", f"must be given: another tile is called `{name}`, too")
        named[name] = at.text("uuid") or str(uuid.uuid5(uuid.UUID(dashboard_uuid), name))
        made.append({**tile, "tileSlug": name, "uuid": named[name]})
    found = {**values, "tiles": made}
    if isinstance(values.get("filters"), dict):
        found["filters"] = _targets_by_uuid(section.mapping("filters"), named)
    return found


def _default_tile_slug(tile: Section, place: int) -> str:
    slug = tile.section("properties").values.get("chartSlug")
    return slug if isinstance(slug, str) else f"tile-{place + 1}"


def _targets_by_uuid(filters: Mapping[str, JsonValue], named: Mapping[str, str]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for name, rules in filters.items():
        if isinstance(rules, list):
            found[name] = [_targeted(rule, named) for rule in rules]
        else:
            found[name] = rules
    return found


def _targeted(rule: JsonValue, named: Mapping[str, str]) -> JsonValue:
    targets = rule.get("tileTargets") if isinstance(rule, dict) else None
    if not isinstance(rule, dict) or not isinstance(targets, dict):
        return rule
    return {**rule, "tileTargets": {named.get(name, name): target for name, target in targets.items()}}


def _placed(section: Section, error: RequestError) -> ConfigurationError:
    """Return an error about a body as one about the line of the file that it is on."""
    path = next(iter(error.details), "")
    fault = error.details.get(path)
    steps = tuple(
        int(step) if step.isdecimal() else step for step in path.replace("[", ".").replace("]", "").split(".")
    )
    place = section.document.where(steps)
    if isinstance(fault, dict):
        return ConfigurationError(f"{place}: `{path}` {fault.get('message')}", field=path)
    return ConfigurationError(f"{place}: {error.message}")


def _check_tiles(read: _Read, slugs: Collection[str], problems: Problems) -> None:
    """Warn of tiles that show a chart which no file describes: it may have been made otherwise."""
    tiles = read.content.body.get("tiles")
    for place, tile in enumerate(tiles if isinstance(tiles, list) else []):
        properties = tile.get("properties") if isinstance(tile, dict) else None
        slug = properties.get("chartSlug") if isinstance(properties, dict) else None
        if isinstance(slug, str) and slug not in slugs:
            where = read.section.document.where(("tiles", place, "properties", "chartSlug"))
            problems.warning(where, f"no file describes a chart with the slug `{slug}`; {nearest_name(slug, slugs)}")


def _check_fields(read: _Read, catalog: Catalog, problems: Problems) -> None:
    """Warn of a chart that asks for an explore or a field which the models do not have."""
    query = saved_chart(read.content.body).query
    own = {*(each.id for each in query.custom_dimensions), *(each.field_id for each in query.additional_metrics)}
    document = read.section.document
    try:
        explore = catalog.explore(query.explore)
    except RequestError as error:
        problems.warning(document.where(("tableName",)), error.message)
        return
    for member, names in (("dimensions", query.dimensions), ("metrics", query.metrics)):
        for place, name in enumerate(names):
            try:
                _ = None if name in own else explore.field(name)
            except RequestError as error:
                problems.warning(document.where(("metricQuery", member, place)), error.message)
