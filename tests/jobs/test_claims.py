"""Whatever happens, `complete_until` is never later than what is really in the copy.

A seed decides what the practice does while the pages of its lists are read, which answers fail, where processes die and
which events are lost. After each step, every claim is compared with the history of the records in the simulator.
"""

from __future__ import annotations

import base64
import json
import random
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from drchrono_reader.status import status_of
from functions.store_record import handle
from shared.documents import Documents
from shared.drchrono.ids import document_id
from shared.drchrono.kinds import KINDS, Kind
from shared.errors import StoreUnavailable
from shared.jobs import backfill, reconcile
from shared.jobs.run import Run
from shared.jobs.status import publish_all
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.jobs.watermark import EARLIEST
from shared.records.storable import META, join
from shared.webhooks.events import Change, encode
from simulator import Simulator
from simulator.practice.store import Record
from simulator.practice.store import unsigned as without_marks
from tests.clinic import Clinic, simulator, unsigned
from tests.jobs.test_isolation import small_pages
from tests.mortal import Killed, MortalDocuments

LISTED = backfill.KIND_NAMES
EVENTS = {
    "patients": "PATIENT_MODIFY",
    "appointments": "APPOINTMENT_MODIFY",
    "clinical_notes": "CLINICAL_NOTE_LOCK",
}
FAILURES = ("500", "503", "429", "reset", "malformed", "truncate", "garbage", "html")
TIMES = ("2025-11-03T09:00:00", "2026-03-11T09:00:00", "2026-09-01T09:00:00", "2035-01-08T09:00:00", "", None)


class Practice:
    """A seeded practice at work, the copy of it, and what was wrong with its claims."""

    def __init__(self, seed: int, running: Simulator, documents: Documents, rng: random.Random) -> None:
        self.rng, self.simulator, self.documents = rng, running, documents
        self.clinic = Clinic(running, documents)
        self.seed = seed
        self.shifted: dict[str, datetime | None] = {}

    def act(self, kind: str | None = None) -> dict[str, Any]:
        """A change at the practice, as `/control` takes it: mostly of a record that is listed early."""
        kind = kind or self.rng.choice(LISTED)
        living = self._in_order(kind)
        action = self.rng.choice(("change", "delete", "delete", "create"))
        if len(living) < 8 or (action == "create" and kind != "clinical_notes"):
            return {"action": "create", "kind": "patients" if kind == "clinical_notes" else kind, "webhook": False}
        key = self.rng.choice(living[:4] if self.rng.random() < 0.8 else living)
        made: dict[str, Any] = {"action": action, "kind": kind, "id": key, "webhook": False}
        if kind == "clinical_notes" or (kind == "appointments" and self._has_note(key)):
            made["action"] = "change"
        if kind == "appointments" and made["action"] == "change":
            made["fields"] = {"scheduled_time": self.rng.choice(TIMES)}
        return made

    def _in_order(self, kind: str) -> list[str]:
        """The ids of the living records as lists show them."""
        truth = self.simulator.truth(kind)
        order = self.simulator.config.list_order
        if kind == "appointments" and (self.simulator.config.live or order == "scheduled_time"):
            return sorted(truth, key=lambda key: str(truth[key]["scheduled_time"]))
        return list(truth)[::-1] if order == "newest" and not self.simulator.config.live else list(truth)

    def _has_note(self, key: str) -> bool:
        return any(str(note["appointment"]) == key for note in self.simulator.truth("clinical_notes").values())

    def faults(self) -> None:
        """What happens after some of the next pages, and what fails.

        Between two lists of a kind whose pages shift there is one whose pages do not: what two in succession miss, no
        claim can take into account (`shared.jobs.reading`).
        """
        synced = {kind: self.clinic.positions.get(kind).synced_at for kind in LISTED}
        for rule in self.simulator.faults.as_json():
            if rule["fault"] == "then" and rule["applied"]:
                self.shifted[rule["match"]["kind"]] = synced[rule["match"]["kind"]]
        self.shifted = {kind: at for kind, at in self.shifted.items() if at == synced[kind]}
        rules: list[dict[str, Any]] = []
        for kind in LISTED:
            if kind in self.shifted:
                continue
            for page in (1, 2, 3):
                if self.rng.random() < 0.4:
                    match: dict[str, Any] = {"kind": kind, "page": page, "method": "GET"}
                    if self.simulator.config.live and kind != "clinical_notes":
                        match["method"] = "POST"  # a page is cut when it is asked for
                    acts = [self.act(kind) for _ in range(self.rng.choice((1, 1, 2)))]
                    rules.append({"match": match, "fault": "then", "acts": acts, "times": 1})
        if self.rng.random() < 0.4:
            fault = self.rng.choice(FAILURES)
            rules.append({"match": {"path": "/api/"}, "fault": fault, "probability": self.rng.uniform(0.02, 0.3)})
        self.simulator.faults.set(rules, replace=True)

    def event(self) -> None:
        """The webhook of a record, which is stored at once, or waits."""
        kind = self.rng.choice(LISTED)
        keys = sorted(self.simulator.truth(kind))
        key = self.rng.choice(keys)
        change = Change(EVENTS[kind], kind, key, f"{self.rng.random()}", self.clinic.now())
        with suppress(StoreUnavailable):
            handle({"message": {"data": base64.b64encode(encode(change)).decode()}}, self.clinic.store())

    def job(self, *, filling: bool) -> None:
        """One run, which may meet its deadline or die; what it leaves, the next goes on with."""
        dies = self.rng.random() < 0.3
        store = MortalDocuments(self.documents, self.rng.randint(1, 150)) if dies else self.documents
        clinic = Clinic(self.simulator, store)
        work = self.rng.choice((sync, sync, sync, sync, backfill.go_on, backfill.go_on, reconcile.go_on))
        if filling:
            work = backfill.go_on
        seconds = self.rng.choice((0.0, 5.0, 840.0, 840.0))
        run = Run(clinic.parts(), deadline=clinic.now() + timedelta(seconds=seconds))
        try:
            if work is reconcile.go_on:
                reconcile.start(run.parts, LISTED)
            with suppress(Stopped):
                work(run)
            publish_all(run.parts)
        except Killed:
            self.clinic.later(minutes=2)

    def check(self) -> list[str]:
        return [wrong for name in LISTED for wrong in self._wrong(KINDS[name])]

    def claim(self, kind: str) -> datetime | None:
        return status_of(kind, self.documents.get(f"sync_status/{kind}")).complete_until

    def _wrong(self, kind: Kind) -> list[str]:
        until = self.claim(kind.name)
        if until is None:
            return []
        return [
            f"seed {self.seed}: {kind.name}:{record.key} at {until}: {wrong}"
            for record in list(self.simulator.clinic.store.in_order[kind.name])
            if (wrong := self._wrong_of(kind, record, until))
        ]

    def _wrong_of(self, kind: Kind, record: Record, until: datetime) -> str:
        """The copy must show the version of `until`, or a later one."""
        versions = list(record.versions)
        claimed = [n for n, version in enumerate(versions) if version.changed_at <= until.timestamp()]
        if not claimed or versions[claimed[-1]].deleted:
            return ""
        later = versions[claimed[-1] :]
        document = self.documents.get(f"{kind.name}/{document_id(record.key)}")
        if document is None or document[META]["deleted"]:
            # One that was deleted since then need not have been seen before.
            return "" if any(version.deleted for version in later) else "missing" if document is None else "a tombstone"
        shown = unsigned(join(document))
        states = [unsigned(json.loads(without_marks(version.json(verbose=True)))) for version in later]
        return "" if shown in states else "an older version"


