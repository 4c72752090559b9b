"""The sample shop: the same rows everywhere, and a project folder that is never spoilt."""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb
import pytest

from cluster.local.sample import PROJECT_UUID, create_shop, main, write_shop_project
from queryfleet.project import load_project
from queryfleet.semantic.catalog import load_catalog
from queryfleet.semantic.explore import Metric, MetricType

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]

# Status, orders, sum of amounts: of the first 20,000-order shop ever made.
PINNED = [
    ("cancelled", 1241, "170887.70"),
    ("completed", 12410, "1762560.35"),
    ("placed", 1375, "193614.16"),
    ("returned", 1248, "177650.47"),
    ("shipped", 3726, "540156.14"),
]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Ask the file one question."""
    with contextlib.closing(duckdb.connect(str(path), read_only=True)) as connection:
        found: list[tuple[object, ...]] = connection.execute(query).fetchall()
    return found


def checksums(path: Path) -> list[list[tuple[object, ...]]]:
    """Count and checksum of every table; a row changed, lost or moved to another id changes them."""
    return [
        rows(path, f"select count(*), bit_xor(hash({table})), sum(hash({table}) % 1000003) from {table}")
        for table in ("customers", "products", "orders")
    ]


@pytest.fixture(scope="module")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of 20,000 orders, to be read only."""
    path = tmp_path_factory.mktemp("shop") / "small.duckdb"
    create_shop(path, orders=20_000)
    return path


def test_create_shop_any_number_of_threads_makes_the_same_rows(tmp_path: Path) -> None:
    """Two creations of the full size, by one thread and by two, hold the same two million orders."""
    one, two = tmp_path / "one.duckdb", tmp_path / "two.duckdb"
    create_shop(one, threads=1)
    create_shop(two, threads=2)
    assert checksums(one) == checksums(two)
    assert rows(one, "select count(*), min(order_id), max(order_id), count(distinct order_id) from orders") == [
        (2_000_000, 1, 2_000_000, 2_000_000)
    ]


def test_create_shop_rows_are_those_of_every_version(small_shop: Path) -> None:
    """The values are pinned: an engine that computes other rows is noticed."""
    by_status = rows(small_shop, "select status, count(*), sum(amount)::varchar from orders group by 1 order by 1")
    assert by_status == PINNED


def test_create_shop_orders_have_the_promised_columns(small_shop: Path) -> None:
    """Names and types of `orders` are as documented."""
    assert rows(small_shop, "select column_name, column_type from (describe orders)") == [
        ("order_id", "BIGINT"),
        ("customer_id", "BIGINT"),
        ("product_id", "BIGINT"),
        ("status", "VARCHAR"),
        ("quantity", "INTEGER"),
        ("unit_price", "DECIMAL(10,2)"),
        ("amount", "DECIMAL(12,2)"),
        ("discount", "DECIMAL(3,2)"),
        ("ordered_at", "TIMESTAMP"),
        ("shipped_on", "DATE"),
        ("is_gift", "BOOLEAN"),
        ("note", "VARCHAR"),
    ]


def test_create_shop_values_hang_together(small_shop: Path) -> None:
    """Every order has a customer and a product, its amount follows from its parts, and time runs forward."""
    wrong = rows(
        small_shop,
        """
        select count(*) from orders
        left join customers using (customer_id)
        left join products using (product_id)
        where customers.customer_id is null or products.product_id is null
           or amount <> round(quantity * unit_price * (1 - coalesce(discount, 0)), 2)
           or unit_price > list_price or unit_price <= 0
           or shipped_on < ordered_at::date
           or ordered_at not between timestamp '2022-01-01' and timestamp '2024-12-31 23:59:59'
           or signed_up_on > ordered_at::date
           or (shipped_on is not null) <> (status in ('shipped', 'completed', 'returned'))
        """,
    )
    assert wrong == [(0,)]
    earlier = "from orders qualify ordered_at < lag(ordered_at) over (order by order_id)"
    assert rows(small_shop, earlier) == []


def test_create_shop_has_the_awkward_values(small_shop: Path) -> None:
    """There are NULLs, empty text, quotes, line breaks, emoji and several scripts to try things on."""
    row = rows(
        small_shop,
        """
        select count(*) filter (discount is null) > 0, count(*) filter (discount is not null) > 0,
               count(*) filter (shipped_on is null) > 0, count(*) filter (note is null) > 0,
               count(*) filter (note = '') > 0, count(*) filter (contains(note, chr(10))) > 0,
               count(*) filter (contains(note, '"')) > 0, count(*) filter (contains(note, '🎂')) > 0,
               count(*) filter (contains(note, '急')) > 0, count(*) filter (is_gift) > 0
        from orders
        """,
    )
    assert row == [(True,) * 10]


