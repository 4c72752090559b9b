"""Join two results on a Ray cluster: what each country's customers bring, by segment.

Neither result passes through this process: tasks of Ray read their stored chunks on the nodes, and Ray Data joins and
sums them there. Results of two projects, and so of two warehouses, join the same way.

The environment names the cluster by RAY_ADDRESS, as it does in every Ray job, and the token by QUERYFLEET_TOKEN.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa
import ray

import queryfleet.ray

if TYPE_CHECKING:
    from ray.data import Dataset

    from queryfleet.ray import RayClient

PARTITIONS = 4
SPENT = "select customer_id, sum(amount)::double as revenue from orders where status <> 'cancelled' group by all"
CUSTOMERS = "select customer_id, country, segment from customers"


def revenue_by_country(client: RayClient) -> pa.Table:
    """Return a row for each country and segment, the largest revenue first."""
    spent, customers = client.sql(SPENT), client.sql(CUSTOMERS)  # both run at once
    joined: Dataset = spent.to_dataset().join(
        customers.to_dataset(), join_type="inner", on=("customer_id",), num_partitions=PARTITIONS
    )
    parts = ray.get(joined.map_batches(_sums, batch_format="pyarrow", batch_size=None).to_arrow_refs())
    return _sums(pa.concat_tables(parts)).sort_by([("revenue", "descending")])


def _sums(rows: pa.Table) -> pa.Table:
    """Add up what stands beside the same country and segment; sums of sums are sums again."""
    summed = rows.group_by(["country", "segment"]).aggregate([("revenue", "sum")])
    return summed.rename_columns(["country", "segment", "revenue"])


def main() -> None:
    """Print the first ten."""
    ray.init(os.environ["RAY_ADDRESS"], logging_level="warning", log_to_driver=False)
    with queryfleet.ray.connect(token=os.environ["QUERYFLEET_TOKEN"], project="Shop") as client:
        table = revenue_by_country(client)
    print(f"{table.num_rows} rows, revenue {sum(table['revenue'].to_pylist()):,.0f}")
    for row in table.slice(0, 10).to_pylist():
        print(f"{row['country']:<16}{row['segment']:<16}{row['revenue']:>16,.0f}")


if __name__ == "__main__":
    main()
