"""Files the dashboard streams: `/api/export/...`, behind the gate's cookie, allowed by role, audited before the first
byte. `app.py` mounts API_ROUTES.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gdp_core import clock
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.accounts.sessions import SignedIn
from gdp_core.analytics import people_list
from gdp_core.analytics.people_list import PersonRow
from gdp_core.db import one
from gdp_core.errors import Forbidden, GrowthError, InvalidInput, NotFound, Unauthorised, Unavailable
from gdp_core.runtime import database
from pages.gate.asgi import ip_of
from pages.ui import csv
from pages.ui.csv import Cell
from pages.ui.people import filter_of
from pages.ui.reporting.behind import ADDRESS, kept

log = structlog.get_logger()

_STATUS: Mapping[type[GrowthError], int] = {
    Unauthorised: 401,
    Forbidden: 403,
    InvalidInput: 400,
    NotFound: 404,
    Unavailable: 503,
}
_MONEY = ("mrr_micros", "total_spent_micros", "lifetime_value_micros")
PEOPLE_HEADER = [name.removesuffix("_micros") for name in people_list.PERSON_COLUMNS]


async def export_people(request: Request) -> Response:
    """Everybody who matches the filter in the address, as CSV, in the order they were first seen."""

    def begin() -> tuple[Principal, str]:
        wanted = asdict(filter_of(request.query_params))
        wanted["words"] = bool(wanted["words"])  # somebody's address may be in them
        return _begin(request, "people", "csv", wanted)

    def rows(principal: Principal) -> Iterator[PersonRow]:
        wanted = replace(filter_of(request.query_params), sort="first_seen", descending=False)
        return people_list.stream(database("gdp_web"), principal.workspace_id, wanted, clock.now())

    return await _exported(begin, rows)


async def export_behind(request: Request) -> Response:
    """The people behind a number of a report, as CSV: those that were kept when it was clicked."""
    name = request.query_params.get("of", "")

    def begin() -> tuple[Principal, str]:
        principal = _principal(request)
        found = kept(name, principal.workspace_id)
        return _begin(request, "report", found.snapshot or "now", {"number": found.title, "report": found.report})

    def rows(principal: Principal) -> Iterator[PersonRow]:
        with database("gdp_web").transaction(principal.workspace_id, read_only=True) as session:
            persons = kept(name, principal.workspace_id).persons(session)
        return people_list.stream_listed(database("gdp_web"), principal.workspace_id, persons)

    return await _exported(begin, rows)


async def _exported(
    begin: Callable[[], tuple[Principal, str]], rows: Callable[[Principal], Iterator[PersonRow]]
) -> Response:
    """A file of people, once `begin` has recorded who takes it and said what it is called."""
    try:
        principal, name = await run_in_threadpool(begin)
        found = await run_in_threadpool(rows, principal)
    except GrowthError as error:
        return JSONResponse({"error": str(error)}, _STATUS.get(type(error), 400))
    log.info("people exported", action="people.export", workspace=str(principal.workspace_id))
    return StreamingResponse(
        csv.stream(PEOPLE_HEADER, _cells(principal, found)),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _principal(request: Request) -> Principal:
    """Who exports."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("Exports start on the dashboard's own pages: open the list there and export it.")
    who = request.scope.get("signed_in")
    if not isinstance(who, SignedIn):
        raise Unauthorised("Sign in first.")
    return who.principal(request.query_params.get("ws"), ip=ip_of(request.scope))


def _begin(request: Request, kind: str, identifier: str, detail: Mapping[str, Any]) -> tuple[Principal, str]:
    """Who exports, after it was recorded, and what the file is called."""
    now, principal = clock.now(), _principal(request)
    with database("gdp_web").transaction(principal.workspace_id) as session:
        authorise(session, principal, "people.export")
        workspace = one(session, "SELECT slug FROM workspace WHERE id = app_ws()")
        audit(
            session,
            principal,
            action="people.export",
            object_kind=kind,
            object_id=identifier,
            detail=detail,
            now=now,
        )
    return principal, f"people-{workspace.slug}-{now:%Y-%m-%d}.csv"


def _cells(principal: Principal, people: Iterable[PersonRow]) -> Iterator[list[Cell]]:
    for person in people:
        yield [_cell(principal, person, name) for name in people_list.PERSON_COLUMNS]


def _cell(principal: Principal, person: PersonRow, name: str) -> Cell:
    value: Any = getattr(person, name)
    if name in _MONEY:
        return None if person.currency is None else value / 1_000_000
    if name in ("name", "email", "phone"):
        return principal.sees(value)
    if name == "tags":
        return ", ".join(value) or None
    return str(value) if name == "id" else value


API_ROUTES = [
    Route("/api/export/people.csv", export_people, methods=["GET"]),
    Route(ADDRESS, export_behind, methods=["GET"]),
]
