"""The ten starters of the way from a cold e-mail to a deal that is won.

Deals, calls and replies are read from events: deal_stage_changed (deal_id, stage), booking_scheduled, booking_attended,
booking_missed and booking_cancelled (booking_id), reply_received (label).
"""

from collections.abc import Callable

from gdp_core.segments.conditions.base import Event, When, Where
from gdp_core.segments.conditions.deal import Deal
from gdp_core.segments.conditions.not_since import NotSince
from gdp_core.segments.conditions.performed import Performed
from gdp_core.segments.rules import Group
from gdp_core.segments.starters.base import Given, Starter, Step, Threshold
from gdp_core.segments.starters.newsletter import OUTBOUND, all_of, clicks, none_of, wait, within

_SCHEDULED, _ATTENDED, _MISSED = "booking_scheduled", "booking_attended", "booking_missed"
_CANCELLED = "booking_cancelled"
_REPLIED = "reply_received"
_BOOKING = "booking_id"
_SOON = "1min"  # how long something stands before it counts: what is corrected at once moves nobody
_POSITIVE = Threshold("positive", "Labels of positive replies", "positive, interested", "words")
_NEGATIVE = Threshold("negative", "Labels of negative replies", "negative, not interested, not_interested", "words")


def _stages(*names: str) -> Threshold:
    return Threshold(
        "stages", "Stages", ", ".join(names), "words", help="As your deals call them, with commas between several."
    )


def _replies(labels: tuple[str, ...]) -> Event:
    return Event(names=(_REPLIED,), where=(Where(field="label", comparison="is", values=labels),))


def _last_reply(says: str, other: str) -> "Callable[[Given], Group]":
    """A reply of one kind that none of the other kind followed; what says neither, such as an absence, changes nothing."""
    return lambda given: all_of(
        NotSince(
            event=_replies(given.words(says)),
            other=_replies(given.words(other)),
            ago=given.length("wait"),
            within=given.length("within"),
        )
    )


def _standing(given: Given) -> Group:
    """A deal in one of the stages, for as long as the thresholds that there are say."""
    least, most = (given.length(name) if name in given.values else None for name in ("wait", "within"))
    return all_of(Deal(stages=given.words("stages"), least=least, most=most))


