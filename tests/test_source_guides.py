"""The snippets of the connection guides, run: what a reader pastes becomes the people and events it says."""

import ast
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from gdp_core import clock
from gdp_core.sources import source
from gdp_core.sources.facts import Delivery, Fact

ROUTES = {"/v1/batch": ("segment", "v1/batch"), "/batch/": ("posthog", "posthog/batch")}


def snippets(of: str, language: str, **values: str) -> list[str]:
    guide = source(of).guide
    for name, value in values.items():
        guide = guide.replace("{" + name + "}", value)
    return re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)


@pytest.fixture
def door() -> Iterator[tuple[str, list[Delivery]]]:
    """(address, what was sent to it) of something that answers 200."""
    sent: list[Delivery] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            key, route = ROUTES[urlsplit(self.path).path]
            headers = {name.lower(): value for name, value in self.headers.items()}
            sent.append(
                Delivery(UUID(int=1), UUID(int=2), UUID(int=3), key, route, "server", clock.now(), body, headers)
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": 1}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", sent
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("key", ["segment", "posthog"])
def test_the_python_of_a_guide_tells_of_a_person(key: str, door: tuple[str, list[Delivery]]) -> None:
    address, sent = door
    (code,) = snippets(key, "python", door=address, key="server_key")
    exec(code, {})
    facts = [fact for delivery in sent for fact in source(delivery.source).normalise(delivery)]
    assert all(isinstance(fact, Fact) for fact in facts), facts
    stated = [fact for fact in facts if isinstance(fact, Fact)]
    assert {":".join(actor) for fact in stated for actor in fact.actors} == {"user:user_1", "email:ada@example.org"}
    (order,) = (fact.event for fact in stated if fact.event and fact.event.name == "order_completed")
    assert (order.value_micros, order.currency, order.type) == (39_950_000, "USD", "CONVERSION")


@pytest.mark.parametrize("key", ["segment", "posthog", "resend", "generic"])
def test_a_guide_is_whole_once_filled_in(key: str) -> None:
    values = {"door": "https://in.example.org", "key": "k_1", "secret": "whsec_AAAA"}
    python = snippets(key, "python", **values)
    assert python
    for snippet in python:
        ast.parse(snippet)
    assert snippets(key, "js", **values)
    assert not any(re.search(r"\{(door|key|secret)\}", snippet) for snippet in python + snippets(key, "js", **values))
