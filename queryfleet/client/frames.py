"""Arrow tables as what other libraries call them; each library is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["pandas_of", "polars_of", "table_of"]


def table_of(batches: Sequence[pa.RecordBatch], schema: pa.Schema | None) -> pa.Table:
    """Return batches as a table; without any, an empty one of the schema."""
    import pyarrow as pa

    return pa.Table.from_batches(batches, batches[0].schema if batches else schema)


def pandas_of(table: pa.Table) -> pd.DataFrame:
    """Return a table as a pandas data frame, which must be installed."""
    return cast("pd.DataFrame", table.to_pandas())


def polars_of(table: pa.Table) -> pl.DataFrame:
    """Return a table as a Polars data frame, which must be installed."""
    return cast("pl.DataFrame", importlib.import_module("polars").from_arrow(table))
