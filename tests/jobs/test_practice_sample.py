"""A first pass over the lists of the practice is compared with the lists of a few patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.errors import Forbidden
from shared.jobs.practice_sample import SAMPLE, differs
from shared.jobs.run import Run
from shared.queue.entries import Target
from shared.records.outcome import Known
from shared.records.store import Source
from tests.clinic import Clinic, simulator

MEDICATIONS = KINDS["medications"]


class Lists:
    """The lists of single patients. new: the patients whose list shows a record that the copy lacks."""

    def __init__(self, clinic: Clinic, patients: int) -> None:
        self.clinic = clinic
        self.new: set[str] = set()
        self.asked: list[str] = []
        self.store("patients", *({"id": f"{number:03}"} for number in range(patients)))
        self.store("medications", {"id": 1, "patient": "000"})

    def store(self, kind: str, *records: dict[str, Any]) -> None:
        self.clinic.records.pages.store(KINDS[kind], records, self.clinic.now(), Source("backfill"))

    def run(self, target: Target, known: Known, source: Source) -> None:
        assert (target.kind, target.by) == ("medications", "patient")
        self.asked.append(target.id)
        if target.id in self.new:
            self.store("medications", {"id": f"of {target.id}", "patient": target.id})
        if len(self.asked) == 1:
            raise Forbidden("GET /api/medications", status=403)

    def differ(self) -> bool:
        parts = replace(self.clinic.parts(), children=cast(Any, self))
        return differs(Run(parts, deadline=self.clinic.now() + timedelta(hours=1)), MEDICATIONS)


@pytest.fixture
def clinic(embedded: Documents) -> Iterator[Clinic]:
    with simulator(patients=0) as running:
        yield Clinic(running, embedded)


@pytest.mark.parametrize(("new", "differ"), [(set(), False), ({"004"}, False), ({"004", "008"}, True)])
def test_one_patient_may_have_a_new_record_since_and_two_mean_that_the_pass_missed_some(
    clinic: Clinic, new: set[str], differ: bool
) -> None:
    lists = Lists(clinic, 11)
    lists.new = new
    assert lists.differ() is differ
    # Taken from all of the patients, and a list that cannot be fetched is no evidence.
    assert lists.asked == ["000", "002", "004", "006", "008"]


@pytest.mark.parametrize("patients", [0, 1, SAMPLE - 1])
def test_fewer_patients_are_all_compared(clinic: Clinic, patients: int) -> None:
    lists = Lists(clinic, patients)
    assert not lists.differ()
    assert len(lists.asked) == patients
