"""Structured logs: one JSON object a line on stderr, with the request's ids.

It knows how a line looks. It refuses user text and secrets: callers log ids, counts and codes, and a value longer than MAX_VALUE is cut.
"""

import contextlib
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import orjson

from slipway_shared.context import current
from slipway_shared.lean import without

with without("rich"):  # only its renderer for terminals would use it
    import structlog

MAX_VALUE = 500
MAX_FRAMES = 12
_SECRET_KEYS = frozenset({"authorization", "api_key", "key", "password", "secret", "token", "prompt", "content", "text", "messages"})


def configure(service: str, level: str = "INFO") -> None:
    """Send structlog's and the standard library's records of this process to stderr as JSON lines named `service`."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _where,
            _request_ids,
            _bounded,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unbroken(sys.stderr))),
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(service))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def get(service: str) -> Any:
    """A logger that names its service on every line."""
    return structlog.get_logger(service=service)


class _Unbroken:
    """A stream whose reader may be gone, or whose disk may be full: a line is lost then, and whoever logged goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class _JsonFormatter(logging.Formatter):
    """Records of other libraries, in the same shape as ours."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "service": self._service,
            "event": _ends(record.getMessage()),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
        return _dumps(line)


def _where(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Files, lines and functions; never the exception's message or a frame's locals, for both may hold user text.
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
        event["error"] = type(error).__name__
        event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _request_ids(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (context := current.get()) is not None:
        event["request_id"], event["trace_id"], event["tenant"] = context.request_id, context.trace_id, context.tenant
    return event


def _bounded(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "[withheld]"
        elif isinstance(value, str) and len(value) > MAX_VALUE:
            event[key] = _ends(value)
    return event


def _ends(text: str) -> str:
    # Both ends: a library's long message is most often a traceback, and its reason stands last.
    return text if len(text) <= MAX_VALUE else f"{text[:100]} ... {text[100 - MAX_VALUE :]}"


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
