"""Turns the rules of segments into masks over people, all of the same facts: what they share is asked once, different
conditions are asked side by side. One that cannot be evaluated says so and leaves the others alone.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from gdp_core.errors import GrowthError, Unavailable
from gdp_core.segments.conditions import Condition
from gdp_core.segments.conditions.base import Mask
from gdp_core.segments.facts import Facts
from gdp_core.segments.rules import reachable

_THREADS = os.cpu_count() or 1
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """Who is in a segment, over facts.timeline.numbers; None where `error` says why that cannot be told.

    `seconds` are those of its conditions, also of such as other segments share.
    """

    members: Mask | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """How long a condition took, and why it has no answer."""

    seconds: float
    error: str | None = None


def evaluate(facts: Facts, keys: Iterable[str], *, threads: int = _THREADS) -> dict[str, Evaluated]:
    """Who is in each of these segments of facts.surroundings.rules. Raises Unavailable when the lake stands still."""
    needed = {key: _conditions(facts, key) for key in keys}
    distinct = {name: condition for conditions in needed.values() for name, condition in conditions.items()}
    asked = _ask(facts, distinct, threads)
    return {key: _evaluated(facts, key, [asked[name] for name in conditions]) for key, conditions in needed.items()}


def _conditions(facts: Facts, key: str) -> dict[str, Condition]:
    """The conditions that decide a segment, those of the segments it is made of too."""
    rules = facts.surroundings.rules
    return {
        condition.key: condition
        for made_of in reachable(rules, key)
        for _, condition in rules[made_of].conditions()
        if not condition.uses.segments
    }


def _ask(facts: Facts, conditions: Mapping[str, Condition], threads: int) -> dict[str, _Asked]:
    def one(item: tuple[str, Condition]) -> _Asked:
        key, condition = item
        began = time.perf_counter()
        try:
            facts.mask(("leaf", key), lambda: condition.holds(facts))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this condition
            return _Asked(time.perf_counter() - began, _sentence(error))
        return _Asked(time.perf_counter() - began)

    if threads == 1 or len(conditions) < 2:
        return dict(zip(conditions, map(one, conditions.items()), strict=True))
    with ThreadPoolExecutor(threads, "conditions") as pool:
        return dict(zip(conditions, pool.map(one, conditions.items()), strict=True))


def _evaluated(facts: Facts, key: str, asked: Sequence[_Asked]) -> Evaluated:
    seconds = sum(one.seconds for one in asked)
    error = next((one.error for one in asked if one.error), None)
    if error:
        return Evaluated(None, seconds, error)
    try:
        return Evaluated(facts.belongs(key), seconds)
    except Exception as caught:  # noqa: BLE001 - whatever it is, it is of this segment
        return Evaluated(None, seconds, _sentence(caught))


def _sentence(error: Exception) -> str:
    if isinstance(error, GrowthError):
        return str(error)
    log.error("a condition failed", action="segment.failed", exc_info=error)
    return f"This segment cannot be evaluated ({type(error).__name__}): change its rule, or tell us about it."
