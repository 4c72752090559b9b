"""Where the next query actor goes."""

from __future__ import annotations

from actors.placement import Node, roomiest


def _fill(nodes, count, taken=()):
    taken = list(taken)
    for _ in range(count):
        taken.append(roomiest(nodes, taken))
    return [taken.count(node.node_id) for node in nodes]


def test_roomiest_given_equal_nodes_shares_actors_evenly():
    """No node has two more than another."""
    nodes = [Node(node_id=str(n), cpus=2) for n in range(3)]
    assert _fill(nodes, 8) == [3, 3, 2]


def test_roomiest_given_a_new_node_fills_it_first():
    """A node that joined late takes the next actors until it has as many as the others."""
    nodes = [Node(node_id="old", cpus=4), Node(node_id="new", cpus=4)]
    assert _fill(nodes, 4, taken=["old"] * 4) == [4, 4]


def test_roomiest_given_unequal_nodes_follows_their_cores():
    """A node with twice the cores gets twice the actors."""
    nodes = [Node(node_id="small", cpus=2), Node(node_id="large", cpus=4)]
    assert _fill(nodes, 6) == [2, 4]


def test_roomiest_avoids_nodes_without_cores_unless_there_are_no_others():
    """A head that is kept free of work stays free."""
    head, worker = Node(node_id="head", cpus=0), Node(node_id="worker", cpus=1)
    assert _fill([head, worker], 3) == [0, 3]
    assert _fill([head], 2) == [2]
    assert roomiest([], []) is None
