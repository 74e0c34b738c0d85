"""A schedule of the feed with `examples/bigquery` as its subscriber: loaders that die as well, two of them at once.

`PYTHONPATH=reader python -m tests.feed.model.warehouse --schedules 1000 --seed 1`: the long run.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.api_core.exceptions import DeadlineExceeded

from drchrono_reader import Copy, EmbeddedFile
from examples.bigquery.loader import DuckDB, Loader, Row
from shared.feed.entries import Message
from tests.feed.model.schedule import MINUTE, Instance, Schedule
from tests.mortal import Killed
from tests.schedules import emptied, run_many

LOADERS = 25
DEATHS = 0.05  # of a loader, before each of its operations
ACKNOWLEDGE_SECONDS = 10.0


@dataclass
class Delivery:
    """until: the subscriber has it until then."""

    message: Message
    number: int
    until: float = 0.0

    @property
    def received(self) -> Any:
        return SimpleNamespace(ack_id=f"{self.number}@{self.until}", message=self.message)


class Subscription:
    """In order for each key: while one of its messages is out, none of those behind it is delivered."""

    def __init__(self, schedule: LoadedSchedule) -> None:
        self._schedule = schedule
        self.left: list[Delivery] = []
        self._arrived = 0

    def take_in(self, message: Message) -> None:
        self._arrived += 1
        self.left.append(Delivery(message, self._arrived))

    def pull(self, request: Any, **_: Any) -> Any:
        self._schedule.step()
        now = self._schedule.scheduler.now
        held = {one.message.ordering_key for one in self.left if one.until > now}
        free = [one for one in self.left if one.message.ordering_key not in held][: request["max_messages"]]
        if not free:
            raise DeadlineExceeded("nothing came")  # type: ignore[no-untyped-call]
        for one in free:
            one.until = now + ACKNOWLEDGE_SECONDS
        pulled = SimpleNamespace(received_messages=[one.received for one in free])
        self._schedule.step()
        return pulled

    def modify_ack_deadline(self, request: Any) -> None:
        self._schedule.step()

    def acknowledge(self, *, subscription: str, ack_ids: Sequence[str]) -> None:
        self._schedule.step()
        self.left = [one for one in self.left if one.received.ack_id not in ack_ids]
        self._schedule.step()


class SteppingFile(EmbeddedFile):
    """Each read takes time, in which others run, and its caller may die."""

    def __init__(self, file: Path, schedule: LoadedSchedule) -> None:
        super().__init__(file)
        self._schedule = schedule

    def get(self, *arguments: Any, **named: Any) -> Any:
        self._schedule.step()
        return super().get(*arguments, **named)

    def select(self, *arguments: Any, **named: Any) -> Any:
        self._schedule.step()
        return super().select(*arguments, **named)


class SteppingDuckDB(DuckDB):
    """The same of each write."""

    def __init__(self, schedule: LoadedSchedule) -> None:
        super().__init__(":memory:")
        self._schedule = schedule

    def add(self, rows: Sequence[Row]) -> None:
        self._schedule.step()
        super().add(rows)
        self._schedule.step()


@dataclass
class LoadedSchedule(Schedule):
    """file: of `documents`. deaths: of loaders."""

    file: Path = Path()
    deaths: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.dice = random.Random(f"{self.seed} loaders")
        self.subscription = Subscription(self)
        self.warehouse = SteppingDuckDB(self)
        self.copy = Copy(SteppingFile(self.file, self))

    def step(self) -> None:
        """Of a loader."""
        self.scheduler.wait(self.dice.uniform(0.001, 0.2))
        if self.faulty and self.dice.random() < DEATHS:
            self.deaths += 1
            raise Killed

    def load(self, instance: Instance | None = None) -> int:
        """The work of one loader, until nothing comes."""
        subscriber: Any = self.subscription
        loader = Loader(self.copy, self.warehouse, subscriber, "warehouse")
        total = 0
        while loaded := loader.work():
            total += loaded
        return total

    def arrived(self, message: Message) -> None:
        self.subscription.take_in(message)

    def started(self) -> None:
        for _ in range(LOADERS):
            self.start("loader", self.load, self.dice.uniform(0, self.plan.seconds + 3 * MINUTE))

    def filling_ends(self) -> bool:
        """As in the system: only when all of it is stored."""
        return not self.faulty

    def _settle(self) -> None:
        super()._settle()
        self.scheduler.wait(ACKNOWLEDGE_SECONDS)
        self.load()

    def _compare(self) -> None:
        super()._compare()
        found = self.warehouse.database.execute("SELECT * FROM records").fetchall()
        rows = {(kind, key): (version, deleted, json.loads(text)) for kind, key, version, deleted, text in found}
        held = {
            (record.kind, record.id): (record.version, record.deleted, dict(record))
            for record in self.copy.patients.with_deleted()
        }
        if len(rows) != len(found):
            self.wrong.append("a record has two rows")
        for name in sorted(rows.keys() | held.keys()):
            if rows.get(name) != held.get(name):
                self.wrong.append(f"the row of {name} is {rows.get(name)}, and the copy has {held.get(name)}")


def run_one(seed: int, file: Path, *, tracing: bool = False) -> LoadedSchedule:
    schedule = LoadedSchedule(seed, emptied(file), tracing=tracing, file=file)
    schedule.run()
    return schedule


def counts(schedule: LoadedSchedule) -> dict[str, int]:
    return {
        "changes": sum(schedule.stored.values()),
        "messages": len(schedule.broker.messages),
        "deaths of loaders": schedule.deaths,
    }


if __name__ == "__main__":
    sys.exit(run_many("tests.feed.model.warehouse", run_one, counts))
