"""How keys of a warehouse's configuration are read, resolved and stored; the same for every type."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from queryfleet.environment_reference import has_reference, is_only_references, substituted
from queryfleet.errors import ConfigurationError, JsonValue
from queryfleet.postgres_url import URL_SECRET_ADVICE, url_fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import Field

    from queryfleet.section import Section

__all__ = [
    "PORT_MAX",
    "PROTOCOLS",
    "SSL_MODES",
    "STATEMENT_SECONDS_MAX",
    "Config",
    "check_absolute",
    "checked_word",
    "json_form",
    "located",
    "port_number",
    "port_or_reference",
    "secret",
    "statement_timeout",
    "with_values",
    "word_or_reference",
]

PORT_MAX = 65_535
PROTOCOLS = ("http", "https")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
STATEMENT_SECONDS_MAX = 604_800  # a week
_SECRETS = (
    "password",
    "token",
    "access_token",
    "private_key",
    "private_key_passphrase",
    "client_secret",
    "secret_access_key",
    "session_token",
)


class _Stored(Protocol):
    """A frozen configuration: its type's name and its keys as fields."""

    type: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[object]]]


Config = TypeVar("Config", bound=_Stored)


def check_absolute(path: str, key: str) -> None:
    """Raise `ConfigurationError` when a path of the configuration is not absolute once it is resolved."""
    if not Path(path).is_absolute():
        raise ConfigurationError(
            f"`warehouse.{key}` is not absolute: where it begins with a reference to the environment, "
            "the variable must hold an absolute path",
            field=f"warehouse.{key}",
        )


def secret(section: Section, key: str) -> str | None:
    """Return a secret's reference. Anything else, of whatever type, is taken for the secret itself.

    Raises:
        ConfigurationError: It stands in the file; the message does not repeat it.
    """
    value = section.values.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not is_only_references(value):
        raise section.error(key, f"must not stand in the file: {URL_SECRET_ADVICE}")
    return value


def port_or_reference(section: Section) -> int | str | None:
    """Return `port`: a number, a reference to one, or None."""
    value = section.values.get("port")
    if isinstance(value, str) and is_only_references(value):
        return value
    return section.whole("port", low=1, high=PORT_MAX)


def word_or_reference(section: Section, key: str, allowed: tuple[str, ...]) -> str | None:
    """Return one of the allowed words, a text with references, or None."""
    value = section.values.get(key)
    if isinstance(value, str) and has_reference(value):
        return value
    return section.one_of(key, allowed)


def statement_timeout(section: Section) -> int | None:
    """Return `statement_timeout_seconds`, of 1 second to a week, or None."""
    return section.whole("statement_timeout_seconds", low=1, high=STATEMENT_SECONDS_MAX)


def located(path: str, folder: Path | None) -> str:
    """Return the path made absolute, unless it begins with a reference: then the variable has to be."""
    if folder is None or path == ":memory:" or path.startswith("${"):
        return path
    return str(folder / Path(path).expanduser())


def port_number(value: int | str | None) -> int | None:
    """Return a resolved port as a number.

    Raises:
        ConfigurationError: The environment's value is none.
    """
    if value is None or isinstance(value, int):
        return value
    digits = value if value.isascii() and value.isdecimal() and len(value) <= len(str(PORT_MAX)) else "0"
    if not 1 <= int(digits) <= PORT_MAX:
        raise ConfigurationError(
            f"`warehouse.port` must be a whole number from 1 to {PORT_MAX}: correct the environment variable",
            field="warehouse.port",
        )
    return int(digits)


def checked_word(value: str | None, key: str, allowed: tuple[str, ...]) -> None:
    """Check a resolved word of a closed set.

    Raises:
        ConfigurationError: It is none of them.
    """
    if value is not None and value not in allowed:
        raise ConfigurationError(f"`warehouse.{key}` must be one of {', '.join(allowed)}", field=f"warehouse.{key}")


def with_values(config: Config, environ: Mapping[str, str]) -> Config:
    """Return the configuration with references in its texts replaced by the environment's values.

    Raises:
        ConfigurationError: A variable is missing.
    """
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(value, str):
            text = substituted(value, environ, field=f"warehouse.{each.name}")
            config = replace(config, **{each.name: text})
    return config


def json_form(config: _Stored, *, any_dialect: bool = False) -> dict[str, JsonValue]:
    """Return type and given keys.

    Args:
        config: Unresolved.
        any_dialect: Its `url` may be of any database, not only of PostgreSQL.

    Raises:
        ConfigurationError: A secret is not a reference: this is the resolved form, which must not be stored.
    """
    values: dict[str, JsonValue] = {"type": config.type}
    for each in fields(config):
        value = getattr(config, each.name)
        if value is None:
            continue
        literal = each.name in _SECRETS and not is_only_references(str(value))
        if literal or (each.name == "url" and url_fault(str(value), any_dialect=any_dialect) is not None):
            raise ConfigurationError(
                f"a warehouse configuration with the value of `{each.name}` put in must not be stored: "
                f"store the unresolved one",
                field=f"warehouse.{each.name}",
            )
        values[each.name] = value
    return values
