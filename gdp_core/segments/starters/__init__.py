"""The starter set: twenty segments of two funnels, each with its goal and what is intended for its people.

`base.py` says what a starter is, `newsletter.py` and `outbound.py` hold ten each. Installing one writes a segment that is
turned off: somebody reviews it first. It is a segment like any other from then on.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session

from gdp_core.accounts.roles import Principal
from gdp_core.errors import NotFound
from gdp_core.features.roles import read_matches
from gdp_core.segments import keeping
from gdp_core.segments.keeping import Segment
from gdp_core.segments.starters.base import Given, Setting, Starter, Step, Threshold
from gdp_core.segments.starters.newsletter import NEWSLETTER
from gdp_core.segments.starters.outbound import OUTBOUND_TO_CLOSE

STARTERS: tuple[Starter, ...] = (*NEWSLETTER, *OUTBOUND_TO_CLOSE)
NO_THRESHOLDS: Mapping[str, Mapping[str, Any]] = {}
_BY_KEY = {one.key: one for one in STARTERS}
_LONGEST = 100  # characters of a title that makes way for another of the same name

__all__ = ["STARTERS", "Given", "Setting", "Starter", "Step", "Threshold", "find", "install", "installed"]


def find(key: str) -> Starter:
    """The starter of a key. Raises NotFound."""
    if key not in _BY_KEY:
        raise NotFound(f"There is no starter {key[:60]!r}; there are {', '.join(_BY_KEY)}.")
    return _BY_KEY[key]


def installed(segments: Sequence[Segment]) -> Mapping[str, Segment]:
    """By key, the first of the segments that was made from each starter; of no starter that none was made from."""
    return {one.starter: one for one in reversed(segments) if one.starter is not None}


def install(
    session: Session,
    principal: Principal,
    keys: Iterable[str],
    *,
    thresholds: Mapping[str, Mapping[str, Any]] = NO_THRESHOLDS,
    now: datetime,
) -> list[Segment]:
    """Write the starters of these keys, turned off, but for those that are there already. {key: {threshold: value}}.

    One whose title another segment has gets a number behind it. Raises NotFound, InvalidInput, Forbidden.
    """
    roles, segments = read_matches(session), keeping.list_segments(session)
    there, taken = installed(segments), {one.name for one in segments}
    made = []
    for starter in map(find, dict.fromkeys(keys)):
        if starter.key in there:
            continue
        given = starter.given(roles, thresholds.get(starter.key, {}))
        name = _free(starter.title, taken)
        taken.add(name)
        made.append(
            keeping.create(
                session,
                principal,
                name,
                starter.rule(given),
                description=starter.about,
                enabled=False,
                goal=starter.goal,
                action=starter.action(given),
                starter=starter.key,
                now=now,
            )
        )
    return made


def _free(title: str, taken: set[str]) -> str:
    names = (title, *(f"{title[:_LONGEST]} ({number})" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)
