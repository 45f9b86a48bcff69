"""One form for every model: each kind of field has its widget, and only what the model accepts comes back."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator
from streamlit.testing.v1 import AppTest

from tests.browsing import plain


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark_blue"


class Everything(BaseModel):
    name: str = Field(min_length=2, max_length=20, description="What **it** is called", examples=["Acme"])
    notes: str | None = Field(None, title="Your notes", json_schema_extra={"area": True})
    secret: SecretStr = SecretStr("")
    count: int = Field(3, ge=1, le=10)
    ratio: float = 0.5
    price: Decimal = Decimal("9.90")
    is_on: bool = True
    kind: Literal["one", "other_one"] = "one"
    colour: Colour | None = None
    words: list[str] = Field(default_factory=lambda: ["a"])
    kinds: list[Literal["x", "y"]] = Field(default_factory=list)
    since: date = date(2026, 1, 1)
    zone: str = "UTC"

    @field_validator("name")
    @classmethod
    def _no_root(cls, value: str) -> str:
        if value == "root":
            raise ValueError("choose another name than [root](http://evil)")
        return value


def script():
    import streamlit as st

    from pages.ui import forms
    from tests.test_ui_forms import Everything

    found = forms.ask(Everything, key="f", submit="Save it", options={"zone": ["UTC", "Europe/Berlin"]})
    if found is not None:
        st.text(found.model_dump_json())


@pytest.fixture
def page():
    return AppTest.from_function(script, default_timeout=120).run()


def submit(page):
    page.button[0].click().run()
    assert not page.exception
    return page


def value(page):
    return Everything.model_validate_json(page.text[0].value)


def test_each_field_has_its_widget_with_its_default(page):
    assert not page.exception
    assert plain(page.text_input(key="f.name").label) == "Name"
    assert page.text_area(key="f.notes").label == "Your notes"
    assert page.text_input(key="f.secret").value == ""
    assert page.number_input(key="f.count").value == 3
    assert (page.number_input(key="f.count").min, page.number_input(key="f.count").max) == (1, 10)
    assert page.checkbox(key="f.is_on").value is True
    assert page.selectbox(key="f.kind").options == ["One", "Other one"]
    assert page.selectbox(key="f.colour").value is None
    assert page.multiselect(key="f.words").value == ["a"]
    assert page.selectbox(key="f.zone").value == "UTC"
    assert page.date_input(key="f.since").value == date(2026, 1, 1)
    assert "**" not in plain(page.text_input(key="f.name").help).replace("**it**", "")
    assert page.text_input(key="f.name").help == r"What \*\*it\*\* is called"


def test_a_valid_form_comes_back_once(page):
    page.text_input(key="f.name").set_value("  Acme ")
    page.selectbox(key="f.colour").select(Colour.DARK_BLUE)
    page.multiselect(key="f.kinds").set_value(["y"])
    page.selectbox(key="f.zone").select("Europe/Berlin")
    submit(page)
    found = value(page)
    assert (found.name, found.colour, found.kinds, found.zone) == ("Acme", Colour.DARK_BLUE, ["y"], "Europe/Berlin")
    assert (found.notes, found.price, found.count) == (None, Decimal("9.9"), 3)
    page.run()
    assert not page.text


def test_what_the_model_refuses_is_said_in_place_without_markup(page):
    page.text_input(key="f.name").set_value("A")
    submit(page)
    assert not page.text
    assert "Name: String should have at least 2 characters." in plain(page.error[0].value)
    page.text_input(key="f.name").set_value("root")
    submit(page)
    assert "\\[root\\](http\\:\u2060//evil)" in page.error[0].value


def test_an_optional_text_left_empty_is_none_and_another_is_not(page):
    page.text_input(key="f.name").set_value("Acme")
    page.text_area(key="f.notes").set_value("   ")
    submit(page)
    assert value(page).notes is None


def reading():
    from pages.ui import forms
    from tests.test_ui_forms import Everything

    forms.ask(
        Everything, key="f", read_only=True, initial={"name": "*Acme*", "kind": "other_one", "words": ["b_c", "d"]}
    )


def test_who_may_not_change_it_reads_it_as_text():
    page = AppTest.from_function(reading, default_timeout=120).run()
    assert not page.exception
    assert not page.button
    shown = dict(zip((plain(item.value) for item in page.caption), (item.value for item in page.text), strict=True))
    assert shown == {
        "Name": "*Acme*",
        "Your notes": "–",
        "Count": "3",
        "Ratio": "0.5",
        "Price": "9.90",
        "Is on": "Yes",
        "Kind": "Other one",
        "Colour": "–",
        "Words": "b_c, d",
        "Kinds": "–",
        "Since": "2026-01-01",
        "Zone": "UTC",
    }
