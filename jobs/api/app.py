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
    found = [
        {"path": [], "field": ".".join(map(str, one["loc"][1:])), "message": str(one["msg"])} for one in error.errors()
    ]
    said = f"{found[0]['field'] or 'The body'}: {found[0]['message']}."
    return _answer(request, 400, "malformed", said, {}, found)


async def _no_route(request: Request, error: HTTPException) -> Response:
    known = {404: ("not_found", "There is nothing at this address; see docs/segments.md.")}
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
