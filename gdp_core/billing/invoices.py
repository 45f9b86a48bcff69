"""Rows of what was asked for and paid: invoices, and paid one-off checkouts that made no invoice."""

from collections.abc import Sequence

from gdp_core.billing import shapes
from gdp_core.billing.rows import InvoiceRow, Owner, State
from gdp_core.billing.versions import first_showing, happened_at, is_ambiguous
from gdp_core.money import from_minor
from gdp_core.sources.facts import Identifier

_STATUSES = frozenset({"draft", "open", "paid", "uncollectible", "void"})


def invoice_row(owner: Owner, actor: Identifier | None, versions: Sequence[State]) -> InvoiceRow:
    """An invoice from its versions, oldest first."""
    last = versions[-1]
    data = last.data
    code = shapes.currency(data.get("currency"))
    status = shapes.invoice_status(data)
    passed = shapes.mapping(data.get("status_transitions"))
    paid_at = None
    if status == "paid":
        first = next(v for v in versions if shapes.invoice_status(v.data) == "paid")
        paid_at = shapes.instant(passed.get("paid_at")) or happened_at(first, shapes.instant(data.get("created")))
    return InvoiceRow(
        id=owner.row_id(f"invoice:{last.id}"),
        workspace_id=owner.workspace_id,
        source_id=owner.source_id,
        actor=actor,
        kind="invoice",
        stripe_invoice_id=last.id,
        stripe_customer_id=shapes.ref(data.get("customer")),
        stripe_subscription_id=shapes.invoice_subscription(data),
        number=shapes.text(data.get("number")),
        status=status if status in _STATUSES else "unknown",
        billing_reason=shapes.text(data.get("billing_reason")),
        currency=code,
        subtotal_micros=shapes.micros(data.get("subtotal"), code),
        discount_micros=from_minor(shapes.invoice_discount(data), code),
        tax_micros=from_minor(shapes.invoice_tax(data), code),
        total_micros=shapes.micros(data.get("total"), code),
        amount_due_micros=shapes.micros(data.get("amount_due"), code),
        amount_paid_micros=from_minor(shapes.invoice_paid(data), code),
        amount_remaining_micros=shapes.micros(data.get("amount_remaining"), code),
        returned_micros=0,
        attempt_count=shapes.number(data.get("attempt_count")) or 0,
        next_payment_attempt=shapes.instant(data.get("next_payment_attempt")),
        created_at=shapes.instant(data.get("created")),
        finalized_at=shapes.instant(passed.get("finalized_at")),
        due_at=shapes.instant(data.get("due_date")),
        paid_at=paid_at,
        voided_at=shapes.instant(passed.get("voided_at")),
        marked_uncollectible_at=shapes.instant(passed.get("marked_uncollectible_at")),
        payments=tuple(sorted({payment for v in versions for payment in shapes.invoice_payments(v.data)})),
        needs_refetch=is_ambiguous(versions),
        metadata=dict(shapes.mapping(data.get("metadata"))),
    )


def checkout_row(owner: Owner, actor: Identifier | None, versions: Sequence[State]) -> InvoiceRow | None:
    """A paid one-off checkout without an invoice; None for any other session."""
    last = versions[-1]
    data = last.data
    first = first_showing(versions, "payment_status", "paid")
    if first is None or data.get("mode") != "payment" or any(shapes.ref(v.data.get("invoice")) for v in versions):
        return None
    code = shapes.currency(data.get("currency"))
    total = shapes.micros(data.get("amount_total"), code)
    details = shapes.mapping(data.get("total_details"))
    created = shapes.instant(data.get("created"))
    paid_at = happened_at(first, created)
    return InvoiceRow(
        id=owner.row_id(f"invoice:{last.id}"),
        workspace_id=owner.workspace_id,
        source_id=owner.source_id,
        actor=actor,
        kind="checkout",
        stripe_invoice_id=last.id,
        stripe_customer_id=shapes.ref(data.get("customer")),
        stripe_subscription_id=None,
        number=None,
        status="paid",
        billing_reason=None,
        currency=code,
        subtotal_micros=shapes.micros(data.get("amount_subtotal"), code),
        discount_micros=shapes.micros(details.get("amount_discount"), code),
        tax_micros=shapes.micros(details.get("amount_tax"), code),
        total_micros=total,
        amount_due_micros=total,
        amount_paid_micros=total,
        amount_remaining_micros=0,
        returned_micros=0,
        attempt_count=1,
        next_payment_attempt=None,
        created_at=created,
        finalized_at=None,
        due_at=None,
        paid_at=paid_at,
        voided_at=None,
        marked_uncollectible_at=None,
        payments=tuple(sorted({p for v in versions if (p := shapes.ref(v.data.get("payment_intent")))})),
        needs_refetch=is_ambiguous(versions),
        metadata=dict(shapes.mapping(data.get("metadata"))),
    )
