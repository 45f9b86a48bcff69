"""Who sits in front of this tab, read afresh from the database every time: the cookie alone proves nothing.

The WebSocket keeps the cookie it was opened with, so it outlives signing out; the session behind it does not.
"""

import streamlit as st
from streamlit.proto.AuthRedirect_pb2 import AuthRedirect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx

from gdp_core import clock
from gdp_core.accounts import sessions
from gdp_core.accounts.sessions import SignedIn
from gdp_core.errors import Unauthorised
from gdp_core.runtime import database
from pages.gate.headers import cookie_name

SIGNED_OUT = "You are signed out. Sign in to go on where you were."


def token() -> str | None:
    """The session token of this tab's browser."""
    return st.context.cookies.get(cookie_name())


def address() -> str | None:
    """The browser's address, for the audit log."""
    return st.context.ip_address


def signed_in() -> SignedIn:
    """Who it is now; the gate already counted the message as activity. Raises Unauthorised."""
    found = sessions.current(database("gdp_gate"), token(), clock.now())
    if found is None:
        raise Unauthorised(SIGNED_OUT)
    return found


def sign_out() -> None:
    """End this browser's session, and lead the tab to the sign-in page; its other tabs follow at their next move."""
    held = token()
    if held:
        sessions.end(database("gdp_gate"), held, clock.now(), ip=address())
    context = get_script_run_ctx()
    if context is not None:
        context.enqueue(ForwardMsg(auth_redirect=AuthRedirect(url="/login")))
