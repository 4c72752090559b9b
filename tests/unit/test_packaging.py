"""What is shipped: four typed packages, a lock that everybody can use, commands that exist."""

from __future__ import annotations

import importlib
import tomllib
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import queryfleet

ROOT = Path(__file__).parents[2]
PACKAGES = ["queryfleet", "actors", "serve_app", "cluster"]
PUBLIC = {"registry": "pypi.org", "url": "files.pythonhosted.org"}


def read(name):
    """Return a TOML file of the repository."""
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project():
    """Everything that pyproject.toml says."""
    return read("pyproject.toml")


def sources(node):
    """Yield every (kind, value) of the lock that says where something comes from."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"registry", "url", "path", "directory", "git", "editable", "virtual"}:
                yield key, value
            else:
                yield from sources(value)
    elif isinstance(node, list):
        for value in node:
            yield from sources(value)


def test_lock_names_only_the_two_public_hosts_and_no_local_path():
    """Whoever installs from the lock gets everything from the canonical index, wherever they are."""
    found = list(sources(read("uv.lock")))
    assert len(found) > 1000
    local = [(kind, value) for kind, value in found if kind not in PUBLIC]
    assert local == [("editable", ".")]
    for kind, value in found:
        if kind in PUBLIC:
            parts = urlsplit(value)
            assert (parts.scheme, parts.netloc) == ("https", PUBLIC[kind]), value
            assert not parts.query
            assert kind == "url" or parts.path == "/simple", value


def test_lock_has_a_hash_for_every_file():
    """Nothing is installed unseen."""
    packages = read("uv.lock")["package"]
    for package in packages:
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]:
            assert file["hash"].startswith("sha256:"), package["name"]


def test_project_names_no_index_of_its_own(project):
    """Neither a private index nor a local source is part of the project."""
    uv = project["tool"].get("uv", {})
    assert set(uv) & {"index", "index-url", "extra-index-url", "find-links", "sources"} == set()


def test_wheel_holds_exactly_the_four_packages(project):
    """The packages are listed by name, so that nothing else slips in, tests least of all."""
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed_and_explained(package):
    """Each package says that it has types, and what it is for."""
    module = importlib.import_module(package)
    assert Path(module.__file__).parent == ROOT / package
    assert (ROOT / package / "py.typed").exists()
    assert module.__doc__


def test_version_is_the_same_everywhere(project):
    """What the package says of itself is what is published."""
    assert project["project"]["version"] == queryfleet.__version__


def test_commands_of_the_project_can_be_imported(project):
    """Every script and every command that is announced is there."""
    announced = [*project["project"]["scripts"].values()]
    announced += project["project"]["entry-points"]["queryfleet.commands"].values()
    for reference in announced:
        module, _, name = reference.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), reference


def test_installed_distribution_announces_the_same_commands(project):
    """The environment under test was made from this project."""
    installed = {point.name: point.value for point in metadata.entry_points(group="queryfleet.commands")}
    assert project["project"]["entry-points"]["queryfleet.commands"] == installed


def test_licence_is_the_one_that_is_named(project):
    """The text of the licence goes with the name of it."""
    assert project["project"]["license"] == "MIT"
    for name in project["project"]["license-files"]:
        assert (ROOT / name).read_text(encoding="utf-8").startswith("MIT License")
