"""Overview, people, a person and reviews, run through the frame: empty and filled, for every role."""

import re

import pytest

from gdp_core import clock
from gdp_core.db import rows, run
from pages.ui import people

from . import crowd
from .browsing import plain, words
from .payloads import PAYLOADS
from .test_pipeline import batch, delivery, drain, put

ROLES = ["OWNER", "ADMIN", "MEMBER", "VIEWER"]
PAGES = ["overview", "people", "reviews"]


@pytest.fixture
def filled(database, ws):
    """A workspace with a paying, a trying and an unknown person, filled an hour before now."""
    now = clock.now()
    at = now - crowd.DAY / 24
    segment, stripe = database.source(ws, "segment", name="Website"), database.source(ws, "stripe")
    crowd.fill(
        database,
        ws,
        segment,
        crowd.page_view("a1", message="p1", at=at, source="google", medium="cpc"),
        crowd.identify("u1", anonymous="a1", message="i1", at=at, email="ada@acme.example", name="Ada Lovelace"),
        crowd.track(user="u1", message="t1", at=at, subject="Hello"),
        crowd.track(user="u2", message="t2", at=at),
        crowd.page_view("a9", message="p9", at=at),
        at=at,
        now=now,
    )
    crowd.subscription(database, ws, stripe, crowd.actor_id(database, ws, "u1"), at=at, now=now)
    return crowd.person_id(database, ws, "u1")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("page", PAGES)
def test_an_empty_workspace_says_what_to_do(database, browser, ws, role, page):
    browser.sign_in(ws, role)
    shown = browser.open(page)
    assert not shown.exception
    assert not shown.error
    assert {"overview": "No data yet", "people": "Nobody yet", "reviews": "Nothing to review"}[page] in words(shown)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("page", PAGES)
def test_a_filled_workspace_for_every_role(database, browser, ws, filled, role, page):
    browser.sign_in(ws, role)
    shown = browser.open(page)
    assert not shown.exception
    assert not shown.error


