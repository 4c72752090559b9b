"""Ask the service through Ray, where HTTP does not lead or rows should stay in the cluster.

    ray.init("ray://head:10001")                       # or a driver, job or task inside the cluster
    client = queryfleet.ray.connect(token=token, project="Shop")
    refs = client.sql("select city, fare from rides").refs()     # or to_arrow(), or in a job to_dataset()

Requests go to the replicas that answer HTTP, by the handle of their Serve application: the token is checked there, and
roles, limits and the record of who asked what are the same. Needs Ray in the cluster's own version, and its Python
minor version: `pip install 'queryfleet[ray]'`.
"""

from queryfleet.ray.client import RayClient
from queryfleet.ray.connection import connect
from queryfleet.ray.query import RayQuery, RayResult

__all__ = ["RayClient", "RayQuery", "RayResult", "connect"]
