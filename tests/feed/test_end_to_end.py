"""From what happens at the practice to what subscribers are told, in both forms of DrChrono."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill, reconcile
from tests.clinic import simulator
from tests.feed.clinic import TellingClinic
from tests.feed.harness import Broker

Practice = TellingClinic[Broker]


@pytest.fixture(params=["guide", "live"])
def practice(request: pytest.FixtureRequest, embedded: Documents) -> Iterator[Practice]:
    with simulator(form=request.param, patients=4, appointments=8, notes=2, children=1) as running:
        practice = Practice(running, embedded, broker=Broker())
        with practice.receiving():
            yield practice


def look_at_all(practice: Practice) -> None:
    """A complete pass, and the later looks at what it did not show."""
    reconcile.start(practice.parts(), backfill.KIND_NAMES)
    for _ in range(4):
        practice.later(minutes=30)
        practice.finish()


def told_of(practice: Practice, key: str) -> list[tuple[int, str]]:
    """Version and operation of each message about this record."""
    return [(one["version"], one["operation"]) for one in practice.broker.told if one.get("id") == key]


def test_a_first_filling_webhooks_a_deletion_and_a_return_are_told(practice: Practice) -> None:
    simulated = practice.simulator
    backfill.start(practice.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
    practice.finish()
    practice.finish()
    assert Counter(one["operation"] for one in practice.broker.told) == {"filled": len(KINDS)}
    assert {one["kind"]: one["count"] for one in practice.broker.told} == {
        kind: len(simulated.truth(kind)) for kind in KINDS
    }

    # A webhook: received, stored and published.
    new = str(simulated.create("patients")["id"])
    practice.store_events()
    practice.later(minutes=1)
    simulated.change("patients", new, {"nick_name": "Al"})
    practice.store_events()
    assert told_of(practice, new) == [(1, "created"), (2, "changed")]
    changed = practice.broker.told[-1]
    assert (changed["source"], changed["event"]) == ("webhook", "PATIENT_MODIFY")
    assert set(changed["fields"]) == {"nick_name", "updated_at"}
    assert changed["received_at"] <= changed["stored_at"]

    # A deletion: the live form has an event for it, and a pass over the kind finds it in the guide's.
    gone = str(simulated.delete("appointments")["id"])
    practice.store_events()
    look_at_all(practice)
    assert told_of(practice, gone)[-1] == (2, "deleted")

    # A return: the records of one patient were out of sight for a while.
    patient, hidden = hidden_appointments(practice)
    simulated.visibility.set([{"kind": "appointments", "patient": patient, "single": "404"}])
    look_at_all(practice)
    deleted = {key: told_of(practice, key)[-1] for key in hidden}
    assert {operation for _, operation in deleted.values()} == {"deleted"}
    simulated.visibility.set([])
    look_at_all(practice)
    for key, (version, _) in deleted.items():
        assert told_of(practice, key)[-1] == (version + 1, "returned")

    assert practice.differences() == []
    assert practice.waiting.lag().records == 0
    for path, versions in practice.broker.versions().items():
        assert versions == list(range(versions[0], versions[0] + len(versions))), path


def hidden_appointments(practice: Practice) -> tuple[str, list[str]]:
    """The patient with the fewest appointments, and their ids."""
    by_patient: dict[str, list[str]] = {}
    for key, record in practice.simulator.truth("appointments").items():
        if record["patient"] is not None:
            by_patient.setdefault(str(record["patient"]), []).append(key)
    patient = min(by_patient, key=lambda one: (len(by_patient[one]), one))
    return patient, by_patient[patient]
