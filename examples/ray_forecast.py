"""Forecast the revenue of every product category with tasks of Ray, from rows that stay in the cluster.

The result is read once, by tasks, into Ray's object store; each forecast takes the parts from there without a copy.
For each category two plain methods are tried on the last months that are known, and the better one looks ahead:

- seasonal naive: a month is the same month a year before, times the growth of the last year;
- simple exponential smoothing: every month to come is the smoothed level.

The environment names the cluster by RAY_ADDRESS, as it does in every Ray job, and the token by QUERYFLEET_TOKEN.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

import queryfleet.ray

if TYPE_CHECKING:
    from collections.abc import Callable

    from queryfleet.ray import RayClient

HORIZON = 6  # months
SEASON = 12
ALPHA = 0.5  # weight of the newest month in the smoothed level
MONTHLY = """
select p.category, date_trunc('month', o.ordered_at)::date as month, sum(o.amount)::double as revenue
from orders o join products p using (product_id)
where o.status <> 'cancelled'
group by all order by category, month
"""


def forecasts(client: RayClient) -> list[dict[str, object]]:
    """Return for each category the method, its error on known months, and the months to come."""
    query = client.sql(MONTHLY)
    refs = query.refs()
    categories = sorted(set().union(*ray.get([_categories.remote(ref) for ref in refs])))
    return ray.get([_forecast.remote(category, *refs) for category in categories])


@ray.remote
def _categories(part: pa.Table) -> set[str]:
    return set(part["category"].unique().to_pylist())


@ray.remote
def _forecast(category: str, *parts: pa.Table) -> dict[str, object]:
    # A category may begin in one part and end in the next.
    rows = pa.concat_tables(parts).filter(pc.field("category") == category)
    revenue = rows["revenue"].to_numpy()
    known, held_back = revenue[:-HORIZON], revenue[-HORIZON:]
    errors = {name: _error(method(known, HORIZON), held_back) for name, method in METHODS.items()}
    best = min(errors, key=errors.__getitem__)
    return {"category": category, "method": best, "error": errors[best], "next": METHODS[best](revenue, HORIZON)}


def seasonal_naive(values: np.ndarray, horizon: int) -> np.ndarray:
    """Repeat the last season, scaled by how much it was above the one before; needs two seasons."""
    last, before = values[-SEASON:], values[-2 * SEASON : -SEASON]
    return np.resize(last, horizon) * (last.sum() / before.sum())


def smoothed(values: np.ndarray, horizon: int) -> np.ndarray:
    """Smooth exponentially and repeat the last level."""
    weights = ALPHA * (1 - ALPHA) ** np.arange(len(values) - 1, -1, -1)
    weights[0] /= ALPHA  # the first value is the first level
    return np.full(horizon, weights @ values)


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"seasonal naive": seasonal_naive, "smoothed": smoothed}


def _error(found: np.ndarray, actual: np.ndarray) -> float:
    """Return the mean absolute error as a share of the actual values."""
    return float(np.mean(np.abs(found - actual) / actual))


def main() -> None:
    """Print a line for each category."""
    ray.init(os.environ["RAY_ADDRESS"], logging_level="warning", log_to_driver=False)
    with queryfleet.ray.connect(token=os.environ["QUERYFLEET_TOKEN"], project="Shop") as client:
        found = forecasts(client)
    print(f"{'category':<12}{'method':<16}{'error':>7}  next {HORIZON} months, thousands")
    for each in found:
        months = "".join(f"{value / 1000:>10,.0f}" for value in each["next"])
        print(f"{each['category']:<12}{each['method']:<16}{each['error']:>7.1%}{months}")


if __name__ == "__main__":
    main()
