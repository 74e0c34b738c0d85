"""The next page is fetched while one is stored, and nothing else about a walk changes by that."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.errors import QuotaExhausted, ServerError, StoreUnavailable
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.walk import walk
from shared.records.prepared import Workbench
from shared.records.store import Source
from tests.clinic import Clinic, simulator

PATIENTS = KINDS["patients"]
SECONDS = 20  # a test that waits longer has failed


@dataclass
class Lists:
    """A list of pages of one patient each; at `fails` it fails. gates: what the fetch of a page waits for."""

    clinic: Clinic
    pages: int
    fails: dict[int, Exception] = field(default_factory=dict)
    gates: dict[int, threading.Event] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def list_changed(
        self, kind: Kind, *, since: str | None, resume: Mapping[str, Any] | None = None, **_: object
    ) -> Iterator[Page]:
        for number in range((resume or {"page": 1})["page"], self.pages + 1):
            self.asked.append(number)
            if number in self.gates:
                assert self.gates[number].wait(SECONDS)
            if number in self.fails:
                raise self.fails[number]
            following = {"page": number + 1} if number < self.pages else None
            record = {"id": number, "updated_at": "2026-01-01T00:00:00"}
            yield Page([record], self.clinic.now(), following, self.pages, last=following is None)

    def list_practice(
        self, kind: Kind, *, doctor: str | None = None, page_size: int, resume: Mapping[str, Any] | None = None
    ) -> Iterator[Page]:
        return self.list_changed(kind, since=None, resume=resume)


@pytest.fixture
def clinic(embedded: Documents) -> Iterator[Clinic]:
    with simulator() as running:
        yield Clinic(running, embedded)


@dataclass
class Walk:
    run: Run
    lists: Lists
    saved: list[object] = field(default_factory=list)

    def __call__(self, **options: Any) -> None:
        for _ in walk(self.run, PATIENTS, Source("backfill"), since=None, save=self.saved.append, **options):
            pass


def started(clinic: Clinic, pages: int, **options: Any) -> Walk:
    lists = Lists(clinic, pages, **options)
    parts = replace(clinic.parts(), lists=lists)
    return Walk(Run(parts, deadline=clinic.now() + timedelta(hours=1)), lists)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("next-page")]


def test_the_next_page_is_fetched_while_one_is_stored_and_no_third_one(clinic: Clinic) -> None:
    fetching = {number: threading.Event() for number in (2, 3, 4)}
    walking = started(clinic, 4, gates=fetching)

    def before_store(page: Page, bench: Workbench) -> None:
        # The fetch of the next page ends only now, with this one not stored yet; and none after that has begun.
        number = int(page.records[0]["id"])
        assert number + 2 not in walking.lists.asked
        if number < 4:
            fetching[number + 1].set()

    walking(before_store=before_store)
    assert walking.lists.asked == [1, 2, 3, 4]
    assert walking.saved == [{"page": 2}, {"page": 3}, {"page": 4}, None]
    assert sorted(clinic.stored("patients")) == ["1", "2", "3", "4"]
    assert threads() == []


@pytest.mark.parametrize(
    ("error", "raised"),
    [(ServerError("GET /api/patients_list", status=500), ServerError), (QuotaExhausted, Stopped)],
)
def test_what_goes_wrong_with_the_next_page_is_told_after_this_one_is_stored_and_saved(
    clinic: Clinic, error: Any, raised: type[Exception]
) -> None:
    walking = started(clinic, 3, fails={2: error(clinic.now()) if isinstance(error, type) else error})
    with pytest.raises(raised):
        walking()
    assert walking.saved == [{"page": 2}]
    assert list(clinic.stored("patients")) == ["1"]
    assert threads() == []


def test_a_page_that_cannot_be_stored_is_not_saved_though_the_next_one_is_there(clinic: Clinic) -> None:
    walking = started(clinic, 3)

    def away(page: Page, bench: Workbench) -> None:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        walking(before_store=away)
    assert walking.saved == []
    assert clinic.stored("patients") == {}
    assert threads() == []


def test_no_page_is_begun_after_the_deadline_and_the_one_that_was_begun_is_stored(clinic: Clinic) -> None:
    walking = started(clinic, 5)

    def before_store(page: Page, bench: Workbench) -> None:
        if page.records[0]["id"] == 2:
            clinic.later(hours=2)

    with pytest.raises(Stopped, match="deadline"):
        walking(before_store=before_store)
    assert walking.lists.asked == [1, 2, 3]
    assert walking.saved == [{"page": 2}, {"page": 3}, {"page": 4}]
    assert sorted(clinic.stored("patients")) == ["1", "2", "3"]


def test_a_walk_that_is_left_leaves_no_thread(clinic: Clinic) -> None:
    gate = threading.Event()
    walking = started(clinic, 3, gates={2: gate})
    steps = walk(walking.run, PATIENTS, Source("backfill"), since=None, save=walking.saved.append)
    next(steps)
    gate.set()
    steps.close()  # type: ignore[attr-defined]
    assert threads() == []
    assert walking.saved == []
