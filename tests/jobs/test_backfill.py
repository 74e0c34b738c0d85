"""The backfill against the simulator: in each form, on both stores, and whatever ends a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from shared.documents import DocumentExists, Documents, Transaction
from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.jobs import backfill
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.jobs.watermark import EARLIEST
from shared.rate_limit.ledger import Lane
from simulator import Simulator
from tests.clinic import Allowance, Clinic, simulator
from tests.mortal import Killed, MortalDocuments
from workstation.embedded_documents import EmbeddedDocuments

T = TypeVar("T")

SINCE = date(2025, 1, 1)
FORMS = ["guide", "guide-uuid", "live"]


@pytest.fixture(params=FORMS)
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param) as running:
        yield running


@pytest.fixture
def clinic(running: Simulator, documents: Documents) -> Clinic:
    return Clinic(running, documents)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pages of patients where there would be one, and a few of appointments."""
    for name, size in (("patients", 5), ("appointments", 8)):
        monkeypatch.setitem(KINDS, name, replace(KINDS[name], page_size=size))


def start(clinic: Clinic, since: date = SINCE) -> None:
    backfill.start(clinic.parts(), backfill.KIND_NAMES, since)


def go_on_to_the_end(clinic: Clinic) -> None:
    for _ in range(200):
        try:
            clinic.run(backfill.go_on)
        except Stopped:
            clinic.later(minutes=5)
        else:
            return
    raise AssertionError("the backfill does not end")


class Watched(EmbeddedDocuments):
    """Counts the commits that were refused because a document existed."""

    refused = 0

    def transact(self, work: Callable[[Transaction], T]) -> T:
        try:
            return super().transact(work)
        except DocumentExists:
            self.refused += 1
            raise


@pytest.mark.parametrize("since", [SINCE, EARLIEST], ids=["lists of dates, then all", "a list that is read twice"])
@pytest.mark.usefixtures("small_pages")
def test_records_that_were_shown_before_are_not_written_in_vain(tmp_path: Path, since: date) -> None:
    with simulator(form="guide") as running:
        documents = Watched(tmp_path / "store.sqlite3")
        clinic = Clinic(running, documents)
        start(clinic, since)
        shown = clinic.run(backfill.go_on).counts["seen"]
        assert shown > sum(len(clinic.stored(kind)) for kind in backfill.KIND_NAMES)
        assert documents.refused == 0


def test_backfill_and_sync_make_the_copy_equal_to_the_truth(clinic: Clinic) -> None:
    start(clinic, date(2009, 1, 1))
    clinic.run(backfill.go_on)
    assert all(clinic.positions.get(kind).complete_at is None for kind in backfill.KIND_NAMES)
    clinic.later(minutes=1)
    clinic.run(sync)
    assert sum(len(clinic.stored(kind)) for kind in KINDS) > 100
    assert clinic.differences() == []
    assert clinic.queue.waiting() == 0
    assert all(clinic.positions.get(kind).complete_at is not None for kind in backfill.KIND_NAMES)


@pytest.mark.parametrize("fault", ["504", "garbage", "reset"])
@pytest.mark.parametrize("form", ["guide", "live"])
def test_where_the_list_of_everything_is_not_answered_the_lists_of_dates_are_read_before_it(
    form: str, fault: str, embedded: Documents
) -> None:
    with simulator(form=form) as running:
        clinic = Clinic(running, embedded)
        start(clinic, date(2009, 1, 1))
        assert clinic.positions.get("appointments").backfill["all_windows"] == 1  # type: ignore[index]
        running.faults.set([{"match": {"path": "/api/appointments_list?.*since="}, "fault": fault}], replace=True)
        for _ in range(3):
            clinic.run(backfill.go_on)
            clinic.later(hours=1)
        assert clinic.stored("appointments").keys() == running.truth("appointments").keys()
        assert clinic.positions.get("appointments").filled_at is None  # nothing shows that these are all
        running.faults.set([], replace=True)
        clinic.run(backfill.go_on)
        clinic.run(sync)
        assert clinic.positions.get("appointments").filled_at is not None
        assert clinic.differences() == []


