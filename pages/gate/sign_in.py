"""The routes of signing in and out, one-time links and invitations. HTML only; every change is a POST from an own page.

A link or an invitation is used up by the button on its page, never by opening it: mail scanners open everything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import parse_qsl, quote
from uuid import UUID

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gdp_core import clock
from gdp_core.accounts import members, passwords, sessions, users
from gdp_core.errors import GrowthError, InvalidInput, Unauthorised, Unavailable
from gdp_core.runtime import database
from gdp_core.settings import settings
from pages.gate.addresses import cookie, is_own_origin, safe_next
from pages.gate.asgi import ip_of, unavailable
from pages.gate.headers import clear_cookie, cookie_name, set_cookie
from pages.gate.html import Input, page

log = structlog.get_logger()

REFUSED_AFTER = 0.25  # seconds
_LONGEST_FORM = 8192
_Endpoint = Callable[[Request], Awaitable[Response]]


def guarded(title: str) -> Callable[[_Endpoint], _Endpoint]:
    """Turn what core refuses into a page with its sentence; a form that no own page sent never reaches core."""

    def guard(endpoint: _Endpoint) -> _Endpoint:
        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            try:
                if request.method == "POST" and not is_own_origin(request.headers):
                    raise InvalidInput("This form was not sent from this site: open the page again and retry.")
                return await endpoint(request)
            except Unavailable as error:
                return unavailable(request.scope, error)
            except Unauthorised as error:
                log.info("refused", action="gate.refused", page=title, request_id=request.scope["request_id"])
                return page(title, status=401, error=str(error), link=("/login", "Go to sign-in"))
            except (GrowthError, HTTPException, ClientDisconnect) as error:
                said = str(error) if isinstance(error, GrowthError) else "This form cannot be read."
                return page(title, status=400, error=said, link=("/login", "Go to sign-in"))

        return guarded

    return guard


@guarded("Sign in")
async def sign_in(request: Request) -> Response:
    """The sign-in form, and what it sends."""
    if request.method != "POST":
        wanted = safe_next(request.query_params.get("next"))
        if await _signed_in(request):
            return RedirectResponse(wanted, 303)
        return _sign_in_page(wanted)
    began = time.monotonic()
    form = await form_of(request)
    wanted = safe_next(text_of(form, "next"))
    email = text_of(form, "email")
    try:
        user_id = await run_in_threadpool(
            lambda: users.check_password(
                database("gdp_gate"), email, text_of(form, "password"), ip=ip_of(request.scope), now=clock.now()
            )
        )
    except (Unauthorised, users.TooManyAttempts) as error:
        log.info("refused", action="gate.sign_in_refused", request_id=request.scope["request_id"])
        # A refusal that is recorded takes longer than one that is not: all are answered after the same time.
        await asyncio.sleep(max(0.0, REFUSED_AFTER - (time.monotonic() - began)))
        answer = _sign_in_page(wanted, email=email, error=str(error))
        if isinstance(error, users.TooManyAttempts):
            answer.status_code, answer.headers["retry-after"] = 429, str(error.retry_after)
        return answer
    return await signed_in_response(request, user_id, wanted, how="password")


@guarded("Sign in")
async def link(request: Request) -> Response:
    """A one-time link: a page with a button, which signs in."""
    token = request.path_params["token"]
    user = await run_in_threadpool(lambda: sessions.peek_link(database("gdp_gate"), token, clock.now()))
    if request.method != "POST":
        return _link_page(request, user)
    form = await form_of(request)
    try:
        user_id = await run_in_threadpool(
            lambda: users.enter_by_link(
                database("gdp_gate"),
                token,
                email=text_of(form, "email"),
                name=text_of(form, "name"),
                password=text_of(form, "password"),
                ip=ip_of(request.scope),
                now=clock.now(),
            )
        )
    except InvalidInput as error:
        return _link_page(request, user, form=form, error=str(error))
    return await signed_in_response(request, user_id, "/", how="link")


@guarded("Join a workspace")
async def invitation(request: Request) -> Response:
    """An invitation: a form for somebody new, a button for somebody signed in, else the way to sign in first."""
    token = request.path_params["token"]
    found = await run_in_threadpool(lambda: members.peek_invitation(database("gdp_gate"), token, now=clock.now()))
    who = await _signed_in(request)
    if who is not None and who.user.email == found.email:
        if request.method != "POST":
            return page(
                f"Join {found.workspace_name}",
                lead=f"You are signed in as {found.email}; your role will be {found.role.spelt}.",
                action=request.url.path,
                button="Join",
            )
        await run_in_threadpool(
            lambda: members.accept_for(
                database("gdp_gate"), found, who.user.id, now=clock.now(), ip=ip_of(request.scope)
            )
        )
        return RedirectResponse("/", 303)
    if found.has_account or who is not None:
        return page(
            f"Join {found.workspace_name}",
            status=200 if request.method != "POST" else 401,
            lead=f"This invitation is for {found.email}: sign in with that account, then open the link again.",
            link=("/logout" if who else "/login", "Go to sign-in"),
        )
    if request.method != "POST":
        return _invitation_page(request, found)
    form = await form_of(request)
    try:
        user_id = await run_in_threadpool(
            lambda: members.accept_as_new(
                database("gdp_gate"),
                token,
                name=text_of(form, "name"),
                password=text_of(form, "password"),
                now=clock.now(),
                ip=ip_of(request.scope),
            )
        )
    except InvalidInput as error:
        return _invitation_page(request, found, name=text_of(form, "name"), error=str(error))
    return await signed_in_response(request, user_id, "/", how="invitation")


@guarded("Sign out")
async def sign_out(request: Request) -> Response:
    """A page with a button, which signs out."""
    token = cookie(request.scope["headers"], cookie_name())
    if request.method != "POST":
        if not await _signed_in(request):
            return RedirectResponse("/login", 303)
        return page(
            "Sign out?", lead="You will have to sign in again.", action="/logout", button="Sign out", link=("/", "Stay")
        )
    if token:
        await run_in_threadpool(lambda: sessions.end(database("gdp_gate"), token, clock.now(), ip=ip_of(request.scope)))
    answer = RedirectResponse("/login", 303)
    clear_cookie(answer)
    return answer


async def signed_in_response(
    request: Request, user_id: UUID, wanted: str, *, how: str, instead: Response | None = None
) -> Response:
    """Start a session for the user and send the browser where it wanted to go, or show a page `instead`."""
    before = cookie(request.scope["headers"], cookie_name())

    def begin() -> str:
        now = clock.now()
        if before:
            sessions.end(database("gdp_gate"), before, now, ip=ip_of(request.scope))
        return sessions.start(
            database("gdp_gate"),
            user_id,
            how=how,
            now=now,
            ip=ip_of(request.scope),
            user_agent=request.headers.get("user-agent"),
        )

    answer = instead or RedirectResponse(safe_next(wanted), 303)
    set_cookie(answer, await run_in_threadpool(begin))
    return answer


async def failed(request: Request, error: Exception) -> Response:
    """What is said when something broke: a reference, never the reason."""
    request_id = request.scope.get("request_id", "-")
    log.error("failed", action="gate.failed", request_id=request_id, error=type(error).__name__)
    return page(
        "Something went wrong",
        status=500,
        lead=f"It has been recorded. Try again, and name the reference {request_id} when you report it.",
        link=("/", "Go to the dashboard"),
    )


ROUTES = [
    Route("/login", sign_in, methods=["GET", "POST"]),
    Route("/login/{token}", link, methods=["GET", "POST"]),
    Route("/logout", sign_out, methods=["GET", "POST"]),
    Route("/invite/{token}", invitation, methods=["GET", "POST"]),
]


def _sign_in_page(wanted: str, *, email: str = "", error: str = "") -> Response:
    provider = settings().oidc_issuer is not None
    return page(
        "Sign in",
        status=401 if error else 200,
        lead="Welcome back.",
        error=error,
        action="/login",
        inputs=(
            Input("email", "E-mail address", "email", "username", value=email),
            Input("password", "Password", "password", "current-password"),
        ),
        hidden=(("next", wanted),),
        button="Sign in",
        link=(f"/oidc/start?next={quote(wanted, safe='/')}", "Sign in with your company account") if provider else None,
        foot="No password yet, or forgotten? Whoever runs this server makes a one-time link with `python -m jobs user link`.",
    )


def _link_page(request: Request, user: sessions.User, *, form: FormData | None = None, error: str = "") -> Response:
    if user.has_password:
        return page(f"Sign in as {user.email}", lead="This link works once.", action=request.url.path, button="Sign in")
    known = "" if user.email == users.FIRST_OWNER else user.email
    return page(
        "Welcome",
        status=400 if error else 200,
        lead="Your account is ready. Choose how you will sign in next time, or leave the fields empty for now.",
        error=error,
        action=request.url.path,
        inputs=(
            Input("name", "Your name", "text", "name", value=text_of(form, "name") or user.name, required=False),
            Input(
                "email", "E-mail address", "email", "username", value=text_of(form, "email") or known, required=False
            ),
            new_password(required=False),
        ),
        button="Continue",
    )


def _invitation_page(request: Request, found: members.Invitation, *, name: str = "", error: str = "") -> Response:
    return page(
        f"Join {found.workspace_name}",
        status=400 if error else 200,
        lead=f"You were invited as {found.email}; your role will be {found.role.spelt}.",
        error=error,
        action=request.url.path,
        inputs=(Input("name", "Your name", "text", "name", value=name), new_password(required=True)),
        hidden=(("username", found.email),),
        button="Join",
    )


def new_password(*, required: bool) -> Input:
    """The field of a password to be chosen."""
    return Input(
        "password",
        "Password",
        "password",
        "new-password",
        hint=f"At least {passwords.SHORTEST} characters.",
        required=required,
        minlength=passwords.SHORTEST,
    )


async def _signed_in(request: Request) -> sessions.SignedIn | None:
    token = cookie(request.scope["headers"], cookie_name())
    return await run_in_threadpool(lambda: sessions.current(database("gdp_gate"), token, clock.now(), touch=True))


async def form_of(request: Request) -> FormData:
    """A small URL-encoded form. Raises InvalidInput for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    size = request.headers.get("content-length", "0")
    if kind not in ("application/x-www-form-urlencoded", "") or not size.isascii() or not size.isdigit():
        raise InvalidInput("This form cannot be read.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise InvalidInput("This form is too large.")
    return FormData(_pairs(body))


def _pairs(body: bytes) -> dict[str, str]:
    try:
        return dict(
            parse_qsl(
                body.decode("latin-1"), keep_blank_values=True, max_num_fields=20, encoding="utf-8", errors="replace"
            )
        )
    except ValueError as error:
        raise InvalidInput("This form cannot be read.") from error


def text_of(form: FormData | None, name: str) -> str:
    """A field of a form, empty where there is none."""
    value = form.get(name) if form is not None else None
    return value if isinstance(value, str) else ""
