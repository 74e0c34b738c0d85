"""`doctor`, on documents in the collections of the copy that this system did not write. All jobs skip them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice

from ops.target_system import TargetSystem
from ops.verdict import Failed
from shared.drchrono.kinds import KINDS
from shared.queue.work_queue import COLLECTION

MOST_NAMED = 5


def check_documents(target: TargetSystem, now: Callable[[], datetime]) -> str:
    """Check by counting that there are none. Reads only a collection that has some."""
    found = list(islice(_foreign(target), MOST_NAMED + 1))
    if found:
        named = ", ".join(found[:MOST_NAMED]) + (" and others" if len(found) > MOST_NAMED else "")
        raise Failed(
            f"not written by this system, and skipped: {named}",
            "find the program that writes them, and delete them; `backfill` restores the replaced records",
        )
    return "this system wrote every document in the copy"


def _foreign(target: TargetSystem) -> Iterator[str]:
    records = target.system.records()
    for kind in KINDS.values():
        if records.has_unreadable(kind):
            yield from (f"{kind.name}/{name}" for name in records.unreadable(kind))
    yield from (f"{COLLECTION}/{name}" for name in target.system.queue().unreadable())
