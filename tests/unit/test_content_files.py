"""Charts and dashboards as files: what they become, and what is said about those that are wrong."""

from __future__ import annotations

import pytest

from queryfleet.content.files import collect_content, read_content
from queryfleet.content.record import ContentKind, slug_of
from queryfleet.content.values import dashboard, saved_chart, sql_chart
from queryfleet.errors import ConfigurationError
from queryfleet.model import ColumnType
from queryfleet.semantic.problem import Problems
from tests.fixtures.statuses import PROJECT

CHART = "name: Revenue\ntableName: orders\nmetricQuery: {metrics: [orders_revenue]}\n"
BOARD = "name: Main\ntiles:\n- {type: saved_chart, properties: {chartSlug: revenue}}\n"


def read(files):
    """Return the content of files, and the texts of what is wrong."""
    problems = Problems()
    found = read_content(files, PROJECT, problems)
    return found, [each.text for each in problems.found]


def test_files_become_content_of_their_kind_and_slug():
    """A file with `sql` is a SQL chart; slugs are written or made of names; other tools' keys are ignored."""
    files = {
        "charts/sub/Revenue 2024.yml": CHART + "contentType: chart\nversion: 1\nspaceSlug: sales\n",
        "charts/ones.yaml": "slug: eins\nsql: select 1 as n\ncolumns: [{reference: n, type: number}]\nlimit: null\n",
        "dashboards/main.yml": BOARD.replace("revenue", "eins"),
        "models/orders.yml": "not read",
    }
    found, problems = read(files)
    assert problems == []
    assert [(each.kind, each.slug, each.name) for each in found] == [
        (ContentKind.SQL_CHART, "eins", "ones"),
        (ContentKind.CHART, "revenue-2024", "Revenue"),
        (ContentKind.DASHBOARD, "main", "Main"),
    ]
    by_slug = {each.slug: each for each in found}
    chart = saved_chart(by_slug["revenue-2024"].body)
    assert (chart.query.explore, chart.query.metrics, chart.type) == ("orders", ("orders_revenue",), "table")
    of_sql = sql_chart(by_slug["eins"].body)
    assert (of_sql.column_types, of_sql.sql) == ({"n": ColumnType.NUMBER}, "select 1 as n")


def test_same_files_have_the_same_digests_and_tile_uuids():
    """A load that changes nothing is seen as such, in every database."""
    files = {"charts/revenue.yml": CHART, "dashboards/main.yml": BOARD}
    (first, _), (second, _) = read(files), read(files)
    assert [each.digest for each in first] == [each.digest for each in second]
    (tile,) = dashboard(first[1].body).tiles.values()
    assert tile.shows(ContentKind.CHART, "any", "revenue")
    assert not tile.shows(ContentKind.SQL_CHART, "any", "revenue")
    changed, _ = read(files | {"charts/revenue.yml": CHART.replace("Revenue", "Income")})
    assert changed[0].digest != first[0].digest


