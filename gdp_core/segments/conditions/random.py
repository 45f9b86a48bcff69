"""A stable random share of people: who is in it stays in it."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gdp_core.segments.conditions.base import Condition, Evidence, Instants, Mask, Name, Names, joined, wrong

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Random(Condition):
    """A person's place, in percent from 0 to 100, is at least `low` and less than `high`. Each `seed` deals anew.

    The place follows from the seed and the person's number, so it is the same on every machine and for ever. Two shares of one
    seed do not overlap where their bounds do not.
    """

    title = "A random share"
    icon = "casino"
    help = "A stable random percentage of people, the same ones every time."

    kind: Literal["random"] = "random"
    low: Percent = 0.0
    high: Percent = 10.0
    seed: Name = "1"

    @model_validator(mode="after")
    def _possible(self) -> "Random":
        if self.low >= self.high:
            raise wrong("high", "The share ends before it begins: make the second number greater.")
        return self

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        places = place_of(facts.timeline.numbers, self.seed)
        return np.asarray((places >= self.low) & (places < self.high))

    def sentence(self, names: Names) -> str:
        """See Condition."""
        told = [] if self.low == 0 else [f"from {self.low:,.10g} to {self.high:,.10g}"]
        told += [] if self.seed == "1" else [f"draw {self.seed}"]
        return f"are in a random {self.high - self.low:,.10g} %{f' ({joined(told)})' if told else ''}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition. Time changes nothing."""
        yield from ()

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        place = float(place_of(facts.timeline.numbers, self.seed)[0])
        return Evidence(f"place {place:.2f} of 100", f"{place:.2f}", f"{self.low:g} to {self.high:g}")


def place_of(numbers: NDArray[np.int64], seed: str) -> NDArray[np.float64]:
    """The place of people, by their lasting numbers, from 0 to less than 100: splitmix64 of the number and the seed."""
    start = np.uint64(int.from_bytes(blake2b(seed.encode(), digest_size=8).digest(), "big"))
    with np.errstate(over="ignore"):
        found = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found = found ^ (found >> np.uint64(31))
    return (found >> np.uint64(11)).astype(np.float64) * (100 / 2**53)
