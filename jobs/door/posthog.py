"""The PostHog capture API, and the stubs that tell its SDKs that everything else is off."""

from collections.abc import Mapping

import orjson
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from starlette.routing import BaseRoute, Route

from gdp_core.accept import POSTHOG_BYTES, Accepted, Capture
from jobs.door.answers import CORS, preflight
from jobs.door.door import Door
from jobs.door.hot import Hot

_PATHS: Mapping[str, Capture] = {
    "/batch": "batch",
    "/capture": "capture",
    "/e": "e",
    "/track": "capture",
    "/engage": "capture",
    "/i/v0/e": "v0",
    "/i/v1/analytics/events": "v1",
}


def routes(door: Door) -> list[BaseRoute]:
    """Where events arrive."""
    found: list[BaseRoute] = []
    for path, capture in _PATHS.items():
        endpoint = _endpoint(door, capture)
        methods = ["POST", "OPTIONS"] if capture == "v1" else ["GET", "POST", "OPTIONS"]
        found += [Route(form, endpoint, methods=methods) for form in (f"{path}/", path)]
    return found


def _endpoint(door: Door, capture: Capture) -> Hot:
    return Hot(
        door,
        f"posthog/{capture}",
        lambda _: POSTHOG_BYTES,
        lambda _, request: door.acceptor.posthog(capture, request),
        _v1_reply if capture == "v1" else lambda _: b'{"status":1}',
        browsers=True,
    )


def _v1_reply(accepted: Accepted) -> bytes:
    return orjson.dumps({"results": {event_id: {"result": "ok"} for event_id in accepted.event_ids}})


# What a PostHog SDK reads as "everything is off".
_REMOTE_CONFIG = {
    "supportedCompression": ["gzip", "gzip-js"],
    "hasFeatureFlags": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "autocaptureExceptions": False,
    "analytics": {"endpoint": "/i/v0/e/"},
    "elementsChainAsString": True,
    "sessionRecording": False,
    "heatmaps": False,
    "surveys": False,
    "defaultIdentifiedOnly": True,
    "isAuthenticated": False,
    "siteApps": [],
    "toolbarParams": {},
}
_NO_FLAGS = {
    **_REMOTE_CONFIG,
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
}


def stubs(app: FastAPI) -> None:
    """What SDKs ask for besides sending."""
    cors = {name.decode(): value.decode() for name, value in CORS}

    async def flags(request: HttpRequest) -> Response:
        if request.method == "OPTIONS":
            asked = preflight(request.scope["headers"])
            return Response(None, 204, cors | {name.decode(): value.decode() for name, value in asked})
        return Response(orjson.dumps(_NO_FLAGS), headers=cors, media_type="application/json")

    for path in ("/flags", "/flags/", "/decide", "/decide/"):
        app.add_route(path, flags, methods=["GET", "POST", "OPTIONS"], include_in_schema=False)

    @app.get("/array/{token}/config", tags=["PostHog SDKs"], summary="Everything off", response_class=Response)
    async def config(token: str) -> Response:
        return Response(orjson.dumps({"token": token} | _REMOTE_CONFIG), headers=cors, media_type="application/json")

    @app.get("/array/{token}/config.js", tags=["PostHog SDKs"], summary="Everything off", response_class=Response)
    async def config_script(token: str) -> Response:
        # A script in the site's page: the token is somebody's input, so it goes in as JSON that cannot end the script.
        name = orjson.dumps(token).decode().replace("<", "\\u003c").replace("\u2028", "").replace("\u2029", "")
        options = orjson.dumps({"config": {"token": "", **_REMOTE_CONFIG}, "siteApps": []}).decode()
        script = (
            "(function(){var c=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
            f"c[{name}]={options};c[{name}].config.token={name};}})();"
        )
        return Response(script, headers=cors, media_type="application/javascript")
