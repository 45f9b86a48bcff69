"""What of a stream followed what, told by key: as somebody says who looks at every pair of rows."""

from itertools import product
from random import Random

import numpy as np
import pytest

from gdp_core.timeline.kernels.streams import DISTINCT, Keyed, followed, reckon, standing, unanswered

ROWS = 60


def keyed(rows: list[list[int]], at: np.ndarray) -> Keyed:
    """Each person's rows of a stream, all of a shard whose rows have these instants."""
    flat = np.array([row for theirs in rows for row in theirs], np.int32)
    ends = np.cumsum([len(theirs) for theirs in rows]).astype(np.int32)
    return Keyed(flat, at[flat], np.append(0, ends[:-1]).astype(np.int32), ends)


def world(seed: int, kinds: int) -> tuple[list[list[int]], list[list[int]], np.ndarray, np.ndarray]:
    """Rows asked and rows that answer, of some people, with instants that come twice and keys by row."""
    r = Random(seed)
    at = np.sort(np.array([r.randrange(ROWS) for _ in range(ROWS)], np.int64))
    keys = np.array([r.choice([-1, *range(kinds)]) for _ in range(ROWS)], np.int32) * 1024
    keys[keys < 0] = -1
    edges = sorted(r.sample(range(1, ROWS), 3))
    ranges = [range(*edge) for edge in zip([0, *edges], [*edges, ROWS], strict=True)]
    asked, answers = ([[row for row in theirs if r.random() < 0.6] for theirs in ranges] for _ in range(2))
    return asked, answers, at, keys


WORLDS = list(product(range(12), (1, 2, 30)))


@pytest.mark.parametrize(("seed", "kinds"), WORLDS)
def test_the_last_row_that_nothing_of_its_key_follows(seed: int, kinds: int) -> None:
    asked, answers, at, keys = world(seed, kinds)
    found = unanswered(keyed(asked, at), keyed(answers, at), 10, 50, keys)
    assert rows_at(asked, found) == [
        last(
            row
            for row in mine
            if keys[row] >= 0
            and 10 <= at[row] < 50
            and not any(later > row and keys[later] == keys[row] for later in theirs)
        )
        for mine, theirs in zip(asked, answers, strict=True)
    ]


@pytest.mark.parametrize(("seed", "kinds"), WORLDS)
@pytest.mark.parametrize("want", [True, False])
@pytest.mark.parametrize("with_keys", [True, False])
def test_the_last_row_that_is_followed_in_time(seed: int, kinds: int, want: bool, with_keys: bool) -> None:
    asked, answers, at, keys = world(seed, kinds)
    told = keys if with_keys else keys[:0]
    found = followed(keyed(asked, at), keyed(answers, at), 5, told, want, 40)

    def meets(row: int, theirs: list[int]) -> bool:
        return any(
            later > row and at[later] - at[row] <= 5 and (not with_keys or keys[later] == keys[row]) for later in theirs
        )

    assert rows_at(asked, found) == [
        last(
            row
            for row in mine
            if (not with_keys or keys[row] >= 0) and (want or at[row] < 40) and meets(row, theirs) == want
        )
        for mine, theirs in zip(asked, answers, strict=True)
    ]


@pytest.mark.parametrize(("seed", "kinds"), WORLDS)
def test_the_last_row_of_a_key_that_stands(seed: int, kinds: int) -> None:
    rows, _, at, keys = world(seed, kinds)
    stream = keyed(rows, at)
    wanted = stream.rows % 3 > 0
    found = standing(stream, keys, wanted, 10, 50)
    assert rows_at(rows, found) == [
        last(
            row
            for row in mine
            if row % 3 and 10 <= at[row] < 50 and not any(later > row and keys[later] == keys[row] for later in mine)
        )
        for mine in rows
    ]


@pytest.mark.parametrize(("seed", "kinds"), WORLDS)
def test_how_many_different_keys_there_are(seed: int, kinds: int) -> None:
    rows, _, at, keys = world(seed, kinds)
    found, had = reckon(keyed(rows, at), keys, np.empty(0), DISTINCT)
    assert found.tolist() == had.tolist() == [len({int(keys[row]) for row in mine} - {-1}) for mine in rows]


def test_a_shared_identifier_with_very_many_pairs_is_one_person_like_any_other() -> None:
    pairs = 300_000  # each compared with each other would take minutes
    at = np.arange(2 * pairs, dtype=np.int64)
    keys = np.append(np.arange(pairs), np.arange(pairs)).astype(np.int32)
    asked, answers = keyed([list(range(pairs))], at), keyed([list(range(pairs, 2 * pairs))], at)
    assert unanswered(asked, answers, 0, pairs, keys).tolist() == [-1]
    assert followed(asked, answers, pairs - 1, keys, True, 0).tolist() == [-1]
    assert followed(asked, answers, pairs, keys, True, 0).tolist() == [pairs - 1]


def rows_at(rows: list[list[int]], places: np.ndarray) -> list[int]:
    """The rows at places of a stream; -1 for none."""
    flat = [row for theirs in rows for row in theirs]
    return [flat[place] if place >= 0 else -1 for place in places.tolist()]


def last(rows) -> int:
    return max(rows, default=-1)
