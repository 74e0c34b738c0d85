"""What a stored change costs with the feed and the history, counted by a store in front of the store."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.practice_costs import MONTH_DAYS, TICKS, Cost, Practice, Prices
from benchmarks.report import Row
from benchmarks.scale import SIZES, Meter
from shared.documents import Documents
from shared.drchrono.ids import document_id
from shared.drchrono.kinds import KINDS
from shared.feed.entries import ENTRY_BYTES
from shared.jobs import backfill
from shared.jobs.sync import sync
from shared.records.announcing import Announcing
from shared.records.changes import HISTORY
from shared.records.storable import META_BYTES, split
from shared.records.store import Records, Source
from simulator import Simulator
from tests.clinic import Clinic, simulator
from tests.feed.clinic import TellingClinic
from tests.feed.harness import Broker

PATIENTS = KINDS["patients"]
WEBHOOK = Source("webhook", event="PATIENT_MODIFY")

HISTORY_YEARS = 6  # the default of history_days
KEPT = timedelta(days=365 * HISTORY_YEARS)
GIB = 2**30

# Of a visit: what happens, to which kind, how often (`benchmarks.practice_costs.Practice`).
EVENTS = (
    ("PATIENT_MODIFY", "patients", 2),
    ("APPOINTMENT_MODIFY", "appointments", 6),
    ("CLINICAL_NOTE_LOCK", "clinical_notes", 1),
)
EVENTS_OF_A_VISIT = sum(times for _, _, times in EVENTS)
AN_EVENT, A_SYNC = "an event that stores a change", "a sync with nothing due"
A_CHANGE, A_LOOK = "a record that is changed", "a look that shows no change"


@dataclass(frozen=True)
class Way:
    feed: bool
    history: bool

    def __str__(self) -> str:
        said = [name for name, on in (("feed", self.feed), ("history", self.history)) if on]
        return " and ".join(said) or "neither"

    def clinic(self, running: Simulator, documents: Documents) -> Clinic:
        clinic = TellingClinic(running, documents, broker=Broker()) if self.feed else Clinic(running, documents)
        feed = clinic.feed if isinstance(clinic, TellingClinic) else None
        announcing = Announcing(documents, feed, KEPT if self.history else None)
        clinic.records = Records(documents, clinic.now, announcing)
        return clinic


OFF, FEED, HISTORIC, BOTH = Way(False, False), Way(True, False), Way(False, True), Way(True, True)


@dataclass
class Spent:
    """costs: by what was done. history_bytes: the mean document of a visit's events; 0 without a history."""

    costs: dict[str, Cost] = field(default_factory=dict)
    history_bytes: float = 0.0


def spent(way: Way, *, patients: int, times: int) -> Spent:
    """What one of each costs, in a clinic whose first filling is part of it."""
    found = Spent()
    settings = {"form": "live", "patients": patients, "token_seconds": 10**9}
    with simulator(**settings) as running, tempfile.TemporaryDirectory() as folder:
        meter = Meter(running, Path(folder))
        meter.clinic = clinic = way.clinic(running, meter.bill)
        backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
        filled = meter.of(lambda: clinic.run(backfill.go_on))
        found.costs["a record of a first filling"] = filled * (
            1 / sum(len(running.truth(name)) for name in backfill.KIND_NAMES)
        )
        for _ in range(6):  # until every kind has been told to be filled, and nothing is due
            clinic.later(hours=6)
            clinic.run(sync)
        clinic.run(sync)
        found.costs[A_SYNC] = meter.of(lambda: clinic.run(sync))
        found.costs |= changed(meter, times)
        found.costs[AN_EVENT] = Cost()
        for name, kind, of_a_visit in EVENTS:
            share = of_a_visit / EVENTS_OF_A_VISIT
            found.costs[AN_EVENT] += meter.event(name, kind, min(times, len(running.truth(kind)))) * share
            found.history_bytes += share * mean_bytes(clinic, kind)
    return found


