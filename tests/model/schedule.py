"""One schedule: a practice, a copy of it, some hours of trouble, the time to settle, and what must hold of it."""

from __future__ import annotations

import base64
import contextlib
import random
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import TypeVar, cast

from functions.store_record import Store, handle
from shared.documents import Documents, Where
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.lag import CLOCK_SKEW, LONGEST_LAG
from shared.errors import LeaseLost, StoreUnavailable
from shared.jobs import backfill, reconcile
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Leases
from shared.jobs.run import Parts, Run
from shared.jobs.seen import Seen
from shared.jobs.slow_round import ROUND
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.jobs.watermark import EARLIEST
from shared.queue.entries import Target
from shared.queue.single_flight import Flight, SingleFlight
from shared.queue.work_queue import WorkQueue
from shared.records.absence import Absences
from shared.records.coverage import Coverages
from shared.records.refresh import Refresh
from shared.records.storable import META, join
from shared.records.store import Records
from shared.records.zones import Zones
from shared.webhooks.events import Change, encode
from tests.interleaved import Interleaved
from tests.model.api import Client, Service
from tests.model.scheduler import Scheduler, Turn
from tests.model.world import CHILDREN, SUMMER_TIME_ENDS, Hint, Loss, Record, World, utc
from tests.mortal import Killed, MortalDocuments

T = TypeVar("T")
Item = TypeVar("Item")

LISTED = tuple(name for name, kind in KINDS.items() if kind.changes)
MINUTE, HOUR = 60.0, 3600.0
# An answer that proves an absence is at most so old.
LAG_SECONDS = (LONGEST_LAG + CLOCK_SKEW).total_seconds()
RECENT = timedelta(minutes=70)  # notes are listed once an hour


@dataclass(frozen=True)
class Plan:
    """What one schedule is made of, by its seed; some kinds of trouble are left out of some, for more of the others."""

    rng: random.Random
    summer_time: bool
    lag_seconds: float
    skew_seconds: float
    failures: float
    deaths: float
    store_failures: float
    stalls: float
    lost: float
    doubled: float
    delayed: float
    permissions: bool
    dated_events: bool
    steps: int
    seconds: float


def planned(seed: int) -> Plan:
    rng = random.Random(seed)
    quiet = rng.random() < 0.3

    def sometimes(share: float, value: float) -> float:
        return value if rng.random() < share else 0.0

    return Plan(
        rng=rng,
        summer_time=rng.random() < 0.25,
        lag_seconds=rng.choice((0.0, 3.0, 10.0, LONGEST_LAG.total_seconds())),
        skew_seconds=sometimes(0.7, 1.0),
        failures=0.0 if quiet else sometimes(0.5, 0.1),
        deaths=0.0 if quiet else sometimes(0.5, 0.15),
        store_failures=0.0 if quiet else sometimes(0.3, 0.005),
        stalls=sometimes(0.5, 0.01),
        lost=sometimes(0.6, 0.2),
        doubled=sometimes(0.5, 0.3),
        delayed=sometimes(0.6, 0.4),
        permissions=rng.random() < 0.4,
        dated_events=rng.random() < 0.5,
        steps=rng.randint(10, 50),
        seconds=rng.choice((10, 20, 30, 90)) * MINUTE,
    )


