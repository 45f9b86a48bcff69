"""The export of people: who may, what is recorded, and a file that holds exactly who matches."""

import asyncio
import csv
import io
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from gdp_core import clock
from gdp_core.accounts import sessions
from gdp_core.analytics import people_list, person_features
from gdp_core.db import rows, run
from pages.api import API_ROUTES, PEOPLE_HEADER
from pages.gate.asgi import Gate
from pages.gate.headers import cookie_name

from . import crowd

ADDRESS = "/api/export/people.csv"


@pytest.fixture
def client(browser):
    return httpx.ASGITransport(app=Starlette(routes=API_ROUTES, middleware=[Middleware(Gate)]))


def get(client, browser, **options):
    cookies = {cookie_name(): browser.token} if browser.token else {}
    query = "&".join(f"{name}={value}" for name, value in options.pop("query", {}).items())
    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} | options.pop("headers", {})

    async def ask():
        async with httpx.AsyncClient(transport=client, base_url="http://127.0.0.1:8501") as browser_tab:
            return await browser_tab.get(f"{ADDRESS}?{query}", headers=headers)

    return asyncio.run(ask())


def table(answer):
    text = answer.content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def filled(database, ws):
    segment = database.source(ws, "segment")
    at = crowd.BEFORE
    said = [
        crowd.identify(f"u{n}", message=f"i{n}", at=at, name=f"Person {n}", email=f"u{n}@acme.example")
        for n in range(25)
    ]
    said += [crowd.identify("evil", message="e", at=at, name='=HYPERLINK("http://evil.example")', tags=["a", "b"])]
    crowd.fill(database, ws, segment, *said, crowd.page_view("a1", message="p1", at=at))
    crowd.subscription(database, ws, database.source(ws, "stripe"), crowd.actor_id(database, ws, "u3"))


def test_everybody_who_matches_once_in_pages(client, browser, database, ws, filled, monkeypatch):
    monkeypatch.setattr(people_list, "_EXPORT_PAGE", 4)
    browser.sign_in(ws)
    answer = get(client, browser, query={"ws": "acme"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="people-acme-')
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    found = table(answer)
    assert len(found) == 27
    assert len({row["id"] for row in found}) == 27
    assert list(found[0]) == PEOPLE_HEADER
    paying = next(row for row in found if row["email"] == "u3@acme.example")
    assert (paying["mrr"], paying["currency"], paying["stage"]) == ("29.0", "USD", "active")
    assert next(row for row in found if "HYPERLINK" in row["name"])["name"].startswith("'=")


def test_the_filter_of_the_page_is_that_of_the_file(client, browser, database, ws, filled):
    browser.sign_in(ws)
    assert len(table(get(client, browser, query={"ws": "acme", "stage": "active"}))) == 1
    assert len(table(get(client, browser, query={"ws": "acme", "q": "person", "sort": "mrr"}))) == 25
    assert len(table(get(client, browser, query={"ws": "acme", "known": "anonymous"}))) == 1


def test_the_features_that_are_columns_are_in_the_file(client, browser, database, ws, filled, monkeypatch):
    monkeypatch.setattr(people_list, "_EXPORT_PAGE", 4)
    monkeypatch.setattr(person_features, "_PART", 3)
    browser.sign_in(ws)
    with database.worker.transaction(ws) as session:
        for user, slug, number in (("u3", "churn_risk", 0.75), ("u5", "churn_risk", 0.25)):
            run(
                session,
                "INSERT INTO person_feature (person_id, workspace_id, feature, number, computed_at)"
                " SELECT person_id, app_ws(), :slug, :number, :now FROM actor WHERE external_id = :user",
                user=user,
                slug=slug,
                number=number,
                now=crowd.BEFORE,
            )
        paid = "UPDATE person SET lifetime_value_micros = 12500000 WHERE email = 'u3@acme.example'"
        run(session, paid)
    shown = browser.open("people", cols="email,feature.churn_risk,feature.gone")
    (address,) = [link.url for link in shown.get("link_button") if "export" in link.url]
    assert parse_qs(urlsplit(address).query)["cols"] == ["feature.churn_risk"]
    chosen = "email,feature.churn_risk,feature.gone,feature.lifetime_value,feature.churn_risk"
    found = table(get(client, browser, query={"ws": "acme", "cols": chosen}))
    added = ["feature.churn_risk", "feature.lifetime_value", "feature.lifetime_value.currency"]
    assert list(found[0]) == [*PEOPLE_HEADER, *added]
    assert len(found) == 27
    by_mail = {row["email"]: [row[name] for name in added] for row in found}
    assert by_mail["u3@acme.example"] == ["0.75", "12.5", "USD"]
    assert by_mail["u5@acme.example"][0] == "0.25"
    assert by_mail["u6@acme.example"] == ["", "0.0", ""]
    with database.web.transaction(ws) as session:
        (entry,) = rows(session, "SELECT detail FROM audit_log WHERE action = 'people.export'")
    assert entry.detail["columns"] == ["churn_risk", "gone", "lifetime_value"]


def test_an_export_is_recorded_without_what_was_searched(client, browser, database, ws, filled):
    browser.sign_in(ws, "MEMBER", "mia@acme.example")
    get(client, browser, query={"ws": "acme", "q": "ada@acme.example", "stage": "lead"})
    with database.web.transaction(ws) as session:
        (entry,) = rows(session, "SELECT user_label, detail FROM audit_log WHERE action = 'people.export'")
    assert entry.user_label == "mia@acme.example"
    assert entry.detail["stages"] == ["lead"]
    assert entry.detail["words"] is True
    assert "ada@" not in str(entry.detail)


def recorded(database, ws):
    with database.web.transaction(ws) as session:
        return len(rows(session, "SELECT 1 FROM audit_log WHERE action = 'people.export'"))


def test_a_viewer_exports_nobody(client, browser, database, ws, filled):
    browser.sign_in(ws, "VIEWER")
    answer = get(client, browser, query={"ws": "acme"})
    assert answer.status_code == 403
    assert "may not export people" in answer.json()["error"]
    assert recorded(database, ws) == 0


def test_nobody_exports_without_a_session_or_from_another_workspace(client, browser, database, ws, filled):
    assert get(client, browser, query={"ws": "acme"}).status_code == 401
    browser.sign_in(database.workspace("other"))
    assert get(client, browser, query={"ws": "acme"}).status_code == 403
    browser.sign_in(ws)
    sessions.end(database.gate, browser.token, clock.now())
    assert get(client, browser, query={"ws": "acme"}).status_code == 401
    assert recorded(database, ws) == 0


def test_another_site_starts_no_export(client, browser, database, ws, filled):
    browser.sign_in(ws)
    for site in ("cross-site", "same-site"):
        assert get(client, browser, query={"ws": "acme"}, headers={"sec-fetch-site": site}).status_code == 403
    assert get(client, browser, query={"ws": "acme"}, headers={"sec-fetch-site": "none"}).status_code == 200


@pytest.mark.parametrize(
    "query",
    [{"sort": "x"}, {"activity": "soon"}, {"q": "%00"}, {"stage": ",,,"}, {"at": "+"}, {"n": "9" * 40}],
)
def test_no_query_breaks_an_export(client, browser, database, ws, filled, query):
    browser.sign_in(ws)
    assert get(client, browser, query={"ws": "acme"} | query).status_code == 200