def mean_bytes(clinic: Clinic, kind: str) -> float:
    """Of a document of the history of DrChrono's own records."""
    sizes = []
    for key in clinic.simulator.truth(kind):
        for _, kept in clinic.documents.query(f"{kind}/{document_id(key)}/{HISTORY}"):
            values: dict[str, Any] = {name: kept[name] for name in ("before", "after") if name in kept}
            sizes.append(split(values).size - META_BYTES + ENTRY_BYTES)
    return statistics.mean(sizes) if sizes else 0.0


def changed(meter: Meter, times: int) -> dict[str, Cost]:
    """What storing one record costs, by what has become of it."""
    clinic, total = meter.clinic, defaultdict[str, Cost](Cost)
    for key, patient in sorted(clinic.simulator.truth("patients").items())[:times]:
        edited = {**patient, "id": -int(key), "nick_name": "Al", "updated_at": "2027-01-01T00:00:00"}
        again = {**edited, "nick_name": "Bo", "updated_at": "2027-01-02T00:00:00"}
        deeds: dict[str, Callable[[datetime], object]] = {
            "a record that is created": partial(store, clinic, {**patient, "id": -int(key)}),
            A_CHANGE: partial(store, clinic, edited),
            A_LOOK: partial(store, clinic, edited),
            "a record that is deleted": partial(delete, clinic, f"{-int(key)}"),
            "a record that returns": partial(store, clinic, again),
        }
        for name, deed in deeds.items():
            total[name] += meter.of(partial(deed, clinic.later(hours=1)))
    return {name: cost * (1 / times) for name, cost in total.items()}


def store(clinic: Clinic, record: dict[str, Any], began: datetime) -> None:
    clinic.records.store(PATIENTS, str(record["id"]), record, began, WEBHOOK)


def delete(clinic: Clinic, key: str, began: datetime) -> None:
    clinic.records.mark_deleted(PATIENTS, key, began, WEBHOOK, "deleted_flag", stated=True)


def cost_rows(by_way: dict[Way, Spent]) -> list[Row]:
    return [
        {
            "of": deed,
            "with": str(way),
            "reads": round(cost.reads, 2),
            "writes": round(cost.writes, 2),
            "deletes": round(cost.deletes, 2),
        }
        for deed in by_way[OFF].costs
        for way, cost in ((way, found.costs[deed]) for way, found in by_way.items())
    ]


def extra(by_way: dict[Way, Spent], way: Way, deed: str) -> Cost:
    return by_way[way].costs[deed] + by_way[OFF].costs[deed] * -1


def dollars(by_way: dict[Way, Spent]) -> list[Row]:
    """A month, beside the same practice without feed and history."""
    prices, found = Prices(), list[Row]()
    size = by_way[HISTORIC].history_bytes
    for patients in SIZES:
        a_day = EVENTS_OF_A_VISIT * Practice(patients).visits
        operations = {
            way: extra(by_way, way, AN_EVENT) * a_day + extra(by_way, way, A_SYNC) * TICKS for way in (FEED, HISTORIC)
        }
        feed, history = (prices.of_operations(operations[way]) * MONTH_DAYS for way in (FEED, HISTORIC))
        # As many documents expire as are written, once the history is as old as it gets.
        expired = a_day * prices.deletes * MONTH_DAYS
        kept = a_day * KEPT.days * 2 * size / GIB
        found.append(
            {
                "patients": patients,
                "changes a day": round(a_day),
                "feed $ a month": round(feed, 2),
                "history $ a month": round(history, 2),
                f"GiB after {HISTORY_YEARS} years": round(kept, 2),
                "$ a month then": round(
                    prices.of_operations(operations[HISTORIC]) * MONTH_DAYS + expired + kept * prices.gib_month, 2
                ),
            }
        )
    return found


def operations(cost: Cost) -> tuple[float, float, float]:
    return cost.reads, cost.writes, cost.deletes
