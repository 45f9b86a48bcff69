"""The rule that somebody edits: what they changed, undo and redo, which condition is open, and the draft in Postgres.

Every change is written as the user's draft of the segment before the page is drawn again, so that a reload or a lost
connection loses nothing. One that cannot be written stays in this tab, and the page says so; of two tabs of a user, none
overwrites what the other wrote. A draft that says what is saved anyway is none.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from gdp_core.errors import GrowthError
from gdp_core.segments import keeping, rules
from gdp_core.segments.keeping import Draft, Segment
from gdp_core.segments.rules import Rule
from pages.ui import state
from pages.ui.context import Here, here
from pages.ui.segments import tree
from pages.ui.segments.tree import Node

_MOST_STEPS = 100
_NOTHING: Node = {"kind": "all", "of": []}
_GONE = "Another tab of yours saved or discarded this draft, and here it stands as it was."


@dataclass(frozen=True, slots=True)
class Work:
    """A rule under change. `root` is its tree; `base` the version it began with, None for a new segment, and `saved` what
    that said.

    `kept_at` is when the draft was written, None where there is none; `trouble` why it could not be; `rival` when another
    tab of this user wrote another draft since.
    """

    root: Node
    following: int
    base: int | None
    saved: Node
    opened: int | None = None
    past: tuple[Node, ...] = ()
    future: tuple[Node, ...] = ()
    kept_at: datetime | None = None
    trouble: str | None = None
    rival: datetime | None = None

    @property
    def content(self) -> dict[str, Any]:
        """The draft as it is kept."""
        return {"match": tree.plain(self.root), "base": self.base}

    @property
    def is_changed(self) -> bool:
        """Whether it says something else than what it began with."""
        return bool(self.root["of"]) if self.base is None else not is_same(tree.plain(self.root), self.saved)


def _match(rule: Rule | None) -> Node:
    """The tree of a rule; an empty one for none, and for what cannot be drawn as one."""
    match = rule.plain.get("match") if rule else None
    return match if tree.is_whole(match) else _NOTHING


def is_same(one: Node, other: Node) -> bool:
    """Whether two trees say the same, however much of it is left at its default."""
    if one == other:
        return True
    rule, _ = rules.examine({"version": 1, "match": one})
    return rule is not None and rule == rules.examine({"version": 1, "match": other})[0]


def begun(place: Here) -> Node | None:
    """The tree of a new segment that this user has begun; None where there is none."""
    if not place.may("segments.write"):
        return None
    draft = place.read(keeping.read_draft, place.principal, None)
    match = draft.content.get("match") if draft else None
    return match if tree.is_whole(match) and match["of"] else None


def bring(place: Here, match: Node) -> None:
    """Make a tree the draft of a new segment. What was begun before is one step of undo away."""
    content = {"match": match, "base": None, "before": begun(place)}
    with place.change() as session:
        keeping.write_draft(session, place.principal, None, content, now=place.now)
    Desk(None).clear()


@dataclass(frozen=True, slots=True)
class Desk:
    """Where one segment is edited in this tab; `segment_id` None: a new one."""

    segment_id: UUID | None

    @property
    def prefix(self) -> str:
        """With which the keys of its widgets begin."""
        return f"builder.{self.segment_id.hex if self.segment_id else 'new'}."

    @property
    def _slot(self) -> "state.Slot[Work | None]":
        return state.Slot(f"{self.prefix}work", None)

    @property
    def work(self) -> Work:
        """What lies on it. Raises ValueError before `sit_down`."""
        found = self._slot.get()
        if found is None:
            raise ValueError("Nothing is edited yet.")
        return found

    def key(self, number: int, *parts: object) -> str:
        """The key of a widget of a node. It lasts, so that the keyboard stays where it is."""
        return f"{self._widgets(number)}{'.'.join(map(str, parts))}"

    def _widgets(self, number: int | None = None) -> str:
        return f"{self.prefix}of." if number is None else f"{self.prefix}of.{number}."

    def sit_down(self, place: Here, segment: Segment | None) -> Work:
        """What this tab works on, or the draft of an earlier one, or the segment as it is."""
        found = self._slot.get()
        draft = place.read(keeping.read_draft, place.principal, self.segment_id)
        written = draft.updated_at if draft else None
        if found is None or (found.base is None) != (segment is None):
            found = self._begun(place, segment, draft)
        elif not found.is_changed and (written != found.kept_at or (segment and segment.version != found.base)):
            found = self._begun(place, segment, draft)  # nothing is lost: what is newer is shown
        elif written is None and found.kept_at is not None:
            found = replace(found, kept_at=None, trouble=_GONE, rival=None)
        else:
            found = replace(found, rival=written if written != found.kept_at else None)
        self._slot.set(found)
        return found

    def _begun(self, place: Here, segment: Segment | None, draft: Draft | None) -> Work:
        kept_at, newest = (draft.updated_at if draft else None), _match(segment.rule if segment else None)
        if draft is not None and tree.is_whole(draft.content.get("match")):
            base, saved = draft.content.get("base"), newest
            if segment is not None and base != segment.version:
                earlier = {one.version: one.rule for one in place.read(keeping.read_versions, segment.id)}
                base = base if isinstance(base, int) and base in earlier else segment.version
                saved = _match(earlier[base])
            root, following = tree.numbered(draft.content["match"])
            work = Work(root, following, base, saved, kept_at=kept_at)
            before = draft.content.get("before")
            if tree.is_whole(before):
                one, following = tree.numbered(before, following)
                work = replace(work, following=following, past=(one,))
            if work.is_changed:
                return work
        root, following = tree.numbered(newest)
        return Work(root, following, segment.version if segment else None, newest, kept_at=kept_at)

    def left(self, place: Here) -> Node | None:
        """What was being changed of a segment that is gone; None for nothing."""
        found = self._slot.get()
        if found is not None:
            return tree.plain(found.root)
        draft = place.read(keeping.read_draft, place.principal, self.segment_id)
        match = draft.content.get("match") if draft else None
        return match if tree.is_whole(match) else None

    def change(self, edit: Callable[[Work], Work], *, anew: int | None = None) -> None:
        """A callback's work: the tree that `edit` makes, one step for undo, and the draft.

        `anew`: the widgets of this node begin again with what it says; those of all others hold it already.
        """
        before = self.work
        after = edit(before)
        if after.root != before.root:
            past = (*before.past, before.root)[-_MOST_STEPS:]
            after = self._kept(replace(after, past=past, future=()))
        if anew is not None:
            state.forget_under(self._widgets(anew))
        self._slot.set(after)

    def open(self, number: int | None) -> None:
        """A callback: this condition's widgets are shown, or none."""
        self._slot.set(replace(self.work, opened=number))

    def undo(self) -> None:
        """A callback: one change back."""
        work = self.work
        if work.past:
            *past, root = work.past
            self._come_to(replace(work, root=root, past=tuple(past), future=(work.root, *work.future)))

    def redo(self) -> None:
        """A callback: one change forth."""
        work = self.work
        if work.future:
            root, *future = work.future
            self._come_to(replace(work, root=root, past=(*work.past, work.root), future=tuple(future)))

    def clear(self) -> None:
        """Forget what this tab knows of it: the next run begins with what is kept."""
        state.forget_under(self.prefix)

    def discard(self) -> None:
        """A callback: without the draft, as the segment is."""
        place = here()
        with place.change() as session:
            keeping.discard_draft(session, place.principal, self.segment_id, expected=self.work.kept_at)
        self.clear()

    def _come_to(self, work: Work) -> None:
        """Another tree, whose widgets all begin again."""
        state.forget_under(self._widgets())
        self._slot.set(self._kept(work))

    def insist(self) -> None:
        """A callback: the draft of this tab takes the place of another tab's."""
        self._slot.set(self._kept(replace(self.work, kept_at=self.work.rival, rival=None)))

    def _kept(self, work: Work) -> Work:
        kept_at = None
        try:
            place = here()
            with place.change() as session:
                if work.is_changed:
                    kept_at = place.now
                    keeping.write_draft(
                        session, place.principal, self.segment_id, work.content, expected=work.kept_at, now=kept_at
                    )
                else:
                    keeping.discard_draft(session, place.principal, self.segment_id, expected=work.kept_at)
        except GrowthError as error:
            return replace(work, trouble=str(error))
        return replace(work, kept_at=kept_at, trouble=None)
