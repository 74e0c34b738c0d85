"""Pages that shift while they are read: a kind is not complete until its list has shown every record."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.jobs import backfill, reconcile
from shared.jobs.watermark import EARLIEST
from simulator import Simulator
from tests.clinic import Clinic, simulator
from tests.jobs.test_isolation import problem, runs, small_pages
from tests.jobs.test_sync import filled

FORMS = ["guide", "live"]


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)


def practice(form: str, **settings: Any) -> Simulator:
    """Live, a bulk list is cut anew for each page; the guide's list here as well."""
    return simulator(
        **{"form": form, "paging": "offset", "patients": 23, "appointments": 0, "notes": 0, "children": 0, **settings}
    )


def after_page(clinic: Clinic, kind: str, page: int, *acts: dict[str, Any], path: str = "", reading: int = 1) -> None:
    """Let the practice act when a page of the list has been cut in that reading."""
    method = "POST" if clinic.simulator.config.form == "live" else "GET"
    match = {"kind": kind, "read": "bulk", "page": page, "method": method, "path": path}
    acts_of_practice = [{"webhook": False, **act} for act in acts]
    rule = {"match": match, "fault": "then", "acts": acts_of_practice, "after": reading - 1, "times": 1}
    clinic.simulator.faults.set([rule], replace=False)


def missing(clinic: Clinic, kind: str) -> set[str]:
    return clinic.simulator.truth(kind).keys() - clinic.stored(kind).keys()


def fill(clinic: Clinic, kind: str, since: date = EARLIEST) -> None:
    backfill.start(clinic.parts(), (kind,), since)
    clinic.run(backfill.go_on)


def complete(clinic: Clinic, kind: str) -> bool:
    """After the sync that follows."""
    clinic.later(minutes=1)
    runs(clinic, hours=0.1)
    return clinic.positions.get(kind).complete_at is not None


@pytest.mark.parametrize("form", FORMS)
def test_a_deletion_between_two_pages_makes_no_record_missing(form: str, documents: Documents) -> None:
    with practice(form) as running:
        clinic = Clinic(running, documents)
        gone = min(running.truth("patients"))
        after_page(clinic, "patients", 1, {"action": "delete", "kind": "patients", "id": gone})
        fill(clinic, "patients")
        assert running.faults.as_json()[0]["applied"] == 1
        assert missing(clinic, "patients") == set()
        assert clinic.positions.get("patients").complete_at is None
        assert complete(clinic, "patients")


@pytest.mark.parametrize("form", FORMS)
def test_a_creation_that_makes_up_for_a_deletion_in_the_count_hides_no_record(form: str, embedded: Documents) -> None:
    with practice(form) as running:
        clinic = Clinic(running, embedded)
        gone = min(running.truth("patients"))
        acts = ({"action": "delete", "kind": "patients", "id": gone}, {"action": "create", "kind": "patients"})
        after_page(clinic, "patients", 1, *acts)
        fill(clinic, "patients")
        assert missing(clinic, "patients") == set()
        assert complete(clinic, "patients")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("moved_to", ["2026-09-01T09:00:00", "2031-01-06T09:00:00"])
def test_a_rescheduled_appointment_makes_no_record_missing(form: str, moved_to: str, embedded: Documents) -> None:
    with practice(form, patients=10, appointments=60, list_order="scheduled_time") as running:
        clinic = Clinic(running, embedded)
        visits = running.truth("appointments")
        moved = min(visits, key=lambda key: str(visits[key]["scheduled_time"]))  # it is on the first page
        acts = {"action": "change", "kind": "appointments", "id": moved, "fields": {"scheduled_time": moved_to}}
        after_page(clinic, "appointments", 1, acts, path="since=")
        fill(clinic, "appointments")
        assert running.faults.as_json()[0]["applied"] == 1
        assert complete(clinic, "appointments")
        assert missing(clinic, "appointments") == set()


