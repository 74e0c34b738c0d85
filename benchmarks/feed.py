"""The change feed: how long after a change is stored it is published, and what it adds to the cost of the change.

Stores, relay and queue are real: the embedded ones, then Google's emulators. Operations are counted by a store in front
of the store, with the feed and the history off and on in the same run.

    python -m benchmarks.feed [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.feed_costs import (
    A_CHANGE,
    A_LOOK,
    BOTH,
    FEED,
    HISTORIC,
    OFF,
    cost_rows,
    costs_of,
    extra,
    money_rows,
    operations,
)
from benchmarks.feed_setups import Setup, embedded, emulated, now
from benchmarks.report import Report, Row, Want, percentile, program
from local.emulators import Emulators
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox
from shared.feed.relay import Publish, Relay
from shared.records.announcing import Announcing, Feed
from shared.records.store import Records, Source
from simulator import Config, Simulator

PATIENTS = KINDS["patients"]
WEBHOOK = Source("webhook", event="PATIENT_MODIFY")

INSTANCES, THREADS = 2, 8  # of store_record, as in terraform/functions.tf
PER_SECOND = 10  # five times the busiest second of a practice with 100,000 patients (docs/scale.md)
RECORDS = 40  # so few that changes of one record meet

WANTED_SECONDS = 2.0


def relay(outbox: Outbox, publish: Publish, clock: Callable[[], datetime] = now) -> Relay:
    return Relay(outbox, publish, clock, lambda: uuid.uuid4().hex)


def records_of(documents: Documents, publish: Publish | None) -> Records:
    """Return the records as one instance has them. publish: None if the feed is off."""
    if publish is None:
        return Records(documents, now)
    outbox = Outbox(documents, now)
    feed = Feed(outbox, relay(outbox, publish), Fillings(documents))
    return Records(documents, now, Announcing(documents, feed))


def store_steadily(
    documents: Documents, publish: Publish | None, patients: Sequence[dict[str, Any]], count: int
) -> list[float]:
    """Store changes of random records at random times. Return how many seconds each took."""
    instances = [records_of(documents, publish) for _ in range(INSTANCES)]
    took: list[float] = []

    def store(number: int) -> None:
        patient = random.choice(patients)
        began = time.perf_counter()
        changed = {**patient, "nick_name": f"{number}"}
        instances[number % INSTANCES].store(PATIENTS, str(patient["id"]), changed, now(), WEBHOOK)
        took.append(time.perf_counter() - began)

    with ThreadPoolExecutor(INSTANCES * THREADS) as pool:
        for number in range(count):
            pool.submit(store, number)
            time.sleep(random.expovariate(PER_SECOND))
    return took


def catch_up(documents: Documents, publish: Publish, patients: Sequence[dict[str, Any]], count: int) -> Row:
    """Store `count` changes while the broker does not answer, and measure the sync that publishes them."""
    silent = records_of(documents, lambda messages: set())
    page = [{**patients[number % len(patients)], "id": 10**6 + number} for number in range(count)]
    silent.pages.store(PATIENTS, page, now(), Source("sync"))

    def later() -> datetime:
        """Return a time when the leases of those that could not publish have expired."""
        return now() + timedelta(minutes=1)

    outbox = Outbox(documents, later)
    began = time.perf_counter()
    counts = relay(outbox, publish, later).sweep(lambda: None, count)
    took = time.perf_counter() - began
    assert (counts["published"], outbox.lag().records) == (count, 0), counts
    return {"caught up": count, "in s": round(took, 2), "a second": round(count / took)}


def publishing(
    name: str, make: Callable[[], Setup], patients: Sequence[dict[str, Any]], *, quick: bool
) -> tuple[list[Row], list[Want]]:
    """Measure how long changes take to be stored and published, with the feed off, on, and catching up."""
    count, backlog = (60, 100) if quick else (200, 1000)
    store_steadily(make().documents, None, patients, 20)  # the first calls are slow
    off = store_steadily(make().documents, None, patients, count)
    setup = make()
    documents, publisher = setup.documents, setup.publisher
    with setup.arrivals or contextlib.nullcontext():
        on = store_steadily(documents, publisher, patients, count)
        left = Outbox(documents, now).lag().records
        relay(Outbox(documents, now), publisher).sweep(lambda: None, RECORDS)
    faults = publisher.faults(documents)
    p95 = percentile(publisher.seconds, 95)
    rows: list[Row] = [
        {
            "store": name,
            "published": len(publisher.seconds),
            "p50 s": percentile(publisher.seconds, 50),
            "p95 s": p95,
            "left to the sync": left,
            "message bytes": round(statistics.mean(publisher.sizes)),
            "store p50 ms, off": percentile(off, 50) * 1000,
            "store p50 ms, on": percentile(on, 50) * 1000,
        }
    ]
    if setup.arrivals:
        arrived = setup.arrivals.seconds
        rows.append(
            {"arrived in order": len(arrived), "p50 s": percentile(arrived, 50), "p95 s": percentile(arrived, 95)}
        )
    rows.append({"store": name, **catch_up(documents, publisher.publish, patients, backlog)})
    return rows, [
        Want(
            f"stored to published, p95 ({name})", f"under {WANTED_SECONDS:.0f} s", f"{p95:.2f} s", p95 < WANTED_SECONDS
        ),
        Want(f"records with a version lost or out of order ({name})", "0", str(len(faults)), not faults),
    ]


def measure(*, quick: bool) -> Report:
    report = Report("feed")
    with Simulator(Config(patients=RECORDS, appointments=0, notes=0, children=0, form="live", seed=1)) as simulated:
        patients = list(simulated.truth("patients").values())
    with Emulators() as emulators, tempfile.TemporaryDirectory() as folder:
        os.environ.update(emulators.environment)
        setups: dict[str, Callable[[], Setup]] = {
            "embedded": lambda: embedded(Path(folder)),
            "emulators": emulated,
        }
        for name, make in setups.items():
            rows, wanted = publishing(name, make, patients, quick=quick)
            report.rows += rows
            report.wanted += wanted
    size = 12 if quick else 60
    by_variant = {each: costs_of(each, patients=size, times=size // 3) for each in (OFF, HISTORIC, FEED, BOTH)}
    report.rows += [*cost_rows(by_variant), *money_rows(by_variant)]
    off = by_variant[OFF].by_action[A_CHANGE]
    added = sum(operations(extra(by_variant, FEED, A_LOOK)))
    report.wanted += [
        Want(
            "a stored change with the feed and the history off",
            "1 read, 1 write, 0 deletes",
            f"{off.reads:g} read, {off.writes:g} write, {off.deletes:g} deletes",
            operations(off) == (1, 1, 0),
        ),
        Want("operations that the feed adds to a look that shows no change", "0", f"{added:g}", added == 0),
    ]
    report.notes += [
        f"Changes come at random, {PER_SECOND} a second, to {RECORDS} records, by {INSTANCES} instances of {THREADS} "
        "threads. Stored is the moment that the message names, before the commit; published, when the broker answered.",
        "Caught up: what waited because the broker did not answer, published by one sync.",
        f"A document of the history has {by_variant[HISTORIC].history_bytes:,.0f} bytes, and in the table "
        "as much again for its index entries. Money: the list prices of benchmarks/practice_costs.py, nine changes a "
        "visit. The storage and the expiry of the history are in the last column alone.",
    ]
    return report


if __name__ == "__main__":
    program(measure, __doc__, quick="few changes and a small clinic")
