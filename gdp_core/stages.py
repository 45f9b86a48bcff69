"""Which stage a person was in, and when: a function of what happened and of time alone.

Stage is the first that holds: active (pays now), churned (paid once, pays nothing now), trial (a trialing subscription,
or signed up and never paid within the trial window), dormant (known, silent for a while), marketing (a campaign touch,
not signed up), lead (known). A visitor nobody knows has none. Definitions: design, section 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Life:
    """What the stage of a person depends on; instants are aware UTC, sequences in order."""

    known_at: datetime | None = None  # first known by an id, e-mail or phone
    signup_at: datetime | None = None
    paid_at: datetime | None = None  # first payment of any kind
    touched_at: datetime | None = None  # first campaign touch or human click
    mrr: Sequence[tuple[datetime, int]] = ()  # (changed at, MRR from then on)
    trials: Sequence[tuple[datetime, datetime]] = ()  # trialing subscriptions: from, until
    silences: Sequence[tuple[datetime, datetime | None]] = ()  # gaps longer than the limit: last act before, next act


@dataclass(frozen=True, slots=True)
class Windows:
    """A workspace's thresholds."""

    trial: timedelta
    dormant: timedelta


class Change(NamedTuple):
    """The person entered `stage` at `at`."""

    at: datetime
    stage: str


def history(life: Life, windows: Windows, now: datetime) -> tuple[list[Change], datetime | None]:
    """Every stage entered up to `now`, and the next instant at which time alone may change it (None: never)."""
    changes: list[Change] = []
    instants = _instants(life, windows)
    for at in instants:
        if at > now:
            return changes, at
        stage = stage_at(life, windows, at)
        if stage is not None and (not changes or changes[-1].stage != stage):
            changes.append(Change(at, stage))
    return changes, None


def stage_at(life: Life, windows: Windows, at: datetime) -> str | None:
    """The stage at an instant."""
    paying = 0
    ever_paid = False
    for changed_at, after in life.mrr:
        if changed_at <= at:
            paying = after
            ever_paid = ever_paid or after > 0
    if paying > 0:
        return "active"
    if ever_paid:
        return "churned"
    signed_up = life.signup_at is not None and life.signup_at <= at
    if any(begin <= at < end for begin, end in life.trials):
        return "trial"
    has_paid = life.paid_at is not None and life.paid_at <= at
    if signed_up and not has_paid and at < life.signup_at + windows.trial:  # type: ignore[operator]
        return "trial"
    if life.known_at is not None and life.known_at <= at and _is_silent(life, windows, at):
        return "dormant"
    if life.touched_at is not None and life.touched_at <= at and not signed_up:
        return "marketing"
    return "lead" if life.known_at is not None and life.known_at <= at else None


def _is_silent(life: Life, windows: Windows, at: datetime) -> bool:
    return any(last + windows.dormant <= at and (back is None or at < back) for last, back in life.silences)


def _instants(life: Life, windows: Windows) -> list[datetime]:
    instants = {at for at in (life.known_at, life.signup_at, life.paid_at, life.touched_at) if at}
    if life.signup_at:
        instants.add(life.signup_at + windows.trial)
    instants |= {at for at, _ in life.mrr} | {at for trial in life.trials for at in trial}
    for last, back in life.silences:
        instants.add(last + windows.dormant)
        if back:
            instants.add(back)
    return sorted(instants)