def test_a_second_backfill_writes_nothing_that_has_not_changed(clinic: Clinic) -> None:
    start(clinic)
    first = clinic.run(backfill.go_on)
    start(clinic)
    second = clinic.run(backfill.go_on)
    assert second.counts["seen"] == first.counts["seen"] > 0
    assert second.counts["store"] == 0


def test_a_run_that_meets_its_deadline_stops_and_the_next_goes_on_after_the_last_page(
    clinic: Clinic, small_pages: None
) -> None:
    start(clinic)
    pages = 0
    for _ in range(100):
        run = OnePage(clinic.parts(), deadline=clinic.now())
        stopped = stop_of(run)
        pages += run.counts["pages"]
        if stopped is None:
            break
        assert stopped == "deadline"
    assert pages >= 6
    clinic.run(sync)
    assert clinic.differences() == []


class OnePage(Run):
    """A run whose deadline comes after its first page."""

    def check(self) -> None:
        if self.counts["pages"]:
            raise Stopped("deadline")


def stop_of(run: Run) -> str | None:
    try:
        backfill.go_on(run)
    except Stopped as stopped:
        return stopped.reason
    return None


def test_without_quota_it_stops_with_the_reason_and_goes_on_later(clinic: Clinic, small_pages: None) -> None:
    start(clinic)
    clinic.allowance.left = 3
    with pytest.raises(Stopped) as stopped:
        clinic.run(backfill.go_on)
    assert stopped.value.reason == "quota"
    clinic.allowance.left = 10**6
    go_on_to_the_end(clinic)
    clinic.run(sync)
    assert clinic.differences() == []


@pytest.mark.parametrize("form", ["guide", "live"])
def test_a_process_killed_at_any_store_operation_loses_nothing_and_repeats_no_more_than_its_page(
    form: str, documents: Documents, small_pages: None
) -> None:
    # On the emulator, which is slower, at every seventeenth operation: other ones than on SQLite.
    step = 3 if isinstance(documents, EmbeddedDocuments) else 17
    with simulator(form=form, patients=12, notes=4, children=0) as running:
        clinic = Clinic(running, documents)
        start(clinic)
        clinic.run(backfill.go_on)
        undisturbed = clinic.requests()
        deaths = 0
        for last in range(1, 10_000, step):
            start(clinic)
            before = clinic.requests()
            mortal = MortalDocuments(documents, last, after=bool(last % 2))
            try:
                Clinic(running, mortal).run(backfill.go_on)
            except Killed:
                deaths += 1
            else:
                break
            clinic.later(hours=2)  # its lease lapses, and with it, live, the list that it had asked for
            clinic.run(backfill.go_on)
            # One page more, and, live, its polls; a new instance also finds out anew how lists are answered.
            assert clinic.requests() - before <= math.ceil(undisturbed * 1.1) + 4
            assert clinic.positions.get("appointments").backfill is None
        clinic.run(sync)
        assert clinic.differences() == []
        assert deaths > (15 if step == 3 else 2)


def test_a_uuid_that_expired_between_two_runs_costs_one_page(embedded: Documents, small_pages: None) -> None:
    with simulator(form="live", patients=12) as running:
        clinic = Clinic(running, embedded)
        start(clinic)
        clinic.allowance.left = 4  # the second page's list is asked for, and not yet polled
        with pytest.raises(Stopped):
            clinic.run(backfill.go_on)
        clinic.later(hours=3)
        clinic.allowance.left = 10**6
        clinic.run(backfill.go_on)
        clinic.run(sync)
        assert clinic.differences() == []


