"""The Segment tracking API, with the short paths that browsers use."""

from collections.abc import Mapping

from starlette.routing import BaseRoute, Route

from gdp_core.accept import SEGMENT_BYTES, Call
from jobs.door.door import Door
from jobs.door.hot import Hot

_CALLS: Mapping[Call, tuple[str, ...]] = {
    "batch": ("batch", "b", "import"),
    "track": ("track", "t"),
    "identify": ("identify", "i"),
    "page": ("page", "p"),
    "screen": ("screen", "s"),
    "group": ("group", "g"),
    "alias": ("alias", "a"),
}


def routes(door: Door) -> list[BaseRoute]:
    """Where Segment's and RudderStack's SDKs send to."""
    return [_route(door, call, name) for call, names in _CALLS.items() for name in names]


def _route(door: Door, call: Call, name: str) -> BaseRoute:
    endpoint = Hot(
        door,
        f"v1/{call}",
        lambda _: SEGMENT_BYTES,
        lambda _, request: door.acceptor.segment(call, request, servers_only=name == "import"),
        lambda _: b'{"success":true}',
        browsers=True,
    )
    return Route(f"/v1/{name}", endpoint, methods=["POST", "OPTIONS"])
