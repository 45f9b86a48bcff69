"""A rule while it is edited: groups and conditions as plain JSON that need not be finished, each with a lasting number.

Nothing here is changed in place: every function returns a new tree, so that an earlier one can be come back to. Numbers
(`id`) tell nodes apart when they move; `plain` leaves them out. What is valid is for rules.examine to say.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from gdp_core.segments.rules import GROUP_SENTENCES, Path

Node = Mapping[str, Any]
GROUPS = tuple(GROUP_SENTENCES)
OUTERMOST: Path = ()


def numbered(node: Node, first: int = 0) -> tuple[Node, int]:
    """The same with numbers from `first` on, and the next number."""
    made: dict[str, Any] = {**node, "id": first}
    following = first + 1
    if is_group(node):
        parts = []
        for part in _parts(node):
            child, following = numbered(part, following)
            parts.append(child)
        made["of"] = parts
    return made, following


def plain(node: Node) -> dict[str, Any]:
    """As rules.examine reads it."""
    found = {name: value for name, value in node.items() if name != "id"}
    if is_group(node):
        found["of"] = [plain(part) for part in _parts(node)]
    return found


def is_group(node: Node) -> bool:
    """Whether it holds others."""
    return node.get("kind") in GROUPS


def is_whole(node: object) -> TypeGuard[Node]:
    """Whether this is a tree at all: a group whose parts are groups likewise, or whatever conditions."""
    if not isinstance(node, Mapping) or not is_group(node) or not isinstance(parts := node.get("of"), list):
        return False
    return all(isinstance(part, Mapping) and (is_whole(part) or not is_group(part)) for part in parts)


def walk(node: Node, path: Path = OUTERMOST) -> Iterator[tuple[Path, Node]]:
    """Every node and where it is, from top to bottom, a group before its parts."""
    yield path, node
    if is_group(node):
        for place, part in enumerate(_parts(node)):
            yield from walk(part, (*path, place))


def path_of(root: Node, number: int) -> Path | None:
    """Where the node of a number is; None for one that is gone."""
    return next((path for path, node in walk(root) if node["id"] == number), None)


def at(root: Node, path: Path) -> Node:
    """The node of a place. Raises IndexError."""
    for place in path:
        root = _parts(root)[place]
    return root


def put(root: Node, path: Path, node: Node) -> Node:
    """With another node in this place."""
    if not path:
        return node
    return _with(root, path[0], put(_parts(root)[path[0]], path[1:], node))


def insert(root: Node, path: Path, node: Node) -> Node:
    """With one more node in this place, before the one that is there."""
    *above, place = path
    group = at(root, tuple(above))
    parts = _parts(group)
    return put(root, tuple(above), {**group, "of": [*parts[:place], node, *parts[place:]]})


def remove(root: Node, path: Path) -> Node:
    """Without the node of this place."""
    *above, place = path
    group = at(root, tuple(above))
    parts = _parts(group)
    return put(root, tuple(above), {**group, "of": [*parts[:place], *parts[place + 1 :]]})


def moved(root: Node, path: Path, by: int) -> Node:
    """The node earlier (-1) or later (1) in its group; at its edge it stays."""
    *above, place = path
    last = len(_parts(at(root, tuple(above)))) - 1
    node = at(root, path)
    return insert(remove(root, path), (*above, min(max(0, place + by), last)), node)


def outwards(root: Node, path: Path) -> Node:
    """The node after the group it was in. What is in the outermost group stays."""
    if len(path) < 2:
        return root
    *above, group, _ = path
    node = at(root, path)
    return insert(remove(root, path), (*above, group + 1), node)


def neighbour(root: Node, path: Path, by: int) -> Path | None:
    """The nearest group before (-1) or after (1) a node in its own group; None without one."""
    *above, place = path
    parts = _parts(at(root, tuple(above)))
    places = range(place - 1, -1, -1) if by < 0 else range(place + 1, len(parts))
    return next(((*above, other) for other in places if is_group(parts[other])), None)


def inwards(root: Node, path: Path, by: int) -> Node:
    """The node as the last of the group before it (-1), or the first of the one after it (1); without one it stays."""
    target = neighbour(root, path, by)
    if target is None:
        return root
    node, without = at(root, path), remove(root, path)
    if by > 0:
        return insert(without, (*target[:-1], target[-1] - 1, 0), node)
    return insert(without, (*target, len(_parts(at(without, target)))), node)


def wrapped(root: Node, path: Path, kind: str, number: int) -> Node:
    """The node in a new group of its own."""
    return put(root, path, {"kind": kind, "id": number, "of": [at(root, path)]})


def unwrapped(root: Node, path: Path) -> Node:
    """The parts of a group in its place. The outermost group stays."""
    if not path:
        return root
    without = remove(root, path)
    for shift, part in enumerate(_parts(at(root, path))):
        without = insert(without, (*path[:-1], path[-1] + shift), part)
    return without


def without(root: Node, paths: set[Path]) -> tuple[Node, dict[Path, Path]]:
    """What is left of a tree without these nodes and the groups that become empty, and where each of its nodes was."""
    was: dict[Path, Path] = {}

    def kept(node: Node, path: Path, place: Path) -> Node | None:
        if path in paths and path:
            return None
        was[place] = path
        if not is_group(node):
            return node
        parts: list[Node] = []
        for number, part in enumerate(_parts(node)):
            found = kept(part, (*path, number), (*place, len(parts)))
            if found is not None:
                parts.append(found)
        return {**node, "of": parts} if parts or not path else None

    return kept(root, OUTERMOST, OUTERMOST) or root, was


def _with(group: Node, place: int, node: Node) -> Node:
    parts = _parts(group)
    return {**group, "of": [*parts[:place], node, *parts[place + 1 :]]}


def _parts(group: Node) -> list[Node]:
    found: list[Node] = group["of"]
    return found
