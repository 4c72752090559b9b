"""Values as people read them: `$1,234.50`, `25.6%`, `2024-05`.

An item (a field, a table calculation) is read once into a `FormatRule`; `format_column` then makes the
texts of a page, a column at a time, and `format_value` is the plain reference it must agree with.
`raw_column` and `raw_value` make the other half of a cell, which differs from the stored value for date and
timestamp fields only.
"""

from queryfleet.formatting.column import format_column, is_formattable, raw_column
from queryfleet.formatting.rule import FormatRule, rule_of
from queryfleet.formatting.value import format_value, raw_value, value_text

__all__ = [
    "FormatRule",
    "format_column",
    "format_value",
    "is_formattable",
    "raw_column",
    "raw_value",
    "rule_of",
    "value_text",
]