def practice_of(seed: int) -> tuple[Simulator, random.Random]:
    rng = random.Random(f"claims {seed}")
    form = ("guide", "live", "guide-uuid")[seed % 3]
    # What is written through a lagging replica is shown by the next one: within the longest lag, nothing is lost.
    lags = {f"{kind}/{read}": rng.choice((0.0, 0.0, 8.0, 30.0)) for kind in LISTED for read in ("list", "bulk")}
    settings: dict[str, Any] = {
        "form": form,
        "paging": "offset",
        "lag_seconds_of": lags,
        "patients": 24,
        "appointments": 24,
        "odd_appointments": rng.choice((0, 4)),
        "notes": 7,
        "children": 0,
        "seed": seed,
        "since_shift_hours": rng.choice((0.0, 0.0, 3.0)),
    }
    settings["list_order"] = rng.choice(("oldest", "oldest", "newest", "scheduled_time"))
    return simulator(**settings), rng


def run(seed: int, documents: Documents, steps: int) -> None:
    running, rng = practice_of(seed)
    with running:
        practice = Practice(seed, running, documents, rng)
        for step in range(steps):
            if step == 0:
                backfill.start(practice.clinic.parts(), LISTED, EARLIEST)
            practice.faults()
            for _ in range(rng.randint(0, 2)):
                running.act([practice.act()])
            if rng.random() < 0.4:
                practice.event()
            practice.job(filling=step < 2)
            assert (wrong := practice.check()) == [], wrong
            practice.clinic.later(seconds=rng.choice((5, 40, 300, 1200, 4000)))
            assert (wrong := practice.check()) == [], wrong
        # When nothing is in the way any more, the claims come, and move.
        running.faults.set([], replace=True)
        for _ in range(9):
            run = Run(Clinic(running, documents).parts(), deadline=practice.clinic.now() + timedelta(minutes=14))
            with suppress(Stopped):
                sync(run)
            publish_all(run.parts)
            assert (wrong := practice.check()) == [], wrong
            practice.clinic.later(minutes=25)
        recent = practice.clinic.now() - timedelta(hours=3)
        held = {kind for kind in LISTED if practice.clinic.absences.held_since(KINDS[kind])}
        claims = {kind: practice.claim(kind) for kind in LISTED if kind not in held}
        assert all(claim is not None and claim > recent for claim in claims.values()), claims


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)


@pytest.mark.parametrize("seed", range(8))
def test_no_claim_is_later_than_what_is_in_the_copy(seed: int, embedded: Documents) -> None:
    run(seed, embedded, steps=7)


@pytest.mark.emulator
@pytest.mark.parametrize("seed", [100])
def test_no_claim_in_firestore_is_later_than_what_is_in_the_copy(seed: int, firestore_documents: Documents) -> None:
    run(seed, firestore_documents, steps=2)


def test_the_comparison_finds_what_is_missing(embedded: Documents) -> None:
    """Otherwise the property above would hold of anything."""
    running, rng = practice_of(0)
    with running:
        practice = Practice(0, running, embedded, rng)
        until = datetime.fromtimestamp(running.clock.now(), timezone.utc)
        status = {"complete_until": until, "pending": 0}
        embedded.transact(lambda transaction: transaction.set("sync_status/patients", status))
        assert len(practice.check()) == len(running.truth("patients"))
