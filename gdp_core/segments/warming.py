"""Every kernel that rules run is compiled before anybody asks, after those of reports: `python -m gdp_core.segments.warming`.

See gdp_core/analytics/warming.py.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gdp_core.analytics import warming
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import read
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.some import some

_A, _B = {"names": ["a"]}, {"names": ["b"], "where": [{"field": "number", "values": [1]}]}
_TIMES: tuple[dict[str, Any], ...] = ({}, {"last": "7d", "ago": "1d"}, {"after": "signup_at", "during": "7d"})


def _conditions() -> Iterator[dict[str, Any]]:
    for event, when in product((_A, _B, {}), _TIMES):
        yield {"kind": "performed", "event": event, "when": when}
        yield {"kind": "performed", "event": event, "when": when, "how": "first"}
    for by, when in product(("sum", "average", "min", "max", "distinct"), _TIMES):
        yield {"kind": "amount", "event": _A, "field": "number", "by": by, "when": when}
    for same in (None, "number"):
        yield {"kind": "not_since", "event": _A, "other": _B, "same": same}
        for followed, when in product((True, False), _TIMES):
            yield {"kind": "sequence", "event": _A, "then": _B, "same": same, "followed": followed, "when": when}
    yield {"kind": "stopped", "event": _A}
    yield {"kind": "resumed", "event": _A}
    yield {"kind": "regularly", "event": _A}
    yield {"kind": "email"}
    yield {"kind": "consent"}
    yield {"kind": "consent", "channel": "sms", "topic": "news", "state": "unknown"}
    yield {"kind": "deal", "stages": ["won"]}
    yield {"kind": "deal", "stages": ["won"], "least": "7d"}


def ask(timeline: Timeline) -> None:
    """Ask conditions of every kind that runs a kernel, of everybody and of some alone, as a cycle does."""
    rule = read({"match": {"kind": "any", "of": list(_conditions())}})
    for people in (timeline, some(timeline, np.arange(timeline.people))):
        rule.holds(Facts(people, timeline.watermark, Surroundings(ZoneInfo("UTC"))))


if __name__ == "__main__":
    warming.main([ask])
