"""Ids that sort by time (UUID version 7), so that rows made together lie together."""

import os
from datetime import datetime
from uuid import UUID

_LOW_62 = (1 << 62) - 1


def time_ordered(at: datetime) -> UUID:
    """A new id made at `at`; of two ids the one made a millisecond earlier is smaller."""
    milliseconds = int(at.timestamp() * 1000)
    noise = int.from_bytes(os.urandom(10), "big")
    return UUID(int=(milliseconds << 80) | (7 << 76) | ((noise >> 68) << 64) | (2 << 62) | (noise & _LOW_62))
