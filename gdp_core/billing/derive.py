"""Billing of one owner from all its states: a pure function, so any order and any duplicates end the same.

The owner is a Stripe customer, or the checkout session of a guest. What the caller must look up in `object_state`
before it derives (all within one workspace and source instance):

* the owner of an object is `owner_of(its versions)`; when that moves (a guest's session got a customer), the old owner
  and the new one are both derived, and an owner without states derives to nothing;
* an object whose versions name no owner (a refund, a dispute, an invoice payment, a guest's charge) belongs to the
  owner of the object whose id is its `parent_of`, found in the same way, at most three steps up: refund -> charge ->
  payment intent -> session. While the parent is unknown it waits without an owner;
* `catalogue` holds the newest data of the ownerless kinds in CATALOGUE, which all owners share, with what only an
  older version spells out (EXPANDED); when one of them arrives, owners whose rows have `needs_refetch` or an unmapped
  plan are derived again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gdp_core.billing import shapes
from gdp_core.billing.discounts import Catalogue, discount_book
from gdp_core.billing.invoices import checkout_row, invoice_row
from gdp_core.billing.ledger import ledger
from gdp_core.billing.mrr import MrrSettings
from gdp_core.billing.plans import PlanMapping
from gdp_core.billing.returns import Payments, returned
from gdp_core.billing.rows import Billing, Data, InvoiceRow, Owner, RefundRow, State
from gdp_core.billing.story import story
from gdp_core.billing.subscriptions import item_rows, subscription_row
from gdp_core.billing.versions import Objects, is_deleted, versions_of
from gdp_core.sources.facts import Identifier
from gdp_core.sources.stripe import who

CATALOGUE = ("stripe.price", "stripe.product", "stripe.coupon")
EXPANDED = ("tiers", "currency_options", "applies_to")
"""What a GET spells out when it is asked to and a webhook never does."""


def owner_of(versions: Iterable[State]) -> str | None:
    """Who an object belongs to: the customer its newest version with one names, else what any names (a session)."""
    owned = sorted((version for version in versions if version.owner), key=lambda version: version.order)
    customers = [version for version in owned if version.owner and not _is_session(version.owner)]
    return (customers or owned)[-1].owner if owned else None


def _is_session(owner: str) -> bool:
    """A guest's checkout; customers' ids may have any form, as some were brought over from elsewhere."""
    return owner.startswith("cs_")


def parent_of(versions: Iterable[State]) -> str | None:
    """The object that an ownerless object hangs on: what its newest version with one names."""
    named = [version for version in versions if version.parent]
    return max(named, key=lambda version: version.order).parent if named else None


def derive(
    owner: Owner, states: Iterable[State], catalogue: Catalogue, plans: PlanMapping, settings: MrrSettings
) -> Billing:
    """Rows and events of `owner`. States may come in any order and more than once; unknown kinds are passed over."""
    objects = versions_of(states)
    if not objects:
        return Billing(owner)
    actor = _actor(owner, objects)
    customers = [version for versions in objects["stripe.customer"].values() for version in versions]
    catalogue, discounts = _spelled_out(objects, catalogue)
    book = discount_book(objects["stripe.discount"], customers, catalogue, discounts)
    horizon = max(
        version.occurred_at for kind in objects.values() for versions in kind.values() for version in versions
    )
    asked = _invoices(owner, actor, objects)
    refunds = _refunds(owner, actor, objects, asked)
    invoices = _after_returns(asked, refunds)
    of_subscriptions = objects["stripe.subscription"]
    subscriptions = [
        subscription_row(
            owner,
            actor,
            versions,
            book=book,
            plans=plans,
            settings=settings,
            at=horizon,
            invoices=invoices,
            refunds=refunds,
        )
        for versions in of_subscriptions.values()
    ]
    items = [
        row
        for versions in of_subscriptions.values()
        for row in item_rows(owner, versions[-1], book, plans, settings, horizon)
    ]
    events = story(objects, actor, subscriptions, invoices, refunds, horizon)
    return Billing(
        owner=owner,
        actor=actor,
        subscriptions=tuple(sorted(subscriptions, key=lambda row: row.id)),
        items=tuple(sorted(items, key=lambda row: row.id)),
        invoices=tuple(sorted(invoices, key=lambda row: row.id)),
        refunds=tuple(sorted(refunds, key=lambda row: row.id)),
        mrr_changes=tuple(ledger(owner, actor, of_subscriptions, book, settings, horizon)),
        events=tuple(sorted(events, key=lambda event: event.key)),
    )


def _spelled_out(objects: Objects, catalogue: Catalogue) -> tuple[Catalogue, dict[str, Data]]:
    """The catalogue with the prices and coupons that any version spells out, and the discounts any does, by id.

    A GET expands them and a webhook names them: what one version says of them holds for all, or the same subscription
    would be worth this today and that tomorrow.
    """
    known: dict[tuple[str, str], Data] = {}
    discounts: dict[str, Data] = {}
    entries: list[Data] = []
    for version in _in_order(objects, "stripe.subscription"):
        items = shapes.items(version.data)
        for priced in (shapes.mapping(item.get("price")) for item in items):
            if any(priced.get(key) for key in EXPANDED):
                known["stripe.price", shapes.ref(priced) or ""] = priced
        for thing in (version.data, *items):
            entries += [entry for entry in shapes.discounts(thing) if isinstance(entry, dict)]
    entries += [shapes.mapping(version.data.get("discount")) for version in _in_order(objects, "stripe.customer")]
    entries += [version.data for version in _in_order(objects, "stripe.discount")]
    for entry in entries:
        if name := shapes.ref(entry):
            discounts[name] = entry
        coupon = entry.get("coupon") or shapes.mapping(entry.get("source")).get("coupon")
        if isinstance(coupon, dict):
            known["stripe.coupon", shapes.ref(coupon) or ""] = coupon
    return {**catalogue, **{key: {**data, **catalogue.get(key, {})} for key, data in known.items()}}, discounts


def _in_order(objects: Objects, kind: str) -> list[State]:
    found = (version for versions in objects[kind].values() for version in versions)
    return sorted(found, key=lambda version: version.order)


def _actor(owner: Owner, objects: Objects) -> Identifier | None:
    """The customer; for a guest whom the newest version of the checkout names best."""
    if not _is_session(owner.id):
        return Identifier("stripe", owner.id)
    for versions in objects["stripe.checkout.session"].values():
        for version in reversed(versions):
            if named := who(version.data):
                return named[0]
    return None


def _invoices(owner: Owner, actor: Identifier | None, objects: Objects) -> list[InvoiceRow]:
    rows = [invoice_row(owner, actor, v) for v in objects["stripe.invoice"].values() if not is_deleted(v)]
    checkouts = (checkout_row(owner, actor, v) for v in objects["stripe.checkout.session"].values())
    return [*rows, *(row for row in checkouts if row)]


def _refunds(
    owner: Owner, actor: Identifier | None, objects: Objects, invoices: Sequence[InvoiceRow]
) -> list[RefundRow]:
    paid = {row.stripe_invoice_id: row for row in invoices if row.status == "paid" and row.amount_paid_micros > 0}
    charges = objects["stripe.charge"]
    return returned(
        owner,
        actor,
        charges=charges,
        refunds=objects["stripe.refund"],
        disputes=objects["stripe.dispute"],
        payments=Payments(paid, charges, objects["stripe.invoice_payment"]),
    )


def _after_returns(invoices: Sequence[InvoiceRow], refunds: Sequence[RefundRow]) -> list[InvoiceRow]:
    back: dict[object, int] = {}
    for row in refunds:
        if row.counts:
            back[row.invoice_id] = back.get(row.invoice_id, 0) + row.amount_micros
    return [replace(row, returned_micros=back.get(row.id, 0)) for row in invoices]
