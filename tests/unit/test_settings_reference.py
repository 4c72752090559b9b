"""The reference of the settings in the documentation."""

from __future__ import annotations

from pathlib import Path

from queryfleet.settings import PREFIX, Settings
from queryfleet.settings_reference import SECTIONS, settings_markdown

_FILE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_settings_file_is_what_the_settings_say() -> None:
    """The file in the documentation is the output of `python -m queryfleet.settings_reference`."""
    assert _FILE.read_text(encoding="utf-8") == settings_markdown()


def test_settings_markdown_has_one_described_row_per_setting() -> None:
    """Every setting has exactly one row, with its variable and a description."""
    rows = [line for line in settings_markdown().splitlines() if line.startswith("| `")]
    for name, field in Settings.model_fields.items():
        found = [row for row in rows if row.startswith(f"| `{PREFIX}{name.upper()}` |")]
        assert len(found) == 1
        assert field.description
        assert field.description.replace("|", "\\|") in found[0]


def test_settings_markdown_rows_have_as_many_cells_as_their_header() -> None:
    """No description breaks its table."""
    width = 0
    for line in settings_markdown().splitlines():
        cells = line.replace("\\|", "").count("|")
        if line.startswith("| Variable"):
            width = cells
        elif line.startswith("| "):
            assert cells == width


def test_settings_markdown_sections_begin_at_settings_that_exist() -> None:
    """Every section of the reference is there, in the order of the settings."""
    assert set(SECTIONS) <= set(Settings.model_fields)
    headings = [line.removeprefix("## ") for line in settings_markdown().splitlines() if line.startswith("## ")]
    assert headings[: len(SECTIONS)] == list(SECTIONS.values())
