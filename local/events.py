"""Edits at the simulated practice, and the arrival of each edited record in the copy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from local.arrivals import row
from local.control import Control
from local.terminal import Terminal
from shared.documents import Documents
from shared.records.storable import META

POLL_SECONDS = 0.05
EDIT_SECONDS = 0.1  # between two edits, so that a viewer sees each record arrive
ARRIVAL_SECONDS = 10.0  # an event that takes longer was deferred; the next sync fetches its record

# Name of the control endpoint, its fields, and how often. Together they cause every event of the form for our kinds.
Edits = tuple[tuple[str, Mapping[str, Any], int], ...]
_BOTH: Edits = (
    ("create", {"kind": "patients"}, 3),
    ("change", {"kind": "patients"}, 7),
    ("create", {"kind": "appointments"}, 4),
    ("change", {"kind": "appointments"}, 9),
    ("lock", {}, 3),
    ("delete", {"kind": "appointments"}, 2),
)
EDITS: Mapping[str, Edits] = {
    # The guide has no event for a deletion. A reconciliation finds it.
    "guide": (*_BOTH, ("change", {"kind": "clinical_notes"}, 4)),
    "live": (
        *_BOTH,
        ("lock", {"locked": False}, 2),
        *(
            (edit, {"kind": kind}, 2)
            for kind in ("medications", "problems", "allergies")
            for edit in ("create", "change")
        ),
    ),
}


@dataclass
class Awaited:
    """An event that was sent. path: the document of its record. sent: the instant before the edit (UTC)."""

    event: str
    path: str
    sent: datetime


def make_edits(
    terminal: Terminal, documents: Documents, control: Control, edits: Edits, show_feed: Callable[[], None]
) -> bool:
    """Make the edits at the practice, and show each record when it arrives. Return whether each edit sent an event.

    show_feed: prints the messages of the change feed since its last call.
    """
    awaited: list[Awaited] = []
    all_announced = True
    for edit, fields, times in edits:
        for _ in range(times):
            sent = datetime.now(timezone.utc)
            done = control.do(edit, **fields)
            if done and done["event"]:
                awaited.append(Awaited(done["event"], f"{done['kind']}/{done['id']}", sent))
            elif done:
                name = f"{done['kind']}/{done['id']}"
                terminal.say(f"  {row('(no event)', name, 'found by reconciling')}", style="dim")
                all_announced = False
            awaited = _missing_after(EDIT_SECONDS, terminal, documents, awaited)
            show_feed()
    for one in _missing_after(ARRIVAL_SECONDS, terminal, documents, awaited):
        terminal.say(f"  {row(one.event, one.path, 'deferred to the next sync')}", style="yellow")
    show_feed()
    return all_announced


def _missing_after(seconds: float, terminal: Terminal, documents: Documents, awaited: list[Awaited]) -> list[Awaited]:
    """Wait until all records have arrived, for at most `seconds`. Return the events whose records have not."""
    deadline = time.monotonic() + seconds
    while awaited and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        awaited = _missing(terminal, documents, awaited)
    return awaited


def _missing(terminal: Terminal, documents: Documents, awaited: list[Awaited]) -> list[Awaited]:
    """Print the events whose records were stored after they were sent. Return the others."""
    found = documents.get_all(list({one.path for one in awaited}), [META]) if awaited else {}
    left = []
    for one in awaited:
        stored_at = found.get(one.path, {META: {}})[META].get("stored_at")
        if stored_at is None or stored_at < one.sent:
            left.append(one)
            continue
        milliseconds = (stored_at - one.sent).total_seconds() * 1000
        terminal.say(f"  {row(one.event, one.path, f'stored after {milliseconds:5.0f} ms')}")
    return left
