"""The tab Billing: subscriptions, payments, and what changed in what they pay a month."""

import streamlit as st

from gdp_core.analytics.profile import Billing
from pages.ui import layout
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.format import label


def tab(place: Here, billing: Billing) -> None:
    """Subscriptions, payments, and what changed in what they pay a month."""
    write = place.write
    if not billing.subscriptions and not billing.payments:
        with layout.empty(":material/credit_card:", "No billing", "Nothing this person bought is known."):
            return
    layout.section("Subscriptions")
    layout.table(
        {
            "Plan": [clean(item.plan_name) for item in billing.subscriptions],
            "Status": [label(item.status) for item in billing.subscriptions],
            "MRR": [write.money(item.mrr_micros, item.currency) for item in billing.subscriptions],
            "Price": [
                f"{write.money(item.price_micros, item.currency)} {item.billing_cycle}"
                for item in billing.subscriptions
            ],
            "Started": [write.date_of(item.started_at) for item in billing.subscriptions],
            "Renews": [write.date_of(item.renews_at) for item in billing.subscriptions],
            "Ended": [write.date_of(item.cancelled_at) for item in billing.subscriptions],
            "Revenue": [write.money(item.total_revenue_micros, item.currency) for item in billing.subscriptions],
            "Id": [clean(place.sees(item.stripe_subscription_id) or "") for item in billing.subscriptions],
        },
        alt="Subscriptions",
        none="No subscription is known.",
        config={name: st.column_config.TextColumn(alignment="right") for name in ("MRR", "Price", "Revenue")},
        height="content",
    )
    layout.section("Payments")
    layout.table(
        {
            "When": [write.instant(item.at) for item in billing.payments],
            "What": [label(item.kind) for item in billing.payments],
            "Status": [label(item.status) for item in billing.payments],
            "Amount": [write.money(item.amount_micros, item.currency) for item in billing.payments],
            "Number": [clean(item.number) for item in billing.payments],
        },
        alt="Payments, newest first",
        none="Nothing was paid yet.",
        config={"Amount": st.column_config.TextColumn(alignment="right")},
        height="content" if len(billing.payments) <= 25 else 600,
    )
    if billing.changes:
        layout.section("MRR changes")
        layout.table(
            {
                "When": [write.instant(item.at) for item in billing.changes],
                "Movement": [label(item.movement) for item in billing.changes],
                "From": [write.money(item.before_micros, item.currency) for item in billing.changes],
                "To": [write.money(item.after_micros, item.currency) for item in billing.changes],
                "Reason": [label(item.reason) if item.reason else "" for item in billing.changes],
            },
            alt="Changes of monthly recurring revenue",
            config={name: st.column_config.TextColumn(alignment="right") for name in ("From", "To")},
            height="content" if len(billing.changes) <= 25 else 600,
        )
