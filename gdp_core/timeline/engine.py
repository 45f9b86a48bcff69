"""Runs one function over parts of a timeline's shards, beside each other. A part is a range of people.

Kernels release the interpreter's lock, so threads are enough on one machine. With GDP_DASK_SCHEDULER the parts go to
the workers of a Dask cluster that sees the same timeline folder: arrays travel as names of files. A worker that dies is
made up for by the others.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np

from gdp_core.errors import BadSetting, Unavailable
from gdp_core.settings import settings
from gdp_core.timeline.arrays import Shard, Timeline

Result = TypeVar("Result")
_WORTH_A_PART = 200_000  # rows: below, starting a part costs more than it saves
_PARTS = max(8, 2 * (os.cpu_count() or 1))
_SECONDS = 10
_RETRIES = 3


@cache
def workers() -> Executor:
    """Who runs kernels for this process: the cluster of the settings, else a thread for each core.

    Raises BadSetting when Dask is not installed, Unavailable when the scheduler does not answer.
    """
    address = settings().dask_scheduler
    return _cluster(address) if address else ThreadPoolExecutor(os.cpu_count() or 1, "kernel")


def _cluster(address: str) -> Executor:
    try:
        from distributed import Client
    except ImportError:
        raise BadSetting(
            'GDP_DASK_SCHEDULER is set, and Dask is not installed: pip install "dask[distributed]", or unset it.'
        ) from None
    try:
        client = Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise Unavailable(
            f"The Dask scheduler at {address} does not answer: start it, or unset GDP_DASK_SCHEDULER."
        ) from None
    found: Executor = client.get_executor(pure=False, retries=_RETRIES)
    return found


def over(
    timeline: Timeline, run: Callable[[int, Shard], Result], executor: Executor | None = None
) -> list[tuple[int, int, Result]]:
    """(shard, index of its first person in the shard, what `run(shard number, part)` found) of every part, in order.

    Parts of a shard hold about equally many rows and share its arrays.
    """
    jobs = []
    for number, shard in enumerate(timeline.shards):
        for first, last in _cuts(shard):
            jobs.append((number, first, shard.part(first, last)))
    if len(jobs) == 1:
        return [(number, first, run(number, part)) for number, first, part in jobs]
    chosen = executor or workers()
    waiting = [(number, first, chosen.submit(run, number, part)) for number, first, part in jobs]
    return [(number, first, found.result()) for number, first, found in waiting]


def _cuts(shard: Shard) -> list[tuple[int, int]]:
    """Ranges of people with about equally many rows."""
    people = len(shard.people)
    if not people:
        return []
    parts = max(1, min(_PARTS, shard.rows // _WORTH_A_PART))
    rows = np.linspace(shard.offsets[0], shard.offsets[-1], parts + 1)[1:-1]
    inner = np.searchsorted(shard.offsets, rows)
    edges = sorted({0, people, *(int(edge) for edge in inner)})
    return [(first, last) for first, last in itertools.pairwise(edges) if last > first]
