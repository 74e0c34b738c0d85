"""For any single thing that fails for ever: everything else reaches the truth, the failure is shown, and it ends with
its cause.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from functions.store_record import handle
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.webhooks.events import Change
from simulator import Simulator
from tests.clinic import Clinic, simulator
from tests.functions.test_store_record import push
from tests.jobs.test_isolation import problem, runs
from tests.jobs.test_sync import filled
from workstation.embedded_documents import EmbeddedDocuments

CHILDREN = ("medications", "problems", "allergies")
EVENTS = {
    "patients": "PATIENT_MODIFY",
    "appointments": "APPOINTMENT_MODIFY",
    "clinical_notes": "CLINICAL_NOTE_LOCK",
    "medications": "PATIENT_MEDICATION_MODIFY",
    "problems": "PATIENT_PROBLEM_MODIFY",
    "allergies": "PATIENT_ALLERGY_MODIFY",
}
FAULTS: list[dict[str, Any]] = [
    {"fault": "500"},
    {"fault": "401"},
    {"fault": "403"},
    {"fault": "html"},
    {"fault": "garbage"},
    {"fault": "reset"},
    {"fault": "malformed"},
    {"fault": "answer", "status": 404, "body": {"detail": "Not found."}},
    {"fault": "answer", "status": 200, "body": {"results": [{"id": None}], "next": None}},
]


@dataclass(frozen=True)
class Broken:
    """What fails. kind: of which kind. read: None for all reads. one: only those that concern one record."""

    kind: str
    read: str | None
    one: bool
    fault: dict[str, Any]


broken_things = st.builds(
    Broken,
    kind=st.sampled_from(list(KINDS)),
    read=st.sampled_from(["single", "list", "bulk", None]),
    one=st.booleans(),
    fault=st.sampled_from(FAULTS),
)
_deliveries = count()


@dataclass
class Day:
    """What happens in the practice; every change is announced."""

    clinic: Clinic
    simulator: Simulator
    touched: dict[str, list[str]] = field(default_factory=dict)

    def changes(self) -> None:
        for kind, event in EVENTS.items():
            keys = sorted(self.simulator.truth(kind))
            self.touched[kind] = [keys[0], keys[-1]]
            for key in self.touched[kind]:
                self.simulator.change(kind, key, webhook=False)
                self.announce(event, kind, key)
        for kind, event in (("patients", "PATIENT_CREATE"), ("appointments", "APPOINTMENT_CREATE")):
            self.announce(event, kind, str(self.simulator.create(kind, webhook=False)["id"]))
        gone = sorted(self.simulator.truth("appointments"))[1]
        self.simulator.delete("appointments", gone, webhook=False)
        self.announce("APPOINTMENT_DELETE", "appointments", gone)

    def announce(self, event: str, kind: str, key: str) -> None:
        change = Change(event, kind, key, f"delivery-{next(_deliveries)}", self.clinic.later(seconds=2), None)
        handle(push(change), self.clinic.store())


def is_concerned(broken: Broken, day: Day, different: str) -> bool:
    """Whether this may differ: the one record, or all of a kind of which no single record can be read."""
    kind, key = different.split(":")
    if kind != broken.kind:
        return False
    return key == day.touched[kind][0] if broken.one else broken.read in (None, "single")


def shown(clinic: Clinic, kind: str) -> bool:
    return any(problem(clinic, kind, job) for job in ("sync", "backfill", "reconcile")) or clinic.queue.waiting() > 0


@pytest.mark.parametrize("form", ["guide", "live"])
@settings(max_examples=12, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(broken=broken_things)
@example(broken=Broken("patients", "single", False, FAULTS[0]))
@example(broken=Broken("medications", "list", False, FAULTS[2]))
@example(broken=Broken("appointments", None, False, FAULTS[1]))
@example(broken=Broken("allergies", "list", True, FAULTS[6]))
def test_whatever_fails_for_ever_everything_else_reaches_the_truth(
    form: str, broken: Broken, tmp_path_factory: pytest.TempPathFactory
) -> None:
    a_thing_fails(form, broken, EmbeddedDocuments(tmp_path_factory.mktemp("store") / "store.sqlite3"))


@pytest.mark.emulator
@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize(
    "broken",
    [Broken("patients", "single", True, FAULTS[1]), Broken("appointments", None, False, FAULTS[0])],
    ids=["one record", "a kind"],
)
def test_whatever_fails_for_ever_in_firestore_everything_else_reaches_the_truth(
    form: str, broken: Broken, firestore_documents: Documents
) -> None:
    a_thing_fails(form, broken, firestore_documents)


def a_thing_fails(form: str, broken: Broken, documents: Documents) -> None:
    with simulator(form=form, patients=8) as running:
        clinic = filled(Clinic(running, documents))
        clinic.later(minutes=70)
        day = Day(clinic, running)
        match: dict[str, Any] = {"kind": broken.kind}
        if broken.read:
            match["read"] = broken.read
        if broken.one:
            match["id"] = sorted(running.truth(broken.kind))[0]
        running.faults.set([{"match": match, **broken.fault}], replace=True)
        day.changes()
        runs(clinic, hours=2)
        assert [one for one in clinic.differences() if not is_concerned(broken, day, one)] == []
        # A 404 to the single reads is how a deleted record looks.
        if clinic.differences() and broken.fault.get("status") != 404:
            assert shown(clinic, broken.kind)
        running.faults.set([], replace=True)
        clinic.later(hours=25)
        runs(clinic, hours=1)
        clinic.settle()
        assert clinic.differences() == []
        assert clinic.queue.waiting() == 0
