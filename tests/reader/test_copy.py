"""The reader returns exactly what the system stores, on both stores."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from drchrono_reader import KINDS as READER_KINDS
from drchrono_reader import Copy, EmbeddedFile
from shared import exact_json
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.records.store import Records, Source
from tests.records.test_ordering import NOON
from tests.records.test_storable import exactly, made_up

LATER = NOON + timedelta(hours=1)
SYNC = Source("sync")


def store(documents: Documents, kind: str, *records: dict[str, Any]) -> None:
    result = Records(documents, lambda: NOON).pages.store(KINDS[kind], records, NOON, SYNC)
    assert len(result.stored) == len(records)


def delete(documents: Documents, kind: str, key: str) -> None:
    Records(documents, lambda: LATER).mark_deleted(KINDS[kind], key, LATER, SYNC, "deleted_flag", stated=True)


def ids(records: Any) -> list[str]:
    return [record.id for record in records]


def test_every_kind_that_the_system_keeps_has_a_name() -> None:
    assert set(READER_KINDS) == set(KINDS)


@pytest.mark.parametrize("kind", READER_KINDS)
def test_the_kinds_are_attributes(copy: Copy, documents: Documents, kind: str) -> None:
    store(documents, kind, {"id": 7, "patient": 1})
    found = getattr(copy, kind).get(7)
    assert (found.kind, found.id, dict(found)) == (kind, "7", {"id": 7, "patient": 1})


def test_a_record_is_a_mapping_of_its_fields_with_what_the_copy_knows(copy: Copy, documents: Documents) -> None:
    store(documents, "patients", {"id": 1, "last_name": "Okafor"})
    patient = copy.patients.get("1")
    assert patient is not None
    assert isinstance(patient, Mapping)
    assert (patient["last_name"], patient.get("city"), patient.fetched_at) == ("Okafor", None, NOON)
    assert "Okafor" not in repr(patient)


@pytest.mark.parametrize(("stored", "read"), [(3, 3), (None, 1), ("3", 1), (0, 1)])
def test_a_record_tells_its_version(copy: Copy, documents: Documents, stored: Any, read: int) -> None:
    meta = {"fetched_at": NOON, "deleted": False} | ({"version": stored} if stored is not None else {})
    documents.transact(lambda transaction: transaction.set("patients/1", {"id": 1, "_sync": meta}))
    patient = copy.patients.get(1)
    assert patient is not None
    assert patient.version == read


def test_records_are_joined_back_exactly(copy: Copy, documents: Documents) -> None:
    rng = random.Random(11)
    made = {str(number): {"id": number, **{f"f{n}": made_up(rng) for n in range(6)}} for number in range(200)}
    store(documents, "patients", *made.values())
    assert {record.id: exactly(dict(record)) for record in copy.patients} == {
        key: exactly(record) for key, record in made.items()
    }


def test_numbers_that_no_float_holds_come_back_as_they_were_sent(copy: Copy, documents: Documents) -> None:
    record = exact_json.loads('{"id": 1, "dose": 0.1234567890123456789, "list": [[1e400, 1.50]], "plain": 1.5}')
    store(documents, "medications", record)
    assert dict(copy.medications.get(1) or {}) == record


ODD = ["143422207_2026-03-10", "a/b", "..", ".", "__x__", "a b", "ü", "100%", "%2F", "x" * 1_000]


@pytest.mark.parametrize("key", ODD)
def test_a_record_with_an_odd_id_is_found_by_it(copy: Copy, documents: Documents, key: str) -> None:
    store(documents, "appointments", {"id": key})
    found = copy.appointments.get(key)
    assert found is not None
    assert found.id == key
    assert ids(copy.appointments) == [key]


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_an_invalid_id_is_refused(copy: Copy, key: str) -> None:
    with pytest.raises(ValueError, match=r"id|surrogates"):
        copy.patients.get(key)


def test_tombstones_are_left_out_unless_asked_for(copy: Copy, documents: Documents) -> None:
    store(documents, "patients", {"id": 1}, {"id": 2})
    delete(documents, "patients", "1")
    assert copy.patients.get(1) is None
    assert ids(copy.patients) == ["2"]
    assert copy.patients.count() == 1
    gone = copy.patients.get(1, deleted=True)
    assert gone is not None
    assert (gone.deleted, gone.deleted_reason, dict(gone)) == (True, "deleted_flag", {"id": 1})
    assert ids(copy.patients.with_deleted()) == ["1", "2"]
    assert copy.patients.with_deleted().count() == 2


def test_documents_that_the_copy_did_not_write_are_not_records(copy: Copy, documents: Documents) -> None:
    for name, data in {"1": {"id": 1}, "2": {"_sync": "x"}, "3": {"_sync": {"deleted": False}}}.items():
        documents.transact(lambda transaction, n=name, d=data: transaction.set(f"patients/{n}", d))  # type: ignore[misc]
    assert copy.patients.get(1) is None
    assert ids(copy.patients) == []


def visits(documents: Documents) -> None:
    store(
        documents,
        "appointments",
        *(
            {
                "id": f"{number}",
                "doctor": number % 2,
                "scheduled_time": f"2026-03-{number:02}T09:00:00",
                "duration": number * 5,
                "appt_is_break": number == 4,
                "clinical_note": {"locked": number > 5},
            }
            for number in range(1, 10)
        ),
    )


def test_the_appointments_of_a_span_of_time_come_in_its_order(copy: Copy, documents: Documents) -> None:
    store(documents, "doctors", {"id": 1, "timezone": "US/Eastern"}, {"id": 2, "timezone": "US/Hawaii"})
    visits = (("1", 2, "08:00"), ("2", 1, "09:00"), ("3", 1, "13:30"), ("4", 3, "10:00"), ("5", 1, "18:00"))
    for key, doctor, time in visits:
        store(documents, "appointments", {"id": key, "doctor": doctor, "scheduled_time": f"2026-07-15T{time}:00"})
    morning = datetime(2026, 7, 15, 12, tzinfo=timezone.utc)
    query = copy.appointments.where("_sync.scheduled_at", ">=", morning)
    found = list(query.where("_sync.scheduled_at", "<", morning + timedelta(hours=9)))
    assert [(visit.id, visit.scheduled_at) for visit in found] == [
        ("2", datetime(2026, 7, 15, 13, tzinfo=timezone.utc)),
        ("3", datetime(2026, 7, 15, 17, 30, tzinfo=timezone.utc)),
        ("1", datetime(2026, 7, 15, 18, tzinfo=timezone.utc)),
    ]
    unknown = copy.appointments.get("4")
    assert unknown is not None
    assert unknown.scheduled_at is None
    delete(documents, "appointments", "2")
    assert ids(query) == ["3", "1", "5"]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([("doctor", "==", 1)], "13579"),
        ([("doctor", "==", "1")], ""),
        ([("doctor", "in", [1, "0"])], "13579"),
        ([("appt_is_break", "==", True)], "4"),
        ([("duration", "==", True)], ""),
        ([("clinical_note.locked", "==", True)], "6789"),
        ([("scheduled_time", ">=", "2026-03-08")], "89"),
        ([("scheduled_time", ">", "2026-03-03"), ("scheduled_time", "<", "2026-03-05")], "34"),
        ([("duration", "<=", 10)], "12"),
        ([("duration", "<", "10")], ""),
        ([("_sync.fetched_at", ">=", NOON)], "123456789"),
        ([("_sync.fetched_at", ">", NOON)], ""),
        ([("no_such_field", "==", 1)], ""),
    ],
)
def test_conditions_choose_records(copy: Copy, documents: Documents, conditions: Any, expected: str) -> None:
    visits(documents)
    query: Any = copy.appointments
    for condition in conditions:
        query = query.where(*condition)
    assert "".join(ids(query)) == expected
    assert query.count() == len(expected)


@pytest.mark.parametrize(
    "conditions",
    [
        [("a", "in", [])],
        [("a", "in", 5)],
        [("a", "in", list(range(31)))],
        [("a", "==", None)],
        [("a", "==", {"b": 1})],
        [("a", ">", 1), ("b", ">", 1)],
        [("a", ">", NOON.replace(tzinfo=None))],
    ],
)
def test_a_condition_that_cannot_be_answered_is_refused(embedded: Documents, conditions: Any, tmp_path: Any) -> None:
    query: Any = Copy(EmbeddedFile(tmp_path / "store.sqlite3")).patients
    *before, last = conditions
    for condition in before:
        query = query.where(*condition)
    with pytest.raises(ValueError, match=r"in|field|time zone"):
        query.where(*last)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 20])
@pytest.mark.parametrize("ranged", ["", "scheduled_time", "_sync.fetched_at", "duration"])
def test_pages_hold_each_record_once_and_go_on_in_another_process(
    copy: Copy, documents: Documents, size: int, ranged: str
) -> None:
    visits(documents)
    for key in "189":
        delete(documents, "appointments", key)
    lowest: Any = {"": None, "scheduled_time": "", "_sync.fetched_at": NOON, "duration": 0}[ranged]
    query = copy.appointments.where(ranged, ">=", lowest) if ranged else copy.appointments
    seen, after = [], None
    while True:
        page = query.page(size=size, after=after)
        assert len(page.records) == size or page.next is None
        seen += ids(page.records)
        if page.next is None:
            break
        after = str(page.next)
    assert seen == list("234567")
    first = query.first()
    assert first is not None
    assert first.id == "2"


def test_an_invalid_page_token_is_refused(copy: Copy) -> None:
    for token in ("", "x", "bm9uZQ=="):
        with pytest.raises(ValueError, match="after"):
            copy.patients.page(after=token)
    with pytest.raises(ValueError, match="at least one"):
        copy.patients.page(size=0)
