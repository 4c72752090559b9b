"""A compiled catalog as bytes: what is kept in the database, and read once by each process that compiles queries."""

from __future__ import annotations

import json
import zlib

from queryfleet.errors import ConfigurationError
from queryfleet.semantic.catalog import Catalog

__all__ = ["catalog_from_bytes", "catalog_to_bytes"]

_LEVEL = 6  # of compression: some tenth of the text


def catalog_to_bytes(catalog: Catalog) -> bytes:
    """Return the stored form; the order of tables and fields is kept. Cost: some 30 µs for each field."""
    text = json.dumps(catalog.to_json(), ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8", "surrogatepass"), _LEVEL)


def catalog_from_bytes(data: bytes | None) -> Catalog:
    """Return the catalog that `catalog_to_bytes` stored; an empty one for None. Cost: as there.

    Raises:
        ConfigurationError: It is of another version, or damaged: load the project's folder again.
    """
    if data is None:
        return Catalog()
    try:
        stored = json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))
    except (zlib.error, ValueError):
        raise ConfigurationError("the stored models are damaged: load the project again") from None
    if not isinstance(stored, dict):
        raise ConfigurationError("the stored models are damaged: load the project again")
    return Catalog.from_json(stored)
