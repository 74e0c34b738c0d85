"""Measure a storm of events: how many requests it costs, and how long the quota delays it.

The simulator allows 100 requests a minute on a virtual clock, so minutes of quota pass at once. HTTP, the store and the
rate limiter are real. The cost of one event at rest is measured in real time.

    python -m benchmarks.storm [--quick] [--json FILE]
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from google.cloud import firestore

from benchmarks.report import Report, Row, Want, program
from functions.store_record import handle
from local.emulators import Emulators
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.drchrono.lag import Evidence
from shared.jobs import backfill
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.queue.entries import Priority
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from shared.records.ordering import Outcome
from shared.webhooks.events import Change, encode
from simulator import Config, Simulator
from simulator.quota import parse_quota
from tests.clinic import Clinic
from workstation.embedded_documents import EmbeddedDocuments

QUOTA = "100/minute"
PER_MINUTE = 100
SYNC_EVERY = timedelta(minutes=1)
LONGEST = timedelta(hours=3)


def virtual_now(simulator: Simulator) -> datetime:
    return datetime.fromtimestamp(simulator.clock.now(), timezone.utc)


@contextmanager
def at_rest(patients: int) -> Iterator[Clinic]:
    """Yield a clinic whose copy is complete, under the guide's limit from then on."""
    config = Config(patients=patients, appointments=0, notes=0, children=0, form="live", clock="virtual")
    with Simulator(config) as simulator, tempfile.TemporaryDirectory() as folder:
        documents = EmbeddedDocuments(Path(folder) / "store.sqlite3", now=lambda: virtual_now(simulator))
        filling = Clinic(simulator, documents)
        backfill.start(filling.parts(), ("patients",), date(2009, 1, 1))
        filling.run(backfill.go_on)
        for entry in filling.queue.claim(filling.now(), 10 * patients, Priority.BACKFILL):
            filling.queue.complete(
                entry.target, Evidence(filling.now())
            )  # no patient here has medications, problems or allergies
        filling.run(sync)
        filling.later(hours=4)
        filling.run(sync)
        filling.later(minutes=2)
        simulator.quota.set(parse_quota(QUOTA))
        limiter = RateLimiter(
            documents,
            parse_windows(QUOTA),
            background_share=0.8,
            now=filling.now,
            sleep=filling.sleep,
            instance="storm",
        )
        yield Clinic(simulator, documents, limiter)


def storm(name: str, *, events: int, patients: int, seconds: float) -> Row:
    """Send `events` events for `patients` patients in random order. Each patient changes once."""
    with at_rest(patients) as clinic:
        rng = random.Random(11)
        keys = sorted(clinic.simulator.truth("patients"))
        for key in keys:
            clinic.simulator.change("patients", key, {"nick_name": f"n{rng.random()}"}, webhook=False)
        changed = keys + [rng.choice(keys) for _ in range(events - len(keys))]
        rng.shuffle(changed)
        began, before = clinic.now(), clinic.simulator.stats()
        store, next_sync = clinic.store(), clinic.now() + SYNC_EVERY
        versions = {key: record["updated_at"] for key, record in clinic.simulator.truth("patients").items()}
        for number, key in enumerate(changed):
            due = began + timedelta(seconds=seconds * number / events)
            if clinic.now() < due:
                clinic.later(seconds=(due - clinic.now()).total_seconds())
            change = Change("PATIENT_MODIFY", "patients", key, f"d{number}", clinic.now(), versions[key])
            handle(_push(change), store)
            if clinic.now() >= next_sync:
                _sync(clinic)
                next_sync = clinic.now() + SYNC_EVERY
        while clinic.queue.count("patients") and clinic.now() - began < LONGEST:
            clinic.later(seconds=max(0.0, (next_sync - clinic.now()).total_seconds()))
            _sync(clinic)
            next_sync = clinic.now() + SYNC_EVERY
        wrong = [key for key in clinic.differences() if key.startswith("patients")]
        assert not wrong, f"{len(wrong)} patients differ from DrChrono"
        after = clinic.simulator.stats()
        spent = {path: count - before["by_endpoint"].get(path, 0) for path, count in after["by_endpoint"].items()}
        requests = sum(count for path, count in spent.items() if "/patients" in path)
        minutes = (clinic.now() - began) / timedelta(minutes=1)
        return {
            "storm": name,
            "events": events,
            "changes": patients,
            "requests": requests,
            "per change": round(requests / patients, 3),
            "minutes": round(minutes, 1),
            "one each, minutes": round(events / PER_MINUTE, 1),
            "429s": after["throttled"] - before["throttled"],
        }


