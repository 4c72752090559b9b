"""Which node the next query actor belongs on.

Ray's own spread takes nodes in turn, wherever actors are already. After a node has joined, or come back, the old ones
would keep more. Here the next actor goes where the fewest are for each core.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Node", "living_nodes", "misplaced", "roomiest"]


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


def misplaced(nodes: Sequence[Node], taken: Mapping[str, str], idle: Collection[str]) -> str | None:
    """Return the name of an idle actor that a new one on the roomiest node should replace.

    Args:
        nodes: Those alive.
        taken: Node id of every actor, by its name, oldest first.
        idle: Names of those without a query.

    Returns:
        The youngest idle one of the fullest node; None when no move makes the fullest node less full than it is, and
        the roomiest not fuller than that.
    """
    counts = Counter(taken.values())
    target = next((node for node in nodes if node.node_id == roomiest(nodes, taken.values())), None)
    if target is None or not target.cpus:
        return None
    cpus = {node.node_id: node.cpus for node in nodes if node.cpus}
    movable = [name for name in taken if name in idle and taken[name] in cpus]
    if not movable:
        return None
    name = max(reversed(movable), key=lambda each: counts[taken[each]] / cpus[taken[each]])
    fullest = counts[taken[name]] / cpus[taken[name]]
    return name if (counts[target.node_id] + 1) / target.cpus < fullest else None


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
