"""When a running service is the same as the one to be started."""

from pydantic import SecretStr

from actors.fingerprint import code_digest, fingerprint
from queryfleet.settings import Settings

BASE = Settings(database_url=SecretStr("postgresql://u:one@h/d"), pool_size=2)


def test_fingerprint_equal_settings_is_equal():
    """The same code and the same settings are the same generation."""
    assert fingerprint(BASE, code="c") == fingerprint(BASE.model_copy(), code="c")


def test_fingerprint_any_difference_shows():
    """Other code, another setting, and a secret that only differs in its text make another generation."""
    marks = {
        fingerprint(BASE, code="c"),
        fingerprint(BASE, code="d"),
        fingerprint(BASE.model_copy(update={"pool_size": 3}), code="c"),
        fingerprint(BASE.model_copy(update={"database_url": SecretStr("postgresql://u:two@h/d")}), code="c"),
        fingerprint(BASE.model_copy(update={"database_url": None}), code="c"),
    }
    assert len(marks) == 5


def test_fingerprint_shows_no_secret():
    """What is kept and compared does not contain the password."""
    assert "one" not in fingerprint(BASE, code="c")


def test_code_digest_changes_with_a_file(tmp_path, monkeypatch):
    """An edited, an added and a renamed source file are each noticed; other files do not matter."""
    package = tmp_path / "digested_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = [code_digest(("digested_package",))]
    (package / "notes.txt").write_text("x")
    assert code_digest(("digested_package",)) == seen[0]
    for change in (
        lambda: (package / "a.py").write_text("x = 1"),
        lambda: (package / "a.py").write_text("x = 2"),
        lambda: (package / "a.py").rename(package / "b.py"),
        lambda: (package / "queries.sql").write_text("select 1"),
    ):
        change()
        seen.append(code_digest(("digested_package",)))
    assert len(set(seen)) == 5


def test_code_digest_covers_our_packages():
    """Without arguments it reads what is installed here, and gives the same twice."""
    assert code_digest() == code_digest() != code_digest(("queryfleet",))
