"""Store one page of a list, and queue those of its records that must be fetched again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.drchrono.kinds import Kind, is_deleted, key_of
from shared.drchrono.lag import provable_from
from shared.drchrono.records import Page
from shared.log import log
from shared.queue.entries import HOPELESS_RETRY, Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.absence import Absences
from shared.records.prepared import Workbench
from shared.records.store import PageResult, Records, Source


def store_page(
    records: Records,
    queue: WorkQueue,
    absences: Absences,
    kind: Kind,
    page: Page,
    source: Source,
    bench: Workbench | None = None,
) -> PageResult:
    """Store a page. Queue each record that could not be stored, or whose page may be older than the copy."""
    deleted = [key for record in page.records if is_deleted(record) and (key := key_of(kind, record))]
    records.mark_listed_deleted(kind, deleted, page.began, source)
    living = [record for record in page.records if not is_deleted(record)]
    result = records.pages.store(kind, living, page.began, source, bench)
    # If the process crashes here, the next fetch finds the doubtful copies again by their `doubted_until`.
    queue.enqueue(_look(kind, key, "lag", page.began, provable_from(page.began)) for key in result.doubtful)
    queue.enqueue(
        replace(_look(kind, key, reason, page.began, page.began + HOPELESS_RETRY), unstorable=True)
        for key, reason in result.failed.items()
        if key != "?"
    )
    if "?" in result.failed:
        log("record.unusable", "ERROR", kind=kind.name, reason=result.failed["?"])
    if result.returned:
        absences.found(kind, returned=True)
    return result


def _look(kind: Kind, key: str, reason: str, seen: datetime, due: datetime) -> Entry:
    return Entry(Target(kind.name, key), reason, Priority.CONFIRM, seen, seen, due)
