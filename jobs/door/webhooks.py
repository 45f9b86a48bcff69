"""Webhooks: one address for each connected source, `/hooks/{source}/{key}`."""

from starlette.routing import BaseRoute, Route

from gdp_core.accept import hook_limit
from jobs.door.door import Door
from jobs.door.hot import Hot


def routes(door: Door) -> list[BaseRoute]:
    """Where vendors send to."""
    endpoint = Hot(
        door,
        "hooks",
        lambda path: hook_limit(path["source"]),
        lambda path, request: door.acceptor.hook(path["source"], path["key"], request),
        lambda _: b'{"received":true}',
        browsers=False,
    )
    return [Route("/hooks/{source}/{key}", endpoint, methods=["POST"])]
