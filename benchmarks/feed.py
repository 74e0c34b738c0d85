"""The change feed: how long after a change is stored it is published, and what it adds to the cost of the change.

Stores, relay and queue are real: the embedded ones, then Google's emulators. Operations are counted by a store in front
of the store, with the feed and the history off and on in the same run.

    python -m benchmarks.feed [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import statistics
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from google.api_core.exceptions import DeadlineExceeded
from google.cloud import firestore
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import Subscription

from benchmarks.feed_costs import (
    A_CHANGE,
    A_LOOK,
    BOTH,
    FEED,
    HISTORIC,
    OFF,
    cost_rows,
    dollars,
    extra,
    operations,
    spent,
)
from benchmarks.report import Report, Row, Want, percentile
from local.emulators import Emulators
from shared.cloud.feed import FeedTopic
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.feed.entries import Message
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox
from shared.feed.relay import Publish, Relay
from shared.records.announcing import Announcing, Feed
from shared.records.storable import META
from shared.records.store import Records, Source
from shared.settings import cloud_settings
from simulator import Config, Simulator
from workstation.embedded_documents import EmbeddedDocuments
from workstation.wiring import changes, into

PATIENTS = KINDS["patients"]
WEBHOOK = Source("webhook", event="PATIENT_MODIFY")

INSTANCES, THREADS = 2, 8  # of store_record, as in terraform/functions.tf
PER_SECOND = 10  # five times the busiest second of a practice with 100,000 patients (docs/scale.md)
RECORDS = 40  # so few that changes of one record meet

WANTED_SECONDS = 2.0


def now() -> datetime:
    return datetime.now(timezone.utc)


# Stored to published


@dataclass
class Told:
    """What the broker has answered: how long after it was stored, and which versions of each record in their order."""

    publish: Publish
    seconds: list[float] = field(default_factory=list)
    versions: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    sizes: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, messages: Sequence[Message]) -> set[int]:
        published = self.publish(messages)
        at = now()
        with self._lock:
            for message in (messages[place] for place in sorted(published)):
                change = json.loads(message.data)
                self.seconds.append(age(message.data, at))
                self.versions[change["id"]].append(change["version"])
                self.sizes.append(size_of(message))
        return published

    def faults(self, documents: Documents) -> list[str]:
        """Records of which a version is missing or out of order. What came twice came so in a row."""
        return [
            f"{key}: {self.versions[key]} of {data[META]['version']}"
            for key, data in documents.query("patients")
            if list(dict.fromkeys(self.versions[key])) != list(range(1, data[META]["version"] + 1))
            or self.versions[key] != sorted(self.versions[key])
        ]


def age(data: bytes, at: datetime) -> float:
    return (at - datetime.fromisoformat(json.loads(data)["stored_at"])).total_seconds()


def size_of(message: Message) -> int:
    return (
        len(message.data) + len(message.ordering_key) + sum(len(f"{one}{of}") for one, of in message.attributes.items())
    )


def relay(outbox: Outbox, publish: Publish, clock: Callable[[], datetime] = now) -> Relay:
    return Relay(outbox, publish, clock, lambda: uuid.uuid4().hex)


def records_of(documents: Documents, publish: Publish | None) -> Records:
    """As one instance has them. publish: None where the feed is off."""
    if publish is None:
        return Records(documents, now)
    outbox = Outbox(documents, now)
    feed = Feed(outbox, relay(outbox, publish), Fillings(documents))
    return Records(documents, now, Announcing(documents, feed))


def steady(
    documents: Documents, publish: Publish | None, patients: Sequence[dict[str, Any]], count: int
) -> list[float]:
    """Changes at random times, of random records. Return the seconds that each took to be stored."""
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


def behind(documents: Documents, publish: Publish, patients: Sequence[dict[str, Any]], count: int) -> Row:
    """So many changed while the broker did not answer; then one sync tells them."""
    silent = records_of(documents, lambda messages: set())
    page = [{**patients[number % len(patients)], "id": 10**6 + number} for number in range(count)]
    silent.pages.store(PATIENTS, page, now(), Source("sync"))

    def later() -> datetime:
        """When the leases of those that published in vain have lapsed."""
        return now() + timedelta(minutes=1)

    outbox = Outbox(documents, later)
    began = time.perf_counter()
    counts = relay(outbox, publish, later).sweep(lambda: None, count)
    took = time.perf_counter() - began
    assert (counts["told"], outbox.lag().records) == (count, 0), counts
    return {"caught up": count, "in s": round(took, 2), "a second": round(count / took)}


class Arrivals:
    """A subscriber of the emulator, in order: how long after each change was stored its message came."""

    def __init__(self, project: str, topic: str) -> None:
        self.seconds: list[float] = []
        self._ended = threading.Event()
        self._subscriber, self._name = SubscriberClient(), f"projects/{project}/subscriptions/bench"
        self._subscriber.create_subscription(
            request=Subscription(name=self._name, topic=topic, enable_message_ordering=True, ack_deadline_seconds=60)
        )
        self._thread = threading.Thread(target=self._pull, daemon=True)

    def __enter__(self) -> Arrivals:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _pull(self) -> None:
        request = {"subscription": self._name, "max_messages": 100}
        pulled: list[Any] = []
        while pulled or not self._ended.is_set():
            try:
                pulled = list(self._subscriber.pull(request, timeout=1, retry=None).received_messages)
            except DeadlineExceeded:
                pulled = []
            at = now()
            self.seconds += [age(one.message.data, at) for one in pulled]
            if pulled:
                self._subscriber.acknowledge(subscription=self._name, ack_ids=[one.ack_id for one in pulled])


@dataclass
class Place:
    """A store and a broker, both empty. arrivals: of a broker that has subscribers."""

    documents: Documents
    told: Told
    arrivals: Arrivals | None = None


def embedded(folder: Path) -> Place:
    folder = folder / uuid.uuid4().hex
    folder.mkdir()
    return Place(EmbeddedDocuments(folder / "documents.sqlite3"), Told(into(changes(folder))))


def emulated(folder: Path) -> Place:
    project = f"bench-{uuid.uuid4().hex[:8]}"
    topic = f"projects/{project}/topics/drchrono-changes"
    PublisherClient().create_topic(name=topic)
    told = Told(FeedTopic(cloud_settings({"GCP_PROJECT": project}), "drchrono-changes").publish)
    return Place(FirestoreDocuments(firestore.Client(project=project)), told, Arrivals(project, topic))


def published(
    report: Report, name: str, make: Callable[[], Place], patients: Sequence[dict[str, Any]], *, quick: bool
) -> None:
    count, backlog = (60, 100) if quick else (200, 1000)
    steady(make().documents, None, patients, 20)  # the first calls are slow
    off = steady(make().documents, None, patients, count)
    place = make()
    with place.arrivals or contextlib.nullcontext():
        on = steady(place.documents, place.told, patients, count)
        left = Outbox(place.documents, now).lag().records
        relay(Outbox(place.documents, now), place.told).sweep(lambda: None, RECORDS)
    faults = place.told.faults(place.documents)
    seconds = place.told.seconds
    stored = len(seconds)
    report.rows.append(
        {
            "store": name,
            "published": stored,
            "p50 s": percentile(seconds, 50),
            "p95 s": percentile(seconds, 95),
            "left to the sync": left,
            "message bytes": round(statistics.mean(place.told.sizes)),
            "store p50 ms, off": percentile(off, 50) * 1000,
            "store p50 ms, on": percentile(on, 50) * 1000,
        }
    )
    if place.arrivals:
        arrived = place.arrivals.seconds
        report.rows.append(
            {"arrived in order": len(arrived), "p50 s": percentile(arrived, 50), "p95 s": percentile(arrived, 95)}
        )
    report.rows.append({"store": name, **behind(place.documents, place.told.publish, patients, backlog)})
    p95 = percentile(seconds, 95)
    report.wanted += [
        Want(
            f"stored to published, p95 ({name})",
            f"under {WANTED_SECONDS:.0f} s",
            f"{p95:.2f} s",
            p95 < WANTED_SECONDS,
        ),
        Want(f"records with a version lost or out of order ({name})", "0", str(len(faults)), not faults),
    ]


def measure(*, quick: bool) -> Report:
    report = Report("feed")
    with Simulator(Config(patients=RECORDS, appointments=0, notes=0, children=0, form="live", seed=1)) as simulated:
        patients = list(simulated.truth("patients").values())
    with (
        contextlib.redirect_stdout(io.StringIO()),  # the log lines of the system
        Emulators() as emulators,
        tempfile.TemporaryDirectory() as folder,
    ):
        os.environ.update(emulators.environment)
        published(report, "embedded", partial(embedded, Path(folder)), patients, quick=quick)
        published(report, "emulators", partial(emulated, Path(folder)), patients, quick=quick)
        size = 12 if quick else 60
        by_way = {way: spent(way, patients=size, times=size // 3) for way in (OFF, HISTORIC, FEED, BOTH)}
    report.rows += [*cost_rows(by_way), *dollars(by_way)]
    off = by_way[OFF].costs[A_CHANGE]
    added = sum(operations(extra(by_way, FEED, A_LOOK)))
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
        "Caught up: what waited because the broker did not answer, told by one sync.",
        f"A document of the history has {by_way[HISTORIC].history_bytes:,.0f} bytes, and in the table "
        "as much again for its index entries. Money: the list prices of benchmarks/practice_costs.py, nine changes a "
        "visit. The storage and the expiry of the history are in the last column alone.",
    ]
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few changes and a small clinic")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    measure(quick=arguments.quick).show(arguments.json)
