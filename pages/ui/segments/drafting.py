"""The rule that somebody edits: what they changed, undo and redo, which condition is open, and the draft in Postgres.

Every change is written as the user's draft of the segment before the page is drawn again, so that a reload or a lost
connection loses nothing. One that cannot be written stays in this tab, and the page says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from gdp_core.errors import GrowthError
from gdp_core.segments import keeping
from gdp_core.segments.keeping import Segment
from pages.ui import state
from pages.ui.context import Here, here
from pages.ui.segments import tree
from pages.ui.segments.tree import Node

_MOST_STEPS = 100
_NOTHING: Node = {"kind": "all", "of": []}


@dataclass(frozen=True, slots=True)
class Work:
    """A rule under change. `root` is its tree; `base` the version it began with, None for a new segment.

    `kept_at` is when the draft was written, None where there is none; `trouble` why it could not be.
    """

    root: Node
    following: int
    base: int | None
    opened: int | None = None
    past: tuple[Node, ...] = ()
    future: tuple[Node, ...] = ()
    kept_at: datetime | None = None
    trouble: str | None = None

    @property
    def content(self) -> dict[str, Any]:
        """The draft as it is kept."""
        return {"match": tree.plain(self.root), "base": self.base}


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
        if found is None or (found.base is None) != (segment is None):
            found = self._begun(place, segment)
            self._slot.set(found)
        return found

    def _begun(self, place: Here, segment: Segment | None) -> Work:
        draft = place.read(keeping.read_draft, place.principal, self.segment_id)
        if draft is not None and tree.is_whole(draft.content.get("match")):
            root, following = tree.numbered(draft.content["match"])
            return Work(root, following, draft.content.get("base"), kept_at=draft.updated_at)
        match = segment.rule.plain.get("match") if segment else None
        root, following = tree.numbered(match if tree.is_whole(match) else _NOTHING)
        return Work(root, following, segment.version if segment else None)

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
            keeping.discard_draft(session, place.principal, self.segment_id)
        self.clear()

    def _come_to(self, work: Work) -> None:
        """Another tree, whose widgets all begin again."""
        state.forget_under(self._widgets())
        self._slot.set(self._kept(work))

    def _kept(self, work: Work) -> Work:
        try:
            place = here()
            with place.change() as session:
                keeping.write_draft(session, place.principal, self.segment_id, work.content, now=place.now)
        except GrowthError as error:
            return replace(work, trouble=str(error))
        return replace(work, kept_at=place.now, trouble=None)
