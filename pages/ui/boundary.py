"""What a user sees when something goes wrong: one sentence and what to do, or a reference to the log. Never a traceback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from traceback import extract_tb
from typing import Any, Literal, ParamSpec
from uuid import uuid4

import streamlit as st
import structlog

from gdp_core.errors import Forbidden, GrowthError, InvalidInput, NotFound, Unauthorised, Unavailable
from pages.ui.escape import safe_text

P = ParamSpec("P")
log = structlog.get_logger()


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Show what goes wrong inside instead of letting it break the page. `what` names it in the log."""
    try:
        yield
    except GrowthError as error:
        _show(error)
    except Exception as error:  # noqa: BLE001 - the one guard of the pages: record, show, go on
        reference = uuid4().hex[:8]
        log.error(
            "page failed",
            action="page.failed",
            page=what,
            reference=reference,
            error=type(error).__name__,
            # Frames only: the message of an exception may quote what a person's data was.
            trace=" < ".join(
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[:-9:-1]
            ),
        )
        with st.container(key=f"failed-{reference}"):
            st.error(
                f"Something went wrong here, and it was recorded. Reload the page; if it happens again, tell your"
                f" administrator the reference {safe_text(reference)}.",
                icon=":material/error:",
            )


def guard(function: Callable[P, Any]) -> Callable[P, None]:
    """The same for a function, a fragment's body above all: fragments run without the frame around them."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with guarded(f"{function.__module__}.{function.__qualname__}"):
            function(*args, **kwargs)

    return run


def fragment(*, every: float | None = None, parallel: bool = False) -> Callable[[Callable[P, Any]], Callable[P, None]]:
    """A part of a page that reruns alone (every `every` seconds), guarded. Call `here()` inside it again.

    `parallel` parts of a page load at the same time; give each a skeleton.
    """

    def make(function: Callable[P, Any]) -> Callable[P, None]:
        made: Callable[P, None] = st.fragment(run_every=every, parallel=parallel)(guard(function))
        return made

    return make


def dialog(
    title: str, *, icon: str | None = None, drawer: bool = False, width: Literal["small", "medium", "large"] = "small"
) -> Callable[[Callable[P, Any]], Callable[P, None]]:
    """A guarded dialog, or a drawer at the right; `title` is plain text. Only one may open in a run."""

    def make(function: Callable[P, Any]) -> Callable[P, None]:
        position: Literal["right", "center"] = "right" if drawer else "center"
        made: Callable[P, None] = st.dialog(safe_text(title), icon=icon, position=position, width=width)(
            guard(function)
        )
        return made

    return make


def _show(error: GrowthError) -> None:
    match error:
        case Unauthorised():
            st.warning(safe_text(error), icon=":material/lock:")
            st.link_button("Sign in", "/login", type="primary")
        case Forbidden():
            st.warning(safe_text(error), icon=":material/block:")
        case NotFound():
            st.info(safe_text(error), icon=":material/search_off:")
        case InvalidInput():
            st.error(safe_text(error), icon=":material/error:")
        case Unavailable():
            st.error(safe_text(error), icon=":material/cloud_off:")
            st.button("Try again", key=f"retry-{uuid4().hex[:8]}")
        case _:
            st.error(safe_text(error), icon=":material/error:")
