"""A simulated DrChrono on a virtual clock and the system beside it, on either store: what the flow tests work with."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from functions.store_record import Store
from shared.documents import Documents
from shared.drchrono.client import DrChrono
from shared.drchrono.ids import id_of_document
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import CLOCK_SKEW, LONGEST_LAG
from shared.errors import QuotaExhausted
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Leases
from shared.jobs.run import Parts, Run
from shared.jobs.seen import Seen
from shared.jobs.sync import sync
from shared.queue.single_flight import SingleFlight
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from shared.records.absence import Absences
from shared.records.coverage import Coverages
from shared.records.ordering import copy_of
from shared.records.refresh import Refresh
from shared.records.storable import META, join
from shared.records.store import Records
from shared.records.zones import Zones
from simulator import Config, Simulator


class Token:
    """One that the simulator gave; it gives another when that has expired."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._value = self._issued()

    def _issued(self) -> str:
        return str(self._simulator.issue_token()["access_token"])

    def current(self) -> str:
        return self._value

    def rejected(self, access_token: str) -> str:
        self._value = self._issued()
        return self._value


@dataclass
class Allowance:
    """So many requests, and then none before a time."""

    left: int = 10**9
    until: datetime = datetime(2099, 1, 1, tzinfo=timezone.utc)

    def acquire(self, lane: Lane) -> None:
        if self.left <= 0:
            raise QuotaExhausted(self.until)
        self.left -= 1

    def throttled(self, until: datetime) -> None:
        self.left, self.until = 0, until


@dataclass
class SlowAllowance:
    """Each request is granted after so many seconds. sleep: lets them pass."""

    sleep: Callable[[float], None]
    seconds: float

    def acquire(self, lane: Lane) -> None:
        self.sleep(self.seconds)

    def throttled(self, until: datetime) -> None: ...


@dataclass
class Clinic:
    simulator: Simulator
    documents: Documents
    allowance: Any = field(default_factory=Allowance)
    scopes: str = ""

    def __post_init__(self) -> None:
        self.drchrono = DrChrono(
            url=self.simulator.url,
            tokens=Token(self.simulator),
            limiter=self.allowance,
            now=self.now,
            sleep=self.sleep,
            random=random.Random(1).random,
        )
        self.records = Records(self.documents, self.now)
        self.queue = WorkQueue(self.documents, self.now)
        self.absences = Absences(self.documents, self.records, self.queue, self.now)
        self.positions = Checkpoints(self.documents)
        self.coverage = Coverages(
            self.documents,
            current_user=self.drchrono.in_lane(Lane.BACKGROUND).current_user,
            scopes=lambda: self.scopes,
            now=self.now,
        )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.clock.now(), timezone.utc)

    def sleep(self, seconds: float) -> None:
        self.simulator.clock.advance(seconds)

    def later(self, **delta: float) -> datetime:
        self.simulator.clock.advance(timedelta(**delta).total_seconds())
        return self.now()

    def refresh(self, lane: Lane = Lane.LIVE) -> Refresh:
        return Refresh(
            api=self.drchrono.in_lane(lane),
            records=self.records,
            queue=self.queue,
            absences=self.absences,
            now=self.now,
        )

    def store(self) -> Store:
        return Store(
            refresh=self.refresh(),
            records=self.records,
            queue=self.queue,
            single_flight=SingleFlight(),
            now=self.now,
            sleep=self.sleep,
            random=lambda: 0.5,
        )

    def parts(self) -> Parts:
        return Parts(
            lists=self.drchrono.in_lane(Lane.BACKGROUND),
            events=self.refresh(),
            children=self.refresh(Lane.BACKGROUND),
            records=self.records,
            queue=self.queue,
            absences=self.absences,
            checkpoints=self.positions,
            leases=Leases(self.documents, self.now, lambda: f"{random.random()}"),
            seen=Seen(self.documents),
            zones=Zones(self.documents),
            coverage=self.coverage,
            now=self.now,
            random=lambda: 0.5,
            overlap=True,
        )

    def run(self, job: Callable[[Run], object], seconds: float = 3600) -> Run:
        run = Run(self.parts(), deadline=self.now() + timedelta(seconds=seconds))
        job(run)
        return run

    def settle(self) -> None:
        """Let so much time pass that no answer can be older than what has happened so far, and work off the queue."""
        self.later(seconds=(LONGEST_LAG + 2 * CLOCK_SKEW).total_seconds())
        self.run(sync)
        self.later(seconds=(LONGEST_LAG + 2 * CLOCK_SKEW).total_seconds())
        self.run(sync)

    def stored(self, kind: str) -> dict[str, dict[str, Any]]:
        """The living records of a kind, as DrChrono sent them."""
        return {
            id_of_document(name): join(data)
            for name, data in self.documents.query(kind)
            if copy_of(data) is not None and not data[META]["deleted"]
        }

    def differences(self) -> list[str]:
        """What of the copy is not the truth: `kind:id`, sorted."""
        return sorted(
            f"{kind.name}:{key}"
            for kind in KINDS.values()
            for key in _unequal(self.simulator.truth(kind.name), self.stored(kind.name))
        )

    def requests(self) -> int:
        return int(self.simulator.stats()["requests"])


def simulator(**settings: Any) -> Simulator:
    return Simulator(Config(**{"clock": "virtual", "patients": 12, "seed": 7, **settings}))


def _unequal(truth: dict[str, Any], copy: dict[str, Any]) -> set[str]:
    return {key for key in truth.keys() | copy.keys() if unsigned(truth.get(key)) != unsigned(copy.get(key))}


def unsigned(value: Any) -> Any:
    """Without the simulator's signatures, which it makes anew for every read and leaves out of its truth."""
    if isinstance(value, str):
        return re.sub(r"\?Signature=[^&]*&AWSAccessKeyId=SIMULATED&Expires=\d+$", "", value)
    if isinstance(value, dict):
        return {name: unsigned(item) for name, item in value.items()}
    return [unsigned(item) for item in value] if isinstance(value, list) else value