def _sync(clinic: Clinic) -> None:
    with contextlib.suppress(Stopped):
        clinic.run(sync, seconds=50)


def _push(change: Change) -> dict[str, Any]:
    return {"message": {"data": base64.b64encode(encode(change)).decode()}}


class Timed:
    """Time the calls of an object in ms; `spent` adds them up by `part`."""

    def __init__(self, inner: Any, part: str, spent: Counter[str]) -> None:
        self._inner, self._part, self._spent = inner, part, spent

    def in_lane(self, lane: object) -> Timed:
        return self

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self._spent[self._part] += (time.perf_counter() - began) * 1000  # type: ignore[assignment]

        return timed


def one_event(name: str, documents: Documents, events: int) -> Row:
    """Return medians in ms for one event at rest, in real time: message to stored record, and its parts."""
    with Simulator(Config(patients=events, appointments=0, notes=0, children=0, form="live")) as simulator:
        spent: Counter[str] = Counter()
        clinic = Clinic(simulator, Timed(documents, "store", spent))
        clinic.drchrono = Timed(clinic.drchrono, "fetch", spent)  # type: ignore[assignment]
        store = clinic.store()
        figures: list[dict[str, float]] = []
        for key in sorted(simulator.truth("patients")):
            spent.clear()
            began = time.perf_counter()
            outcome = handle(_push(Change("PATIENT_CREATE", "patients", key, "d", clinic.now())), store)
            figures.append({"total": (time.perf_counter() - began) * 1000, **spent})
            assert outcome is Outcome.STORED
    middle = {part: statistics.median(figure[part] for figure in figures) for part in ("total", "fetch", "store")}
    return {"one event at rest, ms": name, **{part: round(value, 2) for part, value in middle.items()}}


def measure(*, quick: bool) -> Report:
    share = 10 if quick else 1
    report = Report("storm")
    doubled = storm("(a) each change announced ten times", events=2000 // share, patients=200 // share, seconds=60)
    broad = storm("(b) every patient at once", events=5000 // share, patients=5000 // share, seconds=30)
    report.rows += [doubled, broad]
    with tempfile.TemporaryDirectory() as folder:
        report.rows.append(one_event("embedded", EmbeddedDocuments(Path(folder) / "store.sqlite3"), 100))
    with Emulators() as emulators:
        os.environ.update(emulators.environment)
        report.rows.append(one_event("emulator", FirestoreDocuments(firestore.Client(project="storm")), 100))
    report.wanted += [
        Want("(a) requests per change", "at most 1.1", f"{doubled['per change']}", float(doubled["per change"]) <= 1.1),
        Want("(b) minutes of quota", "at most 2", f"{broad['minutes']}", float(broad["minutes"]) <= 2),
        Want("429s", "0", f"{doubled['429s'] + broad['429s']}", not doubled["429s"] and not broad["429s"]),  # type: ignore[operator]
    ]
    report.notes.append(
        "Requests are those for patients. Each of the three lists of a changed patient (medications, problems, "
        "allergies) costs one more, in the background lane; these wait until the quota is idle."
    )
    return report


if __name__ == "__main__":
    program(measure, __doc__, quick="a tenth of the size")
