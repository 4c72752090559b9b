"""`queryfleet project check`: what it says, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from queryfleet.cli.app import app

GOOD = "type: model\nname: t\nsql_from: t\ndimensions: [{name: a, type: number, sql: x}]\n"


@pytest.fixture
def check(catalog_of, tmp_path):
    """Write files, then run the command over their folder."""

    def run(files, *options):
        catalog_of(files)
        return CliRunner().invoke(app, ["project", "check", str(tmp_path), *options])

    return run


def test_check_of_a_good_project_ends_with_zero(check):
    """One line of counts, and nothing to do."""
    result = check({"t.yml": GOOD})
    assert (result.exit_code, result.output) == (0, "1 explore, 1 field, 0 errors, 0 warnings\n")


def test_check_of_warnings_lists_them_and_ends_with_zero(check):
    """A warning is shown and does not fail a build."""
    result = check({"t.yml": GOOD + "ai_hint: x\n"})
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "models/t.yml, line 5: warning: `ai_hint` has no effect here",
        "1 explore, 1 field, 0 errors, 1 warning",
    ]


def test_check_of_errors_shows_file_line_and_right_name_and_ends_with_one(check):
    """Every error of every file is shown at once."""
    result = check({"t.yml": GOOD + "sql_filer: x\n", "u.yml": GOOD.replace("sql: x", "sqll: x").replace("t\n", "u\n")})
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith(
        "models/t.yml, line 5: error: `sql_filer` is not a known key; did you mean `sql_filter`?"
    )
    assert lines[1].startswith("models/u.yml, line 4: error: ")
    assert "did you mean `sql`?" in lines[1]
    assert lines[-1] == "1 explore, 1 field, 2 errors, 0 warnings"


def test_check_as_json_is_for_machines(check):
    """File, line and severity are values of their own."""
    result = check({"t.yml": GOOD + "sql_filer: x\n"}, "--json")
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert report["explores"] == []
    assert report["broken"] == [{"name": "t", "reason": report["problems"][0]["message"]}]
    (problem,) = report["problems"]
    assert (problem["severity"], problem["file"], problem["line"]) == ("error", "models/t.yml", 5)
    assert "did you mean `sql_filter`" in problem["message"]


def test_check_of_a_folder_that_is_no_project_ends_with_one(tmp_path):
    """The project's own file is checked like the others."""
    result = CliRunner().invoke(app, ["project", "check", str(tmp_path)])
    assert result.exit_code == 1
    assert "error: there is no project.yml" in result.output


def test_check_shows_control_characters_spelled_out(check):
    """What a model file holds cannot steer the terminal."""
    result = check({"t.yml": GOOD + '"\\e[2Jsql_filter": x\n'})
    assert result.exit_code == 1
    assert "\x1b" not in result.output


WITHOUT_YAML = """\
import sys
sys.modules["yaml"] = None  # as if it were not installed
sys.argv = ["queryfleet", "project", "check", sys.argv[1]]
from queryfleet.cli import main
main()
"""


def test_check_without_the_yaml_package_says_what_to_install(catalog_of, tmp_path):
    """The client's installation reads no YAML; the message names the extra and the exit code is that of a setting."""
    catalog_of({"t.yml": GOOD})
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_YAML, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "pip install 'queryfleet[server]'" in done.stderr
    assert "Traceback" not in done.stderr


LOADED = """\
import sys
sys.argv = ["queryfleet", "project", "check", sys.argv[1]]
from queryfleet.cli import main
try:
    main()
except SystemExit:
    pass
print(sorted({"pyarrow", "polars", "ray", "httpx2", "duckdb", "sqlalchemy"} & set(sys.modules)))
"""


def test_check_imports_only_what_it_needs(catalog_of, tmp_path):
    """No driver, no client and no Arrow is loaded to read some YAML."""
    catalog_of({"t.yml": GOOD})
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
