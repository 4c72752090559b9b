"""A project is a folder; its `project.yml` says what it is called and where its warehouse is.

    name: Shop
    project_uuid: 5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11
    warehouse:
      type: postgres                 # or duckdb, snowflake
      host: db.example.com
      user: reader
      password: ${SHOP_PASSWORD}     # secrets only so
      database: shop
    start_of_week: 0                 # 0 = Monday … 6 = Sunday
    timezone: Europe/Berlin
    user_attributes: {region: north}

It is read once, checked whole, and kept as a frozen value that holds no secret: `to_json` is what is stored,
and every process that needs the warehouse puts its own environment's values in (`WarehouseConfig.resolved`).
"""

from __future__ import annotations

import uuid
import zoneinfo
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from queryfleet.errors import ConfigurationError, JsonValue
from queryfleet.limits import LIMIT_KEYS, limit_fault
from queryfleet.section import Section, nearest
from queryfleet.warehouse_config import DuckDBConfig, PostgresConfig, SnowflakeConfig, parse_warehouse
from queryfleet.yaml_document import YamlDocument, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.warehouse_config import WarehouseConfig

__all__ = [
    "PROJECT_FILE",
    "DuckDBConfig",
    "PostgresConfig",
    "Project",
    "SnowflakeConfig",
    "load_project",
]

