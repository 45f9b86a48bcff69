"""Files the dashboard streams: `/api/export/...`, behind the gate's cookie, allowed by role, audited before the first
byte. `app.py` mounts API_ROUTES.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from itertools import tee
from typing import Any
from uuid import UUID

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gdp_core import clock
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.accounts.sessions import SignedIn
from gdp_core.analytics import people_list, person_features, segments
from gdp_core.analytics.people_list import PersonRow
from gdp_core.analytics.person_features import FeatureValue
from gdp_core.db import one
from gdp_core.errors import Forbidden, GrowthError, InvalidInput, NotFound, Unauthorised, Unavailable
from gdp_core.features.base import Feature
from gdp_core.features.definitions import read_features
from gdp_core.money import MICROS
from gdp_core.runtime import database
from gdp_core.segments import keeping
from pages.gate.asgi import ip_of
from pages.ui import csv
from pages.ui.csv import Cell
from pages.ui.people import features_of, filter_of
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
Table = tuple[Sequence[str], Iterable[Iterable[Cell]]]
"""A header, and rows of as many cells."""

PEOPLE_HEADER = [name.removesuffix("_micros") for name in people_list.PERSON_COLUMNS]


async def export_people(request: Request) -> Response:
    """Everybody who matches the filter in the address, as CSV, in the order they were first seen; with the features that
    are columns of the page."""
    slugs = features_of(request.query_params)

    def begin() -> tuple[Principal, str]:
        wanted = asdict(filter_of(request.query_params)) | {"columns": slugs}
        wanted["words"] = bool(wanted["words"])  # somebody's address may be in them
        return _begin(request, "people", "csv", wanted)

    def table(principal: Principal) -> Table:
        wanted = replace(filter_of(request.query_params), sort="first_seen", descending=False)
        pool, workspace_id, now = database("gdp_web"), principal.workspace_id, clock.now()
        with pool.transaction(workspace_id, read_only=True) as session:
            known = {feature.slug: feature for feature in read_features(session)}
        told = [known[slug] for slug in slugs if slug in known]
        people = people_list.stream(pool, workspace_id, wanted, now)
        having = person_features.stream_listed(pool, workspace_id, people, [one.slug for one in told], now)
        return [*PEOPLE_HEADER, *_feature_header(told)], (
            [*_cells(principal, person), *_feature_cells(principal, told, theirs)] for person, theirs in having
        )

    return await _exported(begin, table)


async def export_behind(request: Request) -> Response:
    """The people behind a number of a report, as CSV: those that were kept when it was clicked."""
    name = request.query_params.get("of", "")

    def begin() -> tuple[Principal, str]:
        principal = _principal(request)
        found = kept(name, principal.workspace_id)
        return _begin(request, "report", found.snapshot or "now", {"number": found.title, "report": found.report})

    def table(principal: Principal) -> Table:
        with database("gdp_web").transaction(principal.workspace_id, read_only=True) as session:
            persons = kept(name, principal.workspace_id).persons(session)
        people = people_list.stream_listed(database("gdp_web"), principal.workspace_id, persons)
        return PEOPLE_HEADER, (_cells(principal, person) for person in people)

    return await _exported(begin, table)


async def export_segment(request: Request) -> Response:
    """Everybody in a segment, as CSV, in the order of their ids; each page of them is read when it is written."""
    asked = request.query_params.get("id", "")

    def begin() -> tuple[Principal, str]:
        principal = _principal(request)
        with database("gdp_web").transaction(principal.workspace_id, read_only=True) as session:
            name = keeping.read_segment(session, _id(asked)).name
        return _begin(request, "segment", str(_id(asked)), {"segment": name})

    def table(principal: Principal) -> Table:
        pool, workspace_id = database("gdp_web"), principal.workspace_id
        members, named = tee(segments.stream_members(pool, workspace_id, _id(asked)))
        people = people_list.stream_listed(pool, workspace_id, (person_id for person_id, _, _ in named))
        return [*PEOPLE_HEADER, "entered_at", "entry"], (
            [*_cells(principal, person), *entered] for person, entered in _entered(people, members)
        )

    return await _exported(begin, table)


def _entered(
    people: Iterable[PersonRow], members: Iterator[tuple[UUID, datetime, int]]
) -> Iterator[tuple[PersonRow, tuple[datetime, int]]]:
    """People with when they entered, of members in the same order; who is a member and no person any more is left out."""
    for person in people:
        entered = next((at, entry) for person_id, at, entry in members if person_id == person.id)
        yield person, entered


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("This address names no segment: open one from the list of segments.") from None


async def _exported(begin: Callable[[], tuple[Principal, str]], table: Callable[[Principal], Table]) -> Response:
    """A file of people, once `begin` has recorded who takes it and said what it is called."""
    try:
        principal, name = await run_in_threadpool(begin)
        header, rows = await run_in_threadpool(table, principal)
    except GrowthError as error:
        return JSONResponse({"error": str(error)}, _STATUS.get(type(error), 400))
    log.info("people exported", action="people.export", workspace=str(principal.workspace_id))
    return StreamingResponse(
        csv.stream(header, rows),
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


def _cells(principal: Principal, person: PersonRow) -> list[Cell]:
    return [_cell(principal, person, name) for name in people_list.PERSON_COLUMNS]


def _cell(principal: Principal, person: PersonRow, name: str) -> Cell:
    value: Any = getattr(person, name)
    if name in _MONEY:
        return None if person.currency is None else value / 1_000_000
    if name in ("name", "email", "phone"):
        return principal.sees(value)
    if name == "tags":
        return ", ".join(value) or None
    return str(value) if name == "id" else value


def _feature_header(told: Sequence[Feature]) -> Iterator[str]:
    """feature.SLUG, and after an amount of money its currency, which need not be that of the person."""
    for feature in told:
        yield f"feature.{feature.slug}"
        if feature.kind == "money":
            yield f"feature.{feature.slug}.currency"


def _feature_cells(principal: Principal, told: Sequence[Feature], theirs: Mapping[str, FeatureValue]) -> Iterator[Cell]:
    for feature in told:
        found = theirs.get(feature.slug, FeatureValue(feature, None))
        value = principal.sees(found.value) if isinstance(found.value, str) else found.value
        if feature.kind == "money":
            yield value / MICROS if isinstance(value, int | float) else None
            yield found.currency
        else:
            yield value


API_ROUTES = [
    Route("/api/export/people.csv", export_people, methods=["GET"]),
    Route("/api/export/segment.csv", export_segment, methods=["GET"]),
    Route(ADDRESS, export_behind, methods=["GET"]),
]
