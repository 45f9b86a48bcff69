"""The API as an ASGI app: its routes, and one form for every error, the door's."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from gdp_core.errors import BadSetting, GrowthError, Unavailable
from gdp_core.segments import rules
from gdp_core.segments.rules import BadRule
from jobs.api import segments, shapes, subscriptions
from jobs.door.answers import error_body, status_of

log = structlog.get_logger()
REQUEST = "x-request-id"
_ERROR = {"$ref": "#/components/schemas/Error"}


def create_app(*, loopback: bool = False) -> FastAPI:
    """The whole API. `loopback`: subscriptions may name this machine, for tests."""
    app = FastAPI(
        title="API of the Growth Data Plane",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        exception_handlers={
            GrowthError: _refused,
            RequestValidationError: _malformed,
            HTTPException: _no_route,
            Exception: _failed,
        },
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.loopback = loopback
    app.include_router(segments.router)
    app.include_router(subscriptions.router)

    app.openapi = partial(_described, app)  # type: ignore[method-assign]

    @app.get("/livez", include_in_schema=False)
    def livez() -> dict[str, str]:
        return {"status": "ok"}

    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The description; what FastAPI says of bodies and queries it cannot read is answered like every other mistake."""
    schema = FastAPI.openapi(app)
    refused = {"description": shapes.MEANINGS[400], "content": {"application/json": {"schema": _ERROR}}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            if operation["responses"].pop("422", None):
                operation["responses"].setdefault("400", refused)
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    return schema


async def _refused(request: Request, error: GrowthError) -> Response:
    if isinstance(error, BadSetting):
        return await _failed(request, error)
    status, code = status_of(error)
    problems = [_problem(one) for one in error.problems] if isinstance(error, BadRule) else None
    headers = {"retry-after": str(max(1, round(error.retry_after)))} if isinstance(error, Unavailable) else {}
    return _answer(request, status, code, str(error), headers, problems)


def _problem(problem: Any) -> dict[str, Any]:
    """A problem of a rule as JSON."""
    return {"path": list(problem.path), "field": problem.field, "message": problem.message}


async def _malformed(request: Request, error: RequestValidationError) -> Response:
    found: dict[str, dict[str, Any]] = {}  # the first of each field: a rule is neither an object nor a list
    for one in error.errors():
        field = _field_of(one)
        found.setdefault(field, {"path": [], "field": field, "message": _said(one, field)})
    first = next(iter(found.values()))
    said = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return _answer(request, 400, "malformed", said, {}, list(found.values()))


def _field_of(error: Any) -> str:
    """The part of the body or query that is wrong; not which type of several it was tried as, nor a place in the text."""
    if error["type"] == "json_invalid":
        return ""
    return ".".join(str(part) for part in error["loc"][1:] if "[" not in str(part))


def _said(error: Any, field: str) -> str:
    """What is wrong and what to do, as one sentence."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "json_invalid":
        return f"This is no JSON from character {error['loc'][-1] + 1} on: correct it there."
    if not field:
        return "Send a JSON object, with the header content-type: application/json."
    if field == "after":
        return "Give as `after` what a page said as `next`."
    told = _SAID.get(kind) or _SAID.get(kind.partition("_")[0])
    return told.format(**context) if told else rules.said_of(error)


_SAID = {
    "uuid": "Give an id like 0197f3a0-5c1e-7d2b-8a55-0242ac120002.",
    "datetime": "Give an instant like 2026-01-31T08:00:00Z.",
    "date": "Give a day like 2026-01-31.",
    "dict": "Give a rule, an object or a list, as docs/segments.md shows.",
    "list": "This must be a list.",
    "literal_error": "Give one of {expected}.",
    "string_too_long": "This text is too long: make it {max_length} characters at most.",
}


async def _no_route(request: Request, error: HTTPException) -> Response:
    known = {
        400: (
            "malformed",
            "This body cannot be read: send JSON in UTF-8, without numbers of thousands of digits or hundreds of groups"
            " in one another.",
        ),
        404: ("not_found", "There is nothing at this address; see docs/segments.md."),
    }
    otherwise = ("malformed", "This address does not take that method; see docs/segments.md.")
    return _answer(request, error.status_code, *known.get(error.status_code, otherwise), {})


async def _failed(request: Request, error: Exception) -> Response:
    log.error("unexpected", action="api.failed", error=type(error).__name__, request_id=request.headers.get(REQUEST))
    return _answer(request, 500, "internal", "Something went wrong here.", {})


def _answer(
    request: Request,
    status: int,
    code: str,
    message: str,
    headers: dict[str, str],
    problems: Sequence[dict[str, Any]] | None = None,
) -> Response:
    more = {"problems": problems} if problems else {}
    body = error_body({"gdp.id": request.headers.get(REQUEST, "")}, code, message, **more)
    return Response(body, status, headers, "application/json")
