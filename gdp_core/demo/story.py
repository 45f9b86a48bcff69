"""The plot of the demo: who came when, what they did, which e-mails they got, what went wrong.

A brand's story is a list of beats in time order. It knows nothing of vendors' formats (`wire` writes those) and of
money only through `subscriptions.Account`. All times are unix milliseconds; nothing happens after `until`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from operator import itemgetter
from typing import Literal, NamedTuple

from gdp_core.demo.cast import BROWSERS, DIRECT, NEWSLETTER, PHONES, SCANNERS, Cast, Dice, Person, Touch
from gdp_core.demo.stage import Brand
from gdp_core.demo.subscriptions import Account, BillingBeat, Errand, Spell

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
SPAN_DAYS = 548  # eighteen months
STAFF = 6

Props = Mapping[str, str | int | float | bool | None]


class Page(NamedTuple):
    """A page of the website or the app. Some are also told as an event of their own."""

    name: str
    path: str
    title: str
    event: str = ""


LANDING = Page("Home", "/", "Send real letters without a printer", "landing_view")
PRICING = Page("Pricing", "/pricing", "Plans and pricing", "pricing_view")
SIGNUP = Page("Sign up", "/signup", "Create your account")
READING = (
    Page("Features", "/features", "Everything a letter needs"),
    Page("Templates", "/templates", "Letter templates"),
    Page("Customer stories", "/customers", "Customer stories"),
    Page("Blog", "/blog/mail-that-gets-opened", "Mail that gets opened"),
    Page("Help", "/help/first-letter", "Your first letter"),
)
APP = (
    Page("Dashboard", "/app", "Dashboard"),
    Page("Letters", "/app/letters", "Letters"),
    Page("Recipients", "/app/recipients", "Recipients"),
    Page("Reports", "/app/reports", "Delivery reports"),
)
BILLING = Page("Billing settings", "/app/settings/billing", "Plan and billing")


class Campaign(NamedTuple):
    """An e-mail that goes to many. Rates are those of people who read at all."""

    id: str
    funnel: str
    subject: str
    page: Page  # where its link leads
    opened: float
    clicked: float


WELCOME = Campaign("cmp_welcome", "onboarding", "Welcome! Your first letter takes a minute", APP[1], 0.58, 0.30)
FIRST_LETTER = Campaign("cmp_first_letter", "onboarding", "Three letters that always work", READING[1], 0.44, 0.2)
TRIAL_ENDING = Campaign("cmp_trial_ending", "trial", "Three days left in your trial", PRICING, 0.47, 0.24)
DIGEST = Campaign("cmp_monthly_digest", "newsletter", "What people mailed this month", READING[3], 0.34, 0.15)
WIN_BACK = Campaign("cmp_win_back", "win_back", "We kept your address book", PRICING, 0.28, 0.14)


@dataclass(frozen=True, slots=True)
class Visit:
    """One sitting: who, on which device. `known` once they are signed in; `mobile` in the companion app."""

    id: str
    brand: Brand
    person: Person
    anonymous: str
    device: str
    known: bool
    mobile: bool = False

    @property
    def tracker(self) -> Literal["segment", "posthog"]:
        """What reports it; the companion app speaks to PostHog only."""
        return "posthog" if self.mobile else self.brand.tracker


class WebBeat(NamedTuple):
    """A page, a sign-in or an event on the website or in the app. `touch` is how the page was reached from outside."""

    at: int
    kind: Literal["page", "identify", "track"]
    name: str
    visit: Visit
    page: Page
    properties: Props
    touch: Touch = DIRECT


class Email(NamedTuple):
    """One message to one person."""

    id: str
    brand: Brand
    person: Person
    campaign: Campaign
    at: int


class MailBeat(NamedTuple):
    """What became of a message: delivered, opened, clicked, bounced, complained."""

    at: int
    kind: str
    email: Email
    detail: Mapping[str, object]


class RawBeat(NamedTuple):
    """An item that is wrong on purpose, exactly as its sender would send it."""

    at: int
    source: Literal["segment", "stripe", "resend", "posthog"]
    item: Mapping[str, object]


Beat = WebBeat | BillingBeat | MailBeat | RawBeat

_NONE: Props = {}
_WEEKDAYS = (1.0, 1.08, 1.1, 1.05, 0.92, 0.38, 0.42)
_SEASONS = (1.06, 1.02, 1.05, 1.0, 0.98, 0.93, 0.82, 0.8, 1.08, 1.12, 1.1, 0.9)
_HOURS = tuple(range(7, 23))
_HOUR_WEIGHTS = (2, 5, 9, 11, 10, 7, 8, 10, 10, 9, 7, 5, 4, 4, 3, 2)


def busyness(day: date) -> float:
    """How much happens on a day against an average one: weekends, summer and the end of December are quiet."""
    holidays = 0.45 if (day.month, day.day) >= (12, 23) or (day.month, day.day) <= (1, 2) else 1.0
    return _WEEKDAYS[day.weekday()] * _SEASONS[day.month - 1] * holidays


def tell(brand: Brand, until: datetime, seed: int) -> list[Beat]:
    """Everything that happened to a brand in the eighteen months before `until`, in time order."""
    teller = _Teller(brand, int(until.timestamp()) * SECOND, Dice(f"{seed}:{brand.key}"))
    teller.run()
    return teller.beats


class _Teller:
    """Writes one brand's story. Its state is the beats so far and what decides the next one."""

    def __init__(self, brand: Brand, until: int, dice: Dice) -> None:
        self.beats: list[Beat] = []
        self._brand = brand
        self._dice = dice
        self._cast = Cast(dice, brand.domain)
        self._until = until
        self._start = until - SPAN_DAYS * DAY
        self._payments: Iterator[int] = count()
        self._busy = self._calendar()
        self._digests = self._newsletter_days()

    def run(self) -> None:
        dice, brand = self._dice, self._brand
        for arrival in self._arrivals(brand.people - STAFF):
            person = self._cast.person()
            if dice.chance(person.touch.channel.signup):
                self._customer(person, arrival)
            else:
                self._passer_by(person, arrival)
        for _ in range(STAFF):
            self._employee(self._cast.employee())
        self._mishaps()
        last = self._until - 10 * SECOND
        self.beats = sorted((beat for beat in self.beats if beat.at <= last), key=itemgetter(0))

    # -- time ----------------------------------------------------------------------------------------------------

    def _calendar(self) -> list[float]:
        first = datetime.fromtimestamp(self._start / SECOND, UTC).date()
        return [busyness(first + timedelta(days=number)) for number in range(SPAN_DAYS + 1)]

    def _newsletter_days(self) -> list[int]:
        """Every second Tuesday of a month, nine o'clock UTC."""
        first = datetime.fromtimestamp(self._start / SECOND, UTC).replace(hour=9, minute=0, second=0, microsecond=0)
        days = (first + timedelta(days=number) for number in range(SPAN_DAYS + 1))
        return [int(day.timestamp()) * SECOND for day in days if day.weekday() == 1 and 8 <= day.day <= 14]

    def _arrivals(self, people: int) -> list[int]:
        """First visits: growing about fivefold over the span, with the week and the year in them."""
        dice = self._dice
        pulse = 5  # somebody is always here right now
        weights = [busy * (1 + 3.8 * day / SPAN_DAYS) for day, busy in enumerate(self._busy[:SPAN_DAYS])]
        days = dice.choices(range(len(weights)), weights, k=people - pulse)
        moments = [self._start + day * DAY + self._daytime(0) for day in days]
        return sorted(moments + [self._until - dice.randrange(2 * MINUTE, 110 * MINUTE) for _ in range(pulse)])

    def _daytime(self, offset: int) -> int:
        """Milliseconds into a UTC day of a moment when people in that zone are awake."""
        dice = self._dice
        hour = dice.choices(_HOURS, _HOUR_WEIGHTS)[0] - offset
        return (hour % 24) * HOUR + dice.randrange(HOUR)

    def _moments(self, start: int, end: int, per_week: float, person: Person) -> Iterator[int]:
        """Times between start and end at about this rate, thinned by the calendar, in the person's waking hours."""
        dice, at = self._dice, float(start)
        end = min(end, self._until)
        if per_week <= 0:
            return
        while True:
            at += dice.expovariate(per_week * 1.15 / WEEK)
            if at >= end:
                return
            day = int(at - self._start) // DAY
            if dice.random() * 1.15 > self._busy[max(0, min(day, SPAN_DAYS))]:
                continue
            moment = int(at) // DAY * DAY + self._daytime(person.culture.offset)
            yield moment if start < moment < end else int(at)

    # -- people --------------------------------------------------------------------------------------------------

    def _passer_by(self, person: Person, arrival: int) -> None:
        dice = self._dice
        visit = self._visit(person, known=False)
        at = self._browse(visit, arrival, interest=0.35, touch=person.touch)
        if dice.chance(0.05):
            self._subscribe_to_newsletter(visit, at)
        while dice.chance(0.3):
            at += int(dice.expovariate(1 / (6 * DAY))) + HOUR
            touch = self._cast.touch() if dice.chance(0.25) else DIRECT
            self._browse(self._visit(person, known=False), at, interest=0.3, touch=touch)

    def _subscribe_to_newsletter(self, visit: Visit, at: int) -> None:
        person = visit.person
        traits: Props = {"email": person.email, "name": person.name, "newsletter": True}
        self._web(at + 1, "identify", "", visit, LANDING, traits)
        self._web(at + 2, "track", "newsletter_subscribed", visit, LANDING, {"form": "footer"})
        self._send_until_refused(person, self._newsletters(at))

    def _customer(self, person: Person, arrival: int) -> None:
        signup = self._before_signup(person, arrival)
        self._sign_up(person, signup)
        if signup > self._until:
            return
        account = Account(self._dice, self._brand, person, self._payments, self._until // SECOND)
        account.live(signup // SECOND)
        self.beats += account.beats
        for errand in account.errands:
            self._run_errand(person, errand)
        self._live(person, signup, account.spells)
        self._write_to(person, signup, account.spells)

    def _before_signup(self, person: Person, arrival: int) -> int:
        """Visits before the account; returns the moment of the sign-up form."""
        dice, at = self._dice, arrival
        touch = person.touch
        while True:
            decided = dice.chance(0.6)
            at = self._browse(self._visit(person, known=False), at, interest=0.6 if decided else 0.4, touch=touch)
            if decided:
                return at + 2
            at += int(dice.expovariate(1 / (4 * DAY))) + 30 * MINUTE
            touch = self._cast.touch() if dice.chance(0.35) else DIRECT

    def _sign_up(self, person: Person, at: int) -> None:
        visit = self._visit(person, known=False)
        self._see(visit, SIGNUP, at)
        at += self._dice.randrange(20, 150) * SECOND
        visit = replace(visit, known=True)
        self._web(at, "identify", "", visit, SIGNUP, self._traits(person, at))
        self._web(at + 1, "track", "signup_completed", visit, SIGNUP, {"method": self._dice.choice(("email", "sso"))})

    def _traits(self, person: Person, at: int) -> Props:
        traits: dict[str, str | int | float | bool | None] = {
            "email": person.email,
            "firstName": person.given,
            "lastName": person.family,
            "name": person.name,
            "country": person.culture.country,
            "language": person.culture.locale,
            "createdAt": datetime.fromtimestamp(at / SECOND, UTC).isoformat(),
        }
        if person.phone:
            traits["phone"] = person.phone
        if person.company:
            traits |= {"company": person.company.name, "industry": person.company.industry}
        return traits

    def _employee(self, person: Person) -> None:
        start = self._start + self._dice.randrange(5 * DAY)
        self._sign_up(person, start)
        for at in self._moments(start + HOUR, self._until, 1.0, person):
            self._work(person, at)

    # -- what they do --------------------------------------------------------------------------------------------

    def _live(self, person: Person, signup: int, spells: list[Spell]) -> None:
        dice, keen = self._dice, person.keenness
        if dice.chance(0.5 + 0.2 * min(keen, 2.0)):
            self._work(person, signup + dice.randrange(3, 12) * MINUTE, first=True)
        phone = dice.uuid() if dice.chance(0.14) else ""
        if phone:
            self._second_device(person, phone, signup + dice.randrange(DAY, 30 * DAY))
        sleeper = 0.06 if dice.chance(0.09) else 1.0
        mobile = dice.chance(0.12)
        end = signup
        for spell in spells:
            for at in self._sittings(person, spell, sleeper):
                self._work(person, at, mobile=mobile and dice.chance(0.4))
            end = spell.end * SECOND
        if not spells or spells[-1].leaving:
            for at in self._moments(end, end + 90 * DAY, 0.12 * keen, person):
                self._browse(self._visit(person, known=True), at, interest=0.3)

    def _sittings(self, person: Person, spell: Spell, sleeper: float) -> Iterator[int]:
        """When somebody works: much in a trial that convinces, less and less before they leave."""
        start, end = spell.start * SECOND, spell.end * SECOND
        if not spell.paid:
            yield from self._moments(start, end, (1.25 if spell.leaving else 3.6) * person.keenness, person)
            return
        usual = 1.2 * person.keenness * sleeper
        fading = max(start, end - 40 * DAY) if spell.leaving else end
        yield from self._moments(start, fading, usual, person)
        yield from self._moments(fading, end, usual * 0.2, person)
        if end >= self._until and self._dice.chance(0.02):
            yield self._until - self._dice.randrange(12 * MINUTE, 50 * MINUTE)

    def _work(self, person: Person, at: int, first: bool = False, mobile: bool = False) -> None:
        """A sitting in the app: letters, recipients, templates."""
        dice = self._dice
        visit = self._visit(person, known=True, mobile=mobile)
        if not mobile and dice.chance(0.7):
            self._see(visit, dice.choice(APP), at)
        for _ in range(1 + int(dice.expovariate(0.9))):
            at += dice.randrange(20, 400) * SECOND
            if dice.chance(0.6 if first else 0.28):
                method = dice.choice(("form", "csv", "api"))
                self._web(at, "track", "recipient_added", visit, APP[2], {"method": method})
            if dice.chance(0.12):
                self._web(at + 30 * SECOND, "track", "template_created", visit, APP[1], {"pages": dice.randrange(1, 4)})
            if dice.chance(0.75):
                self._letter(visit, at + MINUTE)
        if dice.chance(0.015):
            self._web(at + 2 * MINUTE, "track", "invite_sent", visit, APP[0], {"channel": "email"})

    def _letter(self, visit: Visit, at: int) -> None:
        dice = self._dice
        letter = f"ltr_{dice.token(10)}"
        created: Props = {"letter_id": letter, "from_template": dice.chance(0.4)}
        self._web(at, "track", "letter_created", visit, APP[1], created)
        if dice.chance(0.78):
            sent: Props = {
                "letter_id": letter,
                "pages": min(6, 1 + int(dice.expovariate(0.9))),
                "delivery": dice.choices(("standard", "express", "registered"), (80, 15, 5))[0],
                "destination": dice.choices((visit.person.culture.country, "US", "GB"), (80, 12, 8))[0],
            }
            self._web(at + dice.randrange(2, 25) * MINUTE, "track", "letter_sent", visit, APP[1], sent)

    def _browse(self, visit: Visit, at: int, interest: float, touch: Touch = DIRECT) -> int:
        """Pages of the website; returns a moment after the last one."""
        dice = self._dice
        self._see(visit, LANDING, at, touch)
        while dice.chance(0.42):
            at += dice.randrange(8, 180) * SECOND
            self._see(visit, dice.choice(READING), at)
        if dice.chance(interest):
            at += dice.randrange(8, 120) * SECOND
            self._see(visit, PRICING, at)
        return at + dice.randrange(5, 90) * SECOND

    def _run_errand(self, person: Person, errand: Errand) -> None:
        at = errand.at * SECOND
        visit = self._visit(person, known=True)
        if errand.what == "checkout":
            self._web(at, "track", "checkout_started", visit, PRICING, _NONE)
        else:
            self._see(visit, PRICING if errand.what == "pricing" else BILLING, at)

    def _second_device(self, person: Person, anonymous: str, at: int) -> None:
        """A look on the phone before signing in there: the visit belongs to the person all the same."""
        touch = self._cast.touch() if self._dice.chance(0.4) else DIRECT
        phone = self._dice.choice(PHONES)
        looking = Visit(self._dice.uuid(), self._brand, person, anonymous, phone, known=False)
        at = self._browse(looking, at, interest=0.2, touch=touch)
        self._web(at, "identify", "", replace(looking, known=True), APP[0], {"email": person.email})

    def _visit(self, person: Person, known: bool, mobile: bool = False) -> Visit:
        return Visit(self._dice.uuid(), self._brand, person, person.anonymous, person.browser, known, mobile)

    def _see(self, visit: Visit, page: Page, at: int, touch: Touch = DIRECT) -> None:
        self.beats.append(WebBeat(at, "page", page.name, visit, page, _NONE, touch))
        if page.event:
            self.beats.append(WebBeat(at + 300, "track", page.event, visit, page, _NONE, touch))

    def _web(
        self, at: int, kind: Literal["identify", "track"], name: str, visit: Visit, page: Page, props: Props
    ) -> None:
        self.beats.append(WebBeat(at, kind, name, visit, page, props))

    # -- e-mail --------------------------------------------------------------------------------------------------

    def _write_to(self, person: Person, signup: int, spells: list[Spell]) -> None:
        """The onboarding series, the newsletter for those who want it, a word to those who left."""
        dice = self._dice
        planned = [(signup + 2 * MINUTE, WELCOME)]
        if dice.chance(0.9):
            planned.append((signup + 2 * DAY + dice.randrange(HOUR), FIRST_LETTER))
        if spells and not spells[0].paid:
            planned.append((spells[0].start * SECOND + 11 * DAY, TRIAL_ENDING))
        if dice.chance(0.34):
            planned += self._newsletters(signup)
        planned += [(s.end * SECOND + 30 * DAY, WIN_BACK) for s in spells if s.leaving and dice.chance(0.7)]
        self._send_until_refused(person, planned)

    def _newsletters(self, since: int) -> list[tuple[int, Campaign]]:
        return [(day + self._dice.randrange(20 * MINUTE), DIGEST) for day in self._digests if day > since]

    def _send_until_refused(self, person: Person, planned: list[tuple[int, Campaign]]) -> None:
        for at, campaign in sorted(planned, key=itemgetter(0)):
            if not self._send(person, campaign, at):
                return

    def _send(self, person: Person, campaign: Campaign, at: int) -> bool:
        """One message and its echoes. False when nothing more may be sent to this address."""
        dice = self._dice
        email = Email(dice.uuid(), self._brand, person, campaign, at)
        arrived = at + dice.randrange(2, 40) * SECOND
        if dice.chance(0.012):
            return self._bounce(email, arrived)
        self._mail(arrived, "email.delivered", email)
        if dice.chance(0.06):
            self._scan(email, arrived)
        opened = 0
        if dice.chance(campaign.opened):
            opened = arrived + min(int(dice.expovariate(1 / (7 * HOUR))), 40 * HOUR) + 40 * SECOND
            self._mail(opened, "email.opened", email)
            if dice.chance(campaign.clicked):
                self._click(email, opened + dice.randrange(5, 240) * SECOND)
        if opened and dice.chance(0.003):
            self._mail(opened + 5 * MINUTE, "email.complained", email)
            return False
        return True

    def _bounce(self, email: Email, at: int) -> bool:
        permanent = self._dice.chance(0.75)
        reason = "550 5.1.1 no such user" if permanent else "452 4.2.2 mailbox full"
        detail = {
            "type": "Permanent" if permanent else "Transient",
            "subType": "General" if permanent else "MailboxFull",
            "message": reason,
            "diagnosticCode": [f"smtp; {reason}"],
        }
        self._mail(at, "email.bounced", email, bounce=detail)
        return not permanent

    def _scan(self, email: Email, at: int) -> None:
        """A mail gateway opens the message and follows its link within seconds of delivery."""
        self._mail(at + SECOND, "email.opened", email)
        self._mail(at + 2 * SECOND, "email.clicked", email, click=self._click_detail(email, at, scanner=True))

    def _click(self, email: Email, at: int) -> None:
        self._mail(at, "email.clicked", email, click=self._click_detail(email, at, scanner=False))
        person = email.person
        touch = Touch(NEWSLETTER, campaign=email.campaign.id.removeprefix("cmp_"))
        self._see(self._visit(person, known=True), email.campaign.page, at + 2 * SECOND, touch)

    def _click_detail(self, email: Email, at: int, scanner: bool) -> dict[str, object]:
        brand, campaign = email.brand, email.campaign
        tags = f"utm_source=newsletter&utm_medium=email&utm_campaign={campaign.id.removeprefix('cmp_')}"
        return {
            "ipAddress": "203.0.113.250" if scanner else email.person.ip,
            "link": f"https://{brand.domain}{campaign.page.path}?{tags}",
            "timestamp": at,
            "userAgent": self._dice.choice(SCANNERS) if scanner else email.person.browser,
        }

    def _mail(self, at: int, kind: str, email: Email, **detail: object) -> None:
        self.beats.append(MailBeat(at, kind, email, detail))

    # -- what goes wrong -----------------------------------------------------------------------------------------

    def _mishaps(self) -> None:
        """A shared tablet at a fair, and senders with bugs: something for the review queue and the inbox page."""
        self._shared_device()
        now, dice = self._until, self._dice
        stamp = datetime.fromtimestamp((now - 3 * DAY) / SECOND, UTC).isoformat()
        tracker = self._brand.tracker
        broken: list[dict[str, object]] = [
            {"event": "letter_sent", "timestamp": stamp, "properties": {"letter_id": "ltr_orphan"}},
            {"event": "", "timestamp": stamp, "properties": {}},
            {"event": "letter_created", "timestamp": "31/02/2026 25:61", "properties": {"pages": 1}},
        ]
        for number, item in enumerate(broken):
            ids: dict[str, object] = {"uuid": dice.uuid()}
            if tracker == "segment":
                ids = {"type": "track", "messageId": f"broken-{dice.token(12)}"}
            if number:  # the first one names nobody
                ids["userId" if tracker == "segment" else "distinct_id"] = "usr_importer"
            self.beats.append(RawBeat(now - (9 - number * 3) * DAY - HOUR, tracker, ids | item))
        if self._brand.key == "main":
            mute: dict[str, object] = {"type": "email.opened", "created_at": stamp, "data": {}}
            self.beats.append(RawBeat(now - 2 * DAY, "resend", mute))
            self.beats.append(RawBeat(now - 5 * DAY, "stripe", {"object": "event", "type": "invoice.paid", "data": {}}))

    def _shared_device(self) -> None:
        tablet, at = self._dice.uuid(), self._until - 20 * DAY
        for person in (self._cast.person(), self._cast.person()):
            visit = Visit(self._dice.uuid(), self._brand, person, tablet, BROWSERS[0], known=True)
            self._see(visit, SIGNUP, at)
            self._web(at + MINUTE, "identify", "", visit, SIGNUP, self._traits(person, at))
            self._web(at + MINUTE + 1, "track", "signup_completed", visit, SIGNUP, {"method": "fair"})
            at += 3 * HOUR
