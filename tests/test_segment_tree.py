"""Changing a rule that need not be finished: where nodes go, and that nothing is changed in place."""

import json
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pages.ui.segments import tree


def leaf(name):
    return {"kind": "person", "field": name}


def group(*parts, kind="all"):
    return {"kind": kind, "of": list(parts)}


def made(root):
    return tree.numbered(root)[0]


def names(root):
    """The tree as its leaves' names in brackets."""
    return [names(part) for part in root["of"]] if tree.is_group(root) else root["field"]


A, B, C, D = map(leaf, "abcd")
ROOT = made(group(A, group(B, C, kind="any"), D))


def test_numbers_are_each_nodes_own_and_go_again():
    numbers = [node["id"] for _, node in tree.walk(ROOT)]
    assert sorted(numbers) == list(range(6))
    assert tree.plain(ROOT) == group(A, group(B, C, kind="any"), D)


def test_what_is_no_tree_is_told_from_one():
    assert tree.is_whole(tree.plain(ROOT))
    assert tree.is_whole(group({"kind": "dreamt"}, {}))
    for no_tree in (None, 7, A, group(7), group(group(A), {"kind": "any"}), {"kind": "all"}, {"kind": "all", "of": {}}):
        assert not tree.is_whole(no_tree)


def test_a_node_moves_within_its_group_and_stops_at_its_edges():
    assert names(tree.moved(ROOT, (0,), 1)) == [["b", "c"], "a", "d"]
    assert names(tree.moved(ROOT, (0,), -1)) == names(ROOT)
    assert names(tree.moved(ROOT, (2,), 1)) == names(ROOT)


def test_a_node_moves_out_of_and_into_groups():
    assert names(tree.outwards(ROOT, (1, 0))) == ["a", ["c"], "b", "d"]
    assert names(tree.outwards(ROOT, (0,))) == names(ROOT)
    assert names(tree.inwards(ROOT, (0,), 1)) == [["a", "b", "c"], "d"]
    assert names(tree.inwards(ROOT, (2,), -1)) == ["a", ["b", "c", "d"]]
    for path, by in (((0,), -1), ((2,), 1), ((1, 0), -1), ((1, 0), 1)):
        assert tree.neighbour(ROOT, path, by) is None
        assert names(tree.inwards(ROOT, path, by)) == names(ROOT)


def test_groups_are_made_and_dissolved():
    assert names(tree.wrapped(ROOT, (0,), "any", 9)) == [["a"], ["b", "c"], "d"]
    assert names(tree.unwrapped(ROOT, (1,))) == ["a", "b", "c", "d"]
    assert tree.unwrapped(ROOT, ()) == ROOT


def test_without_leaves_out_what_is_named_and_what_becomes_empty():
    left, was = tree.without(ROOT, {(1, 0), (1, 1)})
    assert names(left) == ["a", "d"]
    assert was[(1,)] == (2,)
    left, was = tree.without(ROOT, {(0,)})
    assert names(left) == [["b", "c"], "d"]
    assert {path: names(tree.at(ROOT, was[path])) for path, node in tree.walk(left)} == {
        path: names(tree.at(left, path)) if path else names(ROOT) for path, node in tree.walk(left)
    }
    assert tree.without(made(group(A)), {(0,)})[0]["of"] == []


TREES = st.recursive(
    st.sampled_from("abcdefgh").map(leaf),
    lambda parts: st.lists(parts, min_size=1, max_size=3).map(lambda of: group(*of)),
    max_leaves=8,
)


def leaves(root):
    return sorted(node["field"] for _, node in tree.walk(root) if not tree.is_group(node))


@given(st.lists(TREES, min_size=1, max_size=4).map(lambda of: made(group(*of))), st.data())
def test_moving_loses_nothing_and_changes_nothing_in_place(root, data):
    before = json.dumps(root)
    path = data.draw(st.sampled_from([path for path, _ in tree.walk(root) if path]))
    moves = [tree.outwards, *([tree.unwrapped] if tree.is_group(tree.at(root, path)) else [])]
    moves += [partial(move, by=by) for move in (tree.moved, tree.inwards) for by in (-1, 1)]
    after = data.draw(st.sampled_from(moves))(root, path)
    assert leaves(after) == leaves(root)
    assert json.dumps(root) == before
    number = tree.at(root, path)["id"]
    found = tree.path_of(after, number)
    assert found is None or tree.at(after, found) == tree.at(root, path)
