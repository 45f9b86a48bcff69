"""A log line names an error by its type and never quotes it: its text may be somebody's data."""

import io
import logging

import orjson
import pytest
import structlog

from jobs import logs


@pytest.fixture
def said(monkeypatch):
    """What is on standard error, line by line, as objects."""
    out, root = io.StringIO(), logging.getLogger()
    before, handlers, level = structlog.get_config(), root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", out)
    logs.log_json("info")
    yield lambda: [orjson.loads(line) for line in out.getvalue().splitlines()]
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize(
    "tell",
    [lambda: structlog.get_logger().exception("failed"), lambda: logging.getLogger("library").exception("failed")],
    ids=["ours", "a library's"],
)
def test_an_error_is_its_type(said, tell):
    try:
        raise ValueError("u1@acme.example")
    except ValueError:
        tell()
    (entry,) = said()
    assert (entry["event"], entry["level"], entry["error"]) == ("failed", "error", "ValueError")
    assert "exc_info" not in entry
    assert "acme" not in str(entry)


def test_a_line_without_an_error_has_none(said):
    structlog.get_logger().info("started", port=1)
    (entry,) = said()
    assert (entry["event"], entry["port"], "error" in entry) == ("started", 1, False)
