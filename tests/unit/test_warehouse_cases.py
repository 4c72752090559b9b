"""The table of what is tested of each warehouse says what the suite does."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fixtures.warehouse_cases import CASES, DOCUMENT, SUBJECTS, documented, table

SUITE = Path(__file__).parents[1] / "conformance"
ALWAYS = {"rows", "cancel", "errors"}  # whatever the warehouse


def test_table_of_the_document_is_current() -> None:
    """The document has what `python -m tests.fixtures.warehouse_cases` writes."""
    assert documented(DOCUMENT.read_text()) == table()


def test_cases_are_those_of_the_suite() -> None:
    """Every case is asked by a test, and tests ask no others."""
    asked = {
        case
        for module in ("test_warehouse.py", "test_warehouse_types.py")
        for case in re.findall(r'needs\("([^"]+)"\)', (SUITE / module).read_text())
    }
    assert asked | ALWAYS == set(CASES)


def test_gaps_name_cases_and_say_why() -> None:
    """A gap is one of the cases, never one that all warehouses must have, and has a reason."""
    for subject in SUBJECTS.values():
        assert set(subject.gaps) <= set(CASES) - ALWAYS
        assert all(subject.gaps.values())
