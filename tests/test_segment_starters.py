"""The starter set: each of the twenty is entered and left by what happens or by time, and arrives turned off."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gdp_core import choices
from gdp_core.accounts.roles import Principal, Role
from gdp_core.analytics.beginnings import NEVER
from gdp_core.errors import Forbidden, InvalidInput, NotFound
from gdp_core.event_roles import DEFAULT_NAMES, ROLES
from gdp_core.features import FEATURES
from gdp_core.segments import keeping, starters
from gdp_core.segments.conditions.base import Event, When
from gdp_core.segments.facts import NO_STOPS, Facts, Stops, Surroundings
from gdp_core.segments.starters import STARTERS
from gdp_core.timeline.arrays import MACHINE
from gdp_core.timeline.matching import Match

from .conftest import NOW
from .lives import micros_of
from .timelines import Happened, Somebody, timeline_of

KEYS = """new_signup_no_activation_24h activated_not_paid_day3 high_intent_pricing_2plus_not_paid
 checkout_started_no_purchase_4h newsletter_clicker_not_signed_up inactive_7d_after_activation paid_low_usage_7d
 paid_high_usage_7d bounced_complained high_clicks_low_usage visited_offer_2plus_no_reply clicked_outbound_no_booking
 booked_call no_show proposal_sent warm_lead replied_positive replied_negative won lost""".split()
ME = 10  # the number of a timeline's first person
START = micros_of(NOW)
MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
EVENTS = {role: f"our_{role}" for role in ROLES}  # no default name, so that a rule that knows one by heart fails
ROLE_MATCHES = {role: Match((name,)) for role, name in EVENTS.items()}


def at(days=0, hours=0, minutes=0):
    return START + days * DAY + hours * HOUR + minutes * MINUTE


def did(when, name, flags=0, **properties):
    return Happened(when, EVENTS.get(name, name), properties, flags)


@dataclass(frozen=True)
class Life:
    """What somebody does, and from which instants on (in order) they are in the segment and out of it again, and so on."""

    events: list
    moves: list
    traits: dict = field(default_factory=dict)
    stops: Stops = NO_STOPS


SUBSCRIBER = {
    "subscription_status": "active",
    "mrr_micros": 9_000_000,
    "subscription_started_at": (NOW + timedelta(days=1)).isoformat(),
}
LIVES = {
    "new_signup_no_activation_24h": Life([did(at(), "signup"), did(at(3), "activation")], [at(1), at(3)]),
    "activated_not_paid_day3": Life(
        [did(at(1), "activation"), did(at(2), "activation"), did(at(5), "purchase"), did(at(6), "activation")],
        [at(4), at(5)],
    ),
    "high_intent_pricing_2plus_not_paid": Life(
        [did(at(), "pricing_view"), did(at(2), "pricing_view"), did(at(8), "pricing_view"), did(at(8, 1), "purchase")],
        [at(2), at(7), at(8), at(8, 1)],
    ),
    "checkout_started_no_purchase_4h": Life(
        [
            did(at(), "checkout_started", checkout_id="c1"),
            did(at(0, 5), "purchase", checkout_id="c1"),
            did(at(1), "checkout_started", checkout_id="c2"),
            did(at(1, 5), "purchase", checkout_id="c1"),
            did(at(1, 6), "purchase", checkout_id="c2"),
            did(at(2), "checkout_started", checkout_id="c3"),
            did(at(2, 1), "purchase", checkout_id="c3"),
            did(at(3), "checkout_started", checkout_id="c4"),
        ],
        [at(0, 4), at(0, 5), at(1, 4), at(1, 6), at(3, 4), at(10)],
    ),
    "newsletter_clicker_not_signed_up": Life(
        [
            did(at(), "email_clicked", MACHINE, funnel="newsletter"),
            did(at(1), "email_clicked", funnel="outbound"),
            did(at(2), "email_clicked", funnel="newsletter"),
            did(at(3), "signup"),
        ],
        [at(2), at(3)],
    ),
    "inactive_7d_after_activation": Life(
        [did(at(), "activation"), did(at(1), "page_view"), did(at(5), "email_clicked", MACHINE), did(at(9), "core")],
        [at(8), at(9), at(16), at(46)],
    ),
    "paid_low_usage_7d": Life(
        [did(at(0), "core"), did(at(2), "core"), did(at(3), "core"), did(at(9), "core")],
        [at(8), at(9)],
        SUBSCRIBER,
    ),
    "paid_high_usage_7d": Life(
        [did(at(0, hour), "core") for hour in range(20)] + [did(at(2, hour), "core") for hour in range(10)],
        [at(2, 9), at(9)],
        SUBSCRIBER,
    ),
    "bounced_complained": Life(
        [did(at(), "email_bounced")],
        [at(1), at(2), at(3)],
        stops=Stops(
            np.array([ME, ME, ME], np.int64),
            ("bounce", "manual", "complaint"),
            np.array([at(1), at(0), at(3)], np.int64),
            np.array([at(2), NEVER, NEVER], np.int64),
        ),
    ),
    "high_clicks_low_usage": Life(
        [did(at(), "signup")]
        + [did(at(day), "email_clicked", flags) for day, flags in ((1, 0), (2, MACHINE), (3, 0), (4, 0), (5, 0))]
        + [did(at(6), "core"), did(at(7), "core")],
        [at(4), at(7)],
    ),
    "visited_offer_2plus_no_reply": Life(
        [
            did(at(), "page_view", url="https://acme.example/blog"),
            did(at(1), "page_view", url="https://acme.example/Offer/2026"),
            did(at(2), "page_view", url="https://acme.example/offer"),
            did(at(3), "reply_received", label="neutral"),
        ],
        [at(2), at(3)],
    ),
    "clicked_outbound_no_booking": Life(
        [
            did(at(), "email_clicked", funnel="newsletter"),
            did(at(1), "email_clicked", funnel="outbound"),
            did(at(4), "booking_scheduled", booking_id="b1"),
            did(at(5), "email_clicked", funnel="outbound"),
        ],
        [at(2), at(4), at(6), at(19)],
    ),
    "booked_call": Life(
        [
            did(at(), "booking_scheduled", booking_id="b1"),
            did(at(1), "booking_scheduled", booking_id="b2"),
            did(at(2), "booking_attended", booking_id="b1"),
            did(at(3), "booking_cancelled", booking_id="b2"),
        ],
        [at(0, 0, 1), at(3)],
    ),
    "no_show": Life(
        [
            did(at(), "booking_missed", booking_id="b1"),
            did(at(1), "booking_scheduled", booking_id="b2"),
            did(at(2), "booking_missed", booking_id="b2"),
        ],
        [at(0, 0, 1), at(1), at(2, 0, 1), at(16)],
    ),
    "proposal_sent": Life(
        [
            did(at(), "deal_stage_changed", deal_id="d1", stage="Proposal sent"),
            did(at(2), "deal_stage_changed", deal_id="d2", stage="lead"),
            did(at(3), "deal_stage_changed", deal_id="d1", stage="negotiation"),
        ],
        [at(), at(3)],
    ),
    "warm_lead": Life(
        [
            did(at(), "deal_stage_changed", deal_id="d1", stage="warm"),
            did(at(3), "deal_stage_changed", deal_id="d1", stage="proposal"),
        ],
        [at(2), at(3)],
    ),
    "replied_positive": Life(
        [
            did(at(), "reply_received", label="positive"),
            did(at(1), "reply_received", label="out_of_office"),
            did(at(2), "reply_received", label="negative"),
            did(at(3), "reply_received", label="interested"),
        ],
        [at(0, 0, 1), at(2), at(3, 0, 1), at(17)],
    ),
    "replied_negative": Life(
        [did(at(), "reply_received", label="not interested"), did(at(2), "reply_received", label="positive")],
        [at(0, 0, 1), at(2)],
    ),
    "won": Life(
        [
            did(at(), "deal_stage_changed", deal_id="d1", stage="Won"),
            did(at(40), "deal_stage_changed", deal_id="d1", stage="reopened"),
        ],
        [at(), at(40)],
    ),
    "lost": Life([did(at(), "deal_stage_changed", deal_id="d1", stage="closed lost")], [at(), at(30)]),
}


def belongs(starter, life, when, **chosen):
    rule = starter.rule(starter.given(ROLE_MATCHES, chosen))
    here = Surroundings(
        ZoneInfo("Europe/Berlin"),
        features={one.slug: one for one in FEATURES},
        roles=ROLE_MATCHES,
        stops=life.stops,
    )
    timeline = timeline_of([Somebody(life.events, life.traits), Somebody([])])
    return bool(rule.holds(Facts(timeline, when, here))[0])


def test_the_set_is_that_of_the_two_funnels():
    assert [one.key for one in STARTERS] == KEYS
    assert len({one.title for one in STARTERS}) == 20


@pytest.mark.parametrize("starter", STARTERS, ids=lambda one: one.key)
def test_somebody_enters_and_leaves(starter):
    life = LIVES[starter.key]
    moves = [START - DAY, *life.moves, None]
    for number, (since, until) in enumerate(pairwise(moves)):
        inside = number % 2 == 1
        # What happens at an instant is seen by the next microsecond; a time that has passed, at the latest by then too.
        instants = [since + 1, *([(since + until) // 2, until - 1] if until else [since + HOUR])]
        for when in instants:
            assert belongs(starter, life, when) is inside, (when - START) / DAY


def test_without_ids_any_purchase_ends_a_checkout():
    checkout = starters.find("checkout_started_no_purchase_4h")
    nameless = Life([did(at(), "checkout_started"), did(at(0, 5), "purchase", checkout_id="c9")], [])
    assert belongs(checkout, nameless, at(0, 4) + 1)
    assert not belongs(checkout, nameless, at(0, 5) + 1)
    mixed = Life([did(at(), "checkout_started", checkout_id="c1"), did(at(0, 5), "purchase")], [])
    assert belongs(checkout, mixed, at(0, 4) + 1)
    assert not belongs(checkout, mixed, at(0, 5) + 1)
    other = Life([did(at(), "checkout_started", checkout_id="c1"), did(at(0, 1), "purchase", checkout_id="c2")], [])
    assert belongs(checkout, other, at(0, 5))
    assert not belongs(checkout, other, at(0, 5), same="")


def test_who_pays_by_subscription_is_not_asked_to_pay():
    starter = starters.find("activated_not_paid_day3")
    events = [did(at(), "activation")]
    assert belongs(starter, Life(events, []), at(4))
    assert belongs(starter, Life(events, [], SUBSCRIBER | {"mrr_micros": 0}), at(4))
    assert not belongs(starter, Life(events, [], SUBSCRIBER), at(4))


def test_a_threshold_moves_the_edge():
    starter, life = starters.find("new_signup_no_activation_24h"), Life([did(at(), "signup")], [])
    assert belongs(starter, life, at(1, 1))
    assert not belongs(starter, life, at(1, 1), wait="48h")
    assert belongs(starter, life, at(2, 1), wait="48h")
    assert not belongs(starter, life, at(31))
    often = starters.find("high_intent_pricing_2plus_not_paid")
    looks = Life([did(at(0, hour), "pricing_view") for hour in range(3)], [])
    assert belongs(often, looks, at(1), times=3)
    assert not belongs(often, looks, at(1), times=4)
    deal = Life([did(at(), "deal_stage_changed", deal_id="d", stage="Angebot")], [])
    assert belongs(starters.find("proposal_sent"), deal, at(1), stages="Offer, angebot")


@pytest.mark.parametrize(
    ("key", "chosen", "message"),
    [
        ("new_signup_no_activation_24h", {"wait": "soon"}, "Signed up at least so long ago: 'soon' is no window"),
        ("new_signup_no_activation_24h", {"wait": "60d"}, "cannot be made with these thresholds"),
        ("new_signup_no_activation_24h", {"wait": 24}, "write a text"),
        ("new_signup_no_activation_24h", {"hours": "24h"}, "no threshold 'hours'; there are wait, within"),
        ("bounced_complained", {"wait": "1h"}, "it has none"),
        ("paid_high_usage_7d", {"times": 0}, "write a whole number from 1"),
        ("paid_high_usage_7d", {"times": True}, "write a whole number from 1"),
        ("paid_high_usage_7d", {"times": "9" * 40}, "write a whole number from 1"),
        ("proposal_sent", {"stages": " , "}, "write one or more words"),
        ("proposal_sent", {"stages": "x" * 1001}, "at most 1,000 characters"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(key, chosen, message):
    starter = starters.find(key)
    with pytest.raises(InvalidInput, match=message):
        starter.rule(starter.given(ROLE_MATCHES, chosen))


def test_a_role_that_nothing_plays_is_said():
    starter = starters.find("new_signup_no_activation_24h")
    with pytest.raises(InvalidInput, match="No event plays the role “Created an account”"):
        starter.rule(starter.given({}, {}))


class Shop:
    """A workspace into which starters are installed."""

    def __init__(self, database, ws):
        self.database, self.ws = database, ws

    def install(self, *keys, role="MEMBER", **thresholds):
        with self.database.web.transaction(self.ws) as session:
            who = Principal(None, "ada@acme.example", self.ws, Role(role))
            return starters.install(session, who, keys, thresholds=thresholds, now=NOW)

    def kept(self):
        with self.database.web.transaction(self.ws, read_only=True) as session:
            return keeping.list_segments(session)


def test_all_are_installed_once_turned_off(database, ws):
    shop = Shop(database, ws)
    with database.web.transaction(ws) as session:
        who = Principal(None, "ada@acme.example", ws, Role.OWNER)
        choices.set_event_role(session, who, "signup", event_names=["joined"], now=NOW)
        keeping.create(session, who, "Won", starters.find("won").rule(starters.find("won").given({}, {})), now=NOW)
    made = shop.install(*KEYS, KEYS[0], new_signup_no_activation_24h={"wait": "2d"})
    assert [one.starter for one in made] == KEYS
    assert shop.install(*KEYS) == []
    kept = {one.starter: one for one in shop.kept() if one.starter}
    assert len(shop.kept()) == 21
    assert not any(one.enabled for one in kept.values())
    assert all(one.goal and one.description and one.action for one in kept.values())
    assert not any(one.action["enabled"] for one in kept.values())
    assert kept["won"].name == "Won (2)"
    signup = kept["new_signup_no_activation_24h"]
    joined, activated = signup.rule.match.of
    assert (joined.event.names, joined.when) == (("joined",), When(last="30d", ago="2d"))
    assert activated.event.names == DEFAULT_NAMES["activation"]
    assert signup.action["steps"] == [{"kind": "email", "text": "1-minute setup"}]
    assert Event.model_validate(signup.action["reached"]).names == DEFAULT_NAMES["activation"]
    assert kept["bounced_complained"].action["reached"] is None


def test_a_deleted_one_can_be_installed_again_and_a_viewer_installs_nothing(database, ws):
    shop = Shop(database, ws)
    (made,) = shop.install("lost")
    with database.web.transaction(ws) as session:
        keeping.delete(session, Principal.system(ws), made.id, now=NOW)
    assert [one.name for one in shop.install("lost")] == ["Lost"]
    with pytest.raises(NotFound, match="no starter 'best'"):
        shop.install("won", "best")
    with pytest.raises(Forbidden):
        shop.install("won", role="VIEWER")
    assert [one.starter for one in shop.kept()] == ["lost"]
