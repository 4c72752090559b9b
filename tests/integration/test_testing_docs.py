"""The page about testing says what works: its code is run, with the fixture that users get."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
_EXAMPLE, _PROGRAM = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)
_TESTS = re.findall(r"^def (test_\w+)\(queryfleet_service\)", _EXAMPLE, re.MULTILINE)


@pytest.mark.parametrize("name", _TESTS)
def test_example_of_the_page_passes(name, queryfleet_service):
    """A user who copies the example has tests that pass."""
    module = {"__name__": "example"}
    exec(compile(_EXAMPLE, "docs/testing.md", "exec"), module)
    module[name](queryfleet_service)


def test_program_of_the_page_runs(capsys):
    """Without pytest the service runs too, and answers at the address it gives."""
    exec(compile(_PROGRAM, "docs/testing.md", "exec"), {"__name__": "program"})
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")
