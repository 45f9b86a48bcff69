"""The tab Plans: what Stripe's prices are called here."""

from typing import Any

import streamlit as st
from pydantic import BaseModel, Field

from gdp_core import choices
from gdp_core.choices import PLAN_MATCHES, PlanChoice, PlanMatch
from pages.ui import data, forms, layout
from pages.ui.context import Here, here
from pages.ui.escape import clean
from pages.ui.format import label
from pages.ui.rows import Buttons
from pages.ui.settings.changing import change, change_in_callback


class Plan(BaseModel):
    """What to call a price."""

    match: PlanMatch = Field(
        "price", title="Match by Stripe's", description="A price wins over a lookup key, that over a product."
    )
    value: str = Field(title="Id", max_length=200, examples=["price_1Abc..."])
    plan_name: str = Field(title="Plan name", max_length=200, examples=["Pro"])


_WIDTH = 640  # of the form and of what it made


def tab(place: Here) -> None:
    """What Stripe's prices are called here."""
    layout.note("Reports group revenue by plan. A price that no plan names goes by Stripe's own name.")
    unmapped = data.remembered(place, choices.read_unmapped)
    if unmapped:
        layout.heading("Prices without a plan")
        columns: dict[str, list[Any]] = {
            "Stripe calls it": [clean(item.stripe_name) for item in unmapped],
            "Price": [clean(item.price_id or "") for item in unmapped],
            "Product": [clean(item.product_id or "") for item in unmapped],
            "Live subscriptions": [place.write.number(item.subscriptions) for item in unmapped],
            "MRR": [", ".join(place.write.money(micros, code) for code, micros in item.mrr) for item in unmapped],
        }
        right = st.column_config.TextColumn(alignment="right")
        layout.table(
            columns,
            alt="Prices of live subscriptions that no plan names",
            config={"Live subscriptions": right, "MRR": right},
            height="content",
        )
    if place.may("settings.write"):
        first = next((item for item in unmapped if item.price_id), None)
        with st.container(width=_WIDTH):
            wanted = forms.ask(
                Plan,
                key="plan",
                submit="Name the plan",
                initial={"match": "price", "value": first.price_id, "plan_name": first.stripe_name} if first else None,
                options={"match": PLAN_MATCHES},
            )
        if wanted:
            choice = PlanChoice(wanted.match, wanted.value, "", wanted.plan_name)
            change(
                lambda session, who: choices.set_plan(session, who, choice, now=place.now),
                f"{wanted.plan_name} saved; billing is derived again.",
            )
    _mapped(place)


def _mapped(place: Here) -> None:
    found = place.read(choices.read_plans)
    if not found:
        layout.note("No price has a plan yet.")
        return
    layout.heading(f"{place.write.number(len(found))} prices with a plan")
    columns: dict[str, list[Any]] = {
        "Plan": [clean(item.plan_name) for item in found],
        "By": [label(item.match) for item in found],
        "Id": [clean(item.value) for item in found],
    }
    config: dict[str, Any] = {"Plan": st.column_config.TextColumn(pinned=True, width=120)}
    if place.may("settings.write"):
        columns["remove"] = _DROP.cells([(item.match, item.value) for item in found])
        config["remove"] = _DROP.column(pinned=False, help="Let Stripe's own name hold again")
    with st.container(width=_WIDTH):
        layout.table(columns, alt="Prices and their plans", config=config, height="content")


def _remove() -> None:
    """A callback."""
    asked = _DROP.clicked()
    if asked:
        match, value = asked
        change_in_callback(
            lambda session, who: choices.remove_plan(session, who, match, value, now=here().now),
            "Removed; billing is derived again.",
        )


_DROP: Buttons[tuple[PlanMatch, str]] = Buttons("settings.plan-drop", ":material/delete:", then=_remove)