@pytest.mark.parametrize("form", FORMS)
def test_a_list_that_shifts_with_every_reading_is_not_complete_and_keeps_no_other_kind_waiting(
    form: str, embedded: Documents
) -> None:
    with practice(form, patients=60, appointments=12) as running:
        clinic = Clinic(running, embedded)
        keys = sorted(running.truth("patients"))
        for reading in range(4):  # each reading misses another record, at another page
            after_page(
                clinic, "patients", 1 + 2 * reading, {"action": "delete", "kind": "patients", "id": keys[reading]}
            )
        for kind in ("patients", "appointments"):
            backfill.start(clinic.parts(), (kind,), EARLIEST)
        clinic.run(backfill.go_on)
        runs(clinic, hours=0.5)
        assert missing(clinic, "patients") == set()
        assert clinic.positions.get("patients").filled_at is not None
        assert clinic.positions.get("appointments").complete_at is not None


def test_a_count_that_no_reading_agrees_with_is_a_problem_of_the_kind_alone(embedded: Documents) -> None:
    with practice("live", appointments=12) as running:
        clinic = Clinic(running, embedded)
        lie = {"pagination": {"count": 24, "pages": 5, "page_size": 5, "page": 5}}
        rule = {
            "match": {"kind": "patients", "read": "bulk", "page": 5, "method": "GET"},
            "fault": "edit",
            "fields": lie,
        }
        running.faults.set([rule], replace=True)
        for kind in ("patients", "appointments"):
            backfill.start(clinic.parts(), (kind,), EARLIEST)
        run = clinic.run(backfill.go_on)
        assert run.unfinished == {("backfill", "patients"): "list_shifted"}
        runs(clinic, hours=1)
        assert problem(clinic, "patients", "backfill")["reason"] == "list_shifted"
        position = clinic.positions.get("patients")
        assert (position.backfilled_at, position.filled_at, position.complete_at) == (None, None, None)
        assert clinic.positions.get("appointments").complete_at is not None
        running.faults.set([], replace=True)
        runs(clinic, hours=2)
        assert clinic.positions.get("patients").complete_at is not None
        assert problem(clinic, "patients", "backfill") == {}


def test_a_sync_whose_list_does_not_agree_with_its_count_moves_nothing(embedded: Documents) -> None:
    with practice("live") as running:
        clinic = filled(Clinic(running, embedded))
        clinic.later(hours=1)
        lie = {"count": 1}
        rule = {"match": {"kind": "patients", "read": "list"}, "fault": "edit", "fields": lie}
        running.faults.set([rule], replace=True)
        for key in sorted(running.truth("patients"))[:2]:
            running.change("patients", key, webhook=False)
        clinic.later(minutes=1)
        before = clinic.positions.get("patients")
        runs(clinic, hours=0.2)
        after = clinic.positions.get("patients")
        assert (after.watermark, after.synced_at) == (before.watermark, before.synced_at)
        assert problem(clinic, "patients")["reason"] == "list_shifted"
        running.faults.set([], replace=True)
        runs(clinic, hours=1)
        assert clinic.differences() == []


def test_a_sync_of_several_pages_is_believed_when_the_next_list_has_shown_the_same(embedded: Documents) -> None:
    with practice("guide", patients=12) as running:
        clinic = Clinic(running, embedded)
        fill(clinic, "patients")
        assert complete(clinic, "patients")
        clinic.later(hours=30)
        runs(clinic, hours=0.1)
        before = clinic.now()
        for key in sorted(running.truth("patients")):
            running.change("patients", key, webhook=False)
        clinic.later(minutes=20)
        runs(clinic, hours=0.1)
        position = clinic.positions.get("patients")
        assert position.complete_at is not None
        assert position.complete_at < before
        clinic.later(minutes=20)
        runs(clinic, hours=0.1)
        moved = clinic.positions.get("patients").complete_at
        assert moved is not None
        assert moved > before


