"""The database schema, as numbered forward-only steps, and the one way to bring a database up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from queryfleet.errors import StatusStoreError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["LATEST", "migrate", "schema_version"]

LATEST = "0009"

# Any 64-bit number that nobody else uses: it keeps two processes from migrating one database at once.
_LOCK = 7_221_408_911_442


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _sqlalchemy_url(database_url: str) -> str:
    scheme, _, rest = database_url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise StatusStoreError("The database URL must begin with postgresql://")
    return f"postgresql+psycopg://{rest}"


def migrate(database_url: str) -> str:
    """Bring the schema up to date and return its version. Safe to call from several processes at once.

    Raises:
        StatusStoreError: The database cannot be reached, or a step failed; nothing is left half done.
    """
    from alembic import command
    from alembic.util.exc import CommandError
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(_sqlalchemy_url(database_url), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StatusStoreError(
            f"The database has a schema that this release, which knows up to {LATEST}, does not know; "
            "use the newer release that made it."
        ) from error
    except SQLAlchemyError as error:
        raise StatusStoreError("The database schema could not be brought up to date.", cause=_cause(error)) from error
    return LATEST


def _cause(error: Exception) -> str:
    # The driver's own message; SQLAlchemy's adds the statement and, for connection errors, parts of the URL.
    return str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]


def schema_version(database_url: str) -> str | None:
    """Return the version of the schema in the database, None when it has none yet; raises like `migrate`."""
    import psycopg

    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            row = connection.execute("select to_regclass('alembic_version')").fetchone()
            if row is None or row[0] is None:
                return None
            version = connection.execute("select version_num from alembic_version").fetchone()
            return str(version[0]) if version else None
    except psycopg.Error as error:
        raise StatusStoreError("The database cannot be reached.", cause=str(error).strip()) from error
