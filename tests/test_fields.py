"""Every field that people expect of a person, an event, an identifier and a subscription is there, and gets filled."""

from datetime import timedelta

from gdp_core.db import one, rows

from .conftest import NOW
from .stripe_story import DAY, T0, charge, customer, event, invoice, refund, subscription
from .test_pipeline import batch, delivery, drain, put

PERSON = """id email phone first_name last_name name company industry stage status source medium campaign cohort tags
 metadata active_days core_actions lifetime_value_micros total_spent_micros total_events first_seen_at last_seen_at
 first_action_at last_action_at signup_at marketing_qualified_at trial_started_at subscribed_at churned_at currency
 mrr_micros plan_name subscription_status subscription_started_at subscription_ends_at is_internal identifiers""".split()
ACTOR = "id namespace external_id person_id is_primary first_seen_at last_seen_at first_touch event_count".split()
EVENT = """id occurred_at actor_id name type category source source_id source_event_id session_id device_id ip user_agent
 referrer url utm_source utm_medium utm_campaign utm_term utm_content gclid fbclid ttclid value_micros currency is_machine
 properties metadata received_at applied_at""".split()
SUBSCRIPTION = """plan_id plan_name billing_cycle price_micros currency started_at renews_at cancelled_at refunded_at
 total_revenue_micros mrr_micros arr_micros status stripe_customer_id stripe_subscription_id stripe_price_id
 current_period_start current_period_end cancel_at created_at updated_at trial_start trial_end ended_at quantity
 cancel_requested_at cancellation_reason committed_mrr_micros trial_mrr_micros""".split()
EMAIL = """resend_id actor_id sender recipient subject tags campaign segment_id funnel status sent_at delivered_at opened_at
 clicked_at bounced_at complained_at""".split()
EMAIL_EVENT = "event_type occurred_at clicked_url user_agent ip is_machine detail".split()


def visit(ws, source_id):
    """A year ago: a tagged visit, an account, use, an order."""
    began = NOW - timedelta(days=390)
    shared = {"anonymousId": "a1", "userId": "u1", "context": {}}
    query = "&".join(f"utm_{name}={name}" for name in ("source", "medium", "campaign", "term", "content"))
    page = {"url": f"https://acme.example/?{query}&gclid=g&fbclid=f&ttclid=t", "referrer": "https://google.com/"}
    context = {"page": page, "sessionId": "s1", "device": {"id": "d1"}, "userAgent": "Mozilla/5.0", "ip": "203.0.113.7"}
    traits = {
        "email": "ada@acme.example",
        "phone": "+442079460958",
        "firstName": "Ada",
        "lastName": "L",
        "name": "Ada L",
    }
    traits |= {"company": {"name": "Acme", "industry": "Law"}, "tags": ["vip"], "plan": "pro"}
    told = [
        {"type": "page", "context": context},
        {"type": "identify", "traits": traits},
        {"type": "track", "event": "signup_completed"},
        {"type": "track", "event": "letter_sent", "properties": {"revenue": 5, "currency": "USD"}},
    ]
    stamped = [
        shared | call | {"messageId": f"m{n}", "timestamp": (began + timedelta(hours=n)).isoformat()}
        for n, call in enumerate(told)
    ]
    return delivery(ws, source_id, batch(*stamped))


def payments():
    """A trial, a paid month that was given back, and the end; a second subscription that runs."""
    trial = {"trial_start": T0, "trial_end": T0 + DAY, "metadata": {"user_id": "u1"}}
    asked = {"cancel_at": T0 + 9 * DAY, "cancel_at_period_end": True, "canceled_at": T0 + 5 * DAY}
    over = subscription("canceled", ended_at=T0 + 9 * DAY, **trial, **asked)
    last = subscription("trialing", sub_id="sub_2", trial_start=T0, trial_end=T0 + 400 * DAY, cancel_at=T0 + 500 * DAY)
    return [
        event("evt_0", "customer.created", 0, customer(metadata={"user_id": "u1"})),
        event("evt_1", "customer.subscription.created", 0, subscription("trialing", **trial)),
        event("evt_2", "customer.subscription.updated", DAY, subscription("active", **trial)),
        event("evt_3", "invoice.paid", DAY, invoice(paid=DAY)),
        event("evt_4", "charge.succeeded", DAY, charge()),
        event("evt_5", "refund.created", 2 * DAY, refund(created=2 * DAY, amount=500)),
        event("evt_6", "customer.subscription.deleted", 9 * DAY, over),
        event("evt_7", "customer.subscription.created", 0, last),
        event("evt_8", "customer.subscription.created", 3 * DAY, subscription(sub_id="sub_3", customer="cus_9")),
    ]


def mails(ws, source_id):
    base = {"email_id": "em_1", "from": "hi@acme.example", "to": ["ada@acme.example"], "subject": "Hello"}
    base["tags"] = {"user_id": "u1", "campaign_id": "c1", "segment_id": "s1", "funnel": "f1"}
    click = {"link": "https://acme.example/x", "userAgent": "Mozilla/5.0", "ipAddress": "203.0.113.7"}
    scan = click | {"userAgent": "Barracuda link scanner"}
    told = [
        ("delivered", {}),
        ("opened", {}),
        ("clicked", {"click": click}),
        ("clicked", {"click": scan}),
        ("bounced", {"bounce": {"type": "Transient", "message": "full"}}),
        ("complained", {}),
    ]
    for n, (kind, more) in enumerate(told):
        body = {"type": f"email.{kind}", "created_at": (NOW - timedelta(days=9 - n)).isoformat(), "data": base | more}
        headers = {"svix-id": f"msg_{n}"}
        yield delivery(ws, source_id, body, source="resend", route="webhook", trust="signed", headers=headers)


def test_every_field_is_there_and_filled(database, ws):
    stripe = database.source(ws, "stripe")
    webhooks = [delivery(ws, stripe, told, source="stripe", route="webhook", trust="signed") for told in payments()]
    put(
        database,
        visit(ws, database.source(ws, "segment")),
        *webhooks,
        *mails(ws, database.source(ws, "resend")),
    )
    drain(database, ws)
    with database.web.transaction(ws) as session:
        for table, names in (
            ("person", PERSON),
            ("actor", ACTOR),
            ("event", EVENT),
            ("subscription", SUBSCRIPTION),
            ("email_message", EMAIL),
            ("email_event", EMAIL_EVENT),
        ):
            counted = ", ".join(f'count("{name}") AS "{name}"' for name in names)
            found = one(session, f"SELECT {counted} FROM {table}")
            assert {name for name in names if not getattr(found, name)} == set(), table
        ada = one(session, "SELECT * FROM person WHERE email = 'ada@acme.example'")
        assert (ada.stage, ada.status, ada.source, ada.medium, ada.campaign) == (
            "churned",
            "churned",
            "paid_ads", "medium", "campaign",
        )  # fmt: skip
        assert (ada.tags, ada.metadata["plan"], ada.company, ada.industry) == (["vip"], "pro", "Acme", "Law")
        assert (ada.total_spent_micros, ada.lifetime_value_micros) == (25_000_000, 20_000_000)
        assert {row.type for row in rows(session, "SELECT DISTINCT type FROM event")} == {
            "PAGE_VIEW", "CONVERSION", "CUSTOM",
        }  # fmt: skip
        assert {row.category for row in rows(session, "SELECT DISTINCT category FROM event")} >= {
            "acquisition", "core_value", "monetization", "retention",
        }  # fmt: skip
        assert not rows(session, "SELECT 1 FROM event WHERE ip = '203.0.113.7'")
