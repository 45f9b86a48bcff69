"""Making the next one ready while this one is dealt with."""

import threading

import pytest

from gdp_core.ahead import ahead


def test_each_in_order_with_what_is_made_of_it():
    assert list(ahead(range(100), lambda number: number * 2)) == [(number, number * 2) for number in range(100)]


def test_nothing():
    assert list(ahead([], str)) == []


def test_one_is_made_ready_while_the_other_is_dealt_with_and_no_more():
    ready = [threading.Event() for _ in range(4)]
    for number, _ in ahead(range(4), lambda number: ready[number].set()):
        if number < 3:
            assert ready[number + 1].wait(60)
        assert not any(event.is_set() for event in ready[number + 2 :])


def test_an_error_comes_in_its_turn():
    found = ahead([2, 1, 0, 3], lambda number: 1 / number)
    assert [next(found)[0], next(found)[0]] == [2, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_an_error_of_the_items_comes_in_its_turn():
    def items():
        yield 1
        raise KeyError

    found = ahead(items(), str)
    assert next(found) == (1, "1")
    with pytest.raises(KeyError):
        next(found)


def test_who_stops_early_leaves_no_thread():
    found = ahead(range(1000), str)
    next(found)
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
