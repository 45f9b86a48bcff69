"""The question of a report page while somebody changes it: from the address into widgets, and back.

The address wins when it is not what `publish` left there (a link, Back, a saved report): then the widgets are made anew,
under new keys, with what it asks. Otherwise the widgets win. A row of a list keeps its widgets when others are added,
removed or moved.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from gdp_core.errors import InvalidInput
from pages.ui import state
from pages.ui.reporting import asking
from pages.ui.reporting.asking import Asked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft:
    """What the widgets begin with. `problem`: why it is not what the address asked."""

    page: str
    number: int
    asked: Asked
    problem: str | None = None

    def key(self, *path: object) -> str:
        """The key of a widget."""
        return ".".join([_prefix(self.page), str(self.number), *map(str, path)])

    def value(self, begins: Any, *path: object) -> Any:
        """What the widget of a key holds, drawn already or about to be; it begins with `begins`."""
        key = self.key(*path)
        state.begin(key, begins)
        return state.held(key)


def _prefix(page: str) -> str:
    return f"ask.{page}"


def field(page: str) -> state.Field:
    """The question in the address of a page."""
    return state.Field(page, "q", longest=asking.LONGEST)


def adopt(page: str, usual: Asked) -> Draft:
    """Before the widgets, after `state.adopt`: what they begin with; `usual` where the address asks nothing."""
    kept: state.Slot[tuple[str, Draft] | None] = state.Slot(f"{_prefix(page)}.kept", None)
    text, found = str(field(page).value), kept.get()
    if found and found[0] == text:
        return found[1]
    number = found[1].number + 1 if found else 0
    if found:
        state.forget_under(found[1].key(""))
    draft = _made(page, number, text, usual)
    kept.set((text, draft))
    return draft


def _made(page: str, number: int, text: str, usual: Asked) -> Draft:
    if not text:
        return Draft(page, number, usual)
    try:
        return Draft(page, number, asking.asked_in(type(usual.question), text))
    except InvalidInput as error:
        return Draft(page, number, usual, str(error))


def publish(draft: Draft, asked: Asked, usual: Asked) -> str | None:
    """After the widgets, before `state.publish`: the address asks what they hold.

    One that asks what nobody knows stays until something else is asked. Returns what to say of it until then.
    """
    if draft.problem and asked == usual:
        return draft.problem
    text = "" if asked == usual else asking.text_of(asked)
    state.Slot[Any](f"{_prefix(draft.page)}.kept", None).set((text, replace(draft, problem=None)))
    field(draft.page).set(text)
    return None


class Rows(Generic[T]):
    """A list of rows of widgets. Each row has a lasting number, and what its widgets begin with."""

    def __init__(self, draft: Draft, path: str, given: Sequence[T]) -> None:
        self._slot: state.Slot[tuple[tuple[int, T], ...]] = state.Slot(draft.key(path, "rows"), tuple(enumerate(given)))

    def __iter__(self) -> Iterator[tuple[int, T]]:
        """(number, what it begins with), in order."""
        return iter(self._slot.get())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._slot.get())

    def add(self, begins: T) -> None:
        """A callback: one more at the end."""
        rows = self._slot.get()
        self._slot.set((*rows, (max((number for number, _ in rows), default=-1) + 1, begins)))

    def remove(self, number: int) -> None:
        """A callback: without this one."""
        self._slot.set(tuple(row for row in self._slot.get() if row[0] != number))

    def move(self, number: int, by: int) -> None:
        """A callback: this one earlier (-1) or later (1)."""
        rows = list(self._slot.get())
        place = next(index for index, row in enumerate(rows) if row[0] == number)
        other = min(max(0, place + by), len(rows) - 1)
        rows[place], rows[other] = rows[other], rows[place]
        self._slot.set(tuple(rows))
