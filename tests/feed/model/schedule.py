"""One schedule: instances that store changes and relay them, that die, and a broker that does not answer.

Each operation of the store and each publish takes time, in which others run. What must hold of it in the end: each
stored version arrived, in order, and what arrived twice arrived twice in a row, whatever else happened.
"""

from __future__ import annotations

import itertools
import json
import random
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.errors import StoreUnavailable
from shared.feed.entries import Message
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox, Target
from shared.feed.relay import Relay
from shared.records.announcing import Announcing, Feed
from shared.records.store import Records, Source
from tests.interleaved import Interleaved
from tests.model.scheduler import Scheduler
from tests.model.world import utc
from tests.mortal import Killed, MortalDocuments

MINUTE = 60.0
SYNC_SECONDS = 5 * MINUTE
START = 1_773_144_000.0

OUTAGES = (5.0, MINUTE, 20 * MINUTE, 3 * 24 * 60 * MINUTE)

# As `shared.cloud.feed.PUBLISH_SECONDS`: Pub/Sub takes nothing in of a call that has ended.
PUBLISH_SECONDS = 3.0

SOURCES = (Source("webhook"), Source("sync"), Source("pending"), Source("outbox"))


@dataclass(frozen=True)
class Plan:
    """Shares of operations that go wrong, by the seed; some kinds of trouble are left out of some.

    outages: how long the broker answers nothing, each time.
    """

    records: int
    changes: int
    seconds: float
    deaths: float
    store_failures: float
    stalls: float
    lost_answers: float
    kills: float
    outages: tuple[float, ...]
    skew_seconds: float
    replays: int
    filling: bool
    sweepers: int


def planned(rng: random.Random) -> Plan:
    def sometimes(share: float, value: float) -> float:
        return value if rng.random() < share else 0.0

    return Plan(
        records=rng.choice((1, 2, 5, 12)),
        changes=rng.randint(20, 60),
        seconds=rng.choice((20.0, MINUTE, 10 * MINUTE)),
        deaths=sometimes(0.7, rng.choice((0.1, 0.4))),
        store_failures=sometimes(0.5, 0.03),
        stalls=sometimes(0.5, 0.03),
        lost_answers=sometimes(0.7, rng.choice((0.05, 0.4))),
        kills=sometimes(0.6, 0.1),
        outages=tuple(
            rng.choice((5.0, MINUTE, 20 * MINUTE, 3 * 24 * 60 * MINUTE)) for _ in range(rng.choice((0, 1, 2)))
        ),
        skew_seconds=sometimes(0.5, 1.0),
        replays=rng.choice((0, 0, 2, 6)),
        filling=rng.random() < 0.3,
        sweepers=rng.choice((1, 2, 3)),
    )


