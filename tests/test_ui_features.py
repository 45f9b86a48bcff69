"""Features in the browser: on a profile, as filters and columns of People, and defined under Settings."""

import orjson
import pytest

from gdp_core import clock
from gdp_core.analytics.person_features import FeatureFilter
from gdp_core.db import rows, run
from gdp_core.features.definitions import read_defined
from pages.ui.features import filter_text, filters_of

from . import crowd
from .browsing import words

VALUES = {
    "ada": {"letters_sent": 7, "churn_risk": 0.81},
    "bob": {"letters_sent": 2, "churn_risk": 0.1},
    "cleo": {},
}


@pytest.fixture
def people(database, ws):
    """{name: person} of three people with features."""
    now = clock.now()
    at = now - crowd.DAY / 24
    messages = []
    for name in VALUES:
        messages.append(
            crowd.identify(name, message=f"{name}-i", at=at, email=f"{name}@acme.example", name=name.title())
        )
        messages.append(crowd.track(user=name, message=f"{name}-t", at=at))
    crowd.fill(database, ws, database.source(ws, "segment"), *messages, at=at, now=now)
    found = {name: crowd.person_id(database, ws, name) for name in VALUES}
    with database.worker.transaction(ws) as session:
        for name, values in VALUES.items():
            for feature, value in values.items():
                parts = orjson.dumps({"letters_sent": 0.5, "active_days": -0.2}).decode() if value < 1 else None
                run(
                    session,
                    "INSERT INTO person_feature (person_id, workspace_id, feature, number, parts, computed_at)"
                    " VALUES (:id, app_ws(), :feature, :value, CAST(:parts AS jsonb), :now)",
                    id=found[name],
                    feature=feature,
                    value=value,
                    parts=parts,
                    now=now,
                )
    return found


def named(shown):
    return sorted(shown.dataframe[0].value["Name"]) if shown.dataframe else []


def test_a_filter_survives_an_address():
    wanted = (FeatureFilter("a_b", "at_least", "50"), FeatureFilter("said", "at_most", "a,b >=%"))
    assert filters_of([*map(filter_text, wanted), "nonsense", ">=3", "x>="]) == wanted


@pytest.mark.parametrize(
    ("has", "found"),
    [
        ("churn_risk>=50", ["Ada"]),
        ("churn_risk<=50", ["Bob"]),
        ("letters_sent<=2", ["Bob", "Cleo"]),
        ("letters_sent<=2,churn_risk>=5", ["Bob"]),
        ("letters_sent>=1", ["Ada", "Bob"]),
        ("gone>=1", []),
        ("nonsense", ["Ada", "Bob", "Cleo"]),
    ],
)
def test_people_are_filtered_by_features(browser, ws, people, has, found):
    browser.sign_in(ws)
    shown = browser.open("people", has=has)
    assert not shown.exception
    assert not shown.error
    assert named(shown) == found


def test_a_filter_is_added_and_removed_and_features_are_columns(browser, ws, people):
    browser.sign_in(ws)
    shown = browser.open("people", cols="email,feature.letters_sent,feature.churn_risk,feature.gone")
    assert not shown.exception
    (table,) = [item.value for item in shown.dataframe]
    assert [*table.columns] == ["open", "Name", "E-mail", "Letters sent, 90 d", "Churn risk"]
    by_name = dict(zip(table["Name"], zip(table["Letters sent, 90 d"], table["Churn risk"], strict=True), strict=True))
    assert by_name == {"Ada": ("7", "81%"), "Bob": ("2", "10%"), "Cleo": ("0", "–")}
    shown.selectbox(key="features.asked").set_value("letters_sent").run()
    shown.text_input(key="features.value").set_value("3")
    shown = shown.button(key="features.add").click().run()
    assert shown.query_params["has"] in ("letters_sent>=3", ["letters_sent>=3"])
    assert named(shown) == ["Ada"]
    assert "Letters sent, 90 d at least 3" in words(shown)
    shown = shown.button(key="people-having-0").click().run()
    assert named(shown) == ["Ada", "Bob", "Cleo"]


@pytest.mark.parametrize("role", ["OWNER", "VIEWER"])
def test_a_profile_tells_features_and_why(browser, ws, people, role):
    browser.sign_in(ws, role)
    shown = browser.open("person", id=str(people["ada"]), tab="features")
    assert not shown.exception
    assert not shown.error
    said = words(shown)
    assert "Churn risk: 81%" in said
    assert "Likelier, because of: Letters sent, 90 d (7)." in said
    assert "Less likely, because of: Active days, 90 d (0 days)." in said
    assert "How many letters they sent (letter_sent), in the last 90 days." in said
    none = words(browser.open("person", id=str(people["cleo"]), tab="features"))
    assert "Churn risk: not told" in none
    assert "No early warning was learned yet." in none


def field(shown, name):
    kinds = (shown.text_input, shown.selectbox, shown.multiselect, shown.number_input)
    return next(item for kind in kinds for item in kind if item.key == f"feature.{name}")


def test_a_feature_is_defined_changed_and_removed(database, browser, ws, people):
    browser.sign_in(ws, "MEMBER")
    shown = browser.open("settings", tab="features")
    assert not shown.exception
    field(shown, ".title").set_value("Letters, 7 d")
    field(shown, ".events").set_value(["letter_sent"])
    field(shown, ".amount").set_value(7)
    shown = shown.button(key="feature..save").click().run()
    assert not shown.error

    def defined():
        with database.web.transaction(ws, read_only=True) as session:
            return [(one.slug, one.title, one.definition) for one in read_defined(session)]

    assert defined() == [("letters_7_d", "Letters, 7 d", "How often they did letter_sent, in the last 7 days.")]
    shown.selectbox(key="settings.feature").set_value("letters_7_d").run()
    field(shown, "letters_7_d.by").set_value("sum")
    shown = shown.button(key="feature.letters_7_d.save").click().run()
    assert "Say which field of the events" in words(shown)
    field(shown, "letters_7_d.by").set_value("since")
    shown = shown.button(key="feature.letters_7_d.save").click().run()
    assert defined()[0][2] == "Whole days of 24 h since they last did letter_sent, in the last 7 days."
    shown = shown.button(key="feature.letters_7_d.remove").click().run()
    shown.button(key="feature.letters_7_d.remove").click()  # here a dialog is there only in the run that opens it
    shown.button(key="feature.confirm.agree").click().run()
    assert defined() == []
    with database.web.transaction(ws, read_only=True) as session:
        noted = rows(session, "SELECT object_id FROM audit_log WHERE action = 'features.write'")
    assert [row.object_id for row in noted] == ["letters_7_d"] * 3


def test_who_may_not_define_sees_what_there_is(browser, ws, people):
    browser.sign_in(ws, "VIEWER")
    shown = browser.open("settings", tab="features")
    assert not shown.exception
    assert "feature..save" not in [item.key for item in shown.button]
    assert "Letters sent, 90 d" in words(shown)
