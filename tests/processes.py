"""Looks at processes that may end, or start others, at any moment."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil
import pytest


def tree(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def lives(process: psutil.Process) -> bool:
    """Whether it goes on; a zombie does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def gone(processes: Iterable[psutil.Process]) -> bool:
    return not any(map(lives, processes))


def names(processes: Iterable[psutil.Process]) -> set[str]:
    """What those that go on are called."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


def users(processes: Iterable[psutil.Process]) -> set[int]:
    """Whom those that go on run as."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found.add(process.uids().effective)
    return found


def kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def eventually(holds: Callable[[], object]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.02)
    pytest.fail("it never came to hold")
