"""How one target is brought up to date where a single read does not show it: what that may mean, and for which kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.lag import shown_until
from shared.drchrono.records import Fetched, Page
from shared.errors import DeletionsHeld, LookAgain, NotFound
from shared.queue.entries import Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.absence import Absences
from shared.records.ordering import Outcome
from shared.records.outcome import Known
from shared.records.refresh import Refresh
from shared.records.results import Stored
from shared.records.storable import META
from shared.records.store import Records, Source

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
PENDING = Source("pending")


class Practice:
    """A copy, and a service that shows just these records and lists."""

    def __init__(self, documents: Documents) -> None:
        self.documents, self.clock = documents, NOON
        self.singly: dict[Target, dict[str, Any]] = {}
        self.listed: dict[Target, list[dict[str, Any]]] = {}
        self.records, self.queue = Records(documents, self.now), WorkQueue(documents, self.now)
        self.absences = Absences(documents, self.records, self.queue, self.now)
        self.refresh = Refresh(api=self, records=self.records, queue=self.queue, absences=self.absences, now=self.now)

    def now(self) -> datetime:
        return self.clock

    def get(self, kind: Kind, id: str) -> Fetched:  # noqa: A002 (as the client calls it)
        record = self.singly.get(Target(kind.name, id))
        if record is None:
            raise NotFound(f"GET /api/{kind.name}/{id}", status=404)
        return Fetched(record, self.clock)

    def list_by_patient(self, kind: Kind, patient: str) -> Iterator[Page]:
        yield Page(self.listed.get(Target(kind.name, patient, "patient"), []), self.clock, None, None, last=True)

    def list_notes(self, appointment: str) -> Iterator[Page]:
        target = Target("clinical_notes", appointment, "appointment")
        yield Page(self.listed.get(target, []), self.clock, None, None, last=True)

    def keep(self, kind: str, *records: dict[str, Any]) -> None:
        """Store them as of an hour ago, and let the service show them."""
        self.records.pages.store(KINDS[kind], records, self.clock - 60 * MINUTE, Source("sync"))
        self.singly |= {Target(kind, str(record["id"])): record for record in records}

    def gone(self, kind: str, key: str) -> None:
        del self.singly[Target(kind, key)]

    def run(self, kind: str, key: str, by: str = "id", **known: Any) -> Outcome:
        seen: datetime = known.pop("last_seen", self.clock)
        return self.refresh.run(Target(kind, key, by), Known(seen, **known), PENDING).outcome

    def is_deleted(self, kind: str, key: str) -> bool | None:
        document = self.documents.get(f"{kind}/{key}")
        return None if document is None else bool(document[META]["deleted"])


@pytest.fixture
def practice(embedded: Documents) -> Practice:
    return Practice(embedded)


def waits(practice: Practice, kind: str) -> set[str]:
    return practice.queue.keys_of(kind)


def test_a_note_that_is_named_by_its_appointment_is_found_in_the_appointments_list(practice: Practice) -> None:
    practice.listed[Target("clinical_notes", "77", "appointment")] = [{"id": "5", "appointment": "77"}]
    assert practice.run("clinical_notes", "77") is Outcome.STORED
    assert practice.is_deleted("clinical_notes", "5") is False
    # Only the appointment shows that its note is locked.
    assert waits(practice, "appointments") == {"77"}


def test_a_note_without_an_id_is_found_under_its_appointment_though_it_is_stored(practice: Practice) -> None:
    note = {"appointment": "77"}
    practice.records.pages.store(KINDS["clinical_notes"], [note], NOON - 60 * MINUTE, Source("sync"))
    practice.listed[Target("clinical_notes", "77", "appointment")] = [note]
    assert practice.run("clinical_notes", "77") is Outcome.UNCHANGED
    assert waits(practice, "appointments") == {"77"}


def test_a_stored_note_that_shares_its_id_with_an_appointment_is_absent_where_a_read_does_not_show_it(
    practice: Practice,
) -> None:
    practice.keep("clinical_notes", {"id": "77", "appointment": "9"}, {"id": "78", "appointment": "10"})
    practice.gone("clinical_notes", "77")
    practice.listed[Target("clinical_notes", "77", "appointment")] = [{"id": "5", "appointment": "77"}]
    with pytest.raises(LookAgain):
        practice.run("clinical_notes", "77", last_seen=NOON - 5 * MINUTE)
    assert waits(practice, "appointments") == set()


@pytest.mark.parametrize(
    ("entry_deletes", "is_gone"),
    [
        (None, True),
        (True, True),
        # Another event came after the deletion was announced.
        (False, False),
    ],
)
def test_an_announced_deletion_counts_at_once_unless_the_queue_knows_of_another_event(
    practice: Practice, entry_deletes: bool | None, is_gone: bool
) -> None:
    practice.keep("appointments", {"id": 7}, {"id": 8})
    practice.gone("appointments", "7")
    if entry_deletes is not None:
        target = Target("appointments", "7")
        practice.queue.enqueue([Entry(target, "confirm", Priority.CONFIRM, NOON, NOON, NOON, deletes=entry_deletes)])
    if is_gone:
        assert practice.run("appointments", "7", deletes=True) is Outcome.GONE
    else:
        with pytest.raises(LookAgain):
            practice.run("appointments", "7", deletes=True)
    assert practice.is_deleted("appointments", "7") is is_gone


def test_an_announced_deletion_is_not_believed_while_the_service_shows_nothing_of_the_kind(practice: Practice) -> None:
    practice.keep("appointments", {"id": 7}, {"id": 8})
    practice.gone("appointments", "7")
    practice.gone("appointments", "8")
    with pytest.raises(LookAgain):
        practice.run("appointments", "7", deletes=True)
    assert practice.is_deleted("appointments", "7") is False


def test_an_announced_deletion_that_the_copy_has_outlived_is_an_absence_like_any_other(practice: Practice) -> None:
    practice.keep("appointments", {"id": 7}, {"id": 8})
    practice.gone("appointments", "7")
    with pytest.raises(LookAgain):
        practice.run("appointments", "7", deletes=True, last_seen=shown_until(NOON - 60 * MINUTE))
    assert practice.is_deleted("appointments", "7") is False


def test_what_was_read_just_now_cannot_be_gone_yet(practice: Practice) -> None:
    practice.keep("appointments", {"id": 7}, {"id": 8})
    practice.clock += MINUTE
    assert practice.run("appointments", "7") is Outcome.UNCHANGED
    practice.gone("appointments", "7")
    practice.clock += timedelta(seconds=30)
    with pytest.raises(LookAgain) as again:
        practice.run("appointments", "7", deletes=True)
    assert again.value.due == NOON + MINUTE + timedelta(seconds=31)
    practice.clock = again.value.due
    assert practice.run("appointments", "7", deletes=True) is Outcome.GONE


def test_a_doctor_whom_the_service_hides_is_kept(practice: Practice) -> None:
    practice.keep("doctors", {"id": 1})
    practice.gone("doctors", "1")
    assert practice.run("doctors", "1") is Outcome.UNCHANGED
    assert practice.is_deleted("doctors", "1") is False
    assert practice.run("doctors", "2") is Outcome.GONE
    assert practice.is_deleted("doctors", "2") is None


def decided(practice: Practice, key: str) -> Outcome:
    """Read this medication, which is not found, as often as it takes."""
    known: dict[str, Any] = {}
    while True:
        try:
            return practice.run("medications", key, last_seen=NOON - 5 * MINUTE, **known)
        except LookAgain as again:
            known = {"reason": again.reason, "absent_since": again.absent_since}
            practice.clock = max(practice.clock + MINUTE, again.due)


@pytest.mark.parametrize(
    ("shown", "outcome"),
    [
        ([{"id": 7, "patient": 1, "dose": "new"}], Outcome.STORED),
        ([{"id": 7, "patient": 1}], Outcome.UNCHANGED),
        ([{"id": 8, "patient": 1}], Outcome.GONE),
    ],
)
def test_a_record_that_only_the_list_of_its_patient_shows_is_kept(
    practice: Practice, shown: list[dict[str, Any]], outcome: Outcome
) -> None:
    practice.keep("medications", {"id": 7, "patient": 1}, {"id": 8, "patient": 1})
    practice.gone("medications", "7")
    practice.listed[Target("medications", "1", "patient")] = shown
    assert decided(practice, "7") is outcome
    assert practice.is_deleted("medications", "7") is (outcome is Outcome.GONE)


def test_a_read_before_an_event_is_no_first_read(practice: Practice) -> None:
    practice.keep("medications", {"id": 7, "patient": 1}, {"id": 8, "patient": 1})
    practice.gone("medications", "7")
    seen = NOON - 5 * MINUTE
    believable = seen + timedelta(seconds=31)
    for earlier, first in ((believable - timedelta(microseconds=1), NOON), (believable, believable)):
        with pytest.raises(LookAgain) as again:
            practice.run("medications", "7", last_seen=seen, absent_since=earlier)
        assert again.value.absent_since == first


def test_the_list_of_a_patient_queues_what_it_does_not_show(practice: Practice) -> None:
    practice.keep("medications", *({"id": number, "patient": "1"} for number in range(5, 9)))
    practice.keep("medications", {"id": 9, "patient": 2})
    practice.listed[Target("medications", "1", "patient")] = [{"id": number, "patient": 1} for number in (6, 7, 8)]
    assert practice.run("medications", "1", by="patient") is Outcome.STORED
    assert waits(practice, "medications") == {"5"}
    # A patient that the copy does not have is fetched.
    assert waits(practice, "patients") == {"1"}
    practice.listed[Target("medications", "1", "patient")] = [{"id": number, "patient": 1} for number in range(5, 9)]
    assert practice.run("medications", "1", by="patient") is Outcome.STORED
    assert practice.run("medications", "1", by="patient") is Outcome.UNCHANGED


def test_the_records_of_a_deleted_patient_are_marked_and_those_of_another_are_not(practice: Practice) -> None:
    for key in ("1", "2"):
        practice.keep("patients", {"id": int(key)})
        record = {"id": 10 + int(key), "patient": int(key)}
        practice.keep("medications", record)
        practice.listed[Target("medications", key, "patient")] = [record]
    practice.records.mark_deleted(KINDS["patients"], "1", NOON, PENDING, "deleted_flag", stated=True)
    for key in ("1", "2"):
        practice.run("medications", key, by="patient")
    marked = {key: practice.documents.get(f"medications/{key}") or {} for key in ("11", "12")}
    assert marked["11"][META]["patient_deleted"] is True
    assert not marked["12"][META].get("patient_deleted")


@pytest.mark.parametrize(("reason", "is_lifted"), [("absent", True), ("deletions_held", True), ("confirm", False)])
def test_a_record_that_was_absent_and_is_shown_lifts_the_hold(practice: Practice, reason: str, is_lifted: bool) -> None:
    practice.keep("patients", *({"id": number} for number in range(10)))
    with pytest.raises(DeletionsHeld):
        practice.absences.notice(KINDS["patients"], [str(number) for number in range(9)], NOON)
    practice.run("patients", "3", reason=reason)
    assert (practice.absences.held_since(KINDS["patients"]) is None) is is_lifted


def test_a_record_that_is_stated_to_be_deleted_is_deleted_at_once_with_the_lists_of_a_patient(
    practice: Practice,
) -> None:
    practice.keep("appointments", {"id": 7})
    practice.singly[Target("appointments", "7")] = {"id": 7, "deleted_flag": True}
    assert practice.run("appointments", "7") is Outcome.GONE
    assert practice.queue.waiting() == 0
    practice.keep("patients", {"id": 1}, {"id": 2})
    practice.gone("patients", "1")
    assert practice.run("patients", "1", deletes=True) is Outcome.GONE
    assert practice.queue.get(Target("problems", "1", "patient")) is not None


def work_off_medications(practice: Practice) -> None:
    """Read the list of the patient's medications if it is due, as a run of the queue does."""
    target = Target("medications", "1", "patient")
    entry = practice.queue.get(target)
    if entry is not None and entry.due <= practice.clock:
        practice.queue.complete(target, practice.refresh.run(target, Known(entry.last_seen), PENDING).evidence)


