"""Options and a stored result, brought together: which columns a file has, in which order and under which names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from queryfleet.errors import ParameterError
from queryfleet.export.options import ExportFormat, ExportOptions
from queryfleet.formatting import FormatRule, rule_of
from queryfleet.results.page import schema_from_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from queryfleet.errors import JsonValue

__all__ = ["XLSX_COLUMNS_MAX", "XLSX_ROWS_MAX", "ExportColumn", "ExportPlan"]

XLSX_ROWS_MAX = 1_048_575  # of a sheet, below its header
XLSX_COLUMNS_MAX = 16_384

_VERSION = 1  # raised when the same options begin to give other bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportColumn:
    """One column of a file."""

    index: int  # in the stored schema
    reference: str
    label: str  # its header
    rule: FormatRule | None  # how it is displayed; None: the query has no items
    expression: str | None = None  # the spreadsheet format that its item gives, if any


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """Everything that decides the bytes of a file, besides the rows. Can be sent to any process."""

    options: ExportOptions
    arrow_schema: bytes  # of the stored result, as `schema_to_bytes` gives it
    columns: tuple[ExportColumn, ...]  # of the file, at least one unless the result has none
    timezone: str | None = None  # in which times of fields are shown; None: UTC
    sparse: bool = False  # stored lines may leave members out, as those of a pivot do

    @classmethod
    def of(
        cls,
        options: ExportOptions,
        arrow_schema: bytes,
        *,
        fields: Mapping[str, JsonValue] | None = None,
        timezone: str | None = None,
        sparse: bool = False,
    ) -> ExportPlan:
        """Choose and name the columns.

        Args:
            options: What is wanted.
            arrow_schema: Of the stored result.
            fields: Descriptions of its columns by name; None: plain SQL.
            timezone: In which times of fields are shown.
            sparse: Stored lines may leave members out.

        Raises:
            ParameterError: No column is left, two have one name where names must differ, or a sheet is too narrow.
        """
        names = schema_from_bytes(arrow_schema).names
        hidden = set(options.hidden_fields)
        known = {name: index for index, name in enumerate(names)}
        first = [name for name in dict.fromkeys(options.column_order) if name in known]
        ordered = [*first, *(name for name in names if name not in set(first))]
        columns = tuple(
            _column(name, known[name], options, (fields or {}).get(name)) for name in ordered if name not in hidden
        )
        _check(columns, options, result_has_columns=bool(names))
        return cls(options=options, arrow_schema=arrow_schema, columns=columns, timezone=timezone, sparse=sparse)

    @property
    def takes_all(self) -> bool:
        """Whether the file has every column in the stored order."""
        count = len(schema_from_bytes(self.arrow_schema))
        return [column.index for column in self.columns] == list(range(count))

    def stored_schema(self) -> pa.Schema:
        """Return the schema of the stored lines."""
        return schema_from_bytes(self.arrow_schema)

    def digest(self) -> str:
        """Return 32 hexadecimal digits that are the same for plans that give the same bytes."""
        said = json.dumps([_VERSION, asdict(self.options), self.timezone, _said(self)], sort_keys=True, default=str)
        return hashlib.sha256(said.encode("utf-8", "surrogatepass") + self.arrow_schema).hexdigest()[:32]


def _said(plan: ExportPlan) -> list[list[str]]:
    return [[column.reference, column.label, repr(column.rule), column.expression or ""] for column in plan.columns]


def _column(name: str, index: int, options: ExportOptions, item: JsonValue) -> ExportColumn:
    custom = dict(options.custom_labels).get(name)
    described = item if isinstance(item, dict) else None
    label = name if options.format.is_typed or not options.labels else _label(name, described, options)
    expression = described.get("format") if described is not None else None
    return ExportColumn(
        index=index,
        reference=name,
        label=label if custom is None else custom,
        rule=rule_of(described) if described is not None else None,
        expression=expression if isinstance(expression, str) else None,
    )


def _label(name: str, item: Mapping[str, JsonValue] | None, options: ExportOptions) -> str:
    if item is None:
        return name
    label = next((item[key] for key in ("label", "displayName", "name") if isinstance(item.get(key), str)), name)
    table = item.get("tableLabel")
    return f"{table} {label}" if options.show_table_names and isinstance(table, str) else str(label)


def _check(columns: tuple[ExportColumn, ...], options: ExportOptions, *, result_has_columns: bool) -> None:
    if not columns and result_has_columns:
        raise ParameterError("hiddenFields leaves no column; show one at least.", field="hiddenFields")
    if options.format is ExportFormat.XLSX and len(columns) > XLSX_COLUMNS_MAX:
        raise ParameterError(
            f"An Excel sheet has at most {XLSX_COLUMNS_MAX} columns and this result has {len(columns)}; "
            "hide some with hiddenFields, or use csv or parquet.",
            field="type",
            maxColumns=XLSX_COLUMNS_MAX,
        )
    labels = [column.label for column in columns]
    if options.format.is_typed and len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ParameterError(
            f"customLabels gives the name {twice!r} to two columns; in a {options.format} file names must differ.",
            field="customLabels",
        )
