"""How large stored chunks are, from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.results.chunking import ChunkLimits

if TYPE_CHECKING:
    from queryfleet.settings import Settings

__all__ = ["chunk_limits_of"]


def chunk_limits_of(settings: Settings) -> ChunkLimits:
    """Return the limits of chunks."""
    return ChunkLimits(
        chunk_bytes=settings.chunk_bytes,
        chunk_bytes_first=settings.chunk_bytes_first,
        chunk_age_seconds=settings.chunk_age_seconds,
        chunk_age_seconds_max=settings.chunk_age_seconds_max,
        block_rows=settings.block_rows,
    )
