"""Does this process fit the cluster? Ray asks for its very version and the same minor version of Python."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import queryfleet
from queryfleet.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_ray", "check_release", "mismatch"]

_WAY_OUT = (
    "Use an environment with the cluster's versions (`pip install 'ray[client]==…'`), submit a Ray job, or ask over "
    "HTTP with `queryfleet.Client`, which fits any Python from 3.11 on."
)


def check_ray(cluster: Mapping[str, object], *, ray_version: str, python_version: str | None = None) -> None:
    """Compare this process with what a cluster says of itself.

    Args:
        cluster: `ray_version` and `python_version`, as Ray's client has them; what is missing is not compared.
        ray_version: Of this process.
        python_version: Of this process; None: look.

    Raises:
        ConfigurationError: They do not fit; the message names both versions and what to do.
    """
    python_version = python_version or platform.python_version()
    theirs = str(cluster.get("ray_version") or ray_version)
    if theirs != ray_version:
        raise mismatch("Ray", ours=ray_version, theirs=theirs)
    their_python = str(cluster.get("python_version") or python_version)
    if their_python.split(".")[:2] != python_version.split(".")[:2]:
        raise mismatch("Python", ours=python_version, theirs=their_python)


def check_release(theirs: str) -> None:
    """Raise `ConfigurationError` when the service is of another minor release than this package."""
    ours = queryfleet.__version__
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        raise mismatch("queryfleet", ours=ours, theirs=theirs)


def mismatch(what: str, *, ours: str, theirs: str) -> ConfigurationError:
    """Return the error that names two versions which do not fit."""
    return ConfigurationError(
        f"The cluster runs {what} {theirs} and this process {what} {ours}: through Ray they cannot talk. {_WAY_OUT}",
        cluster=theirs,
        process=ours,
    )
