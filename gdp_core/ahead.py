"""The next item is made ready while the caller deals with this one: what Postgres takes is time for reading and parsing.

One thread, one item ahead, in order. It knows nothing of what is read or how it is dealt with.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")


def ahead(items: Iterable[Item], ready: Callable[[Item], Ready]) -> Iterator[tuple[Item, Ready]]:
    """Each item with what `ready` makes of it. Raises what either raises, when its turn has come.

    `items` and `ready` run in a thread of their own, so they must not share a transaction with the caller.
    """
    remaining = iter(items)

    def following() -> tuple[Item, Ready] | None:
        for item in remaining:
            return item, ready(item)
        return None

    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(following)
        while found := coming.result():
            coming = thread.submit(following)
            yield found