def test_tile_targets_by_slug_become_those_by_uuid():
    """Files need not know uuids; targets of tiles that have one stay."""
    text = BOARD + (
        "filters:\n  dimensions:\n  - target: {fieldId: a}\n    operator: equals\n    values: [1]\n"
        "    tileTargets: {revenue: false, 11111111-1111-4111-8111-111111111111: {fieldId: b}}\n"
    )
    found, problems = read({"charts/revenue.yml": CHART, "dashboards/main.yml": text})
    assert problems == []
    board = dashboard(found[1].body)
    (rule,) = board.filters["dimensions"]
    assert list(rule["tileTargets"]) == [*board.tiles, "11111111-1111-4111-8111-111111111111"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("charts/a.yml", CHART + "metricsQuery: {}\n", "charts/a.yml, line 4: `metricsQuery` is not a known key"),
        ("charts/a.yml", "name: A\ntableName: b\n", "charts/a.yml, line 1: lacks `metricQuery`"),
        ("charts/a.yml", "name: A\nmetricQuery: {metrics: [x]}\n", "charts/a.yml, line 1: lacks `tableName`"),
        (
            "charts/a.yml",
            "tableName: b\nmetricQuery:\n  metrics: [x]\n  sorts:\n  - {descending: true}\n",
            "charts/a.yml, line 5: `metricQuery.sorts.0.fieldId` Field required",
        ),
        ("charts/a.yml", "sql: select 1\nlimit: none\n", "charts/a.yml, line 2: `limit`"),
        ("charts/a.yml", "- 1\n", "charts/a.yml, line 1: expected a mapping"),
        (
            "dashboards/a.yml",
            "tiles:\n- {tpye: heading}\n",
            "line 2: `tiles.0.tpye` is not a known key; did you mean `type`",
        ),
        ("dashboards/a.yml", "tiles: 1\n", "dashboards/a.yml, line 1: `tiles` must be a list"),
        ("dashboards/a.yml", "tiles:\n- {type: saved_chart}\n", "line 2: `tiles.0.properties` must have"),
        (
            "dashboards/a.yml",
            "filters:\n  dimensions:\n  - {target: {fieldId: x}, operator: equal}\n",
            "did you mean `equals`",
        ),
        (
            "dashboards/a.yml",
            "tiles:\n- {type: heading, tileSlug: a}\n- {type: heading, tileSlug: a}\n",
            "line 3: `tiles.1.tileSlug` must be given",
        ),
        ("dashboards/a.yml", "slug: Not This\n", "dashboards/a.yml, line 1: `slug`"),
    ],
)
def test_file_that_is_wrong_is_left_out_with_its_line(name, text, message):
    """The others are read all the same."""
    found, problems = read({name: text, "charts/revenue.yml": CHART})
    assert [each.slug for each in found] == ["revenue"]
    (problem,) = problems
    assert message in problem


def test_second_file_with_a_slug_is_an_error_and_unknown_chart_a_warning():
    """A tile may show a chart that no file describes: it says which name is near."""
    files = {"charts/a.yml": CHART + "slug: x\n", "charts/b.yml": CHART + "slug: x\n", "dashboards/main.yml": BOARD}
    problems = Problems()
    found = read_content(files, PROJECT, problems)
    assert [each.slug for each in found] == ["x", "main"]
    assert [(each.is_error, each.place) for each in problems.found] == [
        (True, "charts/b.yml, line 4"),
        (False, "dashboards/main.yml, line 3"),
    ]


def test_chart_that_asks_for_what_the_models_lack_gets_a_warning(catalog_of):
    """The explore or field is named with the nearest right one, and its line; fields of the chart's own are known."""
    catalog = catalog_of(
        """
        type: model
        name: orders
        sql_from: orders
        dimensions: [{name: status, type: string, sql: "${TABLE}.status"}]
        metrics: {revenue: {type: sum, sql: "${TABLE}.amount"}}
        """
    )
    own = '  additionalMetrics: [{table: orders, name: own, type: sum, sql: "1"}]\n'
    files = {
        "charts/a.yml": f"tableName: orders\nmetricQuery:\n  metrics:\n  - orders_own\n  - orders_revenu\n{own}",
        "charts/b.yml": "tableName: order\nmetricQuery: {metrics: [x]}\n",
        "charts/c.yml": CHART,
    }
    problems = Problems()
    assert len(read_content(files, PROJECT, problems, catalog)) == 3
    first, second = problems.found
    assert (first.place, first.is_error, second.place) == ("charts/a.yml, line 5", False, "charts/b.yml, line 1")
    assert "`orders_revenue`" in first.message
    assert "`orders`" in second.message


def test_collect_content_reads_both_folders_and_refuses_what_is_not_text(tmp_path):
    """Only YAML files count."""
    for name in ("charts/a.yml", "charts/b/c.yaml", "charts/d.txt", "dashboards/e.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(collect_content(tmp_path)) == ["charts/a.yml", "charts/b/c.yaml", "dashboards/e.yml"]
    (tmp_path / "charts/a.yml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        collect_content(tmp_path)


@pytest.mark.parametrize(
    ("name", "slug"), [("Revenue (net) 2024", "revenue-net-2024"), ("Übersicht", "ubersicht"), ("売上", "untitled")]
)
def test_slug_of_a_name_is_plain(name, slug):
    """Lower case, letters, digits and hyphens."""
    assert slug_of(name) == slug
