"""Whose rule is evaluated: one at a time, for a kernel takes every core by itself, and workspaces take turns.

Who waits long is told to come back. However many questions a workspace asks, another's next one waits for one of them at
most. A turn that does not end is noticed by whoever watches `held_seconds`.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from uuid import UUID

from gdp_core.limits import TooMany


class Turns:
    """Who evaluates a rule, and who waits for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[UUID, deque[object]] = {}  # whose turn is next stands first
        self._since: float | None = None

    @contextlib.contextmanager
    def of(self, workspace_id: UUID, patience: float) -> Iterator[None]:
        """Inside, no other rule is evaluated. Raises TooMany when it takes more than `patience` seconds until that is so."""
        ticket = object()
        with self._changed:
            theirs = self._waiting.setdefault(workspace_id, deque())
            theirs.append(ticket)
            is_mine = self._changed.wait_for(lambda: self._since is None and self._next() is ticket, patience)
            theirs.remove(ticket)
            del self._waiting[workspace_id]
            if theirs:  # after everybody else
                self._waiting[workspace_id] = theirs
            if not is_mine:
                self._changed.notify_all()
                raise TooMany("Too many rules are being evaluated; try again.", retry_after=2)
            self._since = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._since = None
                self._changed.notify_all()

    def _next(self) -> object:
        return next(iter(self._waiting.values()))[0]

    @property
    def waiting(self) -> int:
        """How many wait."""
        with self._changed:
            return sum(map(len, self._waiting.values()))

    @property
    def held_seconds(self) -> float:
        """For how long a turn has lasted; 0 while nobody has one."""
        with self._changed:
            return 0.0 if self._since is None else time.monotonic() - self._since
