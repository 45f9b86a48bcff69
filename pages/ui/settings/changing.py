"""Changing a setting: under the role of now, told to the user, and read again by everybody."""

from collections.abc import Callable

import streamlit as st
from sqlmodel import Session

from gdp_core.accounts.roles import Principal
from pages.ui import boundary, data, layout
from pages.ui.context import here


def change(make: Callable[[Session, Principal], object], said: str) -> None:
    """Make a change under the role of now, say so, and run the page again."""
    place = here()
    with place.change() as session:
        make(session, place.principal)
    data.forget(place)
    layout.done(said)
    st.rerun()


def change_in_callback(make: Callable[[Session, Principal], object], said: str) -> None:
    """The same in a callback, after which the page runs anyway; what it raises is shown."""
    with boundary.guarded("settings"):
        place = here()
        with place.change() as session:
            make(session, place.principal)
        data.forget(place)
        layout.done(said)