class Turns(SingleFlight):
    """The real one, with a lock whose waiters let the scheduler go on."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    @contextlib.contextmanager
    def turn(self, target: Target, received_at: datetime) -> Iterator[Flight]:
        lock = cast(Lock, Turn(self._scheduler))
        self._flights.setdefault(target, Flight(received_at, turn=lock))
        with super().turn(target, received_at) as flight:
            yield flight


@dataclass
class Instance:
    """A process that serves events and jobs: its clock, and what it keeps in memory."""

    offset: float
    single_flight: Turns
    absences: Absences | None = None


@dataclass
class Schedule:
    seed: int
    documents: Documents
    tracing: bool = False
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = planned(self.seed)
        self.rng = self.plan.rng
        start = SUMMER_TIME_ENDS - (self.rng.uniform(-30, 150) * MINUTE if self.plan.summer_time else 30 * HOUR)
        self.scheduler = Scheduler(start)
        live = self.rng.random() < 0.5
        dated = {"patients", "appointments"} | {name for name in CHILDREN if self.rng.random() < 0.7}
        dated |= set() if live else {"clinical_notes"}
        self.world = World(
            rng=self.rng,
            live=live,
            flagged=live and self.rng.random() < 0.7,
            dated=frozenset(dated),
            by_key=not live or self.rng.random() < 0.5,
            cascades=self.rng.random() < 0.5,
            overlapping=self.rng.random() < 0.2,
        )
        self.service = Service(
            world=self.world,
            scheduler=self.scheduler,
            rng=self.rng,
            lag_seconds=self.plan.lag_seconds,
            failures=self.plan.failures,
            snapshots=live,
            page_size=self.rng.choice((2, 4, 50)),
            trace=self.trace,
        )
        self.instances = [self._instance() for _ in range(self.rng.randint(1, 3))]
        self.faulty = True
        self.busy = 0
        self._deliveries = 0
        self._announced: dict[tuple[str, str], int] = {}
        self.hot: list[tuple[str, str]] = []

    def _instance(self) -> Instance:
        return Instance(self.rng.uniform(-0.5, 0.5) * self.plan.skew_seconds, Turns(self.scheduler))

    def trace(self, line: str) -> None:
        if self.tracing:
            self.lines.append(f"{utc(self.scheduler.now):%d %H:%M:%S.%f} [{self.scheduler.current.number}] {line}")

    def operation(self, what: str) -> None:
        """Before each operation of the store."""
        if what:
            self.trace(what)
        stalled = self.faulty and self.rng.random() < self.plan.stalls
        self.scheduler.wait(self.rng.uniform(1, 100) if stalled else self.rng.uniform(0.001, 0.05))
        if self.faulty and self.rng.random() < self.plan.store_failures:
            raise StoreUnavailable("the store is away")

    # The system

    def now_of(self, instance: Instance) -> Callable[[], datetime]:
        return lambda: utc(self.scheduler.now + instance.offset)

    def parts(self, instance: Instance) -> Parts:
        documents: Documents | MortalDocuments = self.documents
        if self.faulty and self.rng.random() < self.plan.deaths:
            documents = MortalDocuments(documents, self.rng.randint(1, 60), after=self.rng.random() < 0.5)
        store: Documents = Interleaved(documents, self.operation)
        now = self.now_of(instance)
        records, queue = Records(store, now), WorkQueue(store, now)
        absences = Absences(store, records, queue, now)
        api = Client(self.service, now)
        refresh = Refresh(api=api, records=records, queue=queue, absences=absences, now=now)
        return Parts(
            lists=api,
            events=refresh,
            children=refresh,
            records=records,
            queue=queue,
            absences=absences,
            checkpoints=Checkpoints(store),
            leases=Leases(store, now, lambda: f"{self.rng.random()}"),
            seen=Seen(store),
            zones=Zones(store),
            coverage=Coverages(store, current_user=api.current_user, scopes=lambda: "", now=now),
            now=now,
            random=self.rng.random,
        )

    def start(
        self, name: str, work: Callable[[], object], *, seconds: float = 0.0, again: Callable[[], object]
    ) -> None:
        """Run `work` in a thread of its own. again: what happens where it died or the store was away."""

        def guarded() -> None:
            self.busy += 1
            self.trace(f"{name} begins")
            try:
                work()
                self.trace(f"{name} ends")
            except (Killed, StoreUnavailable) as error:
                self.trace(f"{name}: {type(error).__name__}")
                again()
            except BaseException:
                self.wrong.append(f"{name} raised {traceback.format_exc()}")
            finally:
                self.busy -= 1

        self.scheduler.at(self.scheduler.now + seconds, guarded)

    def job(self, name: str, work: Callable[[Run], object], *, again: Callable[[], object] = lambda: None) -> None:
        instance = self.rng.choice(self.instances)

        def run() -> None:
            parts = self.parts(instance)
            one = Run(parts, deadline=parts.now() + timedelta(minutes=9))
            try:
                with one.hold(name):
                    work(one)
            except (Stopped, LeaseLost) as stopped:
                self.trace(f"{name} stopped: {stopped}")

        self.start(name, run, again=again)

    def start_backfill(self) -> None:
        def work(run: Run) -> None:
            backfill.start(run.parts, backfill.KIND_NAMES, EARLIEST)
            backfill.go_on(run)

        self.job("backfill", work, again=self.start_backfill)

    def start_reconcile(self, kinds: tuple[str, ...] = backfill.KIND_NAMES) -> None:
        def work(run: Run) -> None:
            reconcile.start(run.parts, kinds)
            reconcile.go_on(run)

        self.job("reconcile", work)

    # Events

    def announce(self, hint: Hint | None) -> None:
        """Let the event of a change reach receive_webhook: perhaps never, late, or twice."""
        if hint is None or (self.faulty and self.rng.random() < self.plan.lost):
            return
        self._announced[hint.kind, hint.key] = len(self.world.histories[hint.kind][hint.key])
        self._deliveries += 1
        times = 2 if self.rng.random() < self.plan.doubled else 1
        received = partial(self.receive, hint, self._deliveries)
        for _ in range(times):
            self.scheduler.at(self.scheduler.now + self.rng.uniform(0.05, 3.0) + self._delay(), received)

    def _delay(self) -> float:
        if self.rng.random() >= self.plan.delayed:
            return 0.0
        return self.rng.choice((self.rng.uniform(0, 20), self.rng.uniform(0, 300), self.rng.uniform(0, HOUR)))

    def receive(self, hint: Hint, number: int) -> None:
        """In receive_webhook: stamp the event with this instance's clock, and hand it to Pub/Sub."""
        instance = self.rng.choice(self.instances)
        updated_at = hint.updated_at if self.plan.dated_events else None
        text = f"{hint.event} {hint.key} {updated_at}"
        delivery = str(number) if self.world.live else sha256(text.encode()).hexdigest()
        received_at = self.now_of(instance)()
        change = Change(hint.event, hint.kind, hint.key, delivery, received_at, updated_at)
        times = 2 if self.rng.random() < self.plan.doubled / 2 else 1
        for _ in range(times):
            self.push(change, self.rng.uniform(0.01, 1.0) + self._delay())

    def push(self, change: Change, seconds: float) -> None:
        """Pub/Sub delivers after so long, and again after a failure."""
        instance = self.rng.choice(self.instances)
        message = {"message": {"data": base64.b64encode(encode(change)).decode()}}

        def work() -> None:
            parts = self.parts(instance)
            store = Store(
                refresh=parts.events,
                records=parts.records,
                queue=parts.queue,
                single_flight=instance.single_flight,
                now=parts.now,
                sleep=self.scheduler.wait,
                random=self.rng.random,
            )
            outcome = handle(message, store)
            self.trace(f"{change.event} {change.id} received {change.received_at:%H:%M:%S.%f}: {outcome}")

        def again() -> None:
            self.push(change, self.rng.uniform(10, 600))

        name = f"{change.event} {change.id} received {change.received_at:%H:%M:%S.%f}"
        self.start(name, work, seconds=seconds, again=again)

    # What happens at the practice

    def step(self) -> None:
        now = self.scheduler.now
        act = self.rng.choices(
            ("edit", "touch", "delete", "recreate", "create", "noise"), weights=(30, 15, 15, 12, 8, 6)
        )[0]
        kind = self.rng.choice(tuple(KINDS))
        if act == "create":
            hint = self.world.create(kind, now)
            self.trace(f"create {hint}")
            self.announce(hint)
            if hint is not None and self.rng.random() < 0.5:
                self.hot.append((hint.kind, hint.key))
            return
        if self.hot and self.rng.random() < 0.7:
            kind, key = self.rng.choice(self.hot)
        else:
            keys = list(self.world.histories[kind])
            if not keys:
                return
            key = self.rng.choice(keys)
        hint = None
        if act == "edit":
            hint = self.world.edit(kind, key, now, moves=True)
        elif act == "touch":
            hint = self.world.edit(kind, key, now, moves=False)
        elif act == "delete":
            hint = self.world.delete(kind, key, now)
        elif act == "recreate":
            hint = self.world.recreate(kind, key, now)
        else:
            hint = self.world._hint({kind: f"{'PATIENT_MODIFY' if kind == 'patients' else ''}"}, kind, key, now)
            hint = hint if hint and hint.event else None
        self.trace(f"{act} {kind}:{key} {hint}")
        self.announce(hint)

    def lose_permission(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            begins = self.scheduler.now + self.rng.uniform(0, self.plan.seconds)
            ends = begins + self.rng.choice((60, 300, 1800, 7200))
            kind = self.rng.choice(tuple(KINDS))
            self.world.losses.append(Loss(kind, begins, ends, self.rng.random() < 0.6))

    # The course of it

    def run(self) -> list[str]:
        """What is wrong, empty if nothing is."""
        try:
            self._prepare()
            self._trouble()
            self._end_trouble()
            self._settle()
            self._accept()
            self._compare()
        except _Wrong:
            pass
        self.scheduler.close()
        return self.wrong

    def _prepare(self) -> None:
        end = self.scheduler.now
        self.scheduler.now -= 24 * HOUR
        for kind in KINDS:
            for _ in range(self.rng.randint(6, 9)):
                self.scheduler.now += self.rng.uniform(0, 1000)
                self.world.create(kind, self.scheduler.now)
        self.scheduler.now = end
        everything = [(kind, key) for kind in KINDS for key in self.world.histories[kind]]
        self.hot = self.rng.sample(everything, self.rng.randint(1, 6))
        self.faulty = self.rng.random() < 0.3
        self.service.failures = self.plan.failures if self.faulty else 0.0
        self.start_backfill()
        self._pass(60)
        self._idle()

    def _trouble(self) -> None:
        self.faulty, self.service.failures = True, self.plan.failures
        if not self._backfilled():
            self.start_backfill()
        if self.plan.permissions:
            self.lose_permission()
        start = self.scheduler.now
        at = start
        for _ in range(self.plan.steps):
            burst = self.rng.random() < 0.6
            at = at + self.rng.uniform(0, 8) if burst else start + self.rng.uniform(0, self.plan.seconds)
            self.scheduler.at(at, self.step)
        ends = max(at, start + self.plan.seconds)
        while self.scheduler.now < ends:
            self._pass(self.rng.uniform(0, 2) * 5 * MINUTE)
            self.job("sync", sync)
            if self.rng.random() < 0.1:
                self.start_reconcile((self.rng.choice(LISTED),))
            if self.rng.random() < 0.05:
                self.instances[self.rng.randrange(len(self.instances))] = self._instance()

    def _end_trouble(self) -> None:
        self.faulty, self.service.failures = False, 0.0
        now = self.scheduler.now
        self.world.losses = [
            Loss(one.kind, one.begins, min(one.ends, now), one.hidden) for one in self.world.losses if one.begins < now
        ]
        self.trace("the faults end")
        self._syncs(5 * MINUTE, 4)
        if not self._backfilled():
            self.start_backfill()
        self._syncs(40 * MINUTE, 3)
        self._compare_announced()

    def _settle(self) -> None:
        """The daily pass over each kind, and the slow round over all patients."""
        self.scheduler.wait(ROUND.total_seconds() + HOUR)
        self._syncs(5 * MINUTE, 1)
        self.start_reconcile()
        self._idle()
        self._syncs(5 * MINUTE, 3)
        # Where most of a kind was deleted, the limit lets some of the deletions pass in each hour.
        for _ in range(40):
            if not self._waiting():
                break
            self._syncs(15 * MINUTE, 1)

    def _accept(self) -> None:
        """What is held after everything has settled, a person looks at."""
        parts = self._parts()
        held = [kind for kind in KINDS.values() if parts.absences.held_since(kind) is not None]
        for kind in held:
            self.trace(f"accept {kind.name}")
            parts.absences.accept(kind)
        if held:
            self._syncs(5 * MINUTE, 3)
            self.start_reconcile()
            self._idle()
            self._syncs(5 * MINUTE, 3)

    def _parts(self) -> Parts:
        return self.parts(Instance(0.0, Turns(self.scheduler)))

    def _syncs(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self.job("sync", sync)
            self._pass(seconds)
            self._idle()

    def _pass(self, seconds: float) -> None:
        self.scheduler.wait(seconds)
        self._check_tombstones()
        self._stop_if_wrong()

    def _idle(self) -> None:
        """Until nothing is under way."""
        for _ in range(1000):
            if not self.busy:
                return
            self._pass(10)
        self.wrong.append("something never ends")
        self._stop_if_wrong()

    def _stop_if_wrong(self) -> None:
        if self.wrong:
            raise _Wrong

    # What must hold

    def _backfilled(self) -> bool:
        checkpoints = Checkpoints(self.documents)
        return all(checkpoints.get(name).backfilled_at is not None for name in LISTED)

    def _waiting(self) -> int:
        return self.documents.count("sync_pending")

    def _check_tombstones(self) -> None:
        """No record is a tombstone of a complete kind if DrChrono had it when it was last looked for and
        already at the time up to which the tombstone or the kind says that it includes everything.
        """
        now = self.scheduler.now
        deleted = [Where(f"{META}.deleted", "==", True)]
        for kind in KINDS.values():
            for key, document in self.documents.query(kind.name, deleted, fields=[META]):
                meta = document[META]
                since = self.world.alive_since(kind.name, key, now)
                if since is None or since >= meta["fetched_at"].timestamp() - LAG_SECONDS:
                    continue
                complete = self._complete_until(kind)
                if complete is not None and utc(since) <= max(complete, meta["events_until"]):
                    self.wrong.append(f"{kind.name}:{key} is a tombstone, alive since {utc(since)}: {meta}")

    def _complete_until(self, kind: Kind) -> datetime | None:
        """None if it does not say that it is complete. A kind without a list of changes says what its patients' kind
        says.
        """
        checkpoint = Checkpoints(self.documents).get(kind.name if kind.changes else "patients")
        state = self.documents.get(f"sync_state/deletions-{kind.name}") or {}
        if checkpoint.problem or checkpoint.complete_at is None or state.get("held_since"):
            return None
        return checkpoint.complete_at if utc(self.scheduler.now) - checkpoint.complete_at <= RECENT else None

    def _compare(self) -> None:
        """The copy equals the truth, and nothing waits."""
        for kind in KINDS.values():
            truth = self.world.truth(kind.name, self.scheduler.now)
            stored = {key: join(data) for key, data in self.documents.query(kind.name) if not data[META]["deleted"]}
            for key in sorted(truth.keys() | stored.keys()):
                if truth.get(key) != stored.get(key) and not self._unreachable(kind, truth.get(key)):
                    self.wrong.append(f"{kind.name}:{key} is {stored.get(key)}, and should be {truth.get(key)}")
        self.wrong += [f"waiting: {data}" for _, data in self.documents.query("sync_pending")]
        self._compare_owners()

    def _compare_owners(self) -> None:
        """A record says that its patient is deleted exactly if the copy's patient is."""
        deleted = {key: data[META]["deleted"] for key, data in self.documents.query("patients", fields=[META])}
        for kind in (kind for kind in KINDS.values() if kind.listed_by == "patient"):
            for key, data in self.documents.query(kind.name):
                said, patient = bool(data[META].get("patient_deleted")), deleted.get(str(data.get("patient")), False)
                if not data[META]["deleted"] and said is not patient:
                    self.wrong.append(f"{kind.name}:{key} says {said} of its patient, who is deleted: {patient}")

    def _compare_announced(self) -> None:
        """Before the passes that find everything: what an event told of is in the copy, or waits."""
        queue = WorkQueue(self.documents, self.now_of(Instance(0.0, Turns(self.scheduler))))
        for (kind, key), states in self._announced.items():
            state = self.documents.get(f"sync_state/deletions-{kind}") or {}
            waits = state.get("held_since") or queue.get(Target(kind, key)) is not None
            if waits or states != len(self.world.histories[kind][key]):
                continue
            truth = self.world.truth(kind, self.scheduler.now).get(key)
            data = self.documents.get(f"{kind}/{key}")
            stored = None if data is None or data[META]["deleted"] else join(data)
            if stored != truth and not self._looks_the_same(stored, truth):
                self.wrong.append(f"{kind}:{key} was announced, is {stored}, and should be {truth}")
        self._stop_if_wrong()

    def _looks_the_same(self, stored: Record | None, truth: Record | None) -> bool:
        """The known gap of "One lag model" in docs/decisions.md: an event names a version that was seen without its
        change.
        """
        if not self.plan.dated_events or stored is None or truth is None or "updated_at" not in truth:
            return False
        return bool(stored.get("updated_at") == truth["updated_at"])

    def _unreachable(self, kind: Kind, record: Record | None) -> bool:
        """What is listed by patient, of one that was deleted before the copy heard of it."""
        patient = (record or {}).get("patient")
        return kind.listed_by == "patient" and self.documents.get(f"patients/{patient}") is None


class _Wrong(Exception):
    """The schedule has shown a fault."""
