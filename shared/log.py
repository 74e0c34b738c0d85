"""Log lines: one JSON object each, built from an allow-list of fields, so that no record can get into one.

Cloud Logging reads `severity`, `message` and the trace fields; the others become `jsonPayload`. The message is a
label (`webhook.rejected`): a stranger finds the code that wrote a line by searching for it.
"""

from __future__ import annotations

import json
import sys
from typing import Literal, TypedDict, Unpack

from shared.errors import SyncError

Severity = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

LONGEST_TEXT = 200  # a label, an id or a reason is never longer; whatever is, is cut


class Fields(TypedDict, total=False):
    """All that a log line may hold. Texts are ids, names from our own tables, and machine words; never content."""

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
    requests: int
    stored: int
    logger: str
    error: str
    where: str
    setting: str


def log(label: str, severity: Severity = "INFO", **fields: Unpack[Fields]) -> None:
    """Write one line to stdout. A field that is not in `Fields` is left out, whatever the caller meant."""
    line: dict[str, object] = {"severity": severity, "message": label}
    for name in Fields.__annotations__.keys() & fields.keys():
        value = fields[name]  # type: ignore[literal-required]  # the key is one of the annotations
        line[name] = value[:LONGEST_TEXT] if isinstance(value, str) else value
    sys.stdout.write(json.dumps(line, default=lambda _: "unprintable") + "\n")
    sys.stdout.flush()


def log_crash(function: str, error: BaseException) -> None:
    """An error that nobody handled, as one line: its type and place; its text only where it is one of ours, since any
    other may hold a record.
    """
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_name}:{place.tb_lineno}" if place is not None else ""
    text = str(error) if isinstance(error, SyncError) else ""
    log("function.crashed", "CRITICAL", function=function, error=type(error).__name__, where=where, reason=text)
