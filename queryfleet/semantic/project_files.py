"""The files of a project as one value: collected from a folder, sent somewhere, and compiled there."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from queryfleet.content.files import CONTENT_FOLDERS, collect_content, is_content_path
from queryfleet.errors import ConfigurationError, ParameterError
from queryfleet.project import PROJECT_FILE, load_project
from queryfleet.semantic.catalog import load_catalog
from queryfleet.semantic.dbt_manifest import CATALOG, MANIFEST
from queryfleet.semantic.model_source import MODELS_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.project import Project
    from queryfleet.semantic.catalog import Catalog

__all__ = ["collect_files", "compile_files"]

_SUFFIXES: Final = (".yml", ".yaml")
_FILES_MAX: Final = 10_000


def collect_files(folder: Path) -> dict[str, str]:
    """Return the text of every file of a project that says something about models or content, by path in the folder.

    Raises:
        ConfigurationError: There is no project in the folder, or a file cannot be read.
    """
    found = [folder / PROJECT_FILE, folder / MANIFEST, folder / CATALOG]
    found += sorted(path for path in (folder / MODELS_FOLDER).rglob("*") if path.suffix in _SUFFIXES)
    files = {}
    for path in found:
        if path.is_file():
            try:
                files[path.relative_to(folder).as_posix()] = path.read_text(encoding="utf-8")
            except OSError as error:
                raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
            except UnicodeDecodeError:
                raise ConfigurationError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    if PROJECT_FILE not in files:
        raise ConfigurationError(f"there is no {PROJECT_FILE} in {folder}: name the folder of a project")
    return files | collect_content(folder)


def compile_files(files: Mapping[str, str]) -> tuple[Project, Catalog]:
    """Read and compile the models of a project from its files.

    Args:
        files: Text by path, as `collect_files` gives it; nothing but those files may be named.

    Returns:
        The project, whose folder does not exist any more, and its catalog with everything that is wrong in it.

    Raises:
        ParameterError: A path is none of a project's.
        ConfigurationError: `project.yml` or dbt's manifest cannot be read.

    Cost: that of `load_catalog`, and a temporary folder with the files.
    """
    if len(files) > _FILES_MAX:
        raise ParameterError(f"A project has at most {_FILES_MAX} files.", field="files")
    for name in files:
        _check_path(name)
    if PROJECT_FILE not in files:
        raise ConfigurationError(f"there is no {PROJECT_FILE} among the files: it says which project they are of")
    with tempfile.TemporaryDirectory(prefix="queryfleet-project-") as made:
        folder = Path(made)
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "replace"))
        try:
            project = load_project(folder)
            return project, load_catalog(project)
        except ConfigurationError as error:
            # The folder is ours and gone: a message names the file alone.
            details = {name: value for name, value in error.details.items() if name == "field"}
            raise ConfigurationError(error.message.replace(f"{folder}/", ""), **details) from None


def _check_path(name: str) -> None:
    path = PurePosixPath(name)
    is_plain = path.as_posix() == name and not path.is_absolute() and not {".", ".."} & set(path.parts)
    is_model = path.parts[:1] == (MODELS_FOLDER,) and path.suffix in _SUFFIXES
    if (
        not is_plain
        or "\x00" in name
        or not (is_model or is_content_path(path) or name in (PROJECT_FILE, MANIFEST, CATALOG))
    ):
        raise ParameterError(
            f"`{name[:200]}` is no file of a project's models: send {PROJECT_FILE}, {MODELS_FOLDER}/**/*.yml, "
            f"{', '.join(f'{folder}/**/*.yml' for folder in CONTENT_FOLDERS)}, {MANIFEST} and {CATALOG}.",
            field="files",
        )
