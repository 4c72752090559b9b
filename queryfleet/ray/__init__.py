"""Ask the service through Ray, where HTTP does not lead or rows should stay in the cluster.

    ray.init("ray://head:10001")                       # or a driver, job or task inside the cluster
    client = queryfleet.ray.connect(token=token, project=project_uuid)

Requests go to the replicas that answer HTTP, by the handle of their Serve application: the token is checked there, and
roles, limits and the record of who asked what are the same. Needs Ray in the cluster's own version, and its Python
minor version: `pip install 'queryfleet[ray]'`.
"""

from queryfleet.ray.connection import connect

__all__ = ["connect"]