class Broker:
    """Takes messages in, at some time during the call; some of the answers get lost, and some senders die."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.messages: list[dict[str, Any]] = []
        self.frozen_until = 0.0

    def publish(self, messages: Sequence[Message]) -> set[int]:
        """All are under way together, and end when the last one does."""
        schedule = self._schedule
        rng, plan, began = schedule.rng, schedule.plan, schedule.scheduler.now
        if schedule.faulty and rng.random() < plan.kills:
            schedule.trace("killed before it published")
            raise Killed
        answered: set[int] = set()
        ends = 0.01
        for index, message in enumerate(messages):
            frozen = began < self.frozen_until
            lost = schedule.faulty and rng.random() < plan.lost_answers
            arrives = rng.uniform(0.001, PUBLISH_SECONDS) if rng.random() < 0.1 or lost else rng.uniform(0.001, 0.1)
            if not (frozen or (lost and rng.random() < 0.5)):
                schedule.scheduler.at(began + arrives, partial(self._take, message))
            if frozen or lost:
                ends = (
                    PUBLISH_SECONDS if frozen or rng.random() < 0.5 else max(ends, rng.uniform(0.01, PUBLISH_SECONDS))
                )
            else:
                answered.add(index)
                ends = max(ends, arrives)
        schedule.scheduler.wait(ends + 0.001)
        if schedule.faulty and rng.random() < plan.kills:
            schedule.trace("killed after it published")
            raise Killed
        return answered

    def _take(self, message: Message) -> None:
        self.messages.append(json.loads(message.data))
        self._schedule.arrived(message)
        self._schedule.trace(f"arrived: {message.data.decode()}")


@dataclass
class Schedule:
    """stored: by record, how many versions there are, as the store says."""

    seed: int
    documents: Documents
    tracing: bool = False
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    busy: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.plan = planned(self.rng)
        self.scheduler = Scheduler(START)
        self.broker = Broker(self)
        self.faulty = False
        self.longest = 0.0
        self._fences = itertools.count()
        self._values = itertools.count()

    def trace(self, line: str) -> None:
        if self.tracing:
            self.lines.append(f"{utc(self.scheduler.now):%H:%M:%S.%f} [{self.scheduler.current.number}] {line}")

    def operation(self) -> None:
        """Before each operation of the store, and after each commit."""
        stalled = self.faulty and self.rng.random() < self.plan.stalls
        self.scheduler.wait(self.rng.uniform(1, 60) if stalled else self.rng.uniform(0.001, 0.05))
        if self.faulty and self.rng.random() < self.plan.store_failures:
            raise StoreUnavailable("the store is away")

    # The system: each piece of work is an instance of its own, and some share one

    def instance(self) -> Instance:
        documents: Documents | MortalDocuments = self.documents
        if self.faulty and self.rng.random() < self.plan.deaths:
            documents = MortalDocuments(documents, self.rng.randint(1, 12), after=self.rng.random() < 0.5)
        return Instance(
            self, Interleaved(documents, lambda _: self.operation(), self.operation), self.rng.uniform(-0.5, 0.5)
        )

    def start(self, name: str, run: Callable[[Instance], object], seconds: float = 0.0) -> None:
        def guarded() -> None:
            self.busy += 1
            self.trace(f"{name} begins")
            try:
                run(self.instance())
                self.trace(f"{name} ends")
            except (Killed, StoreUnavailable) as error:
                self.trace(f"{name}: {type(error).__name__}")
            except BaseException:
                self.wrong.append(f"{name} raised {traceback.format_exc()}")
            finally:
                self.busy -= 1

        self.scheduler.at(self.scheduler.now + seconds, guarded)

    def fence(self) -> str:
        return f"fence-{next(self._fences)}"

    # What happens

    def change(self, instance: Instance) -> None:
        kind, began = KINDS["patients"], instance.now()
        key = str(self.rng.randint(1, self.plan.records))
        source = self.rng.choice(SOURCES)
        if self.rng.random() < 0.15:
            instance.records.mark_deleted(kind, key, began, source, "deleted_flag", stated=True)
        elif self.rng.random() < 0.2:
            keys = dict.fromkeys(str(self.rng.randint(1, self.plan.records)) for _ in range(4))
            filling = Source("backfill") if self.plan.filling else Source("reconcile")
            instance.records.pages.store(kind, [self.record(one) for one in keys], began, filling)
        else:
            instance.records.store(kind, key, self.record(key), began, source)
        self.longest = max(self.longest, (instance.now() - began).total_seconds())

    def record(self, key: str) -> dict[str, Any]:
        return {"id": int(key), "name": next(self._values), "city": self.rng.choice("ABC")}

    def sweep(self, instance: Instance) -> None:
        if self.plan.filling and self.filling_ends():
            fillings = instance.feed.fillings
            fillings.announce("patients", lambda: 1, instance.now(), instance.feed.outbox)
        instance.feed.relay.sweep(lambda: None, 10_000)

    def filling_ends(self) -> bool:
        return self.rng.random() < 0.3

    def replay(self, instance: Instance) -> None:
        targets = [Target("patients", str(key + 1)) for key in range(self.plan.records)]
        instance.feed.outbox.ask_again(targets)
        if self.rng.random() < 0.7:
            instance.feed.relay.claim([f"patients:{target.id}" for target in targets], Counter())

    # For subscribers

    def arrived(self, message: Message) -> None:
        """The broker has taken it in."""

    def started(self) -> None:
        """What else is to happen can be scheduled now."""

    # The course of it

    def run(self) -> list[str]:
        self.faulty = True
        plan, start = self.plan, self.scheduler.now
        for outage in plan.outages:
            at = start + self.rng.uniform(0, plan.seconds)
            self.scheduler.at(at, partial(setattr, self.broker, "frozen_until", at + outage))
        for _ in range(plan.changes):
            self.start("change", self.change, self.rng.uniform(0, plan.seconds))
        for _ in range(plan.replays):
            self.start("replay", self.replay, self.rng.uniform(0, plan.seconds))
        self.started()
        while self.scheduler.now < start + plan.seconds + 3 * MINUTE:
            self.scheduler.wait(self.rng.uniform(0.05, 0.5) * min(plan.seconds, SYNC_SECONDS))
            for _ in range(plan.sweepers):
                self.start("sync", self.sweep, self.rng.uniform(0, 1))
        self._settle()
        self._compare()
        self.scheduler.close()
        return self.wrong

    def _settle(self) -> None:
        self.faulty = False
        self.scheduler.wait(max(0.0, self.broker.frozen_until - self.scheduler.now) + 2 * MINUTE)
        for _ in range(4):
            self.start("sync", self.sweep)
            self.scheduler.wait(SYNC_SECONDS)
            while self.busy:
                self.scheduler.wait(10)
        left = self.documents.count("feed")
        if left:
            self.wrong.append(f"of {left} records something still waits")

    # What must hold

    def _compare(self) -> None:
        arrived: dict[str, list[dict[str, Any]]] = defaultdict(list)
        filled = 0
        for message in self.broker.messages:
            if message["operation"] == "filled":
                filled += 1
            else:
                arrived[message["id"]].append(message)
        plan = self.plan
        if filled > 1 and not (plan.lost_answers or plan.kills or plan.deaths or plan.store_failures or plan.stalls):
            self.wrong.append(f"filled was told {filled} times")
        for key, data in self.documents.query("patients"):
            meta = data["_sync"]
            self.stored[key] = meta["version"]
            self._compare_record(key, meta, arrived.pop(key, []))
        if arrived:
            self.wrong.append(f"messages of records that are not there: {sorted(arrived)}")

    def _compare_record(self, key: str, meta: dict[str, Any], arrived: list[dict[str, Any]]) -> None:
        versions = [message["version"] for message in arrived]
        if versions != sorted(versions):
            self.wrong.append(f"record {key} out of order: {versions}")
        changes = [message for message in arrived if not message["replay"]]
        told = list(dict.fromkeys(message["version"] for message in changes))
        self.duplicates += len(changes) - len(told)
        first = 1 if not self.plan.filling or 1 in told else 2  # the first was part of the filling
        if told != list(range(first, meta["version"] + 1)):
            self.wrong.append(f"record {key} has version {meta['version']}, told: {told}")
        if changes and (changes[-1]["operation"] == "deleted") is not meta["deleted"]:
            self.wrong.append(f"record {key} ended as {changes[-1]}")
        for version in told:
            same = {json.dumps(message) for message in changes if message["version"] == version}
            if len(same) > 1:
                self.wrong.append(f"version {version} of record {key} was told in two ways: {same}")
        if self.plan.replays and changes:
            known = 0
            for message in arrived:
                if message["replay"] and known and message["version"] != known:
                    self.wrong.append(f"record {key}: version {message['version']} replayed after {known}")
                known = message["version"]


class Instance:
    """One process: what it builds once, with its own clock."""

    def __init__(self, schedule: Schedule, documents: Documents, skew: float) -> None:
        self._schedule = schedule
        self._offset = skew * schedule.plan.skew_seconds
        outbox = Outbox(documents, self.now)
        relay = Relay(outbox, schedule.broker.publish, self.now, schedule.fence)
        self.feed = Feed(outbox, relay, Fillings(documents))
        self.records = Records(documents, self.now, Announcing(documents, self.feed))

    def now(self) -> datetime:
        return utc(self._schedule.scheduler.now + self._offset)