def test_changes_during_the_backfill_are_in_the_copy_after_the_next_sync(clinic: Clinic, small_pages: None) -> None:
    start(clinic)
    for left in (2, 2, 3, 3, 4):
        clinic.allowance.left = left
        stop_of(Run(clinic.parts(), deadline=clinic.now() + timedelta(hours=1)))
        for kind in ("patients", "appointments", "clinical_notes", "problems"):
            clinic.simulator.change(kind, webhook=False)
        clinic.simulator.create("patients", webhook=False)
        clinic.later(minutes=1)
    clinic.allowance.left = 10**6
    go_on_to_the_end(clinic)
    clinic.run(sync)
    assert [key for key in clinic.differences() if not key.startswith("problems")] == []


def test_the_children_of_patients_are_read_by_passes_and_not_by_patient(clinic: Clinic) -> None:
    start(clinic)
    clinic.run(backfill.go_on)
    assert clinic.queue.waiting() == 0
    assert all(clinic.positions.get(kind).reconcile is not None for kind in KINDS["patients"].children)


def test_progress_is_readable_while_it_runs(clinic: Clinic, small_pages: None) -> None:
    start(clinic)
    clinic.allowance.left = {"guide": 2, "guide-uuid": 4, "live": 6}[clinic.simulator.config.form]
    with pytest.raises(Stopped):
        clinic.run(backfill.go_on)
    state = clinic.positions.get("patients").backfill
    assert state is not None
    assert 0 < state["done"] < len(clinic.simulator.truth("patients"))
    assert state["total"] in (None, len(clinic.simulator.truth("patients")))


@dataclass
class Pause(Allowance):
    """A machine that stands still at one of its requests, while something else happens."""

    requests: int = 1
    meanwhile: Callable[[], object] = lambda: None

    def acquire(self, lane: Lane) -> None:
        self.requests -= 1
        if not self.requests:
            self.meanwhile()


@pytest.mark.parametrize("requests", [3, 5, 7])
def test_a_run_that_was_paused_strikes_off_no_window_that_it_has_not_walked(requests: int, embedded: Documents) -> None:
    with simulator(form="guide", patients=20) as running:
        other = Clinic(running, embedded)
        start(other)

        def work_for_a_page() -> None:
            other.later(minutes=3)
            assert stop_of(OnePage(other.parts(), deadline=other.now())) == "deadline"

        paused = Clinic(running, embedded, Pause(requests=requests, meanwhile=work_for_a_page))
        assert stop_of(Run(paused.parts(), deadline=paused.now() + timedelta(hours=1))) == "running"
        go_on_to_the_end(other)
        other.run(sync)
        assert other.differences() == []


def test_a_second_run_at_the_same_time_leaves_it_alone(clinic: Clinic) -> None:
    start(clinic)
    with clinic.parts().leases.hold("backfill-walk"):
        assert stop_of(Run(clinic.parts(), deadline=clinic.now() + timedelta(hours=1))) == "running"


class Restarting:
    """The lists, during whose first page somebody begins the backfill anew."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic, self._real, self._begun = clinic, clinic.drchrono, False

    def list_changed(self, kind: Kind, **options: Any) -> Iterator[Page]:
        for page in self._real.list_changed(kind, **options):
            if not self._begun:
                self._begun = True
                self._clinic.later(seconds=1)
                backfill.start(self._clinic.parts(), (kind.name,), EARLIEST)
            yield page


def test_a_backfill_that_is_begun_anew_loses_no_window_to_the_run_before_it(embedded: Documents) -> None:
    with simulator(form="guide", patients=6, appointments=10, notes=0, children=0) as running:
        clinic = Clinic(running, embedded)
        backfill.start(clinic.parts(), ("appointments",), EARLIEST)
        parts = replace(clinic.parts(), lists=cast(DrChrono, Restarting(clinic)), overlap=False)
        with pytest.raises(Stopped, match="restarted"):
            backfill.go_on(Run(parts, deadline=clinic.now() + timedelta(minutes=9)))
        begun = clinic.positions.get("appointments").backfill
        assert begun is not None
        assert len(begun["windows"]) == begun["all_windows"]
