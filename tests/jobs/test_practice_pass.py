"""One pass over the lists of the practice, or of its doctors: each is read once, and what none showed is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.lag import listed_until
from shared.drchrono.records import Page
from shared.errors import DeletionsHeld, Forbidden
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.practice_pass import CHUNK_PATIENTS, read_pass
from shared.jobs.run import Run
from shared.queue.entries import Entry, Priority, Target
from shared.records.store import Source
from tests.clinic import Clinic, simulator

PROBLEMS = KINDS["problems"]
MINUTE = timedelta(minutes=1)


class Pass:
    """Passes over lists that are given in the order in which they are asked for: pages of ids."""

    def __init__(self, clinic: Clinic, **checkpoint: Any) -> None:
        self.clinic = clinic
        self.asked: list[tuple[str | None, int, object]] = []
        self.checkpoint(**checkpoint)

    def checkpoint(self, **changed: Any) -> None:
        self.clinic.positions.change("problems", lambda old: replace(old, **changed))

    def store(self, kind: str, *records: dict[str, Any]) -> None:
        self.clinic.records.pages.store(KINDS[kind], records, self.clinic.now(), Source("sync"))

    def read(self, *lists: tuple[str, ...] | Exception) -> Checkpoint:
        self.lists = list(lists)
        parts = replace(self.clinic.parts(), lists=self, overlap=False)
        read_pass(Run(parts, deadline=self.clinic.now() + timedelta(hours=1)), PROBLEMS)
        assert self.lists == []
        return self.clinic.positions.get("problems")

    def list_practice(
        self, kind: Kind, *, doctor: str | None = None, page_size: int, resume: Mapping[str, Any] | None = None
    ) -> Iterator[Page]:
        self.asked.append((doctor, page_size, resume))
        pages = self.lists.pop(0)  # an IndexError if it is asked too often
        if isinstance(pages, Exception):
            raise pages
        for number, keys in enumerate(pages, 1):
            at = {"page": number} if number < len(pages) else None
            yield Page([{"id": key, "doctor": doctor} for key in keys], self.clinic.now(), at, None, last=at is None)

    def list_changed(self, kind: Kind, **_: Any) -> Iterator[Page]:
        raise AssertionError(kind.name)


@pytest.fixture
def clinic(embedded: Documents) -> Iterator[Clinic]:
    with simulator(patients=0) as running:
        yield Clinic(running, embedded)


def test_a_list_of_one_page_proves_the_kind_and_two_passes_over_more_pages_do(clinic: Clinic) -> None:
    one, first = Pass(clinic), clinic.now()
    single = one.read(("abc",))
    assert (single.reconcile, single.reconciled_at, single.complete_at) == (None, first, listed_until(first))
    assert (single.filled_at, single.pass_requests) == (first, 1)
    assert one.asked == [(None, 250, None)]

    one.checkpoint(reconciled_at=None, complete_at=None)
    claims: list[datetime | None] = []
    began: list[datetime] = []
    for _ in range(3):
        clinic.later(days=1)
        began.append(clinic.now())
        claims.append(one.read(("ab", "c")).complete_at)
    assert claims == [None, listed_until(began[0]), listed_until(began[1])]
    assert clinic.positions.get("problems").pass_requests == 2


def test_the_lists_of_the_doctors_are_read_one_after_the_other_and_a_broken_one_is_gone_on_with(clinic: Clinic) -> None:
    by_doctor = Pass(clinic, strategy="doctor-125", filled_at=clinic.now())
    by_doctor.store("doctors", {"id": "1"}, {"id": "2"}, {"id": "3"})
    broken = by_doctor.read(("a", "b"), Forbidden("GET /api/problems", status=403))
    assert broken.reconcile is not None
    assert (broken.reconcile["lists"], broken.reconcile["all_lists"], broken.reconcile["requests"]) == (
        ["2", "3"],
        3,
        2,
    )
    assert broken.problems["reconcile"]["reason"] == "forbidden"
    whole = by_doctor.read(("c",), ("",))
    assert [doctor for doctor, *_ in by_doctor.asked] == ["1", "2", "2", "3"]
    assert {size for _, size, _ in by_doctor.asked} == {125}
    assert clinic.stored("problems").keys() == {"a", "b", "c"}
    assert (whole.reconcile, whole.pass_requests, whole.problems) == (None, 4, {})


def test_what_a_pass_does_not_show_is_looked_at_if_its_lists_cover_it(clinic: Clinic) -> None:
    one = Pass(clinic, filled_at=clinic.now())
    one.store(
        "problems", *({"id": key, "doctor": doctor} for key, doctor in (("a", 1), ("b", "1"), ("c", 2), ("d", None)))
    )
    one.store("doctors", {"id": "1"})
    clinic.later(minutes=1)
    one.checkpoint(strategy="doctor")
    one.read(("z",))
    assert clinic.queue.keys_of("problems") == {"a", "b"}
    one.checkpoint(strategy=None)
    clinic.later(minutes=1)
    one.read(("zab",))
    assert clinic.queue.keys_of("problems") == {"c", "d"}


def test_a_pass_that_shows_far_too_little_is_forgotten(clinic: Clinic) -> None:
    one = Pass(clinic, filled_at=clinic.now())
    one.store("problems", *({"id": key} for key in "abcdef"))
    clinic.later(minutes=1)
    with pytest.raises(DeletionsHeld):
        one.read(("a",))
    assert clinic.positions.get("problems").reconcile is None
    assert clinic.queue.waiting() == 0
    assert clinic.documents.get("sync_state/seen-problems-0") is None


@pytest.mark.parametrize("strategy", [None, "doctor"])
def test_the_lists_of_patients_that_waited_are_done_by_a_list_of_the_practice(
    clinic: Clinic, strategy: str | None
) -> None:
    one = Pass(clinic, filled_at=clinic.now(), strategy=strategy)
    one.store("doctors", {"id": "1"})
    now = clinic.now()
    clinic.queue.enqueue([Entry(Target("problems", "7", "patient"), "follows", Priority.CHILDREN, now, now, now)])
    clinic.later(minutes=1)
    one.read(("a",))
    # A list of a doctor may leave out what names no doctor.
    assert clinic.queue.count("problems", "patient") == (0 if strategy is None else 1)


@pytest.mark.parametrize("patients", [0, 1, CHUNK_PATIENTS, CHUNK_PATIENTS + 1])
def test_where_only_patients_have_lists_each_is_queued_once_after_the_backfill(clinic: Clinic, patients: int) -> None:
    one = Pass(clinic, strategy="patient")
    one.store("patients", *({"id": f"{number:04}"} for number in range(patients)))
    clinic.positions.change("patients", lambda old: replace(old, backfill={"windows": []}))
    assert one.read().filled_at is None
    assert clinic.queue.waiting() == 0
    clinic.positions.change("patients", lambda old: replace(old, backfill=None))
    assert one.read().filled_at == clinic.now()
    assert clinic.queue.count("problems", "patient") == patients