def test_what_a_sync_of_several_pages_missed_is_shown_by_the_next_however_long_ago_it_was_changed(
    embedded: Documents,
) -> None:
    """What is changed later must not move the watermark past a record that no page has shown."""
    with practice("guide") as running:
        clinic = Clinic(running, embedded)
        fill(clinic, "patients")
        assert complete(clinic, "patients")
        keys = sorted(running.truth("patients"))
        for key in keys:
            running.change("patients", key, webhook=False)
        changed = clinic.now()
        clinic.later(hours=30)  # more than the overlap of two lists
        for key in keys[-3:]:  # these tell the zone of the practice
            running.change("patients", key, webhook=False)
        after_page(clinic, "patients", 1, {"action": "delete", "kind": "patients", "id": keys[0]})
        runs(clinic, hours=0.1)
        assert running.faults.as_json()[0]["applied"] == 1
        first = clinic.positions.get("patients")
        assert first.complete_at is not None
        assert first.complete_at < changed
        runs(clinic, hours=1)
        position = clinic.positions.get("patients")
        assert position.complete_at is not None
        assert position.complete_at > changed
        assert clinic.differences() in ([], [f"patients:{keys[0]}"])
        assert first.watermark is not None
        assert position.watermark is not None
        assert position.watermark > first.watermark
        assert position.next_watermark is None


def test_where_every_sync_has_several_pages_the_watermark_moves_all_the_same(embedded: Documents) -> None:
    with practice("guide", patients=12) as running:
        clinic = Clinic(running, embedded)
        fill(clinic, "patients")
        assert complete(clinic, "patients")
        marks = []
        for _ in range(4):
            clinic.later(hours=20)
            for key in sorted(running.truth("patients")):
                running.change("patients", key, webhook=False)
            clinic.later(minutes=1)
            runs(clinic, hours=0.1)
            marks.append(clinic.positions.get("patients").watermark)
        assert marks == sorted(set(map(str, marks)))
        assert clinic.positions.get("patients").next_watermark > marks[-1]  # type: ignore[operator]


@pytest.mark.parametrize("form", FORMS)
def test_a_reconciliation_completes_a_kind_of_which_only_a_part_was_filled(form: str, embedded: Documents) -> None:
    with practice(form) as running:
        clinic = Clinic(running, embedded)
        fill(clinic, "patients", date(2026, 3, 1))
        assert not complete(clinic, "patients")
        assert missing(clinic, "patients")
        reconcile.start(clinic.parts(), ("patients",))
        clinic.run(reconcile.go_on)
        assert complete(clinic, "patients")
        assert missing(clinic, "patients") == set()


def test_no_ids_are_left_over_when_a_list_has_been_read(embedded: Documents) -> None:
    with practice("live") as running:
        clinic = Clinic(running, embedded)
        fill(clinic, "patients")
        assert complete(clinic, "patients")
        kept = [name for name, _ in embedded.query("sync_state") if name.startswith("seen-")]
        assert kept == []


def test_a_list_costs_one_reading_where_nothing_can_have_moved(embedded: Documents) -> None:
    with practice("live", patients=8, appointments=0) as running:
        clinic = Clinic(running, embedded)
        clinic.later(days=2)  # since the last change
        fill(clinic, "patients")
        position = clinic.positions.get("patients")
        assert position.filled_at is not None
        assert running.stats()["by_endpoint"]["POST /api/patients_list"] == 2
        assert clinic.now() - position.filled_at < timedelta(minutes=5)


