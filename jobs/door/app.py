"""The door as an ASGI app: the hot routes before FastAPI's, which serves health, metrics and the description."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from gdp_core.errors import Unavailable
from jobs.door import api, description, posthog, segment, webhooks
from jobs.door.answers import error_body
from jobs.door.door import Door
from jobs.door.edge import Edge


def create_app(door: Door) -> Edge:
    """The whole door as an ASGI app."""

    answering = api.Api(door.dsn)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await door.start()
        yield
        await answering.close()
        await door.stop()

    app = FastAPI(
        title="Door of the Growth Data Plane",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, Exception: _http_error},
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.routes[:0] = [*hot_routes(door), *api.routes(door, answering)]
    _health_routes(app, door)
    _description_routes(app, answering)
    posthog.stubs(app)
    describe = app.openapi
    app.openapi = lambda: description.with_hot_routes(describe())  # type: ignore[method-assign]
    return Edge(app, door)


def _health_routes(app: FastAPI, door: Door) -> None:
    @app.get("/livez", tags=["health"], summary="The process answers")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="A COMMIT has just succeeded", responses=description.UNAVAILABLE)
    async def readyz(request: HttpRequest) -> Response:
        try:
            await door.prove()
        except Unavailable as error:
            body = error_body(request.scope, "unavailable", str(error))
            return Response(body, 503, {"retry-after": "1"}, "application/json")
        return Response(b'{"status":"ok"}', media_type="application/json")

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    async def metrics(request: HttpRequest) -> Response:
        _only_here(request)
        return Response(
            door.metrics.exposition(await door.pulses()), media_type="text/plain; version=0.0.4; charset=utf-8"
        )


def _description_routes(app: FastAPI, answering: api.Api) -> None:
    async def whole() -> description.Schema:
        return description.with_api(app.openapi(), await api.description(answering))

    @app.get("/docs", include_in_schema=False)
    async def docs(request: HttpRequest) -> HTMLResponse:
        _only_here(request)
        return HTMLResponse(description.page(await whole()))

    @app.get("/openapi.json", include_in_schema=False)
    async def schema(request: HttpRequest) -> JSONResponse:
        _only_here(request)
        return JSONResponse(await whole())


def _only_here(request: HttpRequest) -> None:
    """What came through a proxy is the internet's, and there is nothing here for it."""
    if "x-forwarded-for" in request.headers:
        raise HTTPException(404)


def hot_routes(door: Door) -> list[BaseRoute]:
    """Where deliveries arrive."""
    return [*webhooks.routes(door), *segment.routes(door), *posthog.routes(door)]


async def _http_error(request: HttpRequest, error: Exception) -> Response:
    status, headers = 500, None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
    code, message = {
        404: ("not_found", "There is nothing at this address; the Sources page shows the right one."),
        405: ("method_not_allowed", "This address does not take that method; the Sources page shows how to send."),
        500: ("internal", "Something went wrong here."),
    }.get(status, ("malformed", "The request cannot be used; the Sources page shows how to send."))
    return Response(error_body(request.scope, code, message), status, headers, "application/json")