@pytest.mark.parametrize("returns", [False, True])
def test_a_list_that_is_read_just_before_its_patient_is_written_is_read_again(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, returns: bool
) -> None:
    """Its records would say for ever that their patient is not deleted, or still is."""
    practice.keep("patients", {"id": 1}, {"id": 2})
    practice.keep("medications", {"id": 11, "patient": 1})
    practice.listed[Target("medications", "1", "patient")] = [{"id": 11, "patient": 1}]
    if returns:
        practice.records.mark_deleted(KINDS["patients"], "1", NOON - 30 * MINUTE, PENDING, "not_found")
        practice.run("medications", "1", by="patient")
    else:
        practice.gone("patients", "1")
    get, write = practice.get, getattr(practice.records, "store" if returns else "mark_deleted")

    def slow(kind: Kind, id: str) -> Fetched:  # noqa: A002 (as the client calls it)
        try:
            return get(kind, id)
        finally:
            practice.clock += MINUTE

    def late(*arguments: Any, **named: Any) -> Stored:
        work_off_medications(practice)
        stored: Stored = write(*arguments, **named)
        return stored

    monkeypatch.setattr(practice, "get", slow)
    monkeypatch.setattr(practice.records, write.__name__, late)
    practice.run("patients", "1", deletes=not returns, last_seen=NOON - 5 * MINUTE)
    assert practice.is_deleted("patients", "1") is not returns
    practice.clock += MINUTE
    work_off_medications(practice)
    assert (practice.documents.get("medications/11") or {})[META]["patient_deleted"] is not returns
