"""From the versions of a customer's subscriptions to the ledger of MRR changes.

Owns when a subscription counted, and the movement of each change. Refuses the clock: nothing happens before Stripe has
said that it did, so the ledger ends with the newest state.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from gdp_core.billing import shapes
from gdp_core.billing.discounts import DiscountBook
from gdp_core.billing.mrr import MrrSettings, counts, rounded, value_of
from gdp_core.billing.rows import Data, Movement, MrrChangeRow, Owner, Reason, State
from gdp_core.sources.facts import Identifier

_INVOLUNTARY = frozenset({"payment_failed", "payment_disputed"})
_NOT_YET = frozenset({None, "trialing"})


@dataclass(frozen=True, slots=True)
class Step:
    """From `at` on the subscription is as `data` says, and counts or does not."""

    at: datetime
    data: Data
    counts: bool
    reason: Reason | None = None  # why it stopped counting


def status_of(data: Data) -> str | None:
    """Stripe's own word."""
    return shapes.text(data.get("status"))


def started_at(data: Data) -> datetime | None:
    """When the subscription began, which may be before it was made (backdated)."""
    return shapes.instant(data.get("start_date")) or shapes.instant(data.get("created"))


def ended_at(data: Data) -> datetime | None:
    """When access ended, for one that is cancelled."""
    if status_of(data) != "canceled":
        return None
    return shapes.instant(data.get("ended_at")) or shapes.instant(data.get("canceled_at"))


def end_reason(versions: Sequence[State]) -> Reason | None:
    """Why it ended: the customer's wish or failed payments. Old objects do not say and are judged by what came before."""
    last = versions[-1].data
    status = status_of(last)
    if status == "unpaid":
        return "involuntary"
    if status != "canceled":
        return None
    stated = shapes.text(shapes.mapping(last.get("cancellation_details")).get("reason"))
    if stated:
        return "involuntary" if stated in _INVOLUNTARY else "voluntary"
    before = next((v.data for v in reversed(versions) if status_of(v.data) != "canceled"), {})
    asked = before.get("cancel_at_period_end") is True or before.get("cancel_at") or last.get("cancel_at_period_end")
    return "involuntary" if status_of(before) in {"past_due", "unpaid"} and not asked else "voluntary"


def steps(versions: Sequence[State]) -> list[Step]:
    """When one subscription counted, from its versions in order. What was missed is filled in from its own dates.

    A first version that is already active counts from max(start, end of trial); one that is already cancelled counts
    until it ended, unless it ended in its trial. One that was never paid for the first time never counted.
    """
    found: list[Step] = []
    for index, version in enumerate(versions):
        data = version.data
        before = status_of(versions[index - 1].data) if index else None
        if counts(status_of(data)):
            at = version.occurred_at if index and before != "trialing" else _from(data, version.occurred_at)
            found.append(Step(at, data, True))
            continue
        at = min(ended_at(data) or version.occurred_at, version.occurred_at)
        if ended_at(data) and before in _NOT_YET and (start := _converted(data)) and start < at:
            found.append(Step(start, data, True))
        found.append(Step(at, data, False, end_reason(versions[: index + 1])))
    return _in_order(found)


def _from(data: Data, seen_at: datetime) -> datetime:
    begun = [instant for instant in (started_at(data), shapes.instant(data.get("trial_end"))) if instant]
    return min(max(begun, default=seen_at), seen_at)


def _converted(data: Data) -> datetime | None:
    """When a subscription of which only the end is known began to count; None if its trial was all there was."""
    start = started_at(data)
    trial_end = shapes.instant(data.get("trial_end"))
    period_end = shapes.period(data)[1]
    if start is None or (trial_end and period_end and period_end <= trial_end):
        return None
    return max(start, trial_end) if trial_end else start


def _in_order(found: list[Step]) -> list[Step]:
    """Never back in time: a version counts from its predecessor's instant at the earliest."""
    ordered: list[Step] = []
    for step in found:
        at = max(step.at, ordered[-1].at) if ordered else step.at
        ordered.append(Step(at, step.data, step.counts, step.reason))
    return ordered


@dataclass(frozen=True, slots=True)
class _Change:
    at: datetime
    currency: str
    before: int
    after: int
    movement: Movement
    steps: Mapping[str, Step]  # what changed, by subscription


