"""What was made once and is asked for again, in memory up to a limit; what is asked least goes first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Made = TypeVar("Made")


class _Place:
    """Where something is made, by one thread; it is there once it has a size."""

    def __init__(self) -> None:
        self.making = threading.RLock()
        self.made: Any = None
        self.size: int | None = None


class Kept:
    """What was made, by key, up to `most` bytes. Threads that ask for the same wait for the one that makes it.

    What is made may ask for others, as long as none of them asks for it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[tuple[Hashable, ...], _Place] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[Hashable, ...], make: Callable[[], Made], size: Callable[[Made], int]) -> Made:
        """What was made under a key before, or is made now; `size` in bytes. What `make` raises is raised, and not kept."""
        with self._lock:
            place = self._held.setdefault(key, _Place())
            self._held.move_to_end(key)
        with place.making:
            if place.size is None:
                try:
                    place.made = make()
                except BaseException:
                    self._leave(key, place)
                    raise
                self._keep(key, place, size(place.made))
        found: Made = place.made
        return found

    def drop(self, first: Hashable) -> None:
        """Let go of whatever has a key that begins so."""
        with self._lock:
            for key in [key for key in self._held if key[0] == first]:
                self._size -= self._held.pop(key).size or 0

    def _keep(self, key: tuple[Hashable, ...], place: _Place, size: int) -> None:
        with self._lock:
            place.size = size
            if self._held.get(key) is not place:  # it was dropped while it was made
                return
            self._size += size
            while self._size > self._most and len(self._held) > 1:
                oldest = next((one for one, held in self._held.items() if held.size is not None and one != key), None)
                if oldest is None:
                    break
                self._size -= self._held.pop(oldest).size or 0

    def _leave(self, key: tuple[Hashable, ...], place: _Place) -> None:
        with self._lock:
            if self._held.get(key) is place:
                del self._held[key]
