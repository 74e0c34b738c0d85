"""The incremental sync: what no webhook told is found, what is pending is worked off, and an idle run costs little."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.lag import listed_until
from shared.drchrono.records import Page
from shared.jobs import backfill
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.health import FAILURES_IN_A_ROW
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.sync import MANY, SOME, changes, sync
from shared.jobs.watermark import FORMAT, QUORUM, OffsetSample
from shared.queue.entries import Entry, Priority, Target
from shared.records import prepared
from shared.records.prepared import Prepared, prepare
from simulator import Simulator
from tests.clinic import Clinic, simulator
from tests.mortal import Killed, MortalDocuments

WITH_SINCE = [kind.name for kind in KINDS.values() if kind.changes]


@pytest.fixture(params=["guide", "guide-uuid", "live"])
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param) as running:
        yield running


@pytest.fixture
def clinic(running: Simulator, documents: Documents) -> Clinic:
    """A clinic whose copy is complete."""
    return filled(Clinic(running, documents))


def filled(clinic: Clinic) -> Clinic:
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    clinic.run(backfill.go_on)
    clinic.run(sync)
    assert clinic.differences() == []
    clinic.later(seconds=10)
    return clinic


def entries(clinic: Clinic, keys: list[str], kind: str = "patients", by: str = "id") -> list[Entry]:
    now = clinic.now()
    return [Entry(Target(kind, key, by), "quota", Priority.EVENT, now, now, now) for key in keys]


def test_twelve_hours_without_webhooks_are_made_up_by_the_next_syncs(clinic: Clinic) -> None:
    rng = random.Random(4)
    for _ in range(72):
        kind = rng.choice(["patients", "appointments", "clinical_notes"])
        clinic.simulator.change(kind, webhook=False)
        if rng.random() < 0.2:
            clinic.simulator.create(rng.choice(["patients", "appointments"]), webhook=False)
        clinic.later(minutes=10)
    assert len(clinic.differences()) > 10
    back = clinic.later(minutes=1)
    while clinic.differences():
        clinic.run(sync)
        assert clinic.now() - back < timedelta(minutes=16), "the copy has not recovered within one interval"
        clinic.later(minutes=5)


@pytest.mark.parametrize("form", ["guide", "live"])
def test_an_idle_run_costs_at_most_one_request_for_each_kind_whose_interval_has_passed(
    form: str, embedded: Documents
) -> None:
    with simulator(form=form, token_seconds=10**6) as running:
        clinic = filled(Clinic(running, embedded))
        clinic.later(hours=3)
        clinic.run(sync)
        clinic.later(hours=3)
        before = clinic.requests()
        run = clinic.run(sync)
        assert run.counts["store"] == 0
        assert clinic.requests() - before == len(WITH_SINCE)
        clinic.later(minutes=5)
        clinic.run(sync)
        assert clinic.requests() - before == len(WITH_SINCE)


def test_a_changed_patient_has_its_lists_looked_at(clinic: Clinic) -> None:
    medication = clinic.simulator.change("medications", webhook=False)
    patient = clinic.simulator.truth("medications")[str(medication["id"])]["patient"]
    clinic.simulator.change("patients", patient, webhook=False)
    clinic.later(minutes=20)
    clinic.run(sync)
    clinic.settle()
    assert clinic.differences() == []


def test_a_listed_record_is_prepared_once_though_it_is_compared_before_it_is_stored(
    embedded: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulator(form="guide") as running:
        clinic = filled(Clinic(running, embedded))
        changed = list(clinic.stored("patients"))[:3]
        for key in changed:
            running.change("patients", key, webhook=False)
        clinic.later(minutes=20)
        made: Counter[str] = Counter()

        def count(kind: Kind, key: str, record: dict[str, Any]) -> Prepared:
            made[f"{kind.name}/{key}"] += 1
            return prepare(kind, key, record)

        monkeypatch.setattr(prepared, "prepare", count)
        clinic.run(sync)
        assert {f"patients/{key}" for key in changed} <= set(made)
        assert set(made.values()) == {1}


def test_what_is_missing_from_a_patients_list_becomes_a_tombstone_after_two_single_reads(clinic: Clinic) -> None:
    victim = min(clinic.simulator.truth("allergies"))
    patient = str(clinic.simulator.truth("allergies")[victim]["patient"])
    clinic.simulator.delete("allergies", victim, webhook=False)
    clinic.queue.enqueue(entries(clinic, [patient], "allergies", by="patient"))
    clinic.run(sync)
    clinic.settle()
    assert victim in clinic.stored("allergies")
    clinic.settle()
    assert victim not in clinic.stored("allergies")
    assert clinic.queue.waiting() == 0


def test_the_patient_of_listed_records_is_looked_at_when_none_is_kept(clinic: Clinic) -> None:
    victim = min(clinic.simulator.truth("allergies"))
    patient = str(clinic.simulator.truth("allergies")[victim]["patient"])
    clinic.documents.transact(lambda transaction: transaction.delete(f"patients/{patient}"))
    clinic.queue.enqueue(entries(clinic, [patient], "allergies", by="patient"))
    clinic.settle()
    assert patient in clinic.stored("patients")


def test_a_patients_list_that_is_empty_deletes_only_what_single_reads_do_not_show(clinic: Clinic) -> None:
    patient = str(clinic.simulator.truth("problems")[min(clinic.simulator.truth("problems"))]["patient"])
    held = {key for key, record in clinic.stored("problems").items() if str(record["patient"]) == patient}
    clinic.simulator.visibility.set([{"kind": "problems"}])
    clinic.queue.enqueue(entries(clinic, [patient], "problems", by="patient"))
    clinic.settle()
    assert held <= clinic.stored("problems").keys()
    assert clinic.queue.waiting() == 0
    clinic.simulator.visibility.set([])
    for key in held:
        clinic.simulator.delete("problems", key, webhook=False)
    clinic.queue.enqueue(entries(clinic, [patient], "problems", by="patient"))
    clinic.settle()
    clinic.settle()
    assert not held & clinic.stored("problems").keys()
    assert clinic.queue.waiting() == 0


def test_many_pending_records_of_a_kind_cost_one_list_instead_of_a_request_each(
    running: Simulator, embedded: Documents
) -> None:
    clinic = filled(Clinic(running, embedded))
    for _ in range(3 * MANY):
        running.create("patients", webhook=False)
    changed = sorted(set(running.truth("patients")) - set(clinic.stored("patients")))
    clinic.later(seconds=5)
    clinic.queue.enqueue(entries(clinic, changed))
    clinic.later(seconds=40)
    before = clinic.requests()
    clinic.allowance.left = 8
    clinic.run(sync)
    assert set(changed) <= clinic.stored("patients").keys()
    assert clinic.queue.count("patients") == 0
    assert clinic.requests() - before <= 8


@pytest.mark.parametrize(("pending", "singly"), [(SOME - 1, SOME - 1), (SOME, 0)])
def test_from_so_many_pending_records_on_none_is_read_singly(embedded: Documents, pending: int, singly: int) -> None:
    with simulator(form="guide", patients=2, appointments=8, notes=0, children=0) as running:
        clinic = filled(Clinic(running, embedded))
        clinic.settle()
        changed = sorted(running.truth("appointments"))[:pending]
        for key in changed:
            running.change("appointments", key, webhook=False)
        clinic.queue.enqueue(entries(clinic, changed, "appointments"))
        clinic.later(seconds=40)
        read_singly = {
            "match": {"kind": "appointments", "read": "single"},
            "fault": "edit",
            "fields": {"notes": "singly"},
        }
        running.faults.set([read_singly], replace=True)
        clinic.run(sync)
        assert [record["notes"] for record in clinic.stored("appointments").values()].count("singly") == singly
        assert clinic.queue.count("appointments") == 0


class Pages:
    """A service whose list has so many pages, each of one record, and what it was asked for."""

    def __init__(self, clinic: Clinic, count: int = 1, updated_at: str | None = None) -> None:
        self.clinic, self.count, self.updated_at = clinic, count, updated_at
        self.bulk: list[bool] = []

    def list_changed(self, kind: Kind, *, bulk: bool = True, **_: Any) -> Iterator[Page]:
        self.bulk.append(bulk)
        for number in range(self.count):
            records: list[dict[str, Any]] = [{"id": number, "updated_at": self.updated_at}] if self.updated_at else []
            resume = {"page": number} if number + 1 < self.count else None
            yield Page(records, self.clinic.now(), resume, None, last=resume is None)

    def list_practice(self, kind: Kind, **_: Any) -> Iterator[Page]:
        raise AssertionError(kind.name)

    def sync(self) -> Checkpoint:
        """List the changes of the patients, and return the checkpoint after it."""
        run = Run(replace(self.clinic.parts(), lists=self), deadline=self.clinic.now() + timedelta(hours=1))
        assert changes(run, KINDS["patients"], force=True)
        return self.clinic.positions.get("patients")


@pytest.mark.parametrize(
    ("pending", "listed", "bulk"), [(0, 0, False), (MANY - 1, MANY - 1, False), (MANY, 0, True), (0, MANY, True)]
)
def test_a_bulk_list_is_taken_where_many_records_wait_or_the_last_list_had_many(
    embedded: Documents, pending: int, listed: int, bulk: bool
) -> None:
    with simulator(patients=0) as running:
        clinic = Clinic(running, embedded)
        asked = Pages(clinic)
        clinic.queue.enqueue(entries(clinic, [str(number) for number in range(pending)]))
        clinic.positions.change("patients", lambda old: replace(old, listed=listed))
        assert asked.sync().listed == 0
        assert asked.bulk == [bulk]


@pytest.mark.parametrize(
    ("pages", "before", "after"),
    [
        # Of one page: as far as it has shown, never back, and no further than any clock of the practice.
        (1, (30, None), (8, None)),
        (1, (30, 6), (6, None)),
        (1, (None, None), (8, None)),
        # Of several: what this one missed, the list before it or after it shows, so it stays one list behind.
        (2, (30, None), (30, 8)),
        (2, (30, 9), (9, 8)),
        (2, (None, None), (12, 8)),
    ],
)
def test_the_watermark_moves_by_one_list_and_stays_one_behind_where_pages_may_have_shifted(
    embedded: Documents, pages: int, before: tuple[int | None, int | None], after: tuple[int, int | None]
) -> None:
    """All in hours before now. The practice is five behind UTC, and its newest change was three hours ago."""
    with simulator(patients=0) as running:
        clinic = Clinic(running, embedded)
        now = clinic.now()

        def ago(hours: int | None) -> str | None:
            return None if hours is None else (now - timedelta(hours=hours)).strftime(FORMAT)

        offsets = [OffsetSample(str(key), -5 * 3600, now).as_json() for key in range(QUORUM)]
        old, following = map(ago, before)
        known = Checkpoint(watermark=old, next_watermark=following, offsets=offsets)
        clinic.positions.change("patients", lambda _: known)
        found = Pages(clinic, pages, ago(8)).sync()
        assert (found.watermark, found.next_watermark) == tuple(map(ago, after))


@pytest.mark.parametrize(
    ("pages", "filled", "synced", "complete", "claimed"),
    [
        # The first claim needs a list that shows what changed while the kind was filled.
        (1, None, 60, None, None),
        (1, 31, 60, None, 0),
        (1, 30.999, 60, None, None),
        # Of several pages: what the list before it proves.
        (2, 90, 60, None, None),
        (2, 91, 60, None, 60),
        (2, 91, None, None, None),
        # Later claims do not, and none goes back.
        (1, 0, 60, 900, 0),
        (2, 900, 600, 300, 300),
    ],
)
def test_a_kind_is_complete_up_to_what_its_lists_prove(
    embedded: Documents,
    pages: int,
    filled: float | None,
    synced: float | None,
    complete: float | None,
    claimed: float | None,
) -> None:
    """All in seconds before now; the claims are of lists that were begun then."""
    with simulator(patients=0) as running:
        clinic = Clinic(running, embedded)
        now = clinic.now()

        def ago(seconds: float | None) -> datetime | None:
            return None if seconds is None else now - timedelta(seconds=seconds)

        def of_list(seconds: float | None) -> datetime | None:
            began = ago(seconds)
            return None if began is None else listed_until(began)

        known = Checkpoint(filled_at=ago(filled), synced_at=ago(synced), complete_at=of_list(complete))
        clinic.positions.change("patients", lambda _: known)
        assert Pages(clinic, pages, "2026-03-01T08:00:00").sync().complete_at == of_list(claimed)


def test_ties_in_updated_at_are_all_stored(clinic: Clinic) -> None:
    clinic.later(hours=3)
    for key in sorted(clinic.simulator.truth("patients")):
        clinic.simulator.change("patients", key, webhook=False)  # the clock stands still
    assert len({record["updated_at"] for record in clinic.simulator.truth("patients").values()}) == 1
    clinic.later(minutes=20)
    clinic.run(sync)
    assert clinic.differences() == []


@pytest.mark.parametrize("form", ["guide", "live"])
def test_changes_in_the_hour_that_repeats_when_summer_time_ends_are_found(form: str, embedded: Documents) -> None:
    """US/Eastern, 2026-11-01: 05:00 to 06:00 UTC is 01:00 to 02:00 EDT, 06:00 to 07:00 UTC the same hour in EST."""
    start = datetime(2026, 11, 1, 4, 30, tzinfo=timezone.utc)
    with simulator(form=form, start=start) as running:
        clinic = filled(Clinic(running, embedded))
        keys = sorted(running.truth("patients"))
        for minute in range(0, 180, 6):
            running.change("patients", keys[minute // 6 % len(keys)], webhook=False)
            clinic.later(minutes=6)
            clinic.run(sync)
        # Within the quarter of an hour in which an older time may be a replica's, an entry waits for it to pass.
        clinic.later(minutes=30)
        clinic.run(sync)
        clinic.later(minutes=30)
        clinic.run(sync)
        assert clinic.differences() == []
        assert clinic.queue.waiting() == 0


def test_a_kind_that_may_not_be_listed_keeps_no_other_from_being_synced(clinic: Clinic) -> None:
    clinic.simulator.faults.set([{"match": {"path": "/api/patients"}, "fault": "403"}], replace=True)
    clinic.simulator.change("appointments", webhook=False)
    clinic.later(minutes=20)
    clinic.run(sync)
    assert (clinic.positions.get("patients").problem or {})["reason"] == "forbidden"
    assert [key for key in clinic.differences() if key.startswith("appointments")] == []
    clinic.simulator.faults.set([], replace=True)
    clinic.later(hours=2)
    clinic.run(sync)
    assert clinic.positions.get("patients").problem is None


def test_a_list_that_leads_to_another_host_keeps_no_other_from_being_synced(embedded: Documents) -> None:
    with simulator(form="guide", notes=21, patients=40, link_origin="http://drchrono.example") as running:
        clinic = Clinic(running, embedded)
        for note in running.truth("clinical_notes"):  # more than one page of them
            running.change("clinical_notes", note, webhook=False)
        clinic.run(sync)
        problem = clinic.positions.get("clinical_notes").problem
        assert problem is not None
        assert problem["reason"] == "foreign_host"
        assert clinic.positions.get("patients").synced_at is not None


def test_a_token_that_is_refused_although_it_is_new_ends_the_run(clinic: Clinic) -> None:
    clinic.later(hours=1)
    clinic.simulator.faults.set([{"fault": "401", "path": "/api/"}], replace=True)
    with pytest.raises(Stopped) as stopped:
        clinic.run(sync)
    assert stopped.value.reason == "token"
    clinic.simulator.faults.set([], replace=True)
    clinic.run(sync)
    assert clinic.queue.waiting() == 0


def test_a_sync_killed_at_any_step_forgets_no_list_of_a_changed_patient(embedded: Documents) -> None:
    with simulator(form="guide", patients=6, appointments=0, notes=0) as running:
        clinic = filled(Clinic(running, embedded))
        for last in range(1, 40):
            medication = running.change("medications", webhook=False)
            patient = running.truth("medications")[str(medication["id"])]["patient"]
            running.change("patients", patient, webhook=False)
            clinic.later(minutes=20)
            with suppress(Killed):
                Clinic(running, MortalDocuments(embedded, last // 2, after=bool(last % 2))).run(sync)
            clinic.later(minutes=20)
            clinic.run(sync)
            clinic.settle()
            assert clinic.differences() == [], f"killed at operation {last // 2} of the store"


def test_asked_by_force_it_lists_every_kind_though_none_is_due(clinic: Clinic) -> None:
    clinic.simulator.change("patients", webhook=False)
    clinic.later(seconds=10)
    clinic.run(sync)
    assert clinic.differences()
    clinic.run(partial(sync, force=True))
    assert clinic.differences() == []


def test_when_the_api_is_down_it_stops_and_keeps_the_quota(clinic: Clinic) -> None:
    for kind in ("patients", "appointments"):
        clinic.queue.enqueue(entries(clinic, [str(900_000 + number) for number in range(15)], kind))
    clinic.simulator.faults.set([{"match": {"path": "/api/"}, "fault": "503"}], replace=True)
    before = clinic.requests()
    with pytest.raises(Stopped) as stopped:
        clinic.run(sync)
    assert stopped.value.reason == "unavailable"
    assert clinic.requests() - before <= 4 * FAILURES_IN_A_ROW
    assert clinic.queue.waiting() == 30


def test_an_appointment_deleted_without_an_event_is_found_where_drchrono_shows_it(embedded: Documents) -> None:
    with simulator(form="live") as running:
        clinic = filled(Clinic(running, embedded))
        deleted = str(running.delete("appointments", webhook=False)["id"])
        clinic.later(minutes=20)
        clinic.run(sync)
        assert deleted not in clinic.stored("appointments")


def test_a_sync_that_was_stopped_goes_on_with_its_page_and_moves_the_watermark_only_at_the_end(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "patients", replace(KINDS["patients"], page_size=4))
    clinic.later(hours=3)
    for key in sorted(clinic.simulator.truth("patients")):
        clinic.simulator.change("patients", key, webhook=False)
        clinic.later(seconds=1)
    clinic.later(minutes=20)
    before = clinic.positions.get("patients")
    clinic.allowance.left = 2
    try:
        clinic.run(sync)
    except Stopped:
        middle = clinic.positions.get("patients")
        assert (middle.watermark, middle.synced_at) == (before.watermark, before.synced_at)
    clinic.allowance.left = 10**6
    clinic.run(sync)
    assert clinic.differences() == []
    # The next list, which shows all that this one of several pages may have missed, moves it.
    clinic.later(minutes=20)
    clinic.run(sync)
    after = clinic.positions.get("patients")
    assert after.watermark is not None
    assert before.watermark is not None
    assert after.watermark > before.watermark


def test_the_slow_round_looks_at_every_patient_in_a_month(embedded: Documents) -> None:
    with simulator(form="guide", patients=6, appointments=0, notes=0) as running:
        clinic = filled(Clinic(running, embedded))
        clinic.run(sync)
        for key in sorted(running.truth("medications")):
            running.change("medications", key, webhook=False)
        assert clinic.differences()
        for _ in range(32):
            clinic.later(days=1)
            clinic.run(sync)
        assert clinic.differences() == []


def test_the_deletion_of_a_kinds_only_record_is_held_until_another_is_shown(embedded: Documents) -> None:
    with simulator(form="guide", patients=6, appointments=0, notes=0, children=0) as running:
        clinic = filled(Clinic(running, embedded))
        only, other = sorted(running.truth("patients"))[:2]
        first = str(running.create("allergies", {"patient": int(only)}, webhook=False)["id"])
        clinic.queue.enqueue(entries(clinic, [first], "allergies"))
        clinic.settle()
        assert set(clinic.stored("allergies")) == {first}
        running.delete("allergies", first, webhook=False)
        clinic.queue.enqueue(entries(clinic, [first], "allergies"))
        for _ in range(4):
            clinic.settle()
        assert set(clinic.stored("allergies")) == {first}
        assert clinic.absences.held_since(KINDS["allergies"]) is not None
        second = str(running.create("allergies", {"patient": int(other)}, webhook=False)["id"])
        clinic.queue.enqueue(entries(clinic, [second], "allergies"))
        clinic.settle()
        clinic.later(days=2)
        for _ in range(4):
            clinic.settle()
        assert set(clinic.stored("allergies")) == {second}
        assert clinic.absences.held_since(KINDS["allergies"]) is None
        assert clinic.queue.waiting() == 0
