"""What customers of the demo do with their money: trials, plans, payments, refunds, disputes, leaving, coming back.

An `Account` tells one customer's dealings in the payment provider's own events. It decides and keeps the books
straight (what an invoice adds up to, which period follows which); how an event is written down is `wire`'s business.
Times are whole unix seconds, amounts minor units.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from gdp_core.demo.cast import Dice, Person
from gdp_core.demo.stage import Brand, Interval, Plan

DAY = 86_400
TRIAL = 14 * DAY
Status = Literal["trialing", "active", "past_due", "canceled"]


class Coupon(NamedTuple):
    """A reduction in percent, for ever, for some months, or for the first invoice."""

    id: str
    name: str
    percent: int
    duration: Literal["forever", "repeating", "once"]
    months: int | None = None


COUPONS = (
    Coupon("EARLYBIRD20", "Early bird, 20 % off for ever", 20, "forever"),
    Coupon("NONPROFIT30", "Non-profit, 30 % off for ever", 30, "forever"),
    Coupon("AUTUMN25", "25 % off for three months", 25, "repeating", 3),
    Coupon("WELCOME50", "Half off the first invoice", 50, "once"),
)


@dataclass(frozen=True, slots=True)
class Customer:
    """The payment provider's record of a person."""

    id: str
    person: Person
    currency: str
    created: int


@dataclass(frozen=True, slots=True)
class Discount:
    """A coupon given to a subscription."""

    id: str
    customer: str
    subscription: str
    coupon: Coupon
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it is at one instant."""

    id: str
    item: str
    customer: Customer
    plan: Plan
    price: str
    interval: Interval
    quantity: int
    status: Status
    created: int
    period_start: int
    period_end: int
    trial_end: int | None = None
    cancel_at_period_end: bool = False
    canceled_at: int | None = None
    ended_at: int | None = None
    reason: str | None = None
    feedback: str | None = None
    discount: Discount | None = None
    latest_invoice: str | None = None

    @property
    def amount(self) -> int:
        """What one whole period costs before discounts."""
        return self.plan.unit_amount(self.customer.currency, self.interval) * self.quantity


class Line(NamedTuple):
    """One row of an invoice."""

    id: str
    amount: int
    quantity: int
    price: str
    unit_amount: int
    start: int
    end: int
    proration: bool
    description: str


@dataclass(frozen=True, slots=True)
class Invoice:
    """A bill and what became of it. A refund or dispute names its charge."""

    id: str
    number: str
    subscription: Subscription
    created: int
    billing_reason: str
    lines: tuple[Line, ...]
    reduction: int
    charge: str
    payment_intent: str
    paid_at: int | None = None
    attempts: int = 1
    next_attempt: int | None = None

    @property
    def subtotal(self) -> int:
        """The lines before the discount."""
        return sum(line.amount for line in self.lines)

    @property
    def total(self) -> int:
        """What the customer owes."""
        return self.subtotal - self.reduction


@dataclass(frozen=True, slots=True)
class Charge:
    """The payment of an invoice, and how much of it was given back."""

    invoice: Invoice
    refunded: int = 0
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back."""

    id: str
    charge: Charge
    amount: int
    created: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """A payment the customer's bank took back, and how that ended."""

    id: str
    charge: Charge
    created: int
    status: Literal["needs_response", "won", "lost"]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A visit to the payment page."""

    id: str
    person: Person
    mode: Literal["setup", "subscription", "payment"]
    status: Literal["complete", "expired"]
    created: int
    currency: str
    amount: int | None
    customer: Customer | None = None
    subscription: Subscription | None = None
    invoice: Invoice | None = None
    payment_intent: str | None = None


Subject = Customer | Subscription | Invoice | Charge | Refund | Dispute | Discount | Checkout


class BillingBeat(NamedTuple):
    """One event of the payment provider. `before` is the subject's state ahead of an update."""

    at: int  # unix milliseconds
    kind: str
    subject: Subject
    before: Subscription | None = None


class Spell(NamedTuple):
    """A stretch of a customer's life: from, to, and whether it is a trial or paid; `leaving` ends in goodbye."""

    start: int
    end: int
    paid: bool
    leaving: bool


