"""Growing delays after failed attempts, per key (an address, an account), in this process's bounded memory."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

_FIRST_DELAY = timedelta(seconds=15)
_LONGEST_DELAY = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)


def delay_after(failures: int, *, free: int) -> timedelta:
    """How long to wait after that many failures: nothing for the first `free`, then 15 s, 30 s, ... 15 min."""
    if failures < free:
        return timedelta(0)
    return min(_FIRST_DELAY * (1 << min(failures - free, 10)), _LONGEST_DELAY)


@dataclass(slots=True)
class _Record:
    failures: int
    until: datetime


class Throttle:
    """Counts attempts before they are made, so that many at once get no more tries than one after the other."""

    def __init__(self, *, free: int, size: int = 10_000) -> None:
        self._free = free
        self._size = size
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, key: str, now: datetime) -> timedelta:
        """Count an attempt. Zero: go ahead; else refuse, and how long the key has to wait."""
        with self._lock:
            record = self._records.get(key)
            if record is None or record.until + FORGOTTEN_AFTER < now:
                record = self._records[key] = _Record(0, now)
            self._records.move_to_end(key)
            while len(self._records) > self._size:
                self._records.popitem(last=False)
            if record.until > now:
                return record.until - now
            record.failures += 1
            record.until = now + delay_after(record.failures, free=self._free)
            return timedelta(0)

    def succeeded(self, key: str, now: datetime) -> None:
        """Take back the attempt that turned out well; the failures before it stay, or one's own account would wash
        away the guesses at others."""
        with self._lock:
            record = self._records.get(key)
            if record is not None:
                record.failures -= 1
                record.until = now
