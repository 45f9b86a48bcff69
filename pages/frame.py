"""The entry script: who is there."""

import streamlit as st

from gdp_core import clock
from gdp_core.accounts import sessions
from gdp_core.runtime import database
from pages.gate.headers import cookie_name

who = sessions.current(database("gdp_gate"), st.context.cookies.get(cookie_name()), clock.now())
if who is None:
    st.stop()
st.title("Growth Data Plane")
st.text(f"Signed in as {who.user.email}")
