"""Log lines: one JSON object each, built from an allow-list of fields, so that no record content can be logged.

Cloud Logging interprets `severity`, `message` and the trace fields; the others become `jsonPayload`. The message is a
label such as `webhook.rejected`. A search for the label finds the code that wrote the line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TextIO, TypedDict, Unpack, get_args

from shared.errors import SyncError

Severity = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

LONGEST_TEXT = 200  # labels, ids and reasons are shorter; longer texts are cut


class Fields(TypedDict, total=False):
    """The fields of a log line. Texts are ids, names from our own tables, reasons and outcomes; never content."""

    function: str
    event: str
    kind: str
    id: str
    delivery: str
    outcome: str
    reason: str
    status: int
    attempt: int
    ms: float
    fetch_ms: float
    store_ms: float
    wait_ms: float
    seconds: float
    oldest_seconds: float
    lag_seconds: float
    expires_in_seconds: float
    count: int
    share: float
    quota_left: int
    generation: int
    job: str
    stopped: str
    finished: bool
    stored: int
    logger: str
    error: str
    where: str
    setting: str


_context: ContextVar[Mapping[str, object]] = ContextVar("context", default={})  # noqa: B039 (a mapping, never changed)
_least: list[Severity] = ["INFO"]
_writing = threading.Lock()

# W3C Trace Context, version 00. Google's front end adds it.
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def log(label: str, severity: Severity = "INFO", **fields: Unpack[Fields]) -> None:
    """Write one line to stdout. A field that is not in `Fields` is dropped."""
    if SEVERITIES.index(severity) < SEVERITIES.index(_least[0]):
        return
    line: dict[str, object] = {"severity": severity, "message": label, **_context.get()}
    for name in Fields.__annotations__.keys() & fields.keys():
        value = fields[name]  # type: ignore[literal-required]  # the key is one of the annotations
        line[name] = value[:LONGEST_TEXT] if isinstance(value, str) else value
    _write(json.dumps(line, default=lambda _: "unprintable") + "\n")


def _write(line: str) -> None:
    """Write a whole line, newline included, at once: lines of concurrent requests must not run together."""
    with _writing:
        stream = _unwrapped(sys.stdout)
        stream.write(line)
        stream.flush()


def _unwrapped(stream: TextIO) -> TextIO:
    """Return the stream under functions-framework's wrapper, which it puts around stdout if LOG_EXECUTION_ID is true.

    Cloud Functions sets that variable. The wrapper (`functions_framework.execution_id.LoggingHandlerAddExecutionId`)
    writes a line and its newline separately, and replaces our span id with the one of the older trace header.
    """
    while type(stream).__name__ == "LoggingHandlerAddExecutionId":
        stream = stream.stream  # type: ignore[attr-defined]  # the wrapper's own attribute
    return stream


@contextmanager
def log_context(function: str, traceparent: str, project: str) -> Iterator[None]:
    """Add the function and the trace to every line of the block. Cloud Logging groups the lines of a trace.

    traceparent: W3C Trace Context; anything else is ignored.
    """
    context: dict[str, object] = {"function": function}
    if found := _TRACEPARENT.fullmatch(traceparent):
        context["logging.googleapis.com/trace"] = f"projects/{project}/traces/{found[1]}"
        context["logging.googleapis.com/spanId"] = found[2]
        context["logging.googleapis.com/trace_sampled"] = bool(int(found[3], 16) & 1)
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def take_over(least: Severity) -> None:
    """Write the lines of all other loggers, and uncaught exceptions, in the same form.

    Their texts may contain record content (a URL, a body in an exception). So only the logger's name, the severity, the
    type of the error and the location are kept.
    """
    _least[0] = least
    root = logging.getLogger()
    others = [other for other in logging.Logger.manager.loggerDict.values() if isinstance(other, logging.Logger)]
    for other in (root, *others):
        other.handlers.clear()
        other.propagate = True
    root.addHandler(_Foreign())
    root.setLevel(logging.WARNING)
    sys.excepthook = lambda _, error, __: log_crash("process", error)
    threading.excepthook = lambda args: log_crash("thread", args.exc_value or SystemExit())


class _Foreign(logging.Handler):
    """Writes a line of another library as one of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        severity: Severity = "ERROR" if record.levelno >= logging.ERROR else "WARNING"
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        log("library.log", severity, logger=record.name, where=f"{record.module}:{record.lineno}", error=error)


def log_crash(function: str, error: BaseException) -> None:
    """Log an unhandled error in one line: its type and location. The text is logged only if the error is a SyncError,
    because other errors may contain record content.
    """
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    where = f"{innermost.tb_frame.f_code.co_name}:{innermost.tb_lineno}" if innermost is not None else ""
    text = str(error) if isinstance(error, SyncError) else ""
    log("function.crashed", "CRITICAL", function=function, error=type(error).__name__, where=where, reason=text)