@pytest.mark.parametrize("form", FORMS)
def test_a_record_that_two_readings_in_a_row_miss_is_found_before_anything_is_claimed(
    form: str, documents: Documents
) -> None:
    with practice(form) as running:
        clinic = Clinic(running, documents)
        keys = sorted(running.truth("patients"), key=int)
        missed = keys[20]  # the first of the last page
        delete(clinic, 4, keys[:1])  # it moves to the page before, which was read
        # In the second reading it moves nearly a page further, and then again to a page that was read.
        delete(clinic, 1, keys[1:5], reading=2)
        delete(clinic, 3, keys[5:6], reading=2)
        fill(clinic, "patients")
        assert [rule["applied"] for rule in running.faults.as_json()] == [1, 1, 1]
        assert clinic.positions.get("patients").filled_at is None or missed in clinic.stored("patients")
        for _ in range(6):
            clinic.later(minutes=20)
            runs(clinic, hours=0.1)
            assert clinic.positions.get("patients").complete_at is None or not missing(clinic, "patients")
        assert clinic.positions.get("patients").complete_at is not None
        kept = [name for name, _ in documents.query("sync_state") if name.startswith("seen-")]
        assert kept == []


@pytest.mark.parametrize("form", FORMS)
def test_an_appointment_that_reschedules_hide_in_two_readings_in_a_row_is_found_before_anything_is_claimed(
    form: str, embedded: Documents
) -> None:
    with practice(form, patients=10, appointments=60, list_order="scheduled_time") as running:
        clinic = Clinic(running, embedded)
        visits = running.truth("appointments")
        keys = sorted(visits, key=lambda key: str(visits[key]["scheduled_time"]))
        missed = keys[10]  # the first of the third page

        def move(key: str, to: str, page: int) -> None:
            act = {"action": "change", "kind": "appointments", "id": key, "fields": {"scheduled_time": to}}
            after_page(clinic, "appointments", page, act, path="since=")

        move(keys[0], "2031-01-06T09:00:00", page=2)  # it moves to the page before, which was read
        move(keys[-1], "2001-01-08T09:00:00", page=12)  # and back, when the last page was cut
        move(keys[1], "2031-01-07T09:00:00", page=2)  # in the second reading
        fill(clinic, "appointments")
        assert [rule["applied"] for rule in running.faults.as_json()] == [1, 1, 1]
        for _ in range(6):
            position = clinic.positions.get("appointments")
            assert position.filled_at is None or missed in clinic.stored("appointments")
            clinic.later(minutes=20)
            runs(clinic, hours=0.1)
        assert clinic.positions.get("appointments").complete_at is not None
        assert missing(clinic, "appointments") == set()


def test_what_two_syncs_of_several_pages_in_a_row_miss_is_found_by_the_reconciliation(embedded: Documents) -> None:
    """Where the list has no count, and the record moves by nearly a page between the two: the claim is too early."""
    with practice("guide") as running:
        clinic = Clinic(running, embedded)
        fill(clinic, "patients")
        assert complete(clinic, "patients")
        keys = sorted(running.truth("patients"), key=int)
        for key in keys:
            running.change("patients", key, webhook=False)
        changed = clinic.now()
        clinic.later(minutes=20)
        delete(clinic, 4, keys[:1])
        delete(clinic, 1, keys[1:5], reading=2)
        delete(clinic, 3, keys[5:6], reading=2)
        for _ in range(2):
            runs(clinic, hours=0.1)
            clinic.later(minutes=20)
        assert [rule["applied"] for rule in running.faults.as_json()] == [1, 1, 1]
        complete_at = clinic.positions.get("patients").complete_at
        assert complete_at is not None
        assert complete_at > changed
        assert f"patients:{keys[20]}" in clinic.differences()
        reconcile.start(clinic.parts(), ("patients",))
        clinic.run(reconcile.go_on)
        assert f"patients:{keys[20]}" not in clinic.differences()


def delete(clinic: Clinic, page: int, keys: list[str], reading: int = 1) -> None:
    """When `page` has been cut for the `reading`-th time; live, creations make up for the deletions in the count."""
    creations = [{"action": "create", "kind": "patients"} for _ in keys if clinic.simulator.config.form == "live"]
    deletions = [{"action": "delete", "kind": "patients", "id": key} for key in keys]
    after_page(clinic, "patients", page, *deletions, *creations, reading=reading)
