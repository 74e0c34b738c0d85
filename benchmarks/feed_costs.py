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
class Variant:
    feed: bool
    history: bool

    def __str__(self) -> str:
        names = [name for name, on in (("feed", self.feed), ("history", self.history)) if on]
        return " and ".join(names) or "neither"

    def clinic(self, running: Simulator, documents: Documents) -> Clinic:
        clinic = TellingClinic(running, documents, broker=Broker()) if self.feed else Clinic(running, documents)
        feed = clinic.feed if isinstance(clinic, TellingClinic) else None
        announcing = Announcing(documents, feed, KEPT if self.history else None)
        clinic.records = Records(documents, clinic.now, announcing)
        return clinic


OFF, FEED, HISTORIC, BOTH = Variant(False, False), Variant(True, False), Variant(False, True), Variant(True, True)


@dataclass
class VariantCosts:
    """by_action: the cost of one of each. history_bytes: the mean size of a document that an event of a visit adds to
    the history; 0 without it.
    """

    by_action: dict[str, Cost] = field(default_factory=dict)
    history_bytes: float = 0.0


def costs_of(variant: Variant, *, patients: int, times: int) -> VariantCosts:
    """Return what each action costs, in a clinic whose first filling is one of them. times: how often each is done."""
    found = VariantCosts()
    settings = {"form": "live", "patients": patients, "token_seconds": 10**9}
    with simulator(**settings) as running, tempfile.TemporaryDirectory() as folder:
        meter = Meter(running, Path(folder))
        meter.clinic = clinic = variant.clinic(running, meter.bill)
        backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
        records = sum(len(running.truth(name)) for name in backfill.KIND_NAMES)
        filled = meter.of(lambda: clinic.run(backfill.go_on))
        found.by_action["a record of a first filling"] = filled * (1 / records)
        for _ in range(6):  # until every kind has been announced as filled, and nothing is due
            clinic.later(hours=6)
            clinic.run(sync)
        clinic.run(sync)
        found.by_action[A_SYNC] = meter.of(lambda: clinic.run(sync))
        found.by_action |= changed(meter, times)
        found.by_action[AN_EVENT] = Cost()
        for name, kind, of_a_visit in EVENTS:
            share = of_a_visit / EVENTS_OF_A_VISIT
            found.by_action[AN_EVENT] += meter.event(name, kind, min(times, len(running.truth(kind)))) * share
            found.history_bytes += share * mean_bytes(clinic, kind)
    return found


def mean_bytes(clinic: Clinic, kind: str) -> float:
    """Return the mean size of a document in the history of DrChrono's own records."""
    sizes = []
    for key in clinic.simulator.truth(kind):
        for _, kept in clinic.documents.query(f"{kind}/{document_id(key)}/{HISTORY}"):
            values: dict[str, Any] = {name: kept[name] for name in ("before", "after") if name in kept}
            sizes.append(split(values).size - META_BYTES + ENTRY_BYTES)
    return statistics.mean(sizes) if sizes else 0.0


def changed(meter: Meter, times: int) -> dict[str, Cost]:
    """Return what storing one record costs, by what becomes of it."""
    clinic, total = meter.clinic, defaultdict[str, Cost](Cost)
    for key, patient in sorted(clinic.simulator.truth("patients").items())[:times]:
        edited = {**patient, "id": -int(key), "nick_name": "Al", "updated_at": "2027-01-01T00:00:00"}
        again = {**edited, "nick_name": "Bo", "updated_at": "2027-01-02T00:00:00"}
        actions: dict[str, Callable[[datetime], object]] = {
            "a record that is created": partial(store, clinic, {**patient, "id": -int(key)}),
            A_CHANGE: partial(store, clinic, edited),
            A_LOOK: partial(store, clinic, edited),
            "a record that is deleted": partial(delete, clinic, f"{-int(key)}"),
            "a record that returns": partial(store, clinic, again),
        }
        for name, action in actions.items():
            total[name] += meter.of(partial(action, clinic.later(hours=1)))
    return {name: cost * (1 / times) for name, cost in total.items()}


def store(clinic: Clinic, record: dict[str, Any], began: datetime) -> None:
    clinic.records.store(PATIENTS, str(record["id"]), record, began, WEBHOOK)


def delete(clinic: Clinic, key: str, began: datetime) -> None:
    clinic.records.mark_deleted(PATIENTS, key, began, WEBHOOK, "deleted_flag", stated=True)


def cost_rows(by_variant: dict[Variant, VariantCosts]) -> list[Row]:
    return [
        {
            "of": action,
            "with": str(variant),
            "reads": round(cost.reads, 2),
            "writes": round(cost.writes, 2),
            "deletes": round(cost.deletes, 2),
        }
        for action in by_variant[OFF].by_action
        for variant, cost in ((variant, found.by_action[action]) for variant, found in by_variant.items())
    ]


def extra(by_variant: dict[Variant, VariantCosts], variant: Variant, action: str) -> Cost:
    """Return what an action costs more than with neither feed nor history."""
    return by_variant[variant].by_action[action] + by_variant[OFF].by_action[action] * -1


def money_rows(by_variant: dict[Variant, VariantCosts]) -> list[Row]:
    """Return what feed and history add to a month's cost, by the size of the practice."""
    prices, found = Prices(), list[Row]()
    size = by_variant[HISTORIC].history_bytes
    for patients in SIZES:
        a_day = EVENTS_OF_A_VISIT * Practice(patients).visits
        feed, history = (
            MONTH_DAYS
            * prices.of_operations(
                extra(by_variant, variant, AN_EVENT) * a_day + extra(by_variant, variant, A_SYNC) * TICKS
            )
            for variant in (FEED, HISTORIC)
        )
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
                "$ a month then": round(history + expired + kept * prices.gib_month, 2),
            }
        )
    return found


def operations(cost: Cost) -> tuple[float, float, float]:
    return cost.reads, cost.writes, cost.deletes
