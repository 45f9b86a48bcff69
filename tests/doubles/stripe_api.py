"""A Stripe account on 127.0.0.1 that can be told to misbehave: lists with cursors, 429, 5xx, dropped connections."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import orjson

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the next request gets instead of its page. `drop` closes the connection without a word."""

    status: int | Literal["drop"]
    retry_after: int | None = None
    body: bytes = b'{"error": {"type": "api_error", "message": "not now"}}'


@dataclass
class StripeApi:
    """`lists` holds what each path lists, newest first; `script` is used up request by request, None is a page."""

    lists: dict[str, list[Json]] = field(default_factory=dict)
    script: list[Answer | None] = field(default_factory=list)
    requests: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def page(self, path: str, query: dict[str, list[str]]) -> Json:
        """One page as Stripe cuts it: after `starting_after`, created at or after `created[gte]`."""
        found = self.lists.get(path, [])
        if subscription := query.get("subscription"):
            found = [thing for thing in found if thing.get("subscription") == subscription[0]]
        if since := query.get("created[gte]"):
            found = [thing for thing in found if thing["created"] >= int(since[0])]
        start = 0
        if after := query.get("starting_after"):
            start = next(i for i, thing in enumerate(found) if thing["id"] == after[0]) + 1
        limit = int(query.get("limit", ["10"])[0])
        rest = found[start:]
        return {"object": "list", "url": path, "data": rest[:limit], "has_more": len(rest) > limit}


@contextmanager
def running(api: StripeApi) -> Iterator[StripeApi]:
    """Serve `api` until the block ends."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = parse_qs(split.query)
            with lock:
                api.requests.append((split.path, query))
                api.headers.append({name.lower(): value for name, value in self.headers.items()})
                told = api.script.pop(0) if api.script else None
            if told is not None and told.status == "drop":
                self.close_connection = True
                return
            status = told.status if told is not None else 200
            body = told.body if told is not None else orjson.dumps(api.page(split.path, query))
            self.send_response(int(status))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if told is not None and told.retry_after is not None:
                self.send_header("Retry-After", str(told.retry_after))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
