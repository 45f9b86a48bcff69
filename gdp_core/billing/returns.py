"""Money that went back: refunds and disputes of one owner, each counted once.

Stripe tells of a refund twice, as a refund object and as the growing `amount_refunded` of its charge, and either may be
missing. Refund objects are believed first; what a charge says beyond them becomes rows of its own, dated by the version
of the charge that said so. What lowers revenue is only what was revenue: payments of paid invoices and checkouts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from gdp_core.billing import shapes
from gdp_core.billing.rows import Data, InvoiceRow, Owner, RefundRow, State
from gdp_core.billing.versions import first_showing, happened_at
from gdp_core.money import from_minor
from gdp_core.sources.facts import Identifier

Versions = Mapping[str, Sequence[State]]
_GIVEN_BACK = frozenset({"succeeded", "pending"})
# A debit takes days from charge to paid invoice.
_SAME_PAYMENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class _Return:
    """A refund, or part of one that only the charge tells of."""

    id: str
    data: Data
    amount: int
    at: datetime
    status: str
    happened: bool


class Payments:
    """Which invoice or checkout a charge or payment intent paid."""

    def __init__(self, paid: Mapping[str, InvoiceRow], charges: Versions, payments: Versions) -> None:
        self._documents = paid
        self._by_payment: dict[str, str] = {}
        for document, row in sorted(paid.items()):
            for payment in row.payments:
                self._by_payment.setdefault(payment, document)
        for versions in payments.values():
            link = versions[-1].data
            if (document := shapes.ref(link.get("invoice")) or "") in paid:
                self._by_payment.update(dict.fromkeys(shapes.payment_ids(link), document))
        for charge_id, versions in charges.items():
            self._link_charge(charge_id, versions[-1].data)
        self._infer(charges)

    def document(self, *payments: str | None) -> InvoiceRow | None:
        """What the first known of these ids paid."""
        for payment in payments:
            if payment is not None and (document := self._by_payment.get(payment)):
                return self._documents[document]
        return None

    def _link_charge(self, charge_id: str, charge: Data) -> None:
        intent = shapes.ref(charge.get("payment_intent"))
        document = shapes.ref(charge.get("invoice")) or ""
        known = document if document in self._documents else self._by_payment.get(intent or "")
        known = known or self._by_payment.get(charge_id)
        if known:
            self._by_payment[charge_id] = known
            if intent:
                self._by_payment[intent] = known

    def _infer(self, charges: Versions) -> None:
        """Newer charges do not name their invoice: same amount, same currency, closest in time, each invoice once."""
        settled = set(self._by_payment.values())
        open_documents = [(key, row) for key, row in self._documents.items() if key not in settled and row.paid_at]
        candidates = []
        for charge_id, versions in charges.items():
            charge = versions[-1].data
            made = shapes.instant(charge.get("created"))
            if charge_id in self._by_payment or made is None or charge.get("status") == "failed":
                continue
            code = shapes.currency(charge.get("currency"))
            amount = shapes.micros(charge.get("amount"), code)
            for key, row in open_documents:
                apart = abs(row.paid_at - made) if row.paid_at else _SAME_PAYMENT
                if (row.amount_paid_micros, row.currency) == (amount, code) and apart < _SAME_PAYMENT:
                    candidates.append((apart, charge_id, key))
        for _, charge_id, key in sorted(candidates):
            if charge_id not in self._by_payment and key not in settled:
                settled.add(key)
                self._by_payment[charge_id] = key
                if intent := shapes.ref(charges[charge_id][-1].data.get("payment_intent")):
                    self._by_payment.setdefault(intent, key)


def returned(
    owner: Owner,
    actor: Identifier | None,
    *,
    charges: Versions,
    refunds: Versions,
    disputes: Versions,
    payments: Payments,
) -> list[RefundRow]:
    """Every refund and dispute of an owner as a row."""
    charge_of_intent = {
        intent: charge_id
        for charge_id, v in charges.items()
        if (intent := shapes.ref(v[-1].data.get("payment_intent")))
    }
    grouped: dict[str, dict[str, Sequence[State]]] = {charge_id: {} for charge_id in charges}
    for refund_id, versions in refunds.items():
        data = versions[-1].data
        intent = shapes.ref(data.get("payment_intent"))
        payment = shapes.ref(data.get("charge")) or charge_of_intent.get(intent or "", intent) or refund_id
        grouped.setdefault(payment, {})[refund_id] = versions
    rows = []
    for payment, of_payment in grouped.items():
        charge = charges.get(payment, ())
        for found in _refunds(payment, charge, of_payment):
            rows.append(_row(owner, actor, "refund", found, charge, payment, payments))
    for dispute_id, versions in disputes.items():
        data = versions[-1].data
        payment = shapes.ref(data.get("charge")) or ""
        rows.append(
            _row(owner, actor, "dispute", _dispute(dispute_id, versions), charges.get(payment, ()), payment, payments)
        )
    return rows


def _refunds(charge_id: str, charge: Sequence[State], objects: Mapping[str, Sequence[State]]) -> list[_Return]:
    found = [_refund(refund_id, versions) for refund_id, versions in sorted(objects.items())]
    embedded = [e for v in charge for e in shapes.listed(v.data.get("refunds")) if shapes.ref(e)]
    for entry in {str(e["id"]): e for e in embedded if str(e["id"]) not in objects}.values():
        found.append(_embedded(entry, charge[-1].occurred_at))
    return [*found, *_untold(charge_id, charge, found, objects)]


def _refund(refund_id: str, versions: Sequence[State]) -> _Return:
    data = versions[-1].data
    status = shapes.text(data.get("status")) or "succeeded"
    at = shapes.instant(data.get("created")) or versions[0].occurred_at
    return _Return(refund_id, data, shapes.number(data.get("amount")) or 0, at, status, status in _GIVEN_BACK)


def _embedded(data: Data, seen_at: datetime) -> _Return:
    status = shapes.text(data.get("status")) or "succeeded"
    at = shapes.instant(data.get("created")) or seen_at
    return _Return(str(data["id"]), data, shapes.number(data.get("amount")) or 0, at, status, status in _GIVEN_BACK)


def _untold(
    charge_id: str, charge: Sequence[State], told: Sequence[_Return], objects: Mapping[str, Sequence[State]]
) -> Iterator[_Return]:
    """What the charge says was refunded beyond the refunds that are known, at the version that first said so."""
    if not charge:
        return
    last = charge[-1]
    missing = (shapes.number(last.data.get("amount_refunded")) or 0) - sum(
        refund.amount for refund in told if refund.at <= last.occurred_at and _was_in(refund, objects, last.occurred_at)
    )
    reached, spare, before = 0, 0, None
    for version in charge:
        cumulative = shapes.number(version.data.get("amount_refunded")) or 0
        if cumulative <= reached or missing <= 0:
            continue
        spare += sum(r.amount for r in told if (before is None or r.at > before) and r.at <= version.occurred_at)
        grown = cumulative - reached
        amount = min(max(grown - spare, 0), missing)
        reached, spare, before = cumulative, max(spare - grown, 0), version.occurred_at
        if amount > 0:
            missing -= amount
            yield _Return(f"{charge_id}:{cumulative}", version.data, amount, version.occurred_at, "succeeded", True)
    if missing > 0:
        yield _Return(f"{charge_id}:rest", last.data, missing, last.occurred_at, "succeeded", True)


def _was_in(refund: _Return, objects: Mapping[str, Sequence[State]], at: datetime) -> bool:
    """Whether the charge's total of that instant held this refund: it did until the refund had failed."""
    if refund.happened:
        return True
    versions = objects.get(refund.id, ())
    failed = [v.occurred_at for v in versions if shapes.text(v.data.get("status")) not in _GIVEN_BACK]
    return bool(failed) and min(failed) > at