def test_create_shop_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The new shop takes the place of an older one; no temporary file stays."""
    path = tmp_path / "shop.duckdb"
    create_shop(path, orders=100)
    create_shop(path, orders=50)
    assert rows(path, "select count(*) from orders") == [(50,)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["shop.duckdb"]


def test_create_shop_without_orders_is_refused(tmp_path: Path) -> None:
    """A shop needs an order."""
    with pytest.raises(ValueError, match="at least 1 order"):
        create_shop(tmp_path / "shop.duckdb", orders=0)
    assert list(tmp_path.iterdir()) == []


def test_write_shop_project_is_a_project(tmp_path: Path) -> None:
    """The folder it makes loads as a project whose warehouse is the generated file."""
    folder = tmp_path / "some" / "shop"
    folder.mkdir(parents=True)
    create_shop(folder / "shop.duckdb", orders=10)
    assert write_shop_project(folder) == folder
    project = load_project(folder)
    assert project.project_uuid == PROJECT_UUID
    assert project.name == "Shop"
    assert project.warehouse.resolved({}) == project.warehouse
    assert project.warehouse.to_json()["path"] == str(folder / "shop.duckdb")


def test_write_shop_project_again_changes_nothing(tmp_path: Path) -> None:
    """A second start reuses the data and keeps a project.yml that was edited."""
    create_shop(tmp_path / "shop.duckdb", orders=10)
    write_shop_project(tmp_path)
    edited = (tmp_path / "project.yml").read_text().replace("name: Shop", "name: Mine")
    (tmp_path / "project.yml").write_text(edited)
    before = (tmp_path / "shop.duckdb").stat()
    write_shop_project(tmp_path)
    assert (tmp_path / "project.yml").read_text() == edited
    assert (tmp_path / "shop.duckdb").stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["models", "project.yml", "shop.duckdb"]


def test_main_writes_the_project_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command makes the folder's project and says how to start it; otherwise it explains itself."""
    create_shop(tmp_path / "shop.duckdb", orders=10)
    assert main([str(tmp_path)]) == 0
    assert f"queryfleet up --project {tmp_path}" in capsys.readouterr().out
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_examples_shop_is_what_the_command_writes(tmp_path: Path) -> None:
    """The project in the repository and the one made for a newcomer do not drift apart."""
    create_shop(tmp_path / "shop.duckdb", orders=10)
    write_shop_project(tmp_path)
    assert (ROOT / "examples/shop/project.yml").read_text() == (tmp_path / "project.yml").read_text()
    written = {path.name: path.read_text() for path in (tmp_path / "models").iterdir()}
    assert {path.name: path.read_text() for path in (ROOT / "examples/shop/models").iterdir()} == written
    assert sorted(written) == ["customers.yml", "orders.yml", "products.yml"]


def test_write_shop_project_models_load_without_a_problem(tmp_path: Path) -> None:
    """The shop's models compile, cover every type of metric, and name only columns that the tables have."""
    create_shop(tmp_path / "shop.duckdb", orders=10)
    catalog = load_catalog(write_shop_project(tmp_path))
    assert catalog.problems == ()
    assert list(catalog.explores) == ["customers", "orders", "products"]
    orders = catalog.explore("orders")
    assert {each.type for each in orders.fields.values() if isinstance(each, Metric)} == set(MetricType)
    for table in orders.tables.values():
        real = {
            str(name) for (name,) in rows(tmp_path / "shop.duckdb", f"select column_name from (describe {table.name})")
        }
        plain = {name for name, each in table.dimensions.items() if each.sql == f"${{TABLE}}.{name}"}
        assert plain == real


def test_write_shop_project_keeps_models_that_were_changed(tmp_path: Path) -> None:
    """A model that was edited or removed stays so."""
    create_shop(tmp_path / "shop.duckdb", orders=10)
    write_shop_project(tmp_path)
    (tmp_path / "models/products.yml").unlink()
    (tmp_path / "models/orders.yml").write_text("type: model\n")
    write_shop_project(tmp_path)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["customers.yml", "orders.yml"]
    assert (tmp_path / "models/orders.yml").read_text() == "type: model\n"
