"""The ten starters of the way from a newsletter to a subscription."""

from gdp_core.segments.conditions.base import Compared, Event, When, Where
from gdp_core.segments.conditions.feature import FeatureIs
from gdp_core.segments.conditions.not_since import NotSince
from gdp_core.segments.conditions.performed import Performed
from gdp_core.segments.conditions.stopped import Stopped
from gdp_core.segments.conditions.subscription import Subscription
from gdp_core.segments.conditions.suppression import Suppression
from gdp_core.segments.rules import Group, Node
from gdp_core.segments.starters.base import Given, Starter, Step, Threshold

CLICKED = "email_clicked"
_FUNNEL = "funnel"  # the tag by which an e-mail says what it belongs to
_SUBSCRIBED = "subscription_started_at"
_PAYING = Subscription(mrr=Compared(op="gt", values=(0.0,)))


def all_of(*parts: Node) -> Group:
    """A group of which everything must hold."""
    return Group(kind="all", of=parts)


def none_of(*parts: Node) -> Group:
    """A group of which nothing must hold."""
    return Group(kind="not", of=parts)


def clicks(given: Given, *, outbound: bool) -> Event:
    """Clicks in e-mails that are part of outbound sales, by their tag, or in all others; machines do not count."""
    comparison = "is" if outbound else "is_not"
    return Event(names=(CLICKED,), where=(Where(field=_FUNNEL, comparison=comparison, values=given.words("outbound")),))


def wait(default: str, title: str = "At least so long ago") -> Threshold:
    """How long something is waited for."""
    return Threshold("wait", title, default)


def within(default: str, title: str = "At most so long ago") -> Threshold:
    """How far back is looked."""
    return Threshold("within", title, default)


OUTBOUND = Threshold(
    "outbound",
    "Funnel tags of outbound e-mails",
    "outbound",
    "words",
    help="What the tag “funnel” of your sales e-mails says, with commas between several.",
)


def _unpaid(given: Given) -> Group:
    """Not those who paid once, and not those who pay now."""
    return none_of(Performed(event=given.role("purchase")), _PAYING)


def _unanswered_checkout(given: Given) -> Group:
    """A purchase answers the checkout of its id. Where either says no id, any purchase that follows is the answer."""
    begun, bought, same = given.role("checkout_started"), given.role("purchase"), given.word("same")
    ago, back = given.length("wait"), given.length("within")
    if not same:
        return all_of(NotSince(event=begun, other=bought, ago=ago, within=back))
    without = Where(field=same, comparison="not_set")
    nameless, blank = (Event(names=one.names, where=(*one.where, without)) for one in (bought, begun))
    return Group(
        kind="any",
        of=(
            all_of(
                NotSince(event=begun, other=bought, ago=ago, within=back, same=same),
                NotSince(event=begun, other=nameless, ago=ago, within=back),
            ),
            NotSince(event=blank, other=bought, ago=ago, within=back),
        ),
    )


