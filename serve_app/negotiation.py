"""What a client takes: kinds of content and codings, from its headers. Pure."""

from __future__ import annotations

from queryfleet.errors import ParameterError
from queryfleet.export.options import ContentCoding, ExportFormat

__all__ = ["accepted_coding", "accepted_format", "is_match"]

# In the order of preference among what a client likes equally well.
_FORMATS = {
    "application/x-ndjson": ExportFormat.JSONL,
    "application/jsonl": ExportFormat.JSONL,
    "application/json": ExportFormat.JSONL,
    "text/csv": ExportFormat.CSV,
    "application/vnd.apache.arrow.stream": ExportFormat.ARROW_STREAM,
}
_CODINGS = (ContentCoding.ZSTD, ContentCoding.GZIP)


def accepted_format(header: str | None) -> ExportFormat:
    """Return the format of a stream that an `Accept` header likes best; lines of JSON without one.

    Raises:
        ParameterError: It likes none.
    """
    wanted = _qualities(header or "*/*")
    best: tuple[float, ExportFormat] | None = None
    for media_type, format_ in _FORMATS.items():
        main = media_type.partition("/")[0]
        quality = next((wanted[name] for name in (media_type, f"{main}/*", "*/*") if name in wanted), 0.0)
        if quality > (best[0] if best is not None else 0.0):
            best = quality, format_
    if best is None:
        raise ParameterError(
            "Results are sent as application/x-ndjson, text/csv or application/vnd.apache.arrow.stream; "
            "name one of them in the Accept header.",
            field="Accept",
        )
    return best[1]


def accepted_coding(header: str | None) -> ContentCoding:
    """Return how to compress for an `Accept-Encoding` header; not at all without one."""
    wanted = _qualities(header or "")
    known = {coding: wanted.get(coding.value, wanted.get("*", 0.0)) for coding in _CODINGS}
    best = max(known, key=known.__getitem__)
    return best if known[best] > 0 and known[best] >= wanted.get("identity", 0.0) else ContentCoding.IDENTITY


def is_match(header: str | None, tag: str) -> bool:
    """Whether an `If-None-Match` or `If-Range` header names this entity tag."""
    return header is not None and tag in (part.strip().removeprefix("W/") for part in header.split(","))


def _qualities(header: str) -> dict[str, float]:
    found = {}
    for entry in header.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if name:
            found[name] = quality
    return found
