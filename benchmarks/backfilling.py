"""A first backfill in real time, and its baseline: what runs in the processes that the backfill benchmark measures."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from google.cloud import firestore

from benchmarks.processes import peak_mib
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS
from shared.errors import StoreUnavailable
from shared.jobs import backfill
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Leases
from shared.jobs.run import Parts, Run
from shared.jobs.seen import Seen
from shared.jobs.stopping import Stopped
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from shared.records.absence import Absences
from shared.records.coverage import Coverages
from shared.records.refresh import Refresh
from shared.records.store import Records
from shared.records.zones import Zones
from workstation.embedded_documents import EmbeddedDocuments

SINCE = date(2020, 1, 1)


class Token:
    def __init__(self, value: str) -> None:
        self._value = value

    def current(self) -> str:
        return self._value

    def rejected(self, access_token: str) -> str:
        raise AssertionError("the simulator's token does not expire within a benchmark")


def now() -> datetime:
    return datetime.now(timezone.utc)


def parts(url: str, token: str, documents: Documents, quota: str) -> Parts:
    limiter = RateLimiter(
        documents, parse_windows(quota), background_share=0.8, now=now, sleep=time.sleep, instance=str(os.getpid())
    )
    client = DrChrono(
        url=url,
        tokens=Token(token),
        limiter=limiter,
        now=now,
        sleep=time.sleep,
        random=lambda: 0.5,
        lane=Lane.BACKGROUND,
    )
    records, queue = Records(documents, now), WorkQueue(documents, now)
    absences = Absences(documents, records, queue, now)
    refresh = Refresh(api=client, records=records, queue=queue, absences=absences, now=now)
    return Parts(
        lists=client,
        events=refresh,
        children=refresh,
        records=records,
        queue=queue,
        absences=absences,
        checkpoints=Checkpoints(documents),
        leases=Leases(documents, now, lambda: str(os.getpid())),
        seen=Seen(documents),
        zones=Zones(documents),
        coverage=Coverages(documents, current_user=client.current_user, scopes=lambda: "", now=now),
        now=now,
        random=lambda: 0.5,
        overlap=True,
    )


def measured(url: str, token: str, store: str, project: str, quota: str, kinds: Sequence[str]) -> dict[str, float]:
    """Run one backfill, and return its figures. store: "embedded", "emulator" (with `project`), or "nothing" for the
    baseline, which fetches the same pages and discards them.
    """
    with tempfile.TemporaryDirectory() as folder:
        documents: Documents = EmbeddedDocuments(Path(folder) / "store.sqlite3")
        if store == "emulator":
            documents = FirestoreDocuments(firestore.Client(project=project))
        working = parts(url, token, documents, quota)
        gc.freeze()  # as the system does before its first job
        began, cpu = time.perf_counter(), time.process_time()
        shown = discard(working, kinds) if store == "nothing" else fill(working, kinds)
        figures = {
            "shown": shown,
            "seconds": time.perf_counter() - began,
            "cpu": time.process_time() - cpu,
            "memory": peak_mib(),
        }
        kept = sum(working.records.count(KINDS[kind]) for kind in kinds)
        return {**figures, "records": shown if store == "nothing" else kept}


def fill(working: Parts, kinds: Sequence[str]) -> int:
    backfill.start(working, tuple(kinds), SINCE)
    seen = 0
    while any(working.checkpoints.get(kind).backfill is not None for kind in kinds):
        run = Run(working, deadline=now() + timedelta(hours=1))
        try:
            backfill.go_on(run)
        except (Stopped, StoreUnavailable):  # an emulator on a busy machine may miss a deadline; the next run continues
            time.sleep(0.05)  # the next run starts at once
        seen += run.counts["seen"]
    return seen


def discard(working: Parts, kinds: Sequence[str]) -> int:
    return sum(
        len(page.records)
        for kind in kinds
        for page in working.lists.list_changed(KINDS[kind], since=f"{SINCE}T00:00:00")
    )