def ledger(
    owner: Owner,
    actor: Identifier | None,
    subscriptions: Mapping[str, Sequence[State]],
    book: DiscountBook,
    settings: MrrSettings,
    horizon: datetime,
) -> list[MrrChangeRow]:
    """The changes of one customer's MRR up to `horizon`, oldest first; all that happens at one instant is one change."""
    plans = {subscription_id: steps(versions) for subscription_id, versions in subscriptions.items()}
    edges = {edge for edge in _discount_edges(book, plans, settings) if edge <= horizon}
    return [
        MrrChangeRow(
            id=owner.row_id(f"mrr_change:{owner.id}:{change.currency}:{change.at.isoformat()}"),
            workspace_id=owner.workspace_id,
            source_id=owner.source_id,
            actor=actor,
            stripe_customer_id=owner.id,
            currency=change.currency,
            changed_at=change.at,
            before_micros=change.before,
            after_micros=change.after,
            movement=change.movement,
            amount_micros=abs(change.after - change.before),
            reason=_reason(change),
            stripe_subscription_ids=tuple(sorted(change.steps)),
        )
        for change in _changes(plans, edges, book, settings)
    ]


def _changes(
    plans: Mapping[str, Sequence[Step]], edges: set[datetime], book: DiscountBook, settings: MrrSettings
) -> Iterator[_Change]:
    current: dict[str, Step] = {}
    worth: dict[str, tuple[str, Fraction]] = {}
    totals: dict[str, int] = {}
    ever = False
    arriving = _by_instant(plans)
    for at in sorted(arriving.keys() | edges):
        current |= arriving.get(at, {})
        touched = current if at in edges else arriving[at]
        changed = {}
        for subscription_id, step in touched.items():
            now = _worth(step, book, settings, at)
            if now != worth.get(subscription_id, (now[0], Fraction(0))):
                changed[subscription_id] = step
            worth[subscription_id] = now
        before, totals = totals, _totals(worth)
        for currency in sorted(before.keys() | totals.keys()):
            was, after = before.get(currency, 0), totals.get(currency, 0)
            if was != after:
                yield _Change(at, currency, was, after, movement(was, after, ever), changed)
        ever = ever or any(totals.values())


def _by_instant(plans: Mapping[str, Sequence[Step]]) -> dict[datetime, dict[str, Step]]:
    """The last step of each subscription at each instant."""
    arriving: dict[datetime, dict[str, Step]] = {}
    for subscription_id, plan in plans.items():
        for step in plan:
            arriving.setdefault(step.at, {})[subscription_id] = step
    return arriving


def _discount_edges(book: DiscountBook, plans: Mapping[str, Sequence[Step]], settings: MrrSettings) -> set[datetime]:
    """Instants at which discounts begin or end although no subscription got a new version."""
    edges = book.instants()
    if settings.net_of_all_discounts:
        for step in (step for plan in plans.values() for step in plan):
            things = [step.data, *shapes.items(step.data)]
            listed = [shapes.mapping(entry) for thing in things for entry in shapes.discounts(thing)]
            ends = [shapes.period(step.data)[1], *(shapes.instant(entry.get("end")) for entry in listed)]
            edges |= {end for end in ends if end}
    return edges


def _worth(step: Step, book: DiscountBook, settings: MrrSettings, at: datetime) -> tuple[str, Fraction]:
    value = value_of(step.data, book, settings, at)
    return value.currency, value.monthly if step.counts else Fraction(0)


def _totals(worth: Mapping[str, tuple[str, Fraction]]) -> dict[str, int]:
    exact: dict[str, Fraction] = {}
    for currency, monthly in worth.values():
        exact[currency] = exact.get(currency, Fraction(0)) + monthly
    return {currency: rounded(total) for currency, total in exact.items()}


def movement(before: int, after: int, ever: bool) -> Movement:
    """The word for a change; `ever` when the customer has had MRR before."""
    if before == 0:
        return "reactivation" if ever else "new"
    if after == 0:
        return "churn"
    return "expansion" if after > before else "contraction"


def _reason(change: _Change) -> Reason | None:
    """For a loss, whether the customer wanted it: one involuntary end makes it so."""
    reasons = {step.reason for step in change.steps.values()}
    if change.movement not in {"churn", "contraction"}:
        return None
    if "involuntary" in reasons:
        return "involuntary"
    return "voluntary" if change.movement == "churn" or "voluntary" in reasons else None
