"""Which node the next query actor belongs on.

Ray's own spread takes nodes in turn, wherever actors are already. After a node has joined, or come back, the old ones
would keep more. Here the next actor goes where the fewest are for each core.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["Node", "living_nodes", "roomiest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster that is alive."""

    node_id: str
    cpus: float  # as it was started with; 0: it is not meant for work


def roomiest(nodes: Sequence[Node], taken: Collection[str]) -> str | None:
    """Return the id of the node with the fewest actors for each core; of equals the first.

    Args:
        nodes: Those alive.
        taken: Node id of every actor there is or that is being started.

    Returns:
        None when no node is known. Nodes without cores are used only when there are no others.
    """
    counts = Counter(taken)
    working = [node for node in nodes if node.cpus > 0]
    if working:
        return min(working, key=lambda node: (counts[node.node_id] + 1) / node.cpus).node_id
    return min(nodes, key=lambda node: counts[node.node_id]).node_id if nodes else None


def living_nodes() -> list[Node]:
    """Ask Ray for its nodes, in the order of their ids. Takes one call to the control store, about a millisecond."""
    import ray

    return sorted(
        (
            Node(node_id=node["NodeID"], cpus=node.get("Resources", {}).get("CPU", 0.0))
            for node in ray.nodes()
            if node["Alive"]
        ),
        key=lambda node: node.node_id,
    )
