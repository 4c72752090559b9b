"""Display texts of whole columns: the face of formatting that pages are served with.

Each function decides once per column how its values are laid out, and leaves the rows to numpy and Arrow
kernels, which let other threads run. Rows that no kernel covers (a double beyond 15 digits, a year 9999,
NaN) and the rarer rules are done by the reference, once per distinct value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.columns import LogicalType, logical_type
from queryfleet.errors import InternalError
from queryfleet.formatting.instant import zone_of
from queryfleet.formatting.rule import FormatRule, Kind, RawForm, rule_of
from queryfleet.formatting.value import NULL_TEXT

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import pyarrow as pa

    from queryfleet.formatting._source import Source

__all__ = ["format_column", "is_formattable", "raw_column"]

_PLAIN = rule_of(None)
_NUMBER = FormatRule(kind=Kind.NUMBER)


def is_formattable(kind: pa.DataType) -> bool:
    """Tell whether `format_column` takes columns of an Arrow type as they are.

    It does not take lists, structs, maps, durations, intervals and extension types: give their JSON texts
    as a string column.
    """
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return is_formattable(kind.value_type)
    values = (t.is_integer, t.is_floating, t.is_decimal, t.is_boolean, t.is_null)
    moments = (t.is_date, t.is_timestamp, t.is_time)
    texts = (t.is_string, t.is_large_string, t.is_string_view)
    binaries = (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view)
    return any(is_kind(kind) for is_kind in (*values, *moments, *texts, *binaries))


def format_column(  # noqa: PLR0911  # a table of cases
    array: pa.Array, field: pa.Field, rule: FormatRule | None, *, timezone: str | None = None
) -> pa.StringArray:
    """Return the display text of every value of a column.

    It is what `format_value` returns for the value as it stands in a stored line, with one exception:
    without a rule, numbers that JSON keeps as text (64-bit integers, decimals, `Infinity`) are still
    formatted as numbers.

    Args:
        array: A column of a type that `is_formattable`; of other types, and of JSON documents, the compact
            JSON texts as a string column.
        field: Its field; says whether strings are decimals or JSON.
        rule: How the column's item is displayed; None when the query has no items.
        timezone: IANA name of the zone timestamps are shown in; None is UTC.

    Returns:
        As many strings, in order, none of them null: a missing value is `∅`.

    Raises:
        ParameterError: There is no such timezone.
        InternalError: The array is not formattable.

    Cost: about 0.1 µs per number or moment; some µs per distinct value where the rule or the value is rare.
    """
    from queryfleet.formatting._numbers import formatted_numbers
    from queryfleet.formatting._source import each_text

    zone = zone_of(timezone) if timezone is not None else None
    source, rule = _source(array, field), rule or _PLAIN
    if rule.kind is Kind.PLAIN and source.numeric:
        return formatted_numbers(source, _NUMBER)
    if rule.kind in (Kind.NUMBER, Kind.EXTREME) and source.numeric:
        return formatted_numbers(source, rule)
    if rule.kind is Kind.NUMBER and _is_text(source):
        return formatted_numbers(source, rule)
    if rule.kind in (Kind.PLAIN, Kind.TEXT, Kind.NUMBER) and not (source.document and rule.kind is Kind.NUMBER):
        return _own_texts(source, rule, timezone)
    if _is_moment(source.array.type) and rule.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.EXTREME):
        return _moment_texts(source, rule, timezone, zone)
    if rule.kind is Kind.BOOLEAN and _is_boolean(source.array.type):
        return _choices(source.array, "True", "False")
    return each_text(source, rule, timezone)


def raw_column(
    array: pa.Array, field: pa.Field, rule: FormatRule | None, *, timezone: str | None = None
) -> pa.StringArray | None:
    """Return the raw values of a page where they differ from the stored ones, else None.

    They do for items that are fields of type date or timestamp; see `raw_value`. Nulls stay null. Arguments
    and errors are those of `format_column`.
    """
    from queryfleet.formatting import _moments
    from queryfleet.formatting._source import each_raw, patched

    if rule is None or rule.raw is None:
        return None
    if timezone is not None:
        zone_of(timezone)
    source = _source(array, field)
    if not _is_moment(source.array.type):
        return each_raw(source, rule, timezone)
    moments = _moments.moments_of(source.array)
    if rule.raw is RawForm.DATE and timezone is not None:
        texts = _moments.date_strings(moments, None)
    else:
        texts = _moments.iso_strings(moments, seconds_only=True)
    raw = _where_null(texts, source.array, None)
    return patched(raw, source, moments.outside, lambda some: each_raw(some, rule, timezone))


def _source(array: pa.Array, field: pa.Field) -> Source:
    """Reduce the many Arrow types to few."""
    import pyarrow as pa
    import pyarrow.types as t

    from queryfleet.formatting._source import Source

    if t.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if not is_formattable(kind):
        message = f"Column {field.name!r} of type {kind} cannot be formatted as it is; give its JSON texts."
        raise InternalError(message, column=field.name, type=str(kind))
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind) or t.is_binary_view(kind):
        array = _base64(array)
    elif t.is_large_string(kind) or t.is_string_view(kind) or t.is_time(kind) or t.is_null(kind):
        array = array.cast(pa.string())
    elif t.is_floating(kind) and not t.is_float64(kind):
        # By its own shortest text: a float32 of 0.1 is 0.1, not 0.10000000149.
        array = array.cast(pa.float32()).cast(pa.string()).cast(pa.float64())
    logical = logical_type(field) if t.is_string(array.type) else None
    document = logical is LogicalType.JSON or not is_formattable(field.type)
    return Source(array=array, decimal=logical is LogicalType.DECIMAL, document=document)


def _is_text(source: Source) -> bool:
    import pyarrow.types as t

    return bool(t.is_string(source.array.type)) and not source.document


def _is_moment(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_date(kind) or t.is_timestamp(kind))


def _is_boolean(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_boolean(kind))


def _own_texts(source: Source, rule: FormatRule, timezone: str | None) -> pa.StringArray:
    """Write values without any format."""
    from queryfleet.formatting._numbers import plain_numbers

    kind = source.array.type
    if source.document:
        return _documents(source, rule)
    if source.numeric:
        return plain_numbers(source)
    if _is_moment(kind):
        return _moment_texts(source, rule, timezone, None)
    if _is_boolean(kind):
        return _choices(source.array, "true", "false")
    return _where_null(source.array, source.array, NULL_TEXT)


def _documents(source: Source, rule: FormatRule) -> pa.StringArray:
    """Keep JSON lists and objects as they are written; the few other documents are values to format."""
    import pyarrow.compute as pc

    from queryfleet.formatting._source import each_text, patched

    nested = pc.match_substring_regex(source.array, r"^[\[{]").fill_null(True)
    texts = _where_null(source.array, source.array, NULL_TEXT)
    return patched(texts, source, ~nested.to_numpy(zero_copy_only=False), lambda some: each_text(some, rule, None))


def _moment_texts(source: Source, rule: FormatRule, timezone: str | None, zone: ZoneInfo | None) -> pa.StringArray:
    import pyarrow.types as t

    from queryfleet.formatting import _moments
    from queryfleet.formatting._source import each_text, patched

    is_day = t.is_date(source.array.type)
    moments = _moments.moments_of(source.array)
    extreme = rule.kind is Kind.EXTREME and not is_day
    if rule.kind is Kind.DATE or (extreme and rule.extreme_of_date):
        texts = _moments.date_strings(moments, rule.interval)
    elif rule.kind is Kind.TIMESTAMP or extreme:
        texts = _moments.timestamp_strings(moments, rule.interval, zone if rule.shifted else None)
    elif is_day:
        texts = _moments.date_strings(moments, None)
    else:
        texts = _moments.iso_strings(moments)
    texts = _where_null(texts, source.array, NULL_TEXT)
    return patched(texts, source, moments.outside, lambda some: each_text(some, rule, timezone))


def _where_null(texts: pa.StringArray, array: pa.Array, missing: str | None) -> pa.StringArray:
    """Put one text, or null, where `array` is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if array.null_count == 0:
        return texts
    return pc.if_else(pc.is_null(array), pa.scalar(missing, pa.string()), texts)


def _choices(array: pa.Array, yes: str, no: str) -> pa.StringArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array([no, yes, NULL_TEXT])
    return texts.take(array.cast(pa.int8()).fill_null(2)) if len(array) else pc.if_else(array, yes, no)


def _base64(array: pa.Array) -> pa.StringArray:
    """Write bytes in base64, with padding."""
    import polars as pl
    import pyarrow as pa

    series = pl.Series(pl.from_arrow(array.cast(pa.large_binary())), dtype=pl.Binary)
    return series.bin.encode("base64").to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())
