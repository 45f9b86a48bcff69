"""Logs: one JSON object per line on standard error, ids and reasons only. Refuses payloads and tracebacks."""

import logging
import sys
from typing import Any

import orjson
import structlog


def log_json(level: str) -> None:
    """One JSON object per line on standard error, for our own logger and for every library's."""
    shared: list[Any] = [
        _without_exception,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_one_line)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_one_line),
            ],
        )
    )
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)


def _without_exception(_logger: object, _method: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A traceback may quote what was sent; the type of the error stays."""
    error = entry.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple) and error[0] is not None:
        entry["error"] = error[0].__name__
    return entry


def _one_line(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()
