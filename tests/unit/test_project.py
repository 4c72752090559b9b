"""Projects: read from a folder, stored as JSON, and refused in words when something is wrong."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queryfleet.errors import ConfigurationError, JsonValue
from queryfleet.project import DuckDBConfig, PostgresConfig, Project, SnowflakeConfig, load_project

UUID = "5f0c2a52-9d0f-4c58-8a2e-0b7a5b6f5c11"
MINIMAL = f"project_uuid: {UUID}\nwarehouse:\n  type: duckdb\n  path: shop.duckdb\n"

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
WORD = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz_é雲 "), min_size=1, max_size=10).filter(str.strip)
REFERENCE = st.from_regex(r"\A\$\{[A-Z_][A-Z0-9_]{0,8}\}\Z")
OPTIONAL_WORD = st.none() | WORD | REFERENCE
PORT = st.none() | st.integers(1, 65535) | REFERENCE
WAREHOUSES = (
    st.builds(
        DuckDBConfig,
        path=WORD.map(lambda word: f"/{word}"),
        read_only=st.just(value=False),
        allow_external_access=st.booleans(),
    )
    | st.builds(
        PostgresConfig,
        host=WORD,
        port=PORT,
        user=WORD,
        password=st.none() | REFERENCE,
        database=WORD,
        schema=OPTIONAL_WORD,
        sslmode=st.none() | st.sampled_from(["require", "disable"]) | REFERENCE,
    )
    | st.builds(
        PostgresConfig,
        url=REFERENCE.map(lambda reference: f"postgresql://u:{reference}@db/x"),
        schema=OPTIONAL_WORD,
    )
    | st.builds(SnowflakeConfig, account=WORD, user=WORD, token=REFERENCE, role=OPTIONAL_WORD, port=PORT)
)
PROJECTS = st.builds(
    Project,
    project_uuid=st.uuids().map(str),
    name=WORD,
    warehouse=WAREHOUSES,
    folder=st.just(Path("/projects/shop")),
    start_of_week=st.integers(0, 6),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"]),
    allow_writes=st.booleans(),
    parameters=st.dictionaries(TEXT, JSON_VALUES, max_size=3),
    defaults=st.dictionaries(TEXT, JSON_VALUES, max_size=3),
    custom_granularities=st.dictionaries(TEXT, JSON_VALUES, max_size=3),
    user_attributes=st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=3), max_size=3),
)


def written(folder: Path, text: str | bytes) -> Path:
    """Write a project file and return its folder."""
    (folder / "project.yml").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


@given(project=PROJECTS)
def test_project_any_survives_storing_and_pickling(project: Project) -> None:
    """A project is equal to what comes back from its JSON text and from a pickle."""
    assert Project.from_json(json.loads(json.dumps(project.to_json(), allow_nan=False))) == project
    assert pickle.loads(pickle.dumps(project)) == project


def test_load_project_minimal_has_the_defaults(tmp_path: Path) -> None:
    """A UUID and a warehouse are enough; everything else has its documented default."""
    assert load_project(written(tmp_path, MINIMAL)) == Project(
        project_uuid=UUID,
        name=tmp_path.name,
        warehouse=DuckDBConfig(path=str(tmp_path / "shop.duckdb")),
        folder=tmp_path,
        start_of_week=0,
        timezone="UTC",
        allow_writes=False,
        parameters={},
        defaults={},
        user_attributes={},
    )


def test_load_project_full_is_understood(tmp_path: Path) -> None:
    """Every key is read, with dates, anchors, lists and references."""
    text = f"""
name: Größe & Söhne
project_uuid: {UUID.upper()}
warehouse:
  {{type: postgres, host: db, port: 5433, user: reader, password: "${{SHOP_PASSWORD}}", database: shop}}
start_of_week: 6
timezone: Europe/Berlin
allow_writes: true
parameters:
  region: &region {{label: Region, options: [north, south], default: north}}
  other: *region
  since: {{default: 2024-01-01}}
