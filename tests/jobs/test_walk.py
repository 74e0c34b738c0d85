"""Each page is stored, then what it proves is done, then the place of the next page is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.records import Page
from shared.errors import BulkNotReady, ListRepeats
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.walk import walk_pages
from shared.queue.entries import Entry, Priority, Target
from shared.records.store import Source
from tests.clinic import Clinic, simulator

PATIENTS = KINDS["patients"]


@pytest.fixture
def clinic(embedded: Documents) -> Iterator[Clinic]:
    with simulator(patients=0) as running:
        yield Clinic(running, embedded)


def a_run(clinic: Clinic) -> Run:
    return Run(clinic.parts(), deadline=clinic.now() + timedelta(hours=1))


def wait(clinic: Clinic, *keys: str) -> None:
    seen = clinic.now() - timedelta(minutes=1)
    due = clinic.now() + timedelta(hours=1)
    clinic.queue.enqueue(Entry(Target("patients", key), "quota", Priority.EVENT, seen, seen, due) for key in keys)


def test_a_page_completes_what_it_shows_but_not_what_failed_or_must_be_fetched_again(clinic: Clinic) -> None:
    now = clinic.now()
    clinic.records.store(PATIENTS, "3", {"id": 3, "name": "before"}, now - timedelta(seconds=5), Source("webhook"))
    wait(clinic, "1", "2", "3", "5")
    records: list[dict[str, Any]] = [{"id": 1}, {"id": 2, "text": "x" * 2**20}, {"id": 3, "name": "after"}, {"id": 4}]
    run, saved = a_run(clinic), list[Mapping[str, Any] | None]()
    pages = iter([Page(records, now, None, None, last=True)])
    [(_, result)] = walk_pages(run, PATIENTS, Source("sync"), pages, save=saved.append)
    assert (set(result.failed), result.doubtful) == ({"2"}, ("3",))
    assert clinic.queue.keys_of("patients") == {"2", "3", "5"}
    assert (run.counts["pages"], run.counts["seen"], run.counts["completed"]) == (1, 4, 1)
    assert saved == [None]


@pytest.mark.parametrize(
    ("error", "saved"),
    [
        (BulkNotReady("GET /api/patients_list", {"uuid": "u"}), [{"page": 2}, {"uuid": "u"}]),
        (ListRepeats("GET /api/patients"), [{"page": 2}, {}]),
    ],
)
def test_a_list_that_ends_early_is_gone_on_with_where_its_error_says(
    clinic: Clinic, error: Exception, saved: list[dict[str, Any]]
) -> None:
    def pages() -> Iterator[Page]:
        yield Page([{"id": 1}], clinic.now(), {"page": 2}, None, last=False)
        raise error

    places = list[Mapping[str, Any] | None]()
    with pytest.raises(type(error)):
        list(walk_pages(a_run(clinic), PATIENTS, Source("sync"), pages(), save=places.append))
    assert places == saved
    assert "1" in clinic.stored("patients")


def test_no_page_is_begun_after_the_deadline(clinic: Clinic) -> None:
    run = a_run(clinic)
    run.deadline = clinic.now()
    pages = iter([Page([{"id": 1}], clinic.now(), None, None, last=True)])
    with pytest.raises(Stopped, match="deadline"):
        next(walk_pages(run, PATIENTS, Source("sync"), pages, save=lambda resume: None))
    assert clinic.stored("patients") == {}