class Errand(NamedTuple):
    """Something the person must have done on the website at this second for the billing to make sense.

    A payment page that takes money is told by the payment provider; one that only keeps a card, by the website.
    """

    at: int
    what: Literal["pricing", "checkout", "cancel", "plan"]


def add_months(instant: int, months: int) -> int:
    """The same day of a later month, or its last day. Unix seconds."""
    moment = datetime.fromtimestamp(instant, UTC)
    month = moment.month - 1 + months
    year, month = moment.year + month // 12, month % 12 + 1
    for day in range(moment.day, moment.day - 4, -1):
        try:
            return int(moment.replace(year=year, month=month, day=day).timestamp())
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


class Account:
    """One person's billing life, from sign-up to `until`. Read `beats`, `spells` and `errands` afterwards.

    `payments` counts the payments of the whole brand: every so many, one is disputed. Spells and errands may reach
    beyond `until`, because somebody who is about to leave already behaves so.
    """

    def __init__(self, dice: Dice, brand: Brand, person: Person, payments: Iterator[int], until: int) -> None:
        self.beats: list[BillingBeat] = []
        self.spells: list[Spell] = []
        self.errands: list[Errand] = []
        self._dice = dice
        self._brand = brand
        self._person = person
        self._payments = payments
        self._prefix = dice.token(8).upper()
        self._bills = 0
        self._until = until
        self._customer: Customer | None = None
        currency = person.culture.currency
        self._currency = currency if currency == "usd" or dice.chance(0.8) else "usd"

    def live(self, signup: int) -> None:
        """Sign up at `signup` and go on until the present."""
        dice, person = self._dice, self._person
        likelihood = person.touch.channel.paid * (0.5 + 0.45 * min(person.keenness, 2.0))
        if dice.chance(0.93):
            self._trial(signup + dice.randrange(30, 300), converts=dice.chance(likelihood))
        elif dice.chance(likelihood):
            self._buy(signup + dice.randrange(DAY, 10 * DAY))
        while self.spells and self.spells[-1].leaving and dice.chance(0.12 if self.spells[-1].paid else 0.02):
            comeback = self.spells[-1].end + dice.randrange(25 * DAY, 140 * DAY)
            if comeback > self._until:
                break
            self._buy(comeback)

    # -- chapters ------------------------------------------------------------------------------------------------

    def _trial(self, at: int, converts: bool) -> None:
        dice = self._dice
        sub = self._new_subscription(at, "trialing", at + TRIAL)
        self._tell(at + 1, "customer.subscription.created", sub)
        ready = at + dice.randrange(2 * DAY, TRIAL - DAY // 2)
        if dice.chance(0.25 if converts else 0.2):
            self._abandon(ready - DAY, sub.amount)
        if not converts:
            self.spells.append(Spell(at, at + TRIAL, paid=False, leaving=True))
            self._end(sub, at + TRIAL, "cancellation_requested")
            return
        self.errands += (Errand(ready - 90, "pricing"), Errand(ready, "checkout"))
        session = self._checkout(ready, "setup", None, subscription=sub)
        self._tell(ready + dice.randrange(60, 400), "checkout.session.completed", session)
        sub = self._with_coupon(sub, ready + 400)
        self.spells.append(Spell(at, at + TRIAL, paid=False, leaving=False))
        invoice = self._invoice(sub, at + TRIAL, "subscription_cycle", self._period_line(sub, at + TRIAL))
        active = replace(
            sub,
            status="active",
            period_start=at + TRIAL,
            period_end=self._after(sub, at + TRIAL),
            latest_invoice=invoice.id,
        )
        self._tell(at + TRIAL, "customer.subscription.updated", active, sub)
        self._pay(invoice, at + TRIAL + 3_600)
        self._subscribe(active, at + TRIAL)

    def _buy(self, at: int) -> None:
        """Straight through the payment page: people who skip the trial, and people who come back."""
        self.errands.append(Errand(at - 120, "pricing"))
        paid = at + self._dice.randrange(60, 600)
        sub = self._with_coupon(self._new_subscription(paid, "active", 0), paid)
        line = self._period_line(sub, paid)
        invoice = self._invoice(sub, paid, "subscription_create", line)
        sub = replace(sub, latest_invoice=invoice.id)
        self._tell(paid, "customer.subscription.created", sub)
        self._pay(invoice, paid)
        session = self._checkout(at, "subscription", invoice.total, subscription=sub, invoice=invoice)
        self._tell(paid + 1, "checkout.session.completed", session)
        self._subscribe(sub, paid)

    def _subscribe(self, sub: Subscription, since: int) -> None:
        """Period after period until the customer goes or the present is reached."""
        dice = self._dice
        while sub.status == "active" and sub.period_start <= self._until:
            if self._wants_out(sub, since):
                sub = self._cancel(sub)
                if sub.cancel_at_period_end:
                    sub = self._end(sub, sub.period_end, "cancellation_requested")
                    break
            elif dice.chance(0.07 if sub.interval == "month" else 0.35):
                sub = self._change(sub)
            if dice.chance(0.03):
                self._extra_letters(sub)
            sub = self._renew(sub)
        self.spells.append(Spell(since, sub.ended_at or self._until, paid=True, leaving=sub.ended_at is not None))

    def _wants_out(self, sub: Subscription, since: int) -> bool:
        if sub.interval == "year":
            return self._dice.chance(0.2)
        young = 1.7 if sub.period_end - since < 70 * DAY else 1.0
        loyalty = {"starter": 1.25, "notes": 1.25, "growth": 0.95}.get(sub.plan.key, 0.65)
        return self._dice.chance(min(0.3, 0.043 * young * loyalty / max(self._person.keenness, 0.35) ** 0.5))

    def _cancel(self, sub: Subscription) -> Subscription:
        """Ask to stop at the end of the period; one in eight thinks better of it."""
        dice = self._dice
        at = dice.randrange(sub.period_start + DAY // 2, sub.period_end - DAY // 2)
        self.errands.append(Errand(at - 40, "cancel"))
        leaving = replace(
            sub,
            cancel_at_period_end=True,
            canceled_at=at,
            reason="cancellation_requested",
            feedback=dice.choice(("too_expensive", "unused", "missing_features", "switched_service", "low_quality")),
        )
        self._tell(at, "customer.subscription.updated", leaving, sub)
        if dice.chance(0.12):
            staying = replace(leaving, cancel_at_period_end=False, canceled_at=None, reason=None, feedback=None)
            self._tell(dice.randrange(at + 600, sub.period_end), "customer.subscription.updated", staying, leaving)
            return staying
        return leaving

    def _change(self, sub: Subscription) -> Subscription:
        """Another plan, other seats, or yearly from the next period on."""
        dice, plans = self._dice, self._brand.plans
        at = dice.randrange(sub.period_start + DAY, sub.period_end - DAY)
        rank = plans.index(sub.plan)
        kind = dice.choices(("up", "seats", "down", "fewer", "yearly"), (26, 42, 10, 7, 15))[0]
        plan, quantity, interval = sub.plan, sub.quantity, sub.interval
        if kind == "up" and rank + 1 < len(plans):
            plan = plans[rank + 1]
        elif kind == "down" and rank:
            plan = plans[rank - 1]
            quantity = quantity if plan.per_seat else 1
        elif kind == "yearly" and interval == "month":
            interval = "year"
        elif kind == "fewer" and quantity > 1:
            quantity -= 1
        elif sub.plan.per_seat:
            quantity += dice.choice((1, 1, 2, 3))
        else:
            return sub
        price = self._brand.price_id(plan, interval, self._currency)
        changed = replace(sub, plan=plan, quantity=quantity, interval=interval, price=price)
        if interval != sub.interval:
            at = sub.period_end - 60  # billed by the renewal that follows
            self._tell(at, "customer.subscription.updated", changed, sub)
        self.errands.append(Errand(at - 60, "plan"))
        return changed if interval != sub.interval else self._prorate(sub, changed, at)

    def _prorate(self, sub: Subscription, changed: Subscription, at: int) -> Subscription:
        """More is billed at once for the rest of the period; less is not paid back."""
        length, left = sub.period_end - sub.period_start, sub.period_end - at
        lines = (
            self._line(sub, -round(sub.amount * left / length), at, sub.period_end, "Unused time"),
            self._line(changed, round(changed.amount * left / length), at, sub.period_end, "Remaining time"),
        )
        if sum(line.amount for line in lines) <= 0:
            self._tell(at, "customer.subscription.updated", changed, sub)
            return changed
        invoice = self._invoice(changed, at, "subscription_update", *lines)
        changed = replace(changed, latest_invoice=invoice.id)
        self._tell(at, "customer.subscription.updated", changed, sub)
        self._pay(invoice, at + 2)
        return changed

    def _renew(self, sub: Subscription) -> Subscription:
        at = sub.period_end
        invoice = self._invoice(sub, at, "subscription_cycle", self._period_line(sub, at))
        renewed = replace(sub, period_start=at, period_end=self._after(sub, at), latest_invoice=invoice.id)
        self._tell(at, "customer.subscription.updated", renewed, sub)
        if self._dice.chance(0.045):
            return self._dun(renewed, invoice, at + 3_600)
        self._pay(invoice, at + 3_600)
        return renewed

    def _dun(self, sub: Subscription, invoice: Invoice, at: int) -> Subscription:
        """The card was refused: three more tries over two weeks, then the end."""
        overdue = replace(sub, status="past_due")
        tries = (at, at + 3 * DAY, at + 8 * DAY, at + 15 * DAY)
        for number, (when, following) in enumerate(zip(tries, (*tries[1:], None), strict=True), start=1):
            attempt = replace(invoice, attempts=number, next_attempt=following)
            if number > 1 and self._dice.chance(0.32):
                self._pay(attempt, when)
                self._tell(when + 1, "customer.subscription.updated", sub, overdue)
                return sub
            self._tell(when, "invoice.payment_failed", attempt)
            if number == 1:
                self._tell(when + 1, "customer.subscription.updated", overdue, sub)
        return self._end(overdue, tries[-1] + 60, "payment_failed")

    def _end(self, sub: Subscription, at: int, reason: str) -> Subscription:
        ended = replace(sub, status="canceled", canceled_at=sub.canceled_at or at, ended_at=at, reason=reason)
        self._tell(at, "customer.subscription.deleted", ended)
        return ended

    def _abandon(self, at: int, amount: int) -> None:
        """The payment page was opened and left; it expires a day later."""
        self.errands.append(Errand(at - 100, "pricing"))
        session = self._checkout(at, "subscription", amount, status="expired")
        self._tell(at + DAY, "checkout.session.expired", session)

    def _extra_letters(self, sub: Subscription) -> None:
        """A pack of letters, bought once."""
        at = self._dice.randrange(sub.period_start + DAY, sub.period_end - DAY)
        self.errands.append(Errand(at - 50, "plan"))
        intent = self._dice.vendor_id("pi")
        session = self._checkout(at, "payment", 2_500, payment_intent=intent)
        self._tell(at + 120, "checkout.session.completed", session)

    # -- bookkeeping ---------------------------------------------------------------------------------------------

    def _tell(self, at: int, kind: str, subject: Subject, before: Subscription | None = None) -> None:
        if at <= self._until:
            self.beats.append(BillingBeat(at * 1_000, kind, subject, before))

    def _open(self, at: int) -> Customer:
        if self._customer is None:
            self._customer = Customer(self._dice.vendor_id("cus"), self._person, self._currency, at)
            self._tell(at, "customer.created", self._customer)
        return self._customer

    def _new_subscription(self, at: int, status: Status, trial_end: int) -> Subscription:
        dice, brand = self._dice, self._brand
        plan = dice.choices(brand.plans, [plan.share for plan in brand.plans])[0]
        interval: Interval = "year" if dice.chance(0.1) else "month"
        colleagues = int(dice.expovariate(1 / (2.8 if plan is brand.plans[-1] else 1.3)))
        return Subscription(
            id=dice.vendor_id("sub"),
            item=dice.vendor_id("si"),
            customer=self._open(at),
            plan=plan,
            price=brand.price_id(plan, interval, self._currency),
            interval=interval,
            quantity=min(18, 1 + colleagues) if plan.per_seat else 1,
            status=status,
            created=at,
            period_start=at,
            period_end=trial_end or add_months(at, 12 if interval == "year" else 1),
            trial_end=trial_end or None,
        )

    def _with_coupon(self, sub: Subscription, at: int) -> Subscription:
        dice = self._dice
        partner = self._person.touch.channel.key in {"partner", "referral"}
        if not dice.chance(0.35 if partner else 0.1):
            return sub
        coupon = dice.choice(COUPONS)
        end = add_months(at, coupon.months) if coupon.months else None
        discount = Discount(dice.vendor_id("di"), sub.customer.id, sub.id, coupon, at, end)
        self._tell(at, "customer.discount.created", discount)
        discounted = replace(sub, discount=discount)
        if sub.status == "trialing":
            self._tell(at, "customer.subscription.updated", discounted, sub)
        return discounted

    def _after(self, sub: Subscription, start: int) -> int:
        return add_months(start, 12 if sub.interval == "year" else 1)

    def _period_line(self, sub: Subscription, start: int) -> Line:
        return self._line(sub, sub.amount, start, self._after(sub, start), "")

    def _line(self, sub: Subscription, amount: int, start: int, end: int, proration: str) -> Line:
        what = f"{sub.quantity} × {self._brand.name} {sub.plan.name}"
        return Line(
            id=self._dice.vendor_id("il"),
            amount=amount,
            quantity=sub.quantity,
            price=sub.price,
            unit_amount=sub.plan.unit_amount(sub.customer.currency, sub.interval),
            start=start,
            end=end,
            proration=bool(proration),
            description=f"{proration} on {what}" if proration else what,
        )

    def _invoice(self, sub: Subscription, at: int, reason: str, *lines: Line) -> Invoice:
        subtotal = sum(line.amount for line in lines)
        first = sub.latest_invoice is None
        discount = sub.discount
        applies = discount is not None and (
            (discount.coupon.duration != "once" or first) and (discount.end is None or at < discount.end)
        )
        percent = discount.coupon.percent if discount and applies else 0
        self._bills += 1
        return Invoice(
            id=self._dice.vendor_id("in"),
            number=f"{self._prefix}-{self._bills:04}",
            subscription=sub,
            created=at,
            billing_reason=reason,
            lines=lines,
            reduction=(subtotal * percent + 50) // 100,
            charge=self._dice.vendor_id("ch"),
            payment_intent=self._dice.vendor_id("pi"),
        )

    def _pay(self, invoice: Invoice, at: int) -> None:
        dice = self._dice
        paid = replace(invoice, paid_at=at, next_attempt=None)
        self._tell(at, "invoice.paid", paid)
        if at < self._until - 40 * DAY and next(self._payments) % 900 == 450:
            self._dispute(paid, at + dice.randrange(5 * DAY, 12 * DAY))
        elif dice.chance(0.013):
            self._refund(paid, at + dice.randrange(DAY, 10 * DAY))

    def _refund(self, invoice: Invoice, at: int) -> None:
        full = self._dice.chance(0.6)
        amount = invoice.total if full else invoice.total // 2
        charge = Charge(invoice, refunded=amount)
        refund = Refund(self._dice.vendor_id("re"), charge, amount, at, "requested_by_customer")
        self._tell(at, "refund.created", refund)
        self._tell(at + 1, "charge.refunded", charge)

    def _dispute(self, invoice: Invoice, at: int) -> None:
        charge = Charge(invoice, disputed=True)
        dispute = Dispute(self._dice.vendor_id("dp"), charge, at, "needs_response")
        self._tell(at, "charge.dispute.created", dispute)
        self._tell(at + 1, "charge.updated", charge)  # a dispute names no customer, its charge does
        verdict = replace(dispute, status="won" if self._dice.chance(0.4) else "lost")
        self._tell(at + 21 * DAY, "charge.dispute.closed", verdict)

    def _checkout(
        self,
        at: int,
        mode: Literal["setup", "subscription", "payment"],
        amount: int | None,
        status: Literal["complete", "expired"] = "complete",
        subscription: Subscription | None = None,
        invoice: Invoice | None = None,
        payment_intent: str | None = None,
    ) -> Checkout:
        return Checkout(
            id=f"cs_live_{self._dice.token(40)}",
            person=self._person,
            mode=mode,
            status=status,
            created=at,
            currency=self._currency,
            amount=amount,
            customer=self._customer,
            subscription=subscription,
            invoice=invoice,
            payment_intent=payment_intent,
        )