defaults: {{case_sensitive: false}}
user_attributes: {{region: north, teams: [a, b]}}
"""
    project = load_project(written(tmp_path, text))
    region: JsonValue = {"label": "Region", "options": ["north", "south"], "default": "north"}
    assert project == Project(
        project_uuid=UUID,
        name="Größe & Söhne",
        warehouse=PostgresConfig(host="db", port=5433, user="reader", password="${SHOP_PASSWORD}", database="shop"),
        folder=tmp_path,
        start_of_week=6,
        timezone="Europe/Berlin",
        allow_writes=True,
        parameters={"region": region, "other": region, "since": {"default": "2024-01-01"}},
        defaults={"case_sensitive": False},
        user_attributes={"region": "north", "teams": ["a", "b"]},
    )


def test_load_project_relative_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project named relative to the current folder means the same to a process elsewhere."""
    written(tmp_path, MINIMAL)
    monkeypatch.chdir(tmp_path.parent)
    project = load_project(Path(tmp_path.name))
    assert project.folder == tmp_path
    assert project.warehouse == DuckDBConfig(path=str(tmp_path / "shop.duckdb"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"project\.yml is empty"),
        ("- a\n- b\n", r"line 1: expected a mapping of `key: value` lines, found a list"),
        ("just text", r"line 1: expected a mapping of `key: value` lines, found text"),
        (b"name: \xe4\n", r"line 1: the text is not UTF-8"),
        (MINIMAL + "name: a\nname: b\n", r"line 6: the key `name` is already on line 5"),
        (MINIMAL + "timezon: UTC\n", r"line 5: `timezon` is not a known key; did you mean `timezone`\?"),
        (MINIMAL + "warehous: {}\n", r"line 5: `warehous` is not a known key; did you mean `warehouse`\?"),
        (MINIMAL + "folder: /x\n", r"line 5: `folder` is not a known key"),
        (
            MINIMAL + "zzz: 1\n",
            r"line 5: `zzz` is not a known key; choose one of: allow_writes, custom_granularities, defaults",
        ),
        (MINIMAL + "  pth: x\n", r"line 5: `warehouse.pth` is not a known key; did you mean `path`\?"),
        (MINIMAL + "name: 5\n", r"line 5: `name` must be text, found a number: put it in quotes"),
        (MINIMAL + "name: ''\n", r"line 5: `name` is empty"),
        (MINIMAL + f"name: {'x' * 201}\n", r"line 5: `name` must not be longer than 200"),
        (MINIMAL + "start_of_week: 7\n", r"line 5: `start_of_week` must be a whole number from 0 to 6"),
        (
            MINIMAL + "start_of_week: Monday\n",
            r"line 5: `start_of_week` must be a whole number .*, found text",
        ),
        (MINIMAL + "start_of_week: true\n", r"line 5: `start_of_week` must be a whole number"),
        (MINIMAL + "timezone: europe/berlin\n", r"line 5: `timezone` .*; did you mean `Europe/Berlin`\?"),
        (MINIMAL + "timezone: ../../etc/passwd\n", r"line 5: `timezone` is not an IANA time zone"),
        (MINIMAL + "timezone: localtime\n", r"line 5: `timezone` is not an IANA time zone"),
        (MINIMAL + "timezone: Europe\n", r"line 5: `timezone` is not an IANA time zone"),
        (MINIMAL + "allow_writes: 1\n", r"line 5: `allow_writes` must be true or false"),
        (
            MINIMAL + "allow_writes: true\n",
            r"line 5: `allow_writes` cannot be true while the warehouse is read-only",
        ),
        (MINIMAL + "parameters: [a]\n", r"line 5: `parameters` must be a mapping .*, found a list"),
        (MINIMAL + "defaults: x\n", r"line 5: `defaults` must be a mapping"),
        (
            MINIMAL + "user_attributes:\n  a: 1\n",
            r"line 6: `user_attributes.a` must be text or a list of texts",
        ),
        (f"project_uuid: {UUID}\n", r"line 1: lacks `warehouse`"),
        (f"project_uuid: {UUID}\nwarehouse:\n", r"line 1: lacks `warehouse`"),
        (
            f"project_uuid: {UUID}\nwarehouse: duckdb\n",
            r"line 2: `warehouse` must be a mapping .*, found text",
        ),
        (
            "warehouse: {type: duckdb, path: x}\n",
            r"line 1: lacks `project_uuid`: add a line such as `project_uuid: ",
        ),
        ("project_uuid: abc\n", r"line 1: `project_uuid` is not a UUID such as"),
        (f"project_uuid: '{{{UUID}}}'\n", r"line 1: `project_uuid` is not a UUID such as"),
        (f"project_uuid: {UUID.replace('-', '')}\n", r"line 1: `project_uuid` is not a UUID such as"),
    ],
)
def test_load_project_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    """Each mistake has a message with file, line, key and what to write instead."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_project(written(tmp_path, text))
    assert caught.value.message.startswith(str(tmp_path / "project.yml"))


def test_load_project_without_a_file_says_what_is_missing(tmp_path: Path) -> None:
    """A folder without the file, a missing folder, a file, and a wrong ending are told apart."""
    with pytest.raises(ConfigurationError, match=r"there is no project\.yml in .*: write one"):
        load_project(tmp_path)
    with pytest.raises(ConfigurationError, match="there is no folder"):
        load_project(tmp_path / "nowhere")
    (tmp_path / "project.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigurationError, match=r"rename project\.yaml"):
        load_project(tmp_path)
    with pytest.raises(ConfigurationError, match=r"is a file: name the folder"):
        load_project(tmp_path / "project.yaml")
    (tmp_path / "project.yml").mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot read .*project\.yml"):
        load_project(tmp_path)


def test_load_project_literal_password_is_refused(tmp_path: Path) -> None:
    """A password in the file is refused and not repeated."""
    lines = [
        f"project_uuid: {UUID}",
        "warehouse:",
        "  type: postgres",
        "  password: hunter2",
        "  host: h",
        "  user: u",
        "  database: d",
    ]
    with pytest.raises(ConfigurationError, match=r"line 4: `warehouse\.password` must not stand in the file") as caught:
        load_project(written(tmp_path, "\n".join(lines)))
    assert "hunter2" not in caught.value.message


def test_project_from_json_passes_over_what_a_newer_version_added(tmp_path: Path) -> None:
    """While versions overlap, the older one reads what the newer one stored."""
    project = load_project(written(tmp_path, MINIMAL))
    assert Project.from_json({**project.to_json(), "added_later": [1]}) == project


def test_project_from_json_broken_is_refused() -> None:
    """Stored JSON that lacks something is named as such."""
    with pytest.raises(ConfigurationError, match="the stored project: lacks `folder`"):
        Project.from_json({})


def test_project_import_is_light() -> None:
    """Reading projects needs no cluster, database or warehouse package."""
    check = (
        "import sys, queryfleet.project; "
        "print(sorted({'ray', 'psycopg', 'duckdb', 'pyarrow', 'polars', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