def _dispute(dispute_id: str, versions: Sequence[State]) -> _Return:
    data = versions[-1].data
    status = shapes.text(data.get("status")) or "unknown"
    opened = shapes.instant(data.get("created")) or versions[0].occurred_at
    lost = first_showing(versions, "status", "lost")
    at = happened_at(lost, opened) if lost else opened  # the bank took the money when it was opened
    amount = shapes.number(data.get("amount")) or 0
    return _Return(dispute_id, data, amount, at, status, status == "lost")


def _row(
    owner: Owner,
    actor: Identifier | None,
    kind: Literal["refund", "dispute"],
    found: _Return,
    charge: Sequence[State],
    payment: str,
    payments: Payments,
) -> RefundRow:
    facts = charge[-1].data if charge else {}
    intent = shapes.ref(found.data.get("payment_intent")) or shapes.ref(facts.get("payment_intent"))
    document = payments.document(payment, intent)
    code = shapes.currency(found.data.get("currency") or facts.get("currency"))
    return RefundRow(
        id=owner.row_id(f"{kind}:{found.id}"),
        workspace_id=owner.workspace_id,
        source_id=owner.source_id,
        actor=actor,
        kind=kind,
        stripe_refund_id=found.id,
        stripe_charge_id=payment if charge else shapes.ref(found.data.get("charge")),
        stripe_payment_intent_id=intent,
        invoice_id=document.id if document else None,
        stripe_subscription_id=document.stripe_subscription_id if document else None,
        amount_micros=from_minor(found.amount, code),
        currency=code,
        status=found.status,
        reason=shapes.text(found.data.get("reason")),
        counts=found.happened and document is not None,
        refunded_at=found.at,
    )