PROJECT_FILE = "project.yml"
DAYS_OF_WEEK = 7
NAME_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What `project.yml` says. Can be pickled, compared, and stored; holds no secret."""

    project_uuid: str  # lower case, with hyphens
    name: str  # for people, 1 to 200 characters
    warehouse: WarehouseConfig  # with references to the environment unresolved
    folder: Path  # absolute; models, charts and dashboards lie in it
    start_of_week: int = 0  # 0 = Monday … 6 = Sunday
    timezone: str = "UTC"  # IANA name
    allow_writes: bool = False  # True: statements may change the warehouse
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)  # definitions by name, as written
    defaults: Mapping[str, JsonValue] = field(default_factory=dict)  # of models, as written
    custom_granularities: Mapping[str, JsonValue] = field(default_factory=dict)  # time intervals by name, as written
    user_attributes: Mapping[str, str | list[str]] = field(default_factory=dict)  # of the local token
    limits: Mapping[str, JsonValue] = field(default_factory=dict)  # as written; see `queryfleet.limits`

    def to_json(self) -> dict[str, JsonValue]:
        """Return the stored form; `from_json` reads it back to an equal project.

        Raises:
            ConfigurationError: The warehouse is in its resolved form, which holds secrets.
        """
        return {
            "project_uuid": self.project_uuid,
            "name": self.name,
            "warehouse": self.warehouse.to_json(),
            "folder": str(self.folder),
            "start_of_week": self.start_of_week,
            "timezone": self.timezone,
            "allow_writes": self.allow_writes,
            "parameters": dict(self.parameters),
            "defaults": dict(self.defaults),
            "custom_granularities": dict(self.custom_granularities),
            "limits": dict(self.limits),
            "user_attributes": {
                name: list(value) if isinstance(value, list) else value for name, value in self.user_attributes.items()
            },
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, JsonValue]) -> Project:
        """Return the project that `to_json` described. Keys that a newer version added are passed over.

        Raises:
            ConfigurationError: Something in it is missing or wrong.
        """
        section = Section.of(YamlDocument(source="the stored project", value=dict(stored)))
        return _parsed(section, Path(section.required_text("folder", "/path")), relative_to=None)


_KEYS = frozenset(each.name for each in fields(Project)) - {"folder"}


def load_project(folder: Path) -> Project:
    """Read the project of a folder.

    Args:
        folder: Holds `project.yml`; relative paths in that file are relative to it.

    Raises:
        ConfigurationError: There is no such file or something in it is wrong. The message has file, line, key
            and what to write instead, and never a value that could be secret.
    """
    folder = folder.absolute()
    path = folder / PROJECT_FILE
    document = parse_yaml(_file_bytes(path), source=str(path))
    section = Section.of(document)
    section.refuse_unknown(_KEYS)
    return _parsed(section, folder, relative_to=folder)


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ConfigurationError(f"there is no folder {path.parent}: name the folder of a project") from None
        other = next((path.with_name(name) for name in ("project.yaml",) if path.with_name(name).exists()), None)
        advice = f"rename {other.name}" if other is not None else "write one, or name the folder that has it"
        raise ConfigurationError(f"there is no {path.name} in {path.parent}: {advice}") from None
    except NotADirectoryError:
        raise ConfigurationError(f"{path.parent} is a file: name the folder of a project") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


def _parsed(section: Section, folder: Path, *, relative_to: Path | None) -> Project:
    project_uuid = _project_uuid(section)
    if section.values.get("warehouse") is None:
        raise section.error(None, "lacks `warehouse`: add a mapping such as `warehouse: {type: duckdb, path: …}`")
    project = Project(
        project_uuid=project_uuid,
        name=_name(section, folder),
        warehouse=parse_warehouse(section.section("warehouse"), folder=relative_to),
        folder=folder,
        start_of_week=section.whole("start_of_week", low=0, high=DAYS_OF_WEEK - 1) or 0,
        timezone=_timezone(section),
        allow_writes=section.flag("allow_writes", default=False),
        parameters=section.mapping("parameters"),
        defaults=section.mapping("defaults"),
        custom_granularities=section.mapping("custom_granularities"),
        user_attributes=_user_attributes(section.section("user_attributes")),
        limits=_limits(section.section("limits")),
    )
    if project.allow_writes and isinstance(project.warehouse, DuckDBConfig) and project.warehouse.read_only:
        raise section.error(
            "allow_writes",
            "cannot be true while the warehouse is read-only: add `read_only: false` to `warehouse`",
        )
    return project


def _project_uuid(section: Section) -> str:
    text = section.required_text("project_uuid", str(uuid.uuid4()))
    try:
        parsed = str(uuid.UUID(text))
    except ValueError:
        parsed = ""
    if parsed != text.lower():  # other spellings, such as one in braces, are understood but not accepted
        raise section.error(
            "project_uuid", f"is not a UUID such as {uuid.uuid4()}: 32 hexadecimal digits with four hyphens"
        )
    return parsed


def _name(section: Section, folder: Path) -> str:
    name = section.text("name") or folder.name or "Project"
    if len(name) > NAME_LENGTH_MAX:
        raise section.error("name", f"must not be longer than {NAME_LENGTH_MAX} characters")
    return name


def _timezone(section: Section) -> str:
    name = section.text("timezone") or "UTC"
    if name == "UTC" or _is_zone(name):  # the first is known without the time zone database
        return name
    known = zoneinfo.available_timezones()
    if not known:
        raise section.error("timezone", "cannot be checked: no time zone database here; install the package tzdata")
    raise section.error("timezone", f"is not an IANA time zone; {_nearest_zone(name, known)}")


def _is_zone(name: str) -> bool:
    if name == "localtime" or name.startswith(("posix", "right/")):  # files of one machine, no zones of IANA's
        return False
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # not there; outside; a folder
        return False
    return True


def _nearest_zone(name: str, known: set[str]) -> str:
    lowered = {zone.lower(): zone for zone in known}
    advice = nearest(name, lowered)
    if not advice.startswith("did you mean"):
        return "write a name such as Europe/Berlin or America/New_York"
    return f"did you mean `{lowered[advice.split('`')[1]]}`?"


def _limits(section: Section) -> dict[str, JsonValue]:
    section.refuse_unknown(LIMIT_KEYS)
    for name, value in section.values.items():
        fault = limit_fault(name, value)
        if fault is not None:
            raise section.error(name, fault)
    return dict(section.values)


def _user_attributes(section: Section) -> dict[str, str | list[str]]:
    attributes: dict[str, str | list[str]] = {}
    for name, value in section.values.items():
        if isinstance(value, str):
            attributes[name] = value
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            attributes[name] = [item for item in value if isinstance(item, str)]
        else:
            raise section.error(name, "must be text or a list of texts: put numbers, dates and true or false in quotes")
    return attributes
