"""A person's own account, outside of any workspace: their name and password, and where else they are signed in."""

from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gdp_core import clock
from gdp_core.accounts import sessions, users
from gdp_core.accounts.sessions import OpenSession, SignedIn
from gdp_core.errors import GrowthError
from gdp_core.runtime import database
from pages.gate.asgi import ip_of
from pages.gate.html import Form, Input, page
from pages.gate.sign_in import form_of, guarded, new_password, text_of


@guarded("Your account")
async def account(request: Request) -> Response:
    """The page, and what its forms send."""
    who: SignedIn = request.scope["signed_in"]
    if request.method != "POST":
        return await _page(who)
    form = await form_of(request)
    now, ip = clock.now(), ip_of(request.scope)
    change = {
        "name": lambda: _rename(who, text_of(form, "name")),
        "password": lambda: users.set_password(
            database("gdp_gate"),
            who.user.id,
            current=text_of(form, "current"),
            new=text_of(form, "password"),
            keep_session=who.session_id,
            ip=ip,
            now=now,
        ),
        "sessions": lambda: sessions.end_others(database("gdp_gate"), who, now, ip=ip),
    }.get(text_of(form, "do"))
    if change is None:
        return await _page(who, error="This form cannot be read.")
    try:
        await run_in_threadpool(change)
    except (users.TooManyAttempts, GrowthError) as error:
        return await _page(who, error=str(error))
    fresh = await run_in_threadpool(lambda: sessions.reread(database("gdp_gate"), who))
    return await _page(fresh, done="Done.")


ROUTES = [Route("/account", account, methods=["GET", "POST"])]


def _rename(who: SignedIn, name: str) -> None:
    users.rename(database("gdp_gate"), who.user.id, name)


async def _page(who: SignedIn, *, error: str = "", done: str = "") -> Response:
    found = await run_in_threadpool(lambda: sessions.list_own(database("gdp_gate"), who.user.id, clock.now()))
    others = [item for item in found if item.id != who.session_id]
    current = (Input("current", "Current password", "password", "current-password"),) if who.user.has_password else ()
    chosen = replace(new_password(required=True), label="New password")
    forms = [
        Form((Input("name", "Your name", "text", "name", value=who.user.name),), (("do", "name"),), "Change the name"),
        Form((*current, chosen), (("do", "password"),), "Change the password"),
    ]
    if others:
        forms.append(Form((), (("do", "sessions"),), "Sign out everywhere else"))
    return page(
        "Your account",
        status=400 if error else 200,
        lead=done or f"You sign in as {who.user.email}.",
        error=error,
        action="/account",
        forms=tuple(forms),
        items=tuple(_described(item) for item in others),
        link=("/", "Go to the dashboard"),
    )


def _described(item: OpenSession) -> str:
    return f"Signed in {item.created_at:%Y-%m-%d %H:%M} UTC from {item.ip or 'here'}: {(item.user_agent or 'unknown')[:80]}"