NEWSLETTER = (
    Starter(
        key="new_signup_no_activation_24h",
        title="New signup, not activated",
        funnel="newsletter",
        about="Signed up lately and have not reached first value: the first day is when most are lost.",
        goal="Reach first value.",
        reached="activation",
        steps=(Step("email", "1-minute setup"),),
        thresholds=(wait("24h", "Signed up at least so long ago"), within("30d", "Signed up at most so long ago")),
        match=lambda given: all_of(
            Performed(
                event=given.role("signup"),
                how="first",
                when=When(last=given.length("within"), ago=given.length("wait")),
            ),
            Performed(event=given.role("activation"), how="at_most", times=0),
        ),
    ),
    Starter(
        key="activated_not_paid_day3",
        title="Activated, not paid",
        funnel="newsletter",
        about="Reached first value some days ago and never paid: they know what it does, not yet what it is worth to them.",
        goal="Pay for the first time.",
        reached="purchase",
        steps=(Step("email", "use case pack"),),
        thresholds=(wait("3d", "Activated at least so long ago"), within("30d", "Activated at most so long ago")),
        match=lambda given: all_of(
            Performed(
                event=given.role("activation"),
                how="first",
                when=When(last=given.length("within"), ago=given.length("wait")),
            ),
            _unpaid(given),
        ),
    ),
    Starter(
        key="high_intent_pricing_2plus_not_paid",
        title="High intent on pricing, not paid",
        funnel="newsletter",
        about="Looked at prices more than once lately and never paid: they are choosing.",
        goal="Choose a plan and pay.",
        reached="purchase",
        steps=(Step("email", "help picking plan"), Step("meta", "Retarget with the plans")),
        thresholds=(
            Threshold("times", "Looked at prices at least so often", 2, "whole"),
            within("7d", "In the last"),
        ),
        match=lambda given: all_of(
            Performed(
                event=given.role("pricing_view"), times=given.whole("times"), when=When(last=given.length("within"))
            ),
            _unpaid(given),
        ),
    ),
    Starter(
        key="checkout_started_no_purchase_4h",
        title="Checkout started, no purchase",
        funnel="newsletter",
        about="Began to pay and did not finish that checkout: something stood in the way.",
        goal="Finish the purchase.",
        reached="purchase",
        steps=(Step("email", "quick fix"), Step("meta", "Retarget with the checkout")),
        thresholds=(
            wait("4h", "Checkout started at least so long ago"),
            within("7d", "Checkout started at most so long ago"),
            Threshold(
                "same",
                "Property that tells checkouts apart",
                "checkout_id",
                "word",
                help="A purchase ends the checkout of the same value. Left empty, any purchase ends them all.",
            ),
        ),
        match=_unanswered_checkout,
    ),
    Starter(
        key="newsletter_clicker_not_signed_up",
        title="Newsletter clicker, not signed up",
        funnel="newsletter",
        about="Clicked in your e-mails themselves, no scanner, and have no account: readers who could be users.",
        goal="Sign up.",
        reached="signup",
        steps=(Step("email", "invite to try"),),
        thresholds=(
            Threshold("times", "Clicked at least so often", 1, "whole"),
            within("30d", "In the last"),
            OUTBOUND,
        ),
        match=lambda given: all_of(
            Performed(
                event=clicks(given, outbound=False),
                times=given.whole("times"),
                when=When(last=given.length("within")),
            ),
            none_of(
                *(Performed(event=given.role(role)) for role in ("signup", "activation", "core", "purchase")), _PAYING
            ),
        ),
    ),
    Starter(
        key="inactive_7d_after_activation",
        title="Inactive after activation",
        funnel="newsletter",
        about="Reached first value, were there lately, and have been silent since: before their work is forgotten.",
        goal="Come back and use the product.",
        reached="core",
        steps=(Step("email", "save your work"),),
        thresholds=(
            Threshold("quiet", "Silent for", "7d"),
            Threshold("active", "There at least once in so long before", "30d"),
        ),
        match=lambda given: all_of(
            Performed(event=given.role("activation")),
            Stopped(event=Event(), active=given.length("active"), quiet=given.length("quiet")),
        ),
    ),
    Starter(
        key="paid_low_usage_7d",
        title="Paying, low usage",
        funnel="newsletter",
        about="Pay for a while and have hardly used the product since: they leave at the next invoice.",
        goal="Do what the product is for.",
        reached="core",
        steps=(Step("email", "your first win"),),
        thresholds=(
            wait("7d", "Subscribed at least so long ago"),
            Threshold("most", "Used it since at most so often", 2, "whole"),
        ),
        match=lambda given: all_of(
            Subscription(mrr=Compared(op="gt", values=(0.0,)), started="longer_ago", length=given.length("wait")),
            Performed(event=given.role("core"), how="at_most", times=given.whole("most"), when=When(after=_SUBSCRIBED)),
        ),
    ),
    Starter(
        key="paid_high_usage_7d",
        title="Paying, high usage",
        funnel="newsletter",
        about="Pay and use the product a lot these days: who is this happy tells others.",
        goal="Invite somebody.",
        reached=("invite_sent", "referral_completed"),
        steps=(Step("email", "referral loop"),),
        thresholds=(
            Threshold("times", "Used it as a subscriber at least so often", 10, "whole"),
            within("7d", "In the last"),
        ),
        match=lambda given: all_of(
            _PAYING,
            Performed(
                event=given.role("core"),
                times=given.whole("times"),
                when=When(last=given.length("within"), after=_SUBSCRIBED),
            ),
        ),
    ),
    Starter(
        key="bounced_complained",
        title="Bounced or complained",
        funnel="newsletter",
        about="Have an address that bounced for good or complained: nothing may be sent to it.",
        goal="Get no further e-mail.",
        steps=(Step("suppress", "suppress from sequences"),),
        match=lambda _: all_of(Suppression(reasons=("bounce", "complaint"))),
    ),
    Starter(
        key="high_clicks_low_usage",
        title="Clicks a lot, uses little",
        funnel="newsletter",
        about="Have an account, click in your e-mails and hardly use the product: they want something it has not given them.",
        goal="Say what they are trying to solve.",
        reached=("reply_received",),
        steps=(Step("email", "what are you trying to solve?"),),
        thresholds=(
            Threshold("clicks", "Clicks in 90 days, at least", 3, "whole"),
            Threshold("factor", "Clicks for each core action, more than", 2, "whole"),
        ),
        match=lambda given: all_of(
            Performed(event=given.role("signup")),
            FeatureIs(feature="email_clicks", op="gte", values=(given.whole("clicks"),)),
            FeatureIs(feature="email_clicks", op="gt", other="core_actions", factor=given.whole("factor")),
        ),
    ),
)
