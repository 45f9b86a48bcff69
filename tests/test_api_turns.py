"""Whose question is answered next, and what becomes of one that never is."""

import asyncio
import sys
import threading
import time
import uuid

import pytest

from gdp_core.errors import Unavailable
from gdp_core.limits import TooMany
from jobs.api import asking
from jobs.api.__main__ import until_hung
from jobs.api.turns import Turns
from jobs.door import api as way

ONE, OTHER = uuid.uuid4(), uuid.uuid4()


def test_workspaces_take_turns():
    turns, served, threads = Turns(), [], []

    def ask(workspace, name):
        with turns.of(workspace, 60):
            served.append(name)

    with turns.of(ONE, 0):
        for place, (workspace, name) in enumerate(
            [(ONE, "a1"), (ONE, "a2"), (ONE, "a3"), (OTHER, "b1"), (OTHER, "b2")], 1
        ):
            threads.append(threading.Thread(target=ask, args=(workspace, name)))
            threads[-1].start()
            while turns.waiting < place:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert served == ["a1", "b1", "a2", "b2", "a3"]
    assert (turns.waiting, turns.held_seconds) == (0, 0)


def test_who_gives_up_holds_nobody_up():
    turns = Turns()
    with turns.of(ONE, 0):
        with pytest.raises(TooMany), turns.of(OTHER, 0.001):
            pass
        assert (turns.waiting, turns.held_seconds > 0) == (0, True)
    with turns.of(OTHER, 0):
        pass


def test_a_rule_that_does_not_end_ends_the_process(monkeypatch):
    monkeypatch.setattr(asking, "HUNG_SECONDS", 0.0)
    turns, ended = Turns(), []
    with turns.of(ONE, 0):
        until_hung(turns, end=ended.append, look_every=0.001)
    assert ended == [1]


STILL = """
import socket, sys
sys.stdin.readline()
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
first, _ = listening.accept()
first.recv(65536)
first.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
sys.stdin.read()
"""


def test_what_answers_nothing_at_all_is_ended(monkeypatch):
    monkeypatch.setattr(way, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(way, "ALIVE_SECONDS", 0.2)

    async def story():
        api = way.Api("", (sys.executable, "-c", STILL))
        try:
            with pytest.raises(Unavailable, match="does not answer"):
                await api.ask("GET", "/api/v1/segments", {}, b"")
            return await asyncio.to_thread(api._process.wait, 30)
        finally:
            await api.close()

    assert asyncio.run(story()) == -9


def test_one_workspace_does_not_take_every_place():
    """Eight of one and eight of another: the ninth of one is refused while the other still asks."""

    class Slow:
        def __init__(self):
            self.asked, self.free = 0, asyncio.Event()

        async def ask(self, *_):
            self.asked += 1
            await self.free.wait()

    async def story():
        api = Slow()
        question = way._Question(None, api)
        scope = {"raw_path": b"/api/v1/segments", "query_string": b"", "method": "GET"}
        waiting = [asyncio.create_task(question._ask(scope, ONE, b"", {})) for _ in range(way.MOST_OF_ONE)]
        while api.asked < way.MOST_OF_ONE:
            await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await question._ask(scope, ONE, b"", {})
        waiting.append(asyncio.create_task(question._ask(scope, OTHER, b"", {})))
        while api.asked <= way.MOST_OF_ONE:
            await asyncio.sleep(0)
        api.free.set()
        await asyncio.gather(*waiting)
        return question._asked

    assert not asyncio.run(story())
