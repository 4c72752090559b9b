"""Where the next query actor goes."""

from __future__ import annotations

from actors.placement import Node, misplaced, roomiest


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


def _levelled(nodes, taken, idle):
    """Move actors until none is in the wrong place; returns how many each node has, and the moves."""
    taken, idle, moves = dict(taken), set(idle), 0
    while (name := misplaced(nodes, taken, idle)) is not None:
        assert name in idle
        del taken[name]
        taken[f"new {moves}"] = roomiest(nodes, taken.values())
        moves += 1
        assert moves < 20
    return [list(taken.values()).count(node.node_id) for node in nodes], moves


def test_misplaced_given_a_new_node_moves_idle_actors_there_until_all_are_level():
    """Half of the idle actors of the old node go to the new one, and nothing moves to and fro."""
    nodes = [Node(node_id="old", cpus=4), Node(node_id="new", cpus=4)]
    taken = {f"actor {n}": "old" for n in range(5)}
    assert _levelled(nodes, taken, taken) == ([3, 2], 2)
    assert _levelled(nodes, taken, ["actor 1"]) == ([4, 1], 1)


def test_misplaced_takes_the_youngest_of_the_fullest_node():
    """The others are warmer."""
    nodes = [Node(node_id="a", cpus=2), Node(node_id="b", cpus=2), Node(node_id="c", cpus=2)]
    taken = {"a1": "a", "b1": "b", "b2": "b", "b3": "b", "a2": "a"}
    assert misplaced(nodes, taken, taken) == "b3"
    assert misplaced(nodes, taken, ["a1", "a2", "b2"]) == "b2"


def test_misplaced_leaves_alone_what_is_level_busy_or_on_a_node_that_is_gone():
    """Only an idle actor that can be replaced by a better placed one is ended."""
    nodes = [Node(node_id="a", cpus=2), Node(node_id="b", cpus=4), Node(node_id="head", cpus=0)]
    level = {"1": "a", "2": "b", "3": "b"}
    assert misplaced(nodes, level, level) is None
    assert misplaced(nodes, dict.fromkeys("123", "a"), []) is None
    assert misplaced(nodes, {"1": "gone"}, ["1"]) is None
    assert misplaced([nodes[2]], {"1": "head", "2": "head"}, ["1"]) is None
