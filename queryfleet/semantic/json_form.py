"""Frozen dataclasses as JSON and back, derived from their annotations.

What equals its default is left out, so that the stored form of a catalog is small and a field that a newer
version adds reads as its default from what an older one stored; keys that are not known are passed over. A
value that may be of several dataclasses carries its class's name under `is`.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from queryfleet.errors import JsonValue

__all__ = ["from_json", "to_json"]

_T = TypeVar("_T")
_KIND = "is"


def to_json(value: object) -> JsonValue:
    """Return the JSON form of a value made of dataclasses, enums, mappings, tuples and plain values."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    written: dict[str, JsonValue] = {}
    kind: typing.Any = type(value)
    for name, default, is_tagged in _written_fields(kind):
        item = getattr(value, name)
        if item != default or type(item) is not type(default):
            written[name] = _tagged(item) if is_tagged else to_json(item)
    return written


def _tagged(value: object) -> JsonValue:
    """Return the form of a value, or of each in a tuple, that may be of several classes."""
    if isinstance(value, tuple):
        return [_tagged(item) for item in value]
    form = to_json(value)
    return {_KIND: type(value).__name__, **form} if isinstance(form, dict) else form


def from_json(cls: type[_T], stored: JsonValue) -> _T:
    """Return the value that `to_json` described.

    Args:
        cls: Its class, a frozen dataclass.
        stored: Its form.

    Raises:
        ValueError, TypeError, KeyError: Something in it is missing or of the wrong kind.
    """
    hint: typing.Any = cls
    value = _reader(hint)(stored)
    if not isinstance(value, cls):
        raise TypeError(cls.__name__)
    return value


_MISSING = object()


@functools.cache
def _written_fields(cls: type) -> tuple[tuple[str, object, bool], ...]:
    """Return name, default and whether it needs tags, of every field that is stored."""
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__name__} has no JSON form")
    hints = typing.get_type_hints(cls)
    found = []
    for each in dataclasses.fields(cls):
        if each.init:
            default: object = each.default if each.default is not dataclasses.MISSING else _MISSING
            if each.default_factory is not dataclasses.MISSING:
                default = each.default_factory()
            found.append((each.name, default, len(_classes_in(hints[each.name])) > 1))
    return tuple(found)


def _classes_in(hint: object) -> set[type]:
    """Return the dataclasses that a value of the hint, or an item of its tuple, may be."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple or _is_union(hint):
        return set().union(*(_classes_in(argument) for argument in arguments))
    return {hint} if isinstance(hint, type) and dataclasses.is_dataclass(hint) else set()


def _is_union(hint: object) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


_Reader = Callable[["JsonValue"], object]


@functools.cache
def _reader(hint: typing.Any) -> _Reader:  # noqa: PLR0911  # a table of cases
    """Return what makes a value of the hint from its form."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        return _union_reader(arguments)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda form: tuple(item(each) for each in _checked(form, list))
    if origin is Mapping:
        entry = _reader(arguments[1])
        return lambda form: {key: entry(each) for key, each in _checked(form, dict).items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _class_reader(hint)
    if hint is float:
        return lambda form: float(_checked(form, (int, float)))
    if isinstance(hint, type):
        return lambda form: _checked(form, hint)
    raise TypeError(f"{hint} has no JSON form")


def _class_reader(cls: type) -> _Reader:
    # Looked up when first used: classes may hold one another.
    @functools.cache
    def readers() -> dict[str, _Reader]:
        hints = typing.get_type_hints(cls)
        return {each.name: _reader(hints[each.name]) for each in dataclasses.fields(cls) if each.init}

    def read(form: JsonValue) -> object:
        known = readers()
        return cls(**{name: known[name](item) for name, item in _checked(form, dict).items() if name in known})

    return read


def _union_reader(arguments: tuple[object, ...]) -> _Reader:
    classes = {each.__name__: _reader(each) for each in arguments if isinstance(each, type) and _classes_in(each)}
    others = [each for each in arguments if each is not types.NoneType and not _classes_in(each)]
    plain = tuple(each for each in others if each in (str, int, float, bool))
    single = [_reader(each) for each in others if each not in plain]
    only = next(iter(classes.values())) if len(classes) == 1 else None

    def read(form: JsonValue) -> object:
        if form is None:
            return None
        if isinstance(form, dict) and len(classes) > 1:
            return classes[str(form[_KIND])](form)
        if isinstance(form, dict) and only is not None:
            return only(form)
        return single[0](form) if single else _checked(form, plain)

    return read


def _checked(form: JsonValue, kind: object) -> typing.Any:
    if not isinstance(form, kind):  # type: ignore[arg-type]
        raise TypeError(f"expected {kind}, found {type(form).__name__}")
    return form