OUTBOUND_TO_CLOSE = (
    Starter(
        key="visited_offer_2plus_no_reply",
        title="Visited the offer, no reply",
        funnel="outbound",
        about="Looked at the offer more than once and said nothing: interested, and not yet asked well.",
        goal="Reply.",
        reached=(_REPLIED,),
        steps=(Step("outbound", "2-line follow up"),),
        thresholds=(
            Threshold(
                "page",
                "Addresses of the offer contain",
                "/offer",
                "words",
                help="A part of the page's address, with commas between several.",
            ),
            Threshold("times", "Visited at least so often", 2, "whole"),
            within("7d", "In the last"),
            Threshold("silent", "No reply and no call booked in the last", "30d"),
        ),
        match=lambda given: all_of(
            Performed(
                event=Event(
                    names=("page_view",),
                    where=(Where(field="url", comparison="contains", values=given.words("page")),),
                ),
                times=given.whole("times"),
                when=When(last=given.length("within")),
            ),
            none_of(Performed(event=Event(names=(_REPLIED, _SCHEDULED)), when=When(last=given.length("silent")))),
        ),
    ),
    Starter(
        key="clicked_outbound_no_booking",
        title="Clicked outbound, no booking",
        funnel="outbound",
        about="Clicked in a sales e-mail and booked no call since: make the next step easy.",
        goal="Book a call.",
        reached=(_SCHEDULED,),
        steps=(Step("outbound", "send scheduling link"),),
        thresholds=(
            wait("24h", "Clicked at least so long ago"),
            within("14d", "Clicked at most so long ago"),
            OUTBOUND,
        ),
        match=lambda given: all_of(
            NotSince(
                event=clicks(given, outbound=True),
                other=Event(names=(_SCHEDULED,)),
                ago=given.length("wait"),
                within=given.length("within"),
            )
        ),
    ),
    Starter(
        key="booked_call",
        title="Booked a call",
        funnel="outbound",
        about="Have a call ahead of them: no further sequence, and a word before it.",
        goal="Attend the call.",
        reached=(_ATTENDED,),
        steps=(Step("stop", "sequence stop"), Step("email", "pre-call email")),
        thresholds=(wait(_SOON, "Booked at least so long ago"), within("30d", "Booked at most so long ago")),
        match=lambda given: all_of(
            NotSince(
                event=Event(names=(_SCHEDULED,)),
                other=Event(names=(_ATTENDED, _MISSED, _CANCELLED)),
                ago=given.length("wait"),
                within=given.length("within"),
                same=_BOOKING,
            )
        ),
    ),
    Starter(
        key="no_show",
        title="No-show",
        funnel="outbound",
        about="Missed a call and neither booked nor attended another since.",
        goal="Book another call.",
        reached=(_SCHEDULED,),
        steps=(Step("email", "reschedule"), Step("meta", "retarget")),
        thresholds=(wait(_SOON, "Missed at least so long ago"), within("14d", "Missed at most so long ago")),
        match=lambda given: all_of(
            NotSince(
                event=Event(names=(_MISSED,)),
                other=Event(names=(_SCHEDULED, _ATTENDED)),
                ago=given.length("wait"),
                within=given.length("within"),
            )
        ),
    ),
    Starter(
        key="proposal_sent",
        title="Proposal sent",
        funnel="outbound",
        about="Have a proposal of yours and have not decided.",
        goal="Decide on the proposal.",
        reached=("deal_stage_changed",),
        steps=(Step("outbound", "3-touch close sequence"),),
        thresholds=(_stages("proposal_sent", "proposal sent", "proposal"), within("30d", "In it for at most")),
        match=_standing,
    ),
    Starter(
        key="warm_lead",
        title="Warm lead",
        funnel="outbound",
        about="Have been a warm lead for some days without moving on.",
        goal="Book a call.",
        reached=(_SCHEDULED,),
        steps=(Step("email", "case study drop"),),
        thresholds=(_stages("warm", "warm lead", "warm_lead"), wait("2d", "In it for at least")),
        match=_standing,
    ),
    Starter(
        key="replied_positive",
        title="Replied positively",
        funnel="outbound",
        about="Said yes, or nearly: a person takes over.",
        goal="Book a call.",
        reached=(_SCHEDULED,),
        steps=(Step("route", "route to human"),),
        thresholds=(
            _POSITIVE,
            _NEGATIVE,
            wait(_SOON, "Replied at least so long ago"),
            within("14d", "Replied at most so long ago"),
        ),
        match=_last_reply("positive", "negative"),
    ),
    Starter(
        key="replied_negative",
        title="Replied negatively",
        funnel="outbound",
        about="Said no: remember the objection and stay in touch slowly.",
        goal="Reply again, positively.",
        reached=(_REPLIED,),
        steps=(Step("tag", "tag objection"), Step("email", "drip")),
        thresholds=(
            _NEGATIVE,
            _POSITIVE,
            wait(_SOON, "Replied at least so long ago"),
            within("90d", "Replied at most so long ago"),
        ),
        match=_last_reply("negative", "positive"),
    ),
    Starter(
        key="won",
        title="Won",
        funnel="outbound",
        about="Have a deal that was won: help them start, then show them more.",
        goal="Reach first value.",
        reached="activation",
        steps=(Step("email", "onboarding"), Step("email", "upsell")),
        thresholds=(_stages("won", "closed won", "closed_won"),),
        match=_standing,
    ),
    Starter(
        key="lost",
        title="Lost",
        funnel="outbound",
        about="Have a deal that was lost lately: a slow word for a month, as plans change.",
        goal="Book another call.",
        reached=(_SCHEDULED,),
        steps=(Step("email", "30-day nurture"), Step("meta", "retarget")),
        thresholds=(_stages("lost", "closed lost", "closed_lost"), within("30d", "Lost at most so long ago")),
        match=_standing,
    ),
)
