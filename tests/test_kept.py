"""What is kept in memory: made once, by one thread while others wait, up to a limit, and let go of by name."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gdp_core.timeline.kept import Kept


def test_threads_that_ask_for_the_same_wait_for_the_one_that_makes_it():
    kept, asked, go = Kept(100), [], threading.Event()

    def make() -> object:
        asked.append(threading.get_ident())
        go.wait(10)
        return object()

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(kept.get, ("a",), make, lambda _: 1) for _ in range(4)]
        go.set()
        assert len({id(one.result()) for one in found}) == 1
    assert len(asked) == 1


def test_what_is_asked_least_goes_first():
    kept, made = Kept(10), []

    def get(name: str) -> None:
        kept.get((name,), lambda: made.append(name), lambda _: 4)

    for name in ("a", "b", "a", "c", "a", "b"):
        get(name)
    assert made == ["a", "b", "c", "b"]


def test_what_is_larger_than_all_there_is_room_for_is_still_given():
    assert Kept(10).get(("a",), lambda: "large", lambda _: 100) == "large"


def test_what_went_wrong_is_tried_again():
    kept = Kept(10)
    with pytest.raises(ZeroDivisionError):
        kept.get(("a",), lambda: 1 // 0, lambda _: 1)
    assert kept.get(("a",), lambda: 1, lambda _: 1) == 1


def test_what_was_dropped_is_made_anew_also_while_it_is_made():
    kept = Kept(10)
    kept.get(("a", 1), lambda: "old", lambda _: 1)
    kept.get(("b", 1), lambda: "old", lambda _: 1)
    kept.drop("a")

    def make() -> str:
        kept.drop("a")
        return "new"

    assert kept.get(("a", 1), make, lambda _: 1) == "new"
    assert kept.get(("a", 1), lambda: "newest", lambda _: 1) == "newest"
    assert kept.get(("b", 1), lambda: "new", lambda _: 1) == "old"