def test_the_overview_has_its_numbers(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open()
    values = {item.label: plain(item.value) for item in shown.metric}
    assert values["New people"] == "3"
    assert values["Active people"] == "3"
    assert values["MRR"] == "$29.00"
    assert values["Trial to paid"] == "–"
    assert values["Events"] == "5"
    said = words(shown)
    assert "Website" in said
    assert "1 subscription has no mapped plan" in said
    assert len(shown.get("plotly_chart")) == 2


def test_the_period_is_in_the_url_and_in_every_link(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open(period="7d")
    assert shown.selectbox(key="scope.period").value == "7d"
    shown.selectbox(key="scope.period").select("90d").run()
    assert shown.query_params["period"] == "90d"
    links = {item.label: item.proto.query_string for item in shown.get("page_link")}
    assert "period=90d" in links["People"]
    assert "ws=acme" in links["People"]


def test_a_mistyped_period_shows_the_usual_one(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open(period="yesterday", compare="x")
    assert not shown.error
    assert "Last 30 days" in words(shown)


@pytest.mark.parametrize("role", ROLES)
def test_people_by_name_and_by_role(database, browser, ws, filled, role):
    browser.sign_in(ws, role)
    shown = browser.open("people", q="lovelace")
    table = shown.dataframe[0].value
    assert len(table) == 1
    seen = (table["Name"][0], table["E-mail"][0])
    assert seen == (("A••• L•••", "a•••@a•••.example") if role == "VIEWER" else ("Ada Lovelace", "ada@acme.example"))
    exports = [item for item in shown.get("link_button") if "/api/export/people.csv" in item.proto.url]
    assert len(exports) == (0 if role == "VIEWER" else 1)
    if exports:
        assert "q=lovelace" in exports[0].proto.url
        assert "ws=acme" in exports[0].proto.url


@pytest.mark.parametrize(("role", "found"), [("VIEWER", False), ("MEMBER", True)])
def test_a_viewer_finds_by_whole_words_only(database, browser, ws, filled, role, found):
    browser.sign_in(ws, role)
    assert ("Nobody matches" not in words(browser.open("people", q="ada@acm"))) is found
    assert "Nobody matches" not in words(browser.open("people", q="ada@acme.example"))


def test_a_viewer_never_receives_what_is_masked(database, browser, ws, filled):
    browser.sign_in(ws, "VIEWER")
    pages = [browser.open("people"), browser.open("reviews")]
    pages += [
        browser.open("person", id=str(filled), tab=tab) for tab in ("timeline", "identity", "traits", "billing", "mail")
    ]
    for shown in pages:
        assert not shown.exception
        everything = words(shown) + repr([item.proto for item in shown.get("multiselect")])
        assert "ada@acme.example" not in everything
        assert "Lovelace" not in everything
        assert "u1" not in everything.split()


def test_filters_write_the_url_and_clearing_empties_it(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open("people", stage="active", known="known")
    assert list(shown.dataframe[0].value["Name"]) == ["Ada Lovelace"]
    shown.text_input(key="people.q").set_value("nobody").run()
    assert shown.query_params["q"] == "nobody"
    assert shown.query_params["stage"] == "active"
    assert "Nobody matches" in words(shown)
    shown.button(key="people-clear").click().run()
    assert len(shown.dataframe[0].value) == 3
    assert "stage" not in shown.query_params


def test_a_person_is_opened_by_name_without_a_mouse(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open("people", q="lovelace")
    assert "Open full profile" not in words(shown)
    chooser = shown.selectbox(key="people.open.chooser")
    assert chooser.options == ["Ada Lovelace"]
    chooser.select("Ada Lovelace").run()
    assert "Open full profile" in words(shown)
    assert shown.selectbox(key="people.open.chooser").value is None, "the same person can be opened again"
    assert shown.query_params["q"] == "lovelace"
    shown.run()
    assert "Open full profile" not in words(shown)


def test_unknown_words_in_the_url_change_nothing(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open(
        "people", stage="nonsense,active", sort="'; --", at="x", n="-1", cols="email,zzz", activity="soon"
    )
    assert not shown.exception
    assert not shown.error
    assert list(shown.dataframe[0].value["Name"]) == ["Ada Lovelace"]


def test_pages_of_people_forwards_and_back(database, browser, ws, filled, monkeypatch):
    monkeypatch.setattr(people, "PAGE_SIZE", 2)
    browser.sign_in(ws)
    shown = browser.open("people")
    first = list(shown.dataframe[0].value["Name"])
    shown.button(key="people-next").click().run()
    second = list(shown.dataframe[0].value["Name"])
    assert len(first + second) == 3
    assert "3–3 of 3" in words(shown)
    assert shown.button(key="people-next").disabled
    shown.button(key="people-previous").click().run()
    assert list(shown.dataframe[0].value["Name"]) == first


def test_a_search_begins_the_list_again(database, browser, ws, filled, monkeypatch):
    monkeypatch.setattr(people, "PAGE_SIZE", 2)
    browser.sign_in(ws)
    shown = browser.open("people")
    shown.button(key="people-next").click().run()
    shown.text_input(key="people.q").set_value("ada").run()
    assert list(shown.dataframe[0].value["Name"]) == ["Ada Lovelace"]
    assert "at" not in shown.query_params


def test_columns_are_chosen_and_kept_for_the_tab(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open("people")
    shown.multiselect(key="people.cols").set_value(["company", "id"]).run()
    assert list(shown.dataframe[0].value.columns) == ["open", "Name", "Company", "Id"]
    assert shown.query_params["cols"] == "company,id"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("tab", ["timeline", "identity", "traits", "billing", "mail"])
def test_a_profile_for_every_role(database, browser, ws, filled, role, tab):
    browser.sign_in(ws, role)
    shown = browser.open("person", id=str(filled), tab=tab)
    assert not shown.exception
    assert not shown.error
    assert shown.title[0].value == ("A••• L•••" if role == "VIEWER" else "Ada Lovelace")


@pytest.mark.parametrize(
    ("role", "said"), [("MEMBER", {"anonymous a1", "user u1"}), ("VIEWER", {"anonymous a•••", "user u•••"})]
)
def test_what_joins_identifiers_names_their_kind_for_everybody(database, browser, ws, filled, role, said):
    browser.sign_in(ws, role)
    evidence = browser.open("person", id=str(filled), tab="identity").dataframe[1].value
    assert said in [{row.One, row.Other} for row in evidence.itertuples()]


@pytest.mark.parametrize(("role", "detail"), [("MEMBER", "Hello"), ("VIEWER", "H•••")])
def test_what_a_sender_wrote_of_an_event_is_masked_for_viewers(database, browser, ws, filled, role, detail):
    browser.sign_in(ws, role)
    shown = browser.open("person", id=str(filled), event="letter_sent")
    assert list(shown.dataframe[0].value["Detail"]) == [detail]


def test_the_timeline_has_events_and_stages_and_narrows(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open("person", id=str(filled))
    named = list(shown.dataframe[0].value["What"])
    assert {"page_view", "letter_sent", "Became active"} <= set(named)
    narrowed = browser.open("person", id=str(filled), event="letter_sent")
    assert list(narrowed.dataframe[0].value["What"]) == ["letter_sent"]
    assert "Nothing matches" in words(browser.open("person", id=str(filled), event="no_such"))


def test_a_profile_opens_by_any_identifier_of_the_person(database, browser, ws, filled):
    browser.sign_in(ws)
    for external in ("a1", "u1"):
        shown = browser.open("person", id=str(crowd.actor_id(database, ws, external)))
        assert shown.title[0].value == "Ada Lovelace"


@pytest.mark.parametrize("wrong", ["", "x", "00000000-0000-0000-0000-000000000000", "'; --"])
def test_an_address_of_nobody_says_so(database, browser, ws, filled, wrong):
    browser.sign_in(ws)
    shown = browser.open("person", id=wrong)
    assert not shown.exception
    assert shown.info
    assert not shown.title
    assert "People" in [link.label for link in shown.main.get("page_link")]


def test_a_person_of_another_workspace_is_nobody_here(database, browser, ws, filled):
    browser.sign_in(database.workspace("other"))
    shown = browser.open("person", id=str(filled))
    assert "There is no such person in this workspace" in words(shown)


def test_a_review_is_shown_and_dismissed_and_opened_again(database, browser, ws):
    segment = database.source(ws, "segment")
    said = [
        crowd.identify(user, anonymous="tablet", message=user, at=crowd.BEFORE + n * crowd.DAY / 48)
        for n, user in enumerate(("u1", "u2"))
    ]
    put(database, delivery(ws, segment, batch(*said), trust="browser"))
    drain(database, ws)
    browser.sign_in(ws)
    shown = browser.open("reviews")
    assert "a browser may not join two known people" in words(shown)
    next(button for button in shown.button if button.key.startswith("dismiss-")).click().run()
    assert "Nothing to review" in words(shown)
    again = browser.open("reviews", status="dismissed")
    next(button for button in again.button if button.key.startswith("reopen-")).click().run()
    assert not again.exception
    with database.web.transaction(ws) as session:
        assert rows(session, "SELECT status FROM merge_review")[0].status == "open"
    browser.sign_in(ws, "VIEWER")
    assert not [button for button in browser.open("reviews").button if button.key.startswith("dismiss-")]


DANGEROUS = re.compile(r"\]\(|!\[|<|:red\[alarm|://|www\.|@[^\u2060\s]")
MARKED_UP = (
    "title header subheader markdown caption warning info success error page_link button table expander badge".split()
)


def test_hostile_names_reach_no_markdown(database, browser, ws):
    """Every Markdown element of every page escapes what somebody sent: the raw payload is in none of them."""
    at, now = clock.now() - crowd.DAY / 24, clock.now()
    for number, payload in enumerate(PAYLOADS):
        text = payload.replace("\x00", "")
        segment = database.source(ws, "segment", name=text)
        said = crowd.identify(
            f"u{number}", message="i", at=at, name=text, company=text, email=f"u{number}@acme.example"
        )
        crowd.fill(
            database,
            ws,
            segment,
            said,
            crowd.track(text, user=f"u{number}", message="t", at=at, subject=text),
            at=at,
            now=now,
        )
    browser.sign_in(ws)
    pages = [browser.open(), browser.open("people", cols="company,email,tags")]
    for number in range(len(PAYLOADS)):
        person = str(crowd.person_id(database, ws, f"u{number}"))
        pages += [browser.open("person", id=person, tab=tab) for tab in ("timeline", "traits")]
    for shown in pages:
        assert not shown.exception
        assert not shown.error
        for kind in MARKED_UP:
            for item in shown.get(kind):
                text = item.value.to_string() if kind == "table" else str(getattr(item, "value", ""))
                unescaped = re.sub(r"\\.", "", text)
                assert not DANGEROUS.search(unescaped), (kind, text)


def test_the_url_wins_when_the_user_changed_it_and_the_widgets_otherwise(database, browser, ws, filled):
    browser.sign_in(ws)
    shown = browser.open("people", q="ada")
    shown.text_input(key="people.q").set_value("love").run()
    assert shown.query_params["q"] == "love"
    shown.query_params["q"] = "nobody"  # Back, or a link
    shown.run()
    assert shown.text_input(key="people.q").value == "nobody"
    assert "Nobody matches" in words(shown)


def test_a_broken_page_shows_a_reference_and_no_traceback(database, browser, ws, filled, monkeypatch, capsys):
    browser.sign_in(ws)

    def fail(*_):
        raise RuntimeError("ada@acme.example")

    monkeypatch.setattr(people, "filters", fail)
    shown = browser.open("people")
    assert not shown.exception
    (problem,) = shown.error
    assert "the reference" in problem.value
    assert "RuntimeError" not in problem.value
    logged = capsys.readouterr()
    assert "ada@acme.example" not in logged.out + logged.err
    assert "RuntimeError" in logged.out + logged.err


def test_postgres_away_is_one_sentence(database, browser, ws, monkeypatch):
    from gdp_core.errors import Unavailable
    from pages.ui import session

    browser.sign_in(ws)

    def away():
        raise Unavailable("Postgres cannot be reached; it is tried again by itself.")

    monkeypatch.setattr(session, "signed_in", away)
    shown = browser.open()
    assert "Postgres cannot be reached" in words(shown)
    assert not shown.exception


def test_numbers_are_written_as_the_workspace_writes_them(database, browser):
    ws = database.workspace("berlin", locale="de_DE", base_currency="EUR", timezone="Europe/Berlin")
    segment, stripe = database.source(ws, "segment"), database.source(ws, "stripe")
    at = clock.now() - crowd.DAY / 24
    crowd.fill(database, ws, segment, crowd.track(user="u1", message="t", at=at), at=at, now=clock.now())
    crowd.subscription(
        database, ws, stripe, crowd.actor_id(database, ws, "u1"), mrr=1_234_500_000, currency="EUR", at=at
    )
    browser.sign_in(ws)
    values = {item.label: plain(item.value) for item in browser.open().metric}
    assert values["MRR"].replace("\xa0", " ") in ("1.234 €", "1.235 €")


def test_a_switch_of_workspace_forgets_the_filters(database, browser, ws, filled):
    user = browser.sign_in(ws)
    other = database.workspace("other")
    with database.gate.transaction(other) as session:
        run(
            session,
            "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:id, :ws, 'MEMBER', :now)",
            id=user,
            ws=other,
            now=crowd.NOW,
        )
    shown = browser.open("people", q="ada")
    shown.selectbox(key="shell.switcher").select("other").run()
    assert shown.query_params == {"ws": "other"}
    assert "Nobody yet" in words(shown)
    with database.gate.transaction(None) as session:
        assert rows(session, "SELECT active_workspace_id FROM app_user WHERE id = :id", id=user)[0][0] == other


def test_cached_numbers_of_one_workspace_and_role_stay_there(database, browser, ws, filled):
    browser.sign_in(ws)
    assert {item.label: item.value for item in browser.open().metric}["New people"] == "3"
    browser.sign_in(database.workspace("other"))
    assert "No data yet" in words(browser.open())


def test_a_change_of_data_is_seen_before_the_cache_ends(database, browser, ws, filled):
    browser.sign_in(ws)
    before = {item.label: item.value for item in browser.open().metric}["Events"]
    segment = database.source(ws, "segment", name="Second")
    at = clock.now()
    crowd.fill(database, ws, segment, crowd.track(user="u7", message="t7", at=at), at=at, now=at)
    from pages.ui import data

    data._freshness.clear()
    after = {item.label: item.value for item in browser.open().metric}["Events"]
    assert (before, after) == ("5", "6")


def test_the_first_person_is_there_at_once(database, browser, ws):
    browser.sign_in(ws)
    assert "Nobody yet" in words(browser.open("people"))
    segment, at = database.source(ws, "segment"), clock.now()
    crowd.fill(database, ws, segment, crowd.identify("u1", message="i1", at=at, name="Ada Lovelace"), at=at, now=at)
    assert list(browser.open("people", q="lovelace").dataframe[0].value["Name"]) == ["Ada Lovelace"]


def test_a_nul_in_an_address_is_looked_for_as_the_database_holds_it(database, browser, ws, filled):
    browser.sign_in(ws)
    assert not browser.open("people", q="a\0b").exception
    assert "Nobody" in words(browser.open("people", q="a\0b"))
