"""A shop to ask questions about: generated, never downloaded, and the same everywhere.

Every value is computed from the number of its row by an integer hash written out here, not by the engine's
own, so the same rows come out of every DuckDB version and however many threads made them. Three tables, in
`shop.sql` beside this file, and models over them in `shop`: customers, products, and orders from 2022-01-01 to
2024-12-31, growing and ascending in time. They hold what real tables hold: NULLs, decimals, dates and
timestamps, booleans, and text from many languages.

    python -m cluster.local.sample examples/shop
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from importlib import resources
from pathlib import Path

__all__ = ["PROJECT_UUID", "create_shop", "write_shop_project"]

PROJECT_UUID = "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11"

PROJECT_TEXT = f"""\
# A sample shop on DuckDB. Start it with: queryfleet up --project examples/shop
# The database is generated next to this file when it is missing: python -m cluster.local.sample examples/shop
name: Shop
project_uuid: {PROJECT_UUID}
warehouse:
  type: duckdb
  path: shop.duckdb  # relative to this file
  read_only: true
start_of_week: 0  # Monday
timezone: UTC
user_attributes: {{}}  # of the token that `queryfleet up` prints
"""


def create_shop(path: Path, *, orders: int = 2_000_000, threads: int | None = None) -> None:
    """Write the shop into a new DuckDB file, replacing what is there; readers never see half of it.

    Args:
        path: The file; its folder must exist.
        orders: Rows of `orders`, at least 1. There is one customer for each 50 orders, and always 500
            products.
        threads: Threads to use; None: DuckDB's own choice. The rows do not depend on it.

    Raises:
        ValueError: `orders` is less than 1.
        OSError: The folder cannot be written.

    Cost: 1 to 2 s and a file of 29 MB for two million orders on two cores.
    """
    import duckdb

    if orders < 1:
        message = f"a shop needs at least 1 order, not {orders}"
        raise ValueError(message)
    statements = resources.files("cluster.local").joinpath("shop.sql").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        made = Path(folder) / "shop.duckdb"
        with contextlib.closing(duckdb.connect(str(made))) as connection:
            if threads is not None:
                connection.execute(f"set threads = {int(threads)}")
            connection.execute(f"set variable order_count = {int(orders)}")
            connection.execute(statements)
        made.replace(path)


def write_shop_project(folder: Path) -> Path:
    """Make a project of the shop: `project.yml`, `models/` and `shop.duckdb`. What exists already is left as it is.

    Args:
        folder: Made when missing.

    Returns:
        The folder, absolute: what a project is loaded from.

    Raises:
        OSError: The folder cannot be written.

    Cost: that of `create_shop` the first time, nothing later.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "shop.duckdb"
    if not database.exists():
        create_shop(database)
    project = folder / "project.yml"
    if not project.exists():
        written = folder / f".project.yml.{os.getpid()}"
        written.write_text(PROJECT_TEXT, encoding="utf-8")
        written.replace(project)
    _write_models(folder)
    return folder


def _write_models(folder: Path) -> None:
    """Copy the shop's models, unless the folder has a `models` already: files may have been removed on purpose."""
    models = folder / "models"
    if models.exists():
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=".models.") as made:
        whole = Path(made) / "models"
        whole.mkdir()
        for each in resources.files("cluster.local").joinpath("shop").iterdir():
            (whole / each.name).write_text(each.read_text(encoding="utf-8"), encoding="utf-8")
        try:
            whole.rename(models)
        except OSError:
            if not models.exists():  # else somebody was first, and theirs is the same
                raise


def main(arguments: list[str]) -> int:
    """Write the shop's project into the folder named on the command line; returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m cluster.local.sample FOLDER\n")
        return 2
    folder = write_shop_project(Path(arguments[0]))
    sys.stdout.write(f"{folder} is a project now: queryfleet up --project {arguments[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
