"""A length of time as people say it: 30 s, 15 min, 1 h, 7 d, 2 w, 1 mo. Not the calendar: a day is 24 h, a month 30 d."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from gdp_core.errors import InvalidInput

Unit = Literal["s", "min", "h", "d", "w", "mo"]
_SECONDS: dict[Unit, int] = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "mo": 30 * 86_400}
_LONGEST = 3660 * 86_400
_TEXT = re.compile(r"\s*([0-9]{1,9})\s*([a-z]+)\s*")


@dataclass(frozen=True, slots=True)
class Window:
    """So many of a unit, at most ten years."""

    amount: int
    unit: Unit

    def __post_init__(self) -> None:
        """Raise InvalidInput for no time at all, and for more than ten years."""
        if self.unit not in _SECONDS:
            raise InvalidInput(f"There is no unit {self.unit!r}; use one of {', '.join(get_args(Unit))}.")
        if self.amount < 1:
            raise InvalidInput("A window needs a length of at least 1, like 1h or 14d.")
        if self.amount * _SECONDS[self.unit] > _LONGEST:
            raise InvalidInput("A window can be ten years long at most.")

    @classmethod
    def parse(cls, text: str) -> "Window":
        """From "1h" or "14 d". Raises InvalidInput."""
        found = _TEXT.fullmatch(text.lower())
        if not found or found[2] not in _SECONDS:
            raise InvalidInput(f"{text!r} is no window; write a number and s, min, h, d, w or mo, like 1h or 14d.")
        return cls(int(found[1]), found[2])

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        return f"{self.amount}{self.unit}"

    @property
    def micros(self) -> int:
        """Its length in microseconds."""
        return self.amount * _SECONDS[self.unit] * 1_000_000
