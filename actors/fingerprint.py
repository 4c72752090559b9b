"""What tells one generation of the service from the next: its code and its settings."""

from __future__ import annotations

from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queryfleet.settings import Settings

__all__ = ["code_digest", "fingerprint"]

_PACKAGES = ("queryfleet", "actors", "serve_app", "cluster")
_SUFFIXES = (".py", ".sql")


def code_digest(packages: tuple[str, ...] = _PACKAGES) -> str:
    """Return a digest of the source files of our packages as they are installed here.

    Cost: reads all of them, about 10 ms.
    """
    digest = sha256()
    for package in packages:
        folder = Path(str(import_module(package).__file__)).parent
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES):
            digest.update(f"{package}/{path.relative_to(folder)}\n".encode())
            digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def fingerprint(settings: Settings, *, code: str) -> str:
    """Return a text that is the same if and only if `code` and every setting are.

    Secrets are part of it, so that a changed password makes a new generation; they cannot be read back, but do not
    log it all the same: short ones could be guessed.

    Args:
        settings: Of the service.
        code: From `code_digest`.
    """
    digest = sha256(code.encode())
    for name, value in sorted(settings.model_dump().items()):
        plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
        digest.update(f"{name}={plain!r}\n".encode())
    return digest.hexdigest()
