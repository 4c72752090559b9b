"""Where the service is: from what a person said, the environment, a profile, and what `queryfleet up` left behind.

Each of address, token and project is taken from the first of these that has it:

1. an argument, or a flag of the command line;
2. the profile that an argument or flag names;
3. `QUERYFLEET_URL`, `QUERYFLEET_TOKEN`, `QUERYFLEET_PROJECT`;
4. the profile that `QUERYFLEET_PROFILE` names, or else the one called `default` if there is one;
5. `service.json` in the folder `QUERYFLEET_DATA_DIR`, `.queryfleet` if not set.

A token or project that stands beside an address, in a profile or in `service.json`, is for that address and is not sent
to any other.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from queryfleet.errors import ConfigurationError, JsonValue

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Connection", "config_path", "find_connection"]

_SERVICE_FILE: Final = "service.json"
_DATA_DIR: Final = ".queryfleet"
_DEFAULT_PROFILE: Final = "default"
_PROFILE_KEYS: Final = frozenset({"url", "token", "project"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One service, and perhaps one of its projects."""

    url: str
    token: str = field(repr=False)
    project: str | None = None  # uuid or name; None: the service's only one


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What one source says; None or empty where it says nothing."""

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    project: str | None = None

    def fits(self, address: str) -> bool:
        """Whether the rest of it is meant for this address."""
        return not self.url or self.url.rstrip("/") == address.rstrip("/")


def find_connection(
    *,
    url: str | None = None,
    token: str | None = None,
    project: str | None = None,
    profile: str | None = None,
    data_dir: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Connection:
    """Return where to send queries; reads at most two small files and asks nobody.

    Args:
        url: Address of the service, when a person gave one. An empty text counts as nothing, here and below.
        token: The same.
        project: Uuid or name; the same.
        profile: Name of a profile of the configuration file; None: as the environment says.
        data_dir: Folder of `queryfleet up`; None: as the environment says.
        environ: The environment; None for that of the process.

    Raises:
        ConfigurationError: Something is missing everywhere, there is no such profile, or a file cannot be read.
    """
    environment = os.environ if environ is None else environ
    said = _Place(url=url, token=token, project=project)
    of_environment = _Place(
        url=environment.get("QUERYFLEET_URL"),
        token=environment.get("QUERYFLEET_TOKEN"),
        project=environment.get("QUERYFLEET_PROJECT"),
    )
    if profile:
        places = [said, _profile(profile, environment), of_environment]
    else:
        named = environment.get("QUERYFLEET_PROFILE")
        places = [said, of_environment, _profile(named, environment) if named else _default_profile(environment)]
    places.append(_service_file(data_dir or Path(environment.get("QUERYFLEET_DATA_DIR") or _DATA_DIR)))
    address = next((place.url for place in places if place.url), "")
    if not address:
        raise ConfigurationError(
            "No service is known. Start one with `queryfleet up`, or name one: url= or --url, QUERYFLEET_URL,"
            f" or a profile in {config_path(environment)}."
        )
    fitting = [place for place in places if place.fits(address)]
    secret = next((place.token for place in fitting if place.token), "")
    if not secret:
        raise ConfigurationError(f"No token for {address}. Set QUERYFLEET_TOKEN (or token=, or --token).")
    return Connection(url=address, token=secret, project=next((each.project for each in fitting if each.project), None))


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the configuration file with the profiles is looked for."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".config")
    return Path(home) / "queryfleet" / "config.toml"


def _default_profile(environ: Mapping[str, str]) -> _Place:
    known = _profiles(config_path(environ))
    return _profile(_DEFAULT_PROFILE, environ) if _DEFAULT_PROFILE in known else _Place()


def _profile(name: str, environ: Mapping[str, str]) -> _Place:
    path = config_path(environ)
    known = _profiles(path)
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(f"There is no profile {name!r} in {path}; there is: {listed}.")
    given = known[name]
    place = f"profiles.{name} in {path}"
    if not isinstance(given, dict):
        raise ConfigurationError(f"{place} must be a table with url, token and project.")
    for key, value in given.items():
        if key not in _PROFILE_KEYS:
            raise ConfigurationError(f"{place} has {key!r}; a profile has url, token and project.")
        if not isinstance(value, str):
            raise ConfigurationError(f"{key} of {place} must be a text in quotes.")
    return _Place(**given)


def _profiles(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error
    try:
        profiles = tomllib.loads(text).get("profiles", {})
    except tomllib.TOMLDecodeError as error:
        # The decoder's words may quote a line, and a line may hold a token: only the place is told.
        place = str(error).partition("(")[2].rstrip(")") or "somewhere"
        raise ConfigurationError(f"{path} is not TOML ({place}).") from None
    if not isinstance(profiles, dict):
        raise ConfigurationError(f"profiles in {path} must be a table, with one table for each profile.")
    return profiles


def _service_file(data_dir: Path) -> _Place:
    """Read what `queryfleet up` wrote about the service it started; nothing when it wrote nothing."""
    path = data_dir / _SERVICE_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return _Place()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        data: JsonValue = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path} is not what `queryfleet up` writes. Delete it and start the service again.")
    projects = data.get("project_uuids")
    only = projects[0] if isinstance(projects, list) and len(projects) == 1 else None
    return _Place(url=_text(data, "url"), token=_text(data, "token"), project=str(only) if only is not None else None)


def _text(data: dict[str, JsonValue], member: str) -> str | None:
    value = data.get(member)
    return value if isinstance(value, str) else None
