"""The gate: nobody gets in without a session, over HTTP or WebSocket, and everybody is told where to go."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import psycopg
import pytest
import uvicorn
import websockets
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from gdp_core import clock, runtime, vault
from gdp_core.accounts import members, sessions, users
from gdp_core.accounts.roles import Principal, Role
from gdp_core.accounts.throttle import Throttle
from gdp_core.db import Database, run
from gdp_core.settings import settings
from jobs import ports
from pages.gate import account, headers, oidc, sign_in
from pages.gate.addresses import client_ip, is_own_host, safe_next
from pages.gate.asgi import Gate
from tests.conftest import ROOT, TestDatabase, _admin, _database

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would like httpx2, which nothing here has
    from starlette.testclient import TestClient

PASSWORD = "correct horse battery"
PATIENCE = 60.0  # seconds the real server may take on a busy machine
OWN = "http://127.0.0.1:8501"
FORM = {"origin": OWN}

HOSTILE_NEXT = [
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "https://evil.test",
    "https:evil.test",
    "http:///evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "/\tevil",
    "/%0d%0aSet-Cookie:x\r\n",
    "/a\r\nLocation: https://evil.test",
    "/\x00",
    "evil.test",
    ".evil.test",
    "@evil.test",
    "/../\\evil.test",
    " //evil.test",
    "/login",
    "/logout",
    "/login/sometoken",
    "/api/export",
    "/_stcore/stream",
    "/" + "a" * 3000,
    "",
]


def _forget() -> None:
    settings.cache_clear()
    vault._keyring.cache_clear()
    runtime.database.cache_clear()


@pytest.fixture
def configured(database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestDatabase]:
    """This process's settings lead to the test's database; no failed attempts from the tests before."""
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path))
    for name in ("GDP_BASE_URL", "GDP_DASHBOARD_PORT", "GDP_OIDC_ISSUER", "GDP_TRUSTED_PROXIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(users, "_addresses", Throttle(free=50))
    monkeypatch.setattr(users, "_strangers", Throttle(free=5))
    monkeypatch.setattr(sign_in, "REFUSED_AFTER", 0.0)
    _forget()
    yield database
    runtime.database("gdp_gate").close()
    _forget()


async def _page(request: Request) -> Response:
    if request.url.path == "/broken":
        raise ZeroDivisionError("a canary that must not be shown")
    return PlainTextResponse(f"the inside {request.url.path}", headers={"access-control-allow-origin": "*"})


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_bytes(b"inside:" + await websocket.receive_bytes())
    except WebSocketDisconnect:
        pass


@pytest.fixture
def client(configured: TestDatabase) -> Iterator[TestClient]:
    """A browser before a small application behind the same gate and routes as the real one."""
    application = Starlette(
        routes=[
            *sign_in.ROUTES,
            *oidc.ROUTES,
            *account.ROUTES,
            WebSocketRoute("/_stcore/stream", _socket),
            Route("/{path:path}", _page),
        ],
        middleware=[Middleware(Gate)],
        exception_handlers={Exception: sign_in.failed},
    )
    with TestClient(application, base_url=OWN, follow_redirects=False, raise_server_exceptions=False) as browser:
        yield browser


def _person(database: TestDatabase, email: str = "ann@acme.test") -> uuid.UUID:
    user_id = users.create_user(database.gate, email, now=clock.now())
    users.reset_password(database.gate, email, PASSWORD, now=clock.now())
    return user_id


def _sign_in(client: TestClient, email: str = "ann@acme.test", **more: str) -> httpx.Response:
    return client.post("/login", data={"email": email, "password": PASSWORD, **more}, headers=FORM)


def _rerun(url: str = "", query: str = "", *, auto: bool = False) -> bytes:
    message = BackMsg()
    message.rerun_script.query_string = query
    message.rerun_script.is_auto_rerun = auto
    message.rerun_script.context_info.url = url
    return bytes(message.SerializeToString())


class TestHttp:
    @pytest.mark.parametrize("path", ["/", "/people", "/people/", "/broken", "/loginx", "/inviteme", "//people"])
    def test_a_page_without_session_leads_to_sign_in(self, client: TestClient, path: str) -> None:
        answer = client.get(OWN + path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")
        assert "inside" not in answer.text

    @pytest.mark.parametrize(
        "path",
        [
            "/api/export",
            "/api",
            "/_stcore/health",
            "/_stcore/metrics",
            "/_stcore/host-config",
            "/media/x",
            "/component/x",
        ],
    )
    def test_machines_are_told_401(self, client: TestClient, path: str) -> None:
        for answer in (client.get(path), client.post(path, headers=FORM)):
            assert answer.status_code == 401
            assert answer.json() == {"error": "Sign in first."}

    @pytest.mark.parametrize("probe", ["health", "host-config"])
    def test_probes_under_a_deep_link_are_answered_without_an_error(self, client: TestClient, probe: str) -> None:
        assert client.get(f"/people/_stcore/{probe}").status_code == 300

    @pytest.mark.parametrize("path", ["/static/js/x.js", "/app/static/favicon.svg", "/favicon.png", "/login"])
    def test_what_the_sign_in_page_needs_is_public(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 200

    @pytest.mark.parametrize("token", ["x", "", "\x7f", "ü", "a" * 9000, "' OR 1=1", "\x00"])
    def test_a_made_up_cookie_is_no_session(self, client: TestClient, token: str) -> None:
        answer = client.get("/people", headers={"cookie": f"gdp={token}".encode("latin-1")})
        assert answer.status_code == 303

    def test_a_deep_link_is_kept_through_sign_in(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        sent = client.get("/people?q=ada+l&p=2&ws=acme").headers["location"]
        wanted = parse_qs(urlsplit(sent).query)["next"][0]
        shown = client.get(sent)
        assert f'name="next" value="{wanted.replace("&", "&amp;")}"' in shown.text
        answer = _sign_in(client, next=wanted)
        assert (answer.status_code, answer.headers["location"]) == (303, "/people?q=ada+l&p=2&ws=acme")
        assert "the inside /people" in client.get(answer.headers["location"]).text

    def test_the_cookie_is_http_only_lax_and_not_the_stored_value(
        self, client: TestClient, configured: TestDatabase
    ) -> None:
        _person(configured)
        cookie = _sign_in(client).headers["set-cookie"]
        assert re.match(r"gdp=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=lax$", cookie)

    def test_behind_https_the_cookie_is_bound_to_the_host(
        self, client: TestClient, configured: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _person(configured)
        monkeypatch.setenv("GDP_BASE_URL", "https://growth.example.com")
        settings.cache_clear()
        answer = client.post(
            "/login",
            data={"email": "ann@acme.test", "password": PASSWORD},
            headers={"host": "growth.example.com", "origin": "https://growth.example.com"},
        )
        assert re.match(r"__Host-gdp=[\w-]{43}; HttpOnly; .*Path=/; SameSite=lax; Secure", answer.headers["set-cookie"])
        assert "max-age=31536000" in answer.headers["strict-transport-security"]

    @pytest.mark.parametrize(
        "form",
        [
            {"email": "ann@acme.test", "password": "wrong"},
            {"email": "nobody@acme.test", "password": PASSWORD},
            {"email": "", "password": ""},
            {},
        ],
    )
    def test_wrong_credentials_look_alike(
        self, client: TestClient, configured: TestDatabase, form: dict[str, str]
    ) -> None:
        _person(configured)
        answer = client.post("/login", data=form, headers=FORM)
        assert answer.status_code == 401
        assert "The e-mail address or the password is wrong." in answer.text
        assert "set-cookie" not in answer.headers
        assert PASSWORD not in answer.text

    def test_guessing_is_slowed_down(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        codes = [
            client.post("/login", data={"email": "ann@acme.test", "password": "no"}, headers=FORM) for _ in range(6)
        ]
        assert [answer.status_code for answer in codes] == [401] * 5 + [429]
        assert 1 <= int(codes[5].headers["retry-after"]) <= 15
        assert _sign_in(client).status_code == 429

    @pytest.mark.parametrize(
        "origin",
        [
            {},
            {"origin": "https://evil.test"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:8501.evil.test"},
            {"origin": "http://127.0.0.1:9999"},
            {"origin": OWN, "sec-fetch-site": "cross-site"},
            {"referer": "https://evil.test/127.0.0.1:8501"},
            {"origin": "http://[broken"},
        ],
    )
    @pytest.mark.parametrize("path", ["/login", "/logout", "/login/x", "/invite/x"])
    def test_a_form_from_elsewhere_is_refused(
        self, client: TestClient, configured: TestDatabase, origin: dict[str, str], path: str
    ) -> None:
        _person(configured)
        answer = client.post(path, data={"email": "ann@acme.test", "password": PASSWORD}, headers=origin)
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize("host", ["evil.test", "evil.test:8501", "127.0.0.1.evil.test", "", "[::ffff:1]"])
    def test_another_host_is_refused(self, client: TestClient, host: str) -> None:
        assert client.get("/login", headers={"host": host}).status_code == 400

    @pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:8501", "localhost", "[::1]:8501"])
    def test_loopback_hosts_are_own(self, configured: TestDatabase, host: str) -> None:
        assert is_own_host(host)

    def test_signing_out_ends_the_session(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        _sign_in(client)
        token = client.cookies["gdp"]
        assert client.get("/people").status_code == 200
        assert 'action="/logout"' in client.get("/logout").text
        assert client.get("/people").status_code == 200
        answer = client.post("/logout", headers=FORM)
        assert answer.headers["location"] == "/login"
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert client.get("/people", headers={"cookie": f"gdp={token}"}).status_code == 303

    def test_signing_in_again_ends_the_session_before(self, client: TestClient, configured: TestDatabase) -> None:
        ann = _person(configured)
        _sign_in(client)
        first = client.cookies["gdp"]
        _sign_in(client)
        assert client.cookies["gdp"] != first
        assert len(sessions.list_own(configured.gate, ann, clock.now())) == 1

    def test_refusals_take_the_same_time_whatever_the_reason(
        self, client: TestClient, configured: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        _person(configured)
        monkeypatch.setattr(sign_in, "REFUSED_AFTER", 1000.0)
        monkeypatch.setattr(sign_in.asyncio, "sleep", sleep)
        for email in ("ann@acme.test", "nobody@acme.test"):
            answer = client.post("/login", data={"email": email, "password": "wrong password"}, headers=FORM)
            assert answer.status_code == 401
        assert len(slept) == 2
        assert all(900 < seconds < 1000 for seconds in slept), "what is left of the whole"

    def test_a_signed_in_browser_skips_the_form(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        _sign_in(client)
        assert client.get("/login?next=/people").headers["location"] == "/people"

    def test_a_failure_says_a_reference_and_not_the_reason(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        _sign_in(client)
        answer = client.get("/broken")
        assert answer.status_code == 500
        assert "canary" not in answer.text
        assert re.search(r"reference [0-9a-f]{12}", answer.text)

    def test_without_postgres_it_says_so(
        self, client: TestClient, configured: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _person(configured)
        _sign_in(client)
        nowhere = Database("postgresql://nobody@127.0.0.1:1/none", "gdp_gate")
        monkeypatch.setattr("pages.gate.asgi.database", lambda role: nowhere)
        monkeypatch.setattr("pages.gate.sign_in.database", lambda role: nowhere)
        for answer in (client.get("/people"), _sign_in(client)):
            assert answer.status_code == 503
            assert "Postgres cannot be reached" in answer.text
            assert answer.headers["retry-after"] == "1"
        assert client.get("/api/x").json()["error"].startswith("Postgres cannot be reached")

    def test_every_answer_carries_the_headers(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        refused = [client.get("/people"), client.get("/api/x"), client.get("/login", headers={"host": "evil"})]
        _sign_in(client)
        for answer in [*refused, client.get("/people"), client.get("/login/x"), client.get("/a/_stcore/health")]:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe-eval" not in policy
            assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["cache-control"] == "no-store"
            assert re.fullmatch(r"[0-9a-f]{12}", answer.headers["x-request-id"])
            assert "access-control-allow-origin" not in answer.headers
            assert "strict-transport-security" not in answer.headers

    def test_the_policy_allows_the_frameworks_one_inline_script_and_no_other(self) -> None:
        hashes = re.findall(r"'sha256-[\w+/=]{44}'", headers.content_security_policy())
        assert len(hashes) == 1


class TestNext:
    @pytest.mark.parametrize("wanted", HOSTILE_NEXT)
    def test_leads_nowhere_else(self, wanted: str) -> None:
        assert safe_next(wanted) == "/"

    @pytest.mark.parametrize(
        "wanted", ["/", "/people", "/people?q=ada+l&p=2", "/person?id=1#top", "/sources?next=https://x.test"]
    )
    def test_keeps_own_paths(self, wanted: str) -> None:
        assert safe_next(wanted) == wanted

    @given(st.text(max_size=200))
    def test_is_always_an_own_path(self, wanted: str) -> None:
        safe = safe_next(wanted)
        assert safe.isascii()
        assert safe[0] == "/"
        assert safe[1:2] not in ("/", "\\")
        assert not urlsplit(safe).netloc
        assert not set(safe) & set("\r\n\t\\\x00")
        assert safe_next(safe) == safe

    @pytest.mark.parametrize("wanted", HOSTILE_NEXT)
    def test_sign_in_never_redirects_elsewhere(self, client: TestClient, configured: TestDatabase, wanted: str) -> None:
        _person(configured)
        assert 'name="next" value="/"' in client.get("/login", params={"next": wanted}).text
        assert _sign_in(client, next=wanted).headers["location"] == "/"
        assert client.get("/login", params={"next": wanted}).headers["location"] == "/"


class TestHostile:
    """Whatever is sent to the doors everybody can reach, the answer is a page, a redirect or a refusal."""

    @hypothesis_settings(
        max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )
    @given(
        path=st.sampled_from(["/login", "/login/{}", "/invite/{}", "/logout", "/oidc/callback", "/oidc/start", "/{}"]),
        text=st.text(max_size=80),
        body=st.binary(max_size=200)
        | st.text(max_size=100).map(
            lambda t: f"next={quote(t, errors='replace')}&email={quote(t, errors='replace')}".encode()
        ),
        kind=st.sampled_from(
            ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
        ),
    )
    def test_never_fails(self, client: TestClient, path: str, text: str, body: bytes, kind: str) -> None:
        client.cookies.clear()
        address = path.format(quote(text, safe="", errors="replace"))
        got = client.get(address, params={"next": text, "state": text, "code": text})
        assert got.status_code in (200, 303, 400, 401, 404)
        posted = client.post(address, content=body, headers={**FORM, "content-type": kind})
        assert posted.status_code in (303, 400, 401, 404, 405, 429), address
        for answer in (got, posted):
            assert not urlsplit(answer.headers.get("location", "/")).netloc
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "inside" not in answer.text

    @pytest.mark.parametrize(
        ("headers_", "content"),
        [
            ({"content-type": "application/x-www-form-urlencoded"}, b"email=" + b"a" * 9000),
            ({"content-type": "application/x-www-form-urlencoded"}, b"&".join(b"a=1" for _ in range(100))),
            ({"content-type": "application/json"}, b"{}"),
            ({"content-type": "application/x-www-form-urlencoded", "content-length": "ten"}, b""),
        ],
    )
    def test_unreadable_forms_are_one_sentence(
        self, client: TestClient, headers_: dict[str, str], content: bytes
    ) -> None:
        answer = client.post("/login", content=content, headers={**FORM, **headers_})
        assert answer.status_code == 400
        assert re.search(r"This form (cannot be read|is too large)\.", answer.text)

    def test_nothing_sent_is_markup(self, client: TestClient) -> None:
        hostile = '"><script>alert(1)</script>'
        for answer in (
            client.get("/login", params={"next": f"/people?q={hostile}"}),
            client.post("/login", data={"email": hostile, "password": "x", "next": hostile}, headers=FORM),
            client.get(f"/login/{quote(hostile, safe='')}"),
        ):
            assert "<script" not in answer.text


class TestClientAddress:
    @pytest.mark.parametrize(
        ("trusted", "peer", "forwarded", "expected"),
        [
            ("", "127.0.0.1", "6.6.6.6", "127.0.0.1"),
            ("10.0.0.1", "127.0.0.1", "6.6.6.6", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1", "6.6.6.6", "6.6.6.6"),
            ("127.0.0.1", "127.0.0.1", "1.1.1.1, 6.6.6.6", "6.6.6.6"),
            ("127.0.0.1,10.0.0.1", "127.0.0.1", "1.1.1.1, 6.6.6.6, 10.0.0.1", "6.6.6.6"),
            ("127.0.0.1", "127.0.0.1", "", "127.0.0.1"),
            ("127.0.0.1", None, "6.6.6.6", None),
            ("127.0.0.0/8, 10.0.0.0/8", "127.0.0.1", "1.1.1.1, 6.6.6.6, 10.0.0.1", "6.6.6.6"),
            ("127.0.0.1", "127.0.0.1", "6.6.6.6, what a client made up", "127.0.0.1"),
        ],
    )
    def test_only_trusted_proxies_are_believed(
        self,
        configured: TestDatabase,
        monkeypatch: pytest.MonkeyPatch,
        trusted: str,
        peer: str | None,
        forwarded: str,
        expected: str | None,
    ) -> None:
        from starlette.datastructures import Headers

        monkeypatch.setenv("GDP_TRUSTED_PROXIES", trusted)
        settings.cache_clear()
        assert client_ip(peer, Headers({"x-forwarded-for": forwarded})) == expected

    def test_the_application_knows_whom_it_talks_to(
        self, client: TestClient, configured: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GDP_TRUSTED_PROXIES", "127.0.0.1")
        settings.cache_clear()
        _person(configured)
        seen: list[Any] = []

        async def inside(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["client"])
            await PlainTextResponse("inside")(scope, receive, send)

        _sign_in(client)
        for peer in ("127.0.0.1", "10.0.0.9"):
            browser = TestClient(Gate(inside), base_url=OWN, client=(peer, 5000), cookies=client.cookies)
            browser.get("/people", headers={"x-forwarded-for": "6.6.6.6"})
        assert seen == [("6.6.6.6", 5000), ("10.0.0.9", 5000)]


class TestAccount:
    """What somebody changes about themselves; asked for by no role."""

    def _post(self, client: TestClient, **fields: str) -> httpx.Response:
        return client.post("/account", data=fields, headers=FORM)

    def test_is_for_the_signed_in_only(self, client: TestClient, configured: TestDatabase) -> None:
        assert client.get("/account").headers["location"] == "/login?next=/account"
        assert self._post(client, do="name", name="Ann").status_code == 401

    def test_another_site_changes_nothing(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        _sign_in(client)
        answer = client.post("/account", data={"do": "name", "name": "Eve"}, headers={"origin": "https://evil.test"})
        assert answer.status_code == 400
        assert users.list_users(configured.gate)[0].name == ""

    def test_name_and_password(self, client: TestClient, configured: TestDatabase) -> None:
        ann = _person(configured)
        elsewhere = sessions.start(configured.gate, ann, how="password", now=clock.now())
        _sign_in(client)
        assert "Current password" in client.get("/account").text
        assert 'value="Ann &lt;b&gt;"' in self._post(client, do="name", name="Ann <b>").text
        assert "is wrong" in self._post(client, do="password", current="wrong", password="another password").text
        assert "harder to guess" in self._post(client, do="password", current=PASSWORD, password="aaaaaaaaaaaa").text
        assert sessions.current(configured.gate, elsewhere, clock.now())
        assert "Done." in self._post(client, do="password", current=PASSWORD, password="another password").text
        assert sessions.current(configured.gate, elsewhere, clock.now()) is None
        assert client.get("/account").status_code == 200, "this browser stays signed in"
        assert _sign_in(client).status_code == 401
        assert self._post(client, do="nothing").status_code == 400

    def test_sessions_elsewhere_are_shown_and_ended(self, client: TestClient, configured: TestDatabase) -> None:
        ann = _person(configured)
        _sign_in(client)
        assert "everywhere else" not in client.get("/account").text
        elsewhere = sessions.start(
            configured.gate, ann, how="password", now=clock.now(), ip="10.0.0.7", user_agent="<script>x</script>"
        )
        shown = client.get("/account").text
        assert "from 10.0.0.7" in shown
        assert "<script" not in shown
        assert "everywhere else" not in self._post(client, do="sessions").text
        assert sessions.current(configured.gate, elsewhere, clock.now()) is None
        assert client.get("/account").status_code == 200


class TestLinks:
    def _token(self, database: TestDatabase) -> str:
        return users.first_start(database.gate, now=clock.now()) or ""

    def test_opening_does_not_use_it_up_and_the_button_does_once(
        self, client: TestClient, configured: TestDatabase
    ) -> None:
        path = self._token(configured)
        for _ in range(3):
            assert "Continue" in client.get(path).text
        answer = client.post(path, data={"name": "Ann", "email": "ann@acme.test", "password": PASSWORD}, headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert client.get("/people").status_code == 200
        client.cookies.clear()
        for again in (client.get(path), client.post(path, headers=FORM)):
            assert again.status_code == 401
            assert "used already or has expired" in again.text
        assert _sign_in(client).status_code == 303

    def test_a_weak_password_can_be_corrected(self, client: TestClient, configured: TestDatabase) -> None:
        path = self._token(configured)
        answer = client.post(path, data={"email": "ann@acme.test", "name": "Ann", "password": "short"}, headers=FORM)
        assert answer.status_code == 400
        assert "at least" in answer.text.lower() or "10 to 200" in answer.text
        assert 'value="ann@acme.test"' in answer.text
        assert "short" not in answer.text
        assert client.post(path, headers=FORM).status_code == 303

    def test_an_invitation_makes_an_account_and_joins(self, client: TestClient, configured: TestDatabase) -> None:
        acme = configured.workspace()
        with configured.web.transaction(acme) as session:
            path = members.invite(
                session, Principal.system(acme), email="bob@acme.test", role=Role.MEMBER, now=clock.now()
            )
        assert "Join Acme" in client.get(path).text
        assert client.post(path, data={"name": "Bob", "password": "short"}, headers=FORM).status_code == 400
        answer = client.post(path, data={"name": "Bob", "password": PASSWORD}, headers=FORM)
        assert answer.headers["location"] == "/"
        who = sessions.current(configured.gate, client.cookies["gdp"], clock.now())
        assert who
        assert [(m.slug, m.role) for m in who.memberships] == [("acme", Role.MEMBER)]
        assert client.get(path).status_code == 401

    def test_an_invitation_of_an_existing_account_asks_to_sign_in(
        self, client: TestClient, configured: TestDatabase
    ) -> None:
        acme = configured.workspace()
        _person(configured, "bob@acme.test")
        _person(configured, "eve@acme.test")
        with configured.web.transaction(acme) as session:
            path = members.invite(
                session, Principal.system(acme), email="bob@acme.test", role=Role.MEMBER, now=clock.now()
            )
        assert client.post(path, data={"name": "x", "password": PASSWORD}, headers=FORM).status_code == 401
        _sign_in(client, "eve@acme.test")
        assert client.post(path, headers=FORM).status_code == 401
        _sign_in(client, "bob@acme.test")
        assert "You are signed in as bob@acme.test" in client.get(path).text
        assert client.post(path, headers=FORM).headers["location"] == "/"
        assert client.get(path).status_code == 401


class TestWebSocket:
    PATH = "ws://127.0.0.1:8501/_stcore/stream"

    @pytest.mark.parametrize("path", ["/_stcore/stream", "/people/_stcore/stream", "/"])
    def test_without_a_session_is_refused_before_it_opens(self, client: TestClient, path: str) -> None:
        with pytest.raises(WebSocketDisconnect) as refusal, client.websocket_connect(f"ws://127.0.0.1:8501{path}"):
            pass
        assert refusal.value.code == 1008

    def test_of_another_host_is_refused(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        _sign_in(client)
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(self.PATH, headers={"host": "evil.test"}):
            pass

    @pytest.mark.parametrize("origin", ["https://evil.test", "http://127.0.0.1:9999", "null", "http://[", ""])
    def test_opened_by_another_site_is_refused(self, client: TestClient, configured: TestDatabase, origin: str) -> None:
        """Another port of this machine is another site to us, but not to a cookie."""
        _person(configured)
        _sign_in(client)
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(self.PATH, headers={"origin": origin}):
            pass
        with client.websocket_connect(self.PATH, headers={"origin": OWN}) as websocket:
            websocket.send_bytes(b"hello")
            assert websocket.receive_bytes() == b"inside:hello"

    def test_with_a_session_passes_messages(self, client: TestClient, configured: TestDatabase) -> None:
        _person(configured)
        _sign_in(client)
        with client.websocket_connect(self.PATH) as websocket:
            websocket.send_bytes(b"hello")
            assert websocket.receive_bytes() == b"inside:hello"

    @pytest.mark.parametrize("end", ["sign out", "role", "removed", "idle"])
    def test_an_open_one_ends_with_the_session(
        self, client: TestClient, configured: TestDatabase, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        acme = configured.workspace()
        ann = _person(configured)
        for user_id, role in ((ann, "MEMBER"), (_person(configured, "bob@acme.test"), "OWNER")):
            with configured.gate.transaction(acme) as session:
                run(
                    session,
                    "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:u, :w, :r, :now)",
                    u=user_id,
                    w=acme,
                    r=role,
                    now=clock.now(),
                )
        _sign_in(client)
        with client.websocket_connect(self.PATH) as websocket:
            websocket.send_bytes(_rerun())
            websocket.receive_bytes()
            with configured.gate.transaction(acme) as session:
                if end == "sign out":
                    sessions.revoke_all(session, ann, clock.now())
                elif end == "role":
                    members.change_role(session, Principal.system(acme), ann, role=Role.VIEWER, now=clock.now())
                elif end == "removed":
                    members.remove(session, Principal.system(acme), ann, now=clock.now())
                else:
                    later = clock.now() + sessions.IDLE
                    monkeypatch.setattr("pages.gate.asgi.clock.now", lambda: later)
            websocket.send_bytes(_rerun("http://127.0.0.1:8501/people?q=ada", "q=ada"))
            told = ForwardMsg.FromString(websocket.receive_bytes())
            assert told.auth_redirect.url == "/login?next=/people%3Fq%3Dada"
            with pytest.raises(WebSocketDisconnect):
                websocket.receive_bytes()

    def test_a_page_that_refreshes_itself_is_not_activity(self, client: TestClient, configured: TestDatabase) -> None:
        ann = _person(configured)
        _sign_in(client)

        def seen() -> Any:
            return sessions.list_own(configured.gate, ann, clock.now())[0].last_seen_at

        with configured.gate.transaction(None) as session:
            run(session, "UPDATE user_session SET last_seen_at = last_seen_at - interval '10 minutes'")
        before = seen()
        with client.websocket_connect(self.PATH) as websocket:
            for message in (_rerun(auto=True), b"not protobuf \xff"):
                websocket.send_bytes(message)
                websocket.receive_bytes()
                assert seen() == before
            websocket.send_bytes(_rerun())
            websocket.receive_bytes()
        assert seen() > before

    def test_a_tab_that_comes_back_after_its_session_ended_is_sent_to_sign_in(self, client: TestClient) -> None:
        client.cookies.set("gdp", "ended")
        assert client.get("/_stcore/health").status_code == 200
        with client.websocket_connect(self.PATH, subprotocols=["streamlit"]) as websocket:
            websocket.send_bytes(_rerun("http://127.0.0.1:8501/jobs"))
            assert ForwardMsg.FromString(websocket.receive_bytes()).auth_redirect.url == "/login?next=/jobs"
            with pytest.raises(WebSocketDisconnect):
                websocket.receive_bytes()

    def test_without_postgres_it_closes_and_may_come_back(
        self, client: TestClient, configured: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _person(configured)
        _sign_in(client)
        nowhere = Database("postgresql://nobody@127.0.0.1:1/none", "gdp_gate")
        with client.websocket_connect(self.PATH) as websocket:
            monkeypatch.setattr("pages.gate.asgi.database", lambda role: nowhere)
            websocket.send_bytes(_rerun())
            with pytest.raises(WebSocketDisconnect) as closed:
                websocket.receive_bytes()
        assert closed.value.code == 1013


def test_commands_are_set_as_code_and_nothing_of_theirs_is_markup(client: TestClient) -> None:
    assert "<code>python -m jobs user link</code>" in client.get("/login").text
    wrong = client.post("/login", data={"email": "`<b>x</b>`@x", "password": "x"}, headers=FORM)
    assert "<b>" not in wrong.text


class Provider:
    """An OpenID Connect provider that says what it is told to."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1"})
        self.claims: dict[str, Any] = {"email": "bob@acme.test", "email_verified": True, "name": "Bob"}
        self.signer = self.key
        self.nonce = ""
        self.challenge = ""
        self.exchanged: list[dict[str, list[str]]] = []
        listening = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
        application = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._about),
                Route("/keys", self._keys),
                Route("/token", self._token, methods=["POST"]),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(application, log_level="error", ws="none"))
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _about(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        self.exchanged.append(form)
        now = int(clock.now().timestamp())
        claims = {"iss": self.issuer, "aud": "gdp", "sub": "42", "iat": now, "exp": now + 60, "nonce": self.nonce}
        header = {"alg": "ES256", "kid": "k1"}
        return JSONResponse({"id_token": jwt.encode(header, {**claims, **self.claims}, self.signer)})


class TestProvider:
    @pytest.fixture
    def provider(self, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
        started = Provider()
        monkeypatch.setenv("GDP_OIDC_ISSUER", started.issuer)
        monkeypatch.setenv("GDP_OIDC_CLIENT_ID", "gdp")
        monkeypatch.setenv("GDP_OIDC_CLIENT_SECRET", "s3cret")
        settings.cache_clear()
        yield started
        started.stop()

    def _start(self, client: TestClient, provider: Provider, wanted: str = "/people?q=ada") -> dict[str, str]:
        answer = client.get("/oidc/start", params={"next": wanted})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(f"{provider.issuer}/authorize?")
        asked = {key: values[0] for key, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        provider.nonce, provider.challenge = asked["nonce"], asked["code_challenge"]
        return asked

    def test_signs_in_with_pkce_and_keeps_the_deep_link(
        self, client: TestClient, configured: TestDatabase, provider: Provider
    ) -> None:
        assert "/oidc/start?next=/people" in client.get("/login?next=/people").text
        asked = self._start(client, provider)
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == f"{OWN}/oidc/callback"
        answer = client.get("/oidc/callback", params={"code": "c", "state": asked["state"]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/people?q=ada")
        assert len(provider.exchanged[0]["code_verifier"][0]) >= 43
        assert "the inside" in client.get("/people").text
        assert [user.email for user in users.list_users(configured.gate)] == ["bob@acme.test"]

    def test_an_address_somebody_chose_is_theirs_no_more_once_the_provider_vouches_for_its_owner(
        self, client: TestClient, configured: TestDatabase, provider: Provider
    ) -> None:
        """A password set by whoever took the address first would open the account of its real owner."""
        squatter = _person(configured, "bob@acme.test")
        theirs = sessions.start(configured.gate, squatter, how="password", now=clock.now())
        asked = self._start(client, provider)
        told = client.get("/oidc/callback", params={"code": "c", "state": asked["state"]})
        assert told.status_code == 200
        assert "the password that this account had is removed" in told.text
        assert 'href="/people?q=ada"' in told.text
        assert "the inside" in client.get("/people").text
        assert sessions.current(configured.gate, theirs, clock.now()) is None
        assert _sign_in(client, "bob@acme.test").status_code == 401
        users.set_password(
            configured.gate, squatter, current="", new="another password", keep_session=None, now=clock.now()
        )
        asked = self._start(client, provider)
        assert client.get("/oidc/callback", params={"code": "c", "state": asked["state"]}).status_code == 303
        assert users.list_users(configured.gate)[0].has_password, "chosen by the owner, it stays"

    @pytest.mark.parametrize("attack", ["no state", "other state", "other browser", "replayed", "no code"])
    def test_a_flow_this_browser_did_not_start_is_refused(
        self, client: TestClient, configured: TestDatabase, provider: Provider, attack: str
    ) -> None:
        asked = self._start(client, provider)
        params = {"code": "c", "state": asked["state"]}
        if attack == "no state":
            del params["state"]
        elif attack == "other state":
            params["state"] = "x"
        elif attack == "other browser":
            client.cookies.clear()
        elif attack == "no code":
            params = {"error": "access_denied", "state": asked["state"]}
        else:
            client.get("/oidc/callback", params=params)
            client.cookies.delete("gdp")
        answer = client.get("/oidc/callback", params=params)
        assert answer.status_code == 401
        assert "gdp=" not in answer.headers.get("set-cookie", "").replace("gdp-oidc=", "")
        assert len(provider.exchanged) == (1 if attack == "replayed" else 0)

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "https://evil.test"},
            {"aud": "another"},
            {"aud": ["gdp", "another"]},
            {"exp": 1},
            {"nonce": "old"},
            {"sub": None},
            {"email_verified": False},
            {"email": None},
        ],
    )
    def test_what_the_token_must_say(
        self, client: TestClient, configured: TestDatabase, provider: Provider, claims: dict[str, Any]
    ) -> None:
        asked = self._start(client, provider)
        provider.claims |= claims
        answer = client.get("/oidc/callback", params={"code": "c", "state": asked["state"]})
        assert answer.status_code == 401
        assert users.list_users(configured.gate) == []

    def test_a_token_signed_by_somebody_else_is_refused(
        self, client: TestClient, configured: TestDatabase, provider: Provider
    ) -> None:
        asked = self._start(client, provider)
        provider.signer = ECKey.generate_key("P-256", {"kid": "k1"})
        assert client.get("/oidc/callback", params={"code": "c", "state": asked["state"]}).status_code == 401

    def test_a_provider_that_is_away_is_one_sentence(
        self, client: TestClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GDP_OIDC_ISSUER", "http://127.0.0.1:1")
        settings.cache_clear()
        answer = client.get("/oidc/start")
        assert answer.status_code == 401
        assert "provider cannot be reached" in answer.text

    def test_without_a_provider_there_is_no_such_way(self, client: TestClient) -> None:
        assert "company account" not in client.get("/login").text
        assert client.get("/oidc/start").headers["location"] == "/login"
        assert client.get("/oidc/callback?code=c&state=s").headers["location"] == "/login"


@dataclass
class Started:
    """The real dashboard, just started."""

    database: TestDatabase
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def started(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """`streamlit run app.py` on a free port, with a database of its own."""
    folder = tmp_path_factory.mktemp("dashboard")
    name = f"gdp_test_{uuid.uuid4().hex[:12]}"
    _admin(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    admin = _database(server, name)
    dsn = f"postgresql://{template}_login:test@{admin.split('@', 1)[1]}"
    pools = {role: Database(dsn, f"gdp_{role}") for role in ("worker", "web", "ingest", "gate")}  # type: ignore[arg-type]
    port = ports.choose()
    environment = {
        **os.environ,
        "DATABASE_URL": dsn,
        "GDP_DATA_DIR": str(folder),
        "GDP_DASHBOARD_PORT": str(port),
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise AssertionError(log.read_text())
            try:
                if httpx.get(f"http://127.0.0.1:{port}/login", timeout=PATIENCE).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        yield Started(TestDatabase(admin=admin, dsn=dsn, **pools), port, log)
    finally:
        process.terminate()
        process.wait(60)
        for pool in pools.values():
            pool.close()
        _admin(server, f"DROP DATABASE {name} WITH (FORCE)")


def _addresses() -> list[str]:
    """Every address a page has: the root, and the name of each file in a section's folder."""
    pages = (ROOT / "pages").glob("*/*.py")
    sections = (path for path in pages if path.parent.name not in ("ui", "gate") and path.stem != "__init__")
    return ["/", *sorted({f"/{path.stem}" for path in sections})]


class TestRealServer:
    def test_a_raw_websocket_gets_nothing_of_any_page_of_a_fresh_process(self, started: Started) -> None:
        async def attack(address: str, cookie: str | None) -> list[bytes]:
            got: list[bytes] = []
            more = {"cookie": f"gdp={cookie}"} if cookie else {}
            prefix = "" if address == "/" else address
            for path in ("/_stcore/stream", f"{prefix}/_stcore/stream"):
                try:
                    async with websockets.connect(
                        f"ws://127.0.0.1:{started.port}{path}",
                        additional_headers=more,
                        subprotocols=[websockets.Subprotocol("streamlit")],
                        open_timeout=PATIENCE,
                        ping_timeout=None,
                    ) as socket_:
                        await socket_.send(_rerun(started.address + address, ""))
                        async for message in socket_:
                            got.append(message if isinstance(message, bytes) else message.encode())
                except (websockets.InvalidStatus, websockets.ConnectionClosed):
                    continue  # refused, or ended after what it was told
            return got

        for address in _addresses():
            assert asyncio.run(attack(address, None)) == []
            for message in asyncio.run(attack(address, "made-up")):
                assert ForwardMsg.FromString(message).WhichOneof("type") == "auth_redirect"
            assert httpx.get(started.address + address, timeout=PATIENCE).status_code == 303

    def test_the_frameworks_own_doors_are_closed(self, started: Started) -> None:
        for path in (
            "/_stcore/health",
            "/_stcore/host-config",
            "/_stcore/metrics",
            "/_stcore/agent/openapi.json",
            "/_stcore/upload_file/a/b",
            "/_stcore/bidi-components/x",
            "/media/x",
            "/component/x",
            "/auth/login",
            "/oauth2callback",
        ):
            assert httpx.get(started.address + path, timeout=PATIENCE).status_code == 401, path
        assert httpx.post(started.address + "/_stcore/agent/interact", json={}, timeout=PATIENCE).status_code == 401
        assert httpx.put(started.address + "/_stcore/upload_file/a/b", timeout=PATIENCE).status_code == 401

    def test_answers_carry_no_banner_and_the_assets_are_public_and_lasting(self, started: Started) -> None:
        script = re.search(r'src="\./(static/js/index[^"]+)"', headers._INDEX.read_text())
        assert script
        for path in ("login", script.group(1), "app/static/favicon.svg", "app/static/inter-latin-wght-normal.woff2"):
            answer = httpx.get(f"{started.address}/{path}", timeout=PATIENCE)
            assert answer.status_code == 200, path
            assert "server" not in answer.headers
            assert "content-security-policy" in answer.headers
        kept = httpx.get(f"{started.address}/{script.group(1)}", timeout=PATIENCE).headers["cache-control"]
        assert "immutable" in kept

    def test_a_forwarded_address_is_not_believed(self, started: Started) -> None:
        def attempt(number: int) -> int:
            answer = httpx.post(
                f"{started.address}/login",
                data={"email": f"user{number}@acme.test", "password": "x"},
                headers={"origin": started.address, "x-forwarded-for": f"9.9.9.{number}"},
                timeout=PATIENCE,
            )
            return answer.status_code

        with ThreadPoolExecutor(10) as strangers:  # a refusal takes its time whoever else is refused
            assert {*strangers.map(attempt, range(51))} <= {401, 429}
        assert attempt(51) == 429

    def test_signed_in_a_page_comes_and_after_the_session_ended_nothing_more(self, started: Started) -> None:
        path = users.first_start(started.database.gate, now=clock.now())
        own = {"origin": started.address}
        with httpx.Client(base_url=started.address, headers=own, timeout=PATIENCE) as browser:
            assert browser.post(path or "").headers["location"] == "/"
            assert browser.get("/_stcore/health").status_code == 200
            page = browser.get("/people?q=ada")
            assert page.status_code == 200
            assert page.headers["cache-control"] == "no-store"
            cookie = browser.cookies["gdp"]

        async def use() -> tuple[set[str | None], list[str | None]]:
            async with websockets.connect(
                f"ws://127.0.0.1:{started.port}/_stcore/stream",
                additional_headers={"cookie": f"gdp={cookie}"},
                subprotocols=[websockets.Subprotocol("streamlit")],
                open_timeout=PATIENCE,
                ping_timeout=None,
            ) as socket_:
                await socket_.send(_rerun(started.address))
                seen: set[str | None] = set()
                while "script_finished" not in seen:
                    seen.add(ForwardMsg.FromString(await socket_.recv(decode=False)).WhichOneof("type"))
                with psycopg.connect(started.database.admin, autocommit=True) as connection:
                    connection.execute("UPDATE user_session SET revoked_at = now()")
                await socket_.send(_rerun(started.address))
                after: list[str | None] = []
                with suppress(websockets.ConnectionClosed):
                    while True:
                        after.append(ForwardMsg.FromString(await socket_.recv(decode=False)).WhichOneof("type"))
                return seen, after

        seen, after = asyncio.run(use())
        assert "delta" in seen
        assert after[-1] == "auth_redirect"
        assert not {"new_session", "delta"} & set(after)

    def test_the_log_holds_no_token_and_no_address(self, started: Started) -> None:
        path = users.sign_in_link(
            started.database.gate, users.list_users(started.database.gate)[0].email, now=clock.now()
        )
        httpx.get(started.address + path, timeout=PATIENCE)
        httpx.post(
            f"{started.address}/login",
            data={"email": "canary@acme.test", "password": "canary-password"},
            headers={"origin": started.address},
            timeout=PATIENCE,
        )
        written = started.log.read_text()
        assert path.removeprefix("/login/") not in written
        assert "canary" not in written

    @pytest.mark.browser
    def test_in_a_browser_a_deep_link_is_kept_without_console_errors(self, started: Started) -> None:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            pytest.skip("no Chromium on this machine")
        from playwright.sync_api import sync_playwright

        users.first_start(started.database.gate, now=clock.now())  # where no test before this one made an owner
        owner = users.list_users(started.database.gate)[0].email
        users.reset_password(started.database.gate, owner, PASSWORD, now=clock.now())
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            tab = browser.new_page()
            tab.set_default_timeout(1000 * PATIENCE)
            complaints: list[str] = []
            requests: list[str] = []
            tab.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            tab.on("request", lambda request: requests.append(request.url))
            with psycopg.connect(started.database.admin, autocommit=True) as connection:
                connection.execute("UPDATE app_user SET failed_sign_ins = 0, locked_until = NULL")
            path = users.sign_in_link(started.database.gate, owner, now=clock.now())
            tab.goto(started.address + path)
            tab.click("button")
            tab.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
            deep = next((address for address in _addresses() if address not in ("/", "/overview")), "/")
            tab.goto(f"{started.address}{deep}?q=ada")
            tab.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
            assert urlsplit(tab.url).path == deep
            assert complaints == []
            assert {urlsplit(url).netloc for url in requests if not url.startswith(("data:", "blob:"))} == {
                f"127.0.0.1:{started.port}"
            }
            with psycopg.connect(started.database.admin, autocommit=True) as connection:
                connection.execute("UPDATE user_session SET revoked_at = now()")
            tab.keyboard.press("r")
            tab.wait_for_url(f"**/login{'' if deep == '/' else '?next=' + deep}*")
            browser.close()
