"""Runs one function over parts of a timeline's shards, beside each other. A part is a range of people.

Kernels release the interpreter's lock, so threads are enough on one machine. The executor is any of concurrent.futures'
kind.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np

from gdp_core.timeline.arrays import Shard, Timeline

Result = TypeVar("Result")
_WORTH_A_PART = 200_000  # rows: below, starting a part costs more than it saves


@cache
def threads() -> Executor:
    """This process's threads for kernels: one for each core."""
    return ThreadPoolExecutor(os.cpu_count() or 1, "kernel")


def over(
    timeline: Timeline, run: Callable[[int, Shard], Result], executor: Executor | None = None
) -> list[tuple[int, int, Result]]:
    """(shard, index of its first person in the shard, what `run(shard number, part)` found) of every part, in order.

    Parts of a shard hold about equally many rows and share its arrays.
    """
    width = os.cpu_count() or 1
    jobs = []
    for number, shard in enumerate(timeline.shards):
        for first, last in _cuts(shard, width):
            jobs.append((number, first, shard.part(first, last)))
    if len(jobs) == 1:
        return [(number, first, run(number, part)) for number, first, part in jobs]
    waiting = [(number, first, (executor or threads()).submit(run, number, part)) for number, first, part in jobs]
    return [(number, first, found.result()) for number, first, found in waiting]


def _cuts(shard: Shard, width: int) -> list[tuple[int, int]]:
    """Ranges of people with about equally many rows."""
    people = len(shard.people)
    if not people:
        return []
    parts = max(1, min(width * 2, shard.rows // _WORTH_A_PART))
    rows = np.linspace(shard.offsets[0], shard.offsets[-1], parts + 1)[1:-1]
    inner = np.searchsorted(shard.offsets, rows)
    edges = sorted({0, people, *(int(edge) for edge in inner)})
    return [(first, last) for first, last in itertools.pairwise(edges) if last > first]
