"""A simulated DrChrono, the copy and the outbox, on one clock: what the flow tests work with."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs.run import Parts
from shared.jobs.sync import send_writes
from shared.outbox import guards
from shared.outbox.attempt import Sent
from shared.outbox.chains import Chain, Each
from shared.outbox.entries import COLLECTION, Entry
from shared.outbox.queries import Due
from shared.outbox.storage import Outbox
from shared.outbox.work import Work, assembled
from shared.rate_limit.ledger import Lane
from shared.records.store import Source
from tests.clinic import Clinic, simulator


def in_order(work: Chain, todo: Sequence[Sequence[Due]]) -> list[Counter[str]]:
    """One chain after the other, for what must come out the same each time."""
    return [work(chain) for chain in todo]


class Harness(Clinic):
    """A program's side (`add`) and this system's (`send`, `pass_over`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fences = itertools.count()
        self.outbox = Outbox(self.documents, self.now)
        self.work = self.new_work()
        self._numbers = itertools.count(1)
        self.doctor = int(self.simulator.clinic.doctors[0]["id"])
        self.office = int(self.simulator.clinic.offices[0]["id"])

    def new_work(self, documents: Documents | None = None, each: Each = in_order) -> Work:
        return assembled(
            entries=documents or self.documents,
            copy=self.documents,
            apis={lane: self.drchrono.in_lane(lane) for lane in Lane},
            records=self.records,
            queue=self.queue,
            now=self.now,
            sleep=self.sleep,
            random=lambda: 0.5,
            new_fence=lambda: f"fence-{next(self._fences)}",
            each=each,
        )

    def parts(self) -> Parts:
        return replace(super().parts(), outbox=self.work)

    def add(self, key: str = "", **given: Any) -> str:
        """As a program does, with the document alone."""
        key = key or f"entry-{next(self._numbers)}"
        document = {"action": "create", "requested_by": "booking", "requested_at": self.now(), **given}
        self.documents.transact(lambda transaction: transaction.set(f"{COLLECTION}/{key}", document))
        return key

    def new_patient(self, key: str = "", *, options: dict[str, Any] | None = None, **fields: Any) -> str:
        fields = {"gender": "Female", "doctor": self.doctor, "first_name": "Nina", "last_name": "Berg", **fields}
        return self.add(key, kind="patients", fields=fields, **(options or {}))

    def new_visit(self, key: str = "", *, options: dict[str, Any] | None = None, **fields: Any) -> str:
        patient = int(next(iter(self.simulator.truth("patients"))))
        fields = {
            "doctor": self.doctor,
            "office": self.office,
            "exam_room": 1,
            "patient": patient,
            "scheduled_time": "2027-05-03T09:00:00",
            "duration": 30,
            **fields,
        }
        return self.add(key, kind="appointments", fields=fields, **(options or {}))

    def change_patient(self, patient: str, *, options: dict[str, Any] | None = None, **fields: Any) -> str:
        return self.add(kind="patients", action="update", id=patient, fields=fields, **(options or {}))

    def send(self, key: str) -> Sent:
        return self.work.send(key)

    def pass_over(self, **later: float) -> None:
        """What the sync does with the outbox, after so long."""
        self.later(**later)
        self.run(lambda run: send_writes(run, 200))

    def resolve(self) -> None:
        """Passes until every search must have shown whatever there is."""
        for _ in range(4):
            self.pass_over(minutes=5)

    def entry(self, key: str) -> Entry:
        found = self.outbox.entries.get(key)
        assert found is not None, self.documents.get(f"{COLLECTION}/{key}")
        return found

    def document(self, key: str) -> dict[str, Any]:
        return self.documents.get(f"{COLLECTION}/{key}") or {}

    def overwrite(self, key: str, **fields: Any) -> None:
        """Change fields of an entry's document past all rules."""
        self.documents.transact(lambda transaction: transaction.update(f"{COLLECTION}/{key}", fields))

    def guard(self, key: str) -> str:
        """The path of the guard of the entry's target."""
        return f"{guards.COLLECTION}/{self.document(key)['target']}"

    def put(self, path: str, **data: Any) -> None:
        self.documents.transact(lambda transaction: transaction.set(path, data))

    def named(self, last_name: str) -> list[dict[str, Any]]:
        return [one for one in self.simulator.truth("patients").values() if one["last_name"] == last_name]

    def visits_at(self, time: str) -> list[dict[str, Any]]:
        return [one for one in self.simulator.truth("appointments").values() if one["scheduled_time"] == time]

    def fault(self, fault: str, **rule: Any) -> None:
        self.simulator.faults.set([{"fault": fault, "times": 1, **rule}], replace=False)

    def copied(self, kind: str, key: str) -> dict[str, Any] | None:
        return self.stored(kind).get(key)

    def existing_patient(self) -> str:
        """One of `doctor`, which the copy has, too."""
        key = next(iter(self.simulator.truth("patients")))
        self.simulator.change("patients", key, {"doctor": self.doctor})
        fetched = self.drchrono.get(KINDS["patients"], key)
        self.records.store(KINDS["patients"], key, fetched.record, fetched.began, Source("sync"))
        return key


@contextmanager
def harness(documents: Documents, **settings: Any) -> Iterator[Harness]:
    with simulator(**settings) as simulated:
        yield Harness(simulated, documents)
