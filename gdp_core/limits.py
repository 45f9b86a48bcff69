"""How often somebody may knock: token buckets in bounded memory."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from gdp_core.errors import Unavailable


class TooMany(Unavailable):
    """Too many requests; slow down."""


class Buckets:
    """One token bucket per key: `burst` at once, `rate` per second after that.

    The keys used longest ago are forgotten beyond `size`, which only ever forgives.
    """

    def __init__(
        self, rate: float, burst: float, *, size: int = 20_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._size = size
        self._clock = clock
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, cost: float = 1.0) -> None:
        """Pay `cost` tokens. Raises TooMany with the seconds until they are there; nothing is paid then."""
        level, now = self._level(key)
        if level < cost:
            raise TooMany(retry_after=min(60.0, (cost - level) / self._rate))
        self._levels[key] = (level - cost, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._size:
            self._levels.popitem(last=False)

    def check(self, key: Hashable) -> None:
        """Raises TooMany when not even one token is left; pays nothing."""
        level, _ = self._level(key)
        if level < 1:
            raise TooMany(retry_after=min(60.0, (1 - level) / self._rate))

    def _level(self, key: Hashable) -> tuple[float, float]:
        now = self._clock()
        level, at = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate), now


@dataclass(frozen=True)
class Limits:
    """Requests per second and at once, by whom. Signed webhooks come last: a vendor retries for days, then gives up."""

    per_key: Buckets
    per_address: Buckets  # browser keys only: servers of one company share an address
    per_hook: Buckets
    failures: Buckets  # unknown keys and wrong signatures, per address

    @staticmethod
    def standard() -> "Limits":
        """Far above what a vendor's client sends, far below what hurts."""
        return Limits(Buckets(2_000, 4_000), Buckets(300, 1_500), Buckets(20_000, 40_000), Buckets(20, 300))
