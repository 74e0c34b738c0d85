"""A page of a list: new records are created without a read, and existing ones are judged as usual."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from benchmarks.counted_store import Counted
from shared.documents import Documents, Transaction
from shared.drchrono.kinds import KINDS
from shared.errors import RecordTooLarge
from shared.records import prepared
from shared.records.ordering import Verdict
from shared.records.prepared import CHUNK_RECORDS
from shared.records.storable import LARGEST_DOCUMENT_BYTES, Parts, split
from shared.records.store import PageResult, Records, Source
from tests.records.test_ordering import NOON

T = TypeVar("T")
PATIENTS = KINDS["patients"]
HOUR = timedelta(hours=1)


def patients(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": number, "updated_at": "2026-02-01T00:00:00", **fields} for number in range(count)]


def store(
    documents: Documents,
    records: list[dict[str, Any]],
    *,
    source: str = "backfill",
    again: bool = False,
    hours: int = 0,
) -> PageResult:
    seen = Source(source, again=again)
    return Records(documents, lambda: NOON).pages.store(PATIENTS, records, NOON + hours * HOUR, seen)


def test_a_page_that_fills_the_copy_costs_one_write_a_record_and_no_read(documents: Documents) -> None:
    bill = Counted(documents)
    result = store(bill, patients(CHUNK_RECORDS + 1))
    assert result.verdicts == {Verdict.STORE: CHUNK_RECORDS + 1}
    assert (bill.reads, bill.writes) == (0, CHUNK_RECORDS + 1)


def test_a_page_that_was_filled_in_before_is_judged_and_not_written_again(documents: Documents) -> None:
    store(documents, patients(3))
    bill = Counted(documents)
    assert store(bill, patients(3), hours=1).verdicts == {Verdict.SAME: 3}
    assert bill.writes == 0


def test_a_page_whose_records_are_known_to_be_kept_costs_a_read_for_each_and_no_refused_write(
    documents: Documents,
) -> None:
    store(documents, patients(3))
    bill = Counted(documents)
    assert store(bill, patients(3), hours=1, again=True).verdicts == {Verdict.SAME: 3}
    assert (bill.reads, bill.writes) == (3, 0)


def test_a_page_says_what_is_new_what_returned_and_what_must_be_fetched_again(documents: Documents) -> None:
    store(documents, patients(5))
    records = Records(documents, lambda: NOON)
    for key, ago, reason in (
        ("1", HOUR, "absent"),
        ("2", HOUR, "deleted_flag"),
        ("3", timedelta(seconds=30), "absent"),
    ):
        stated = reason == "deleted_flag"
        records.mark_deleted(PATIENTS, key, NOON + 2 * HOUR - ago, Source("pending"), reason, stated=stated)
    page = patients(6)
    page[0]["updated_at"] = "2026-02-02T00:00:00"
    result = store(documents, page, source="sync", hours=2)
    assert result.stored == ("0", "1", "2", "5")
    assert result.new == ("1", "2", "5")
    # Its deletion was not stated: that it exists says that other absences may be wrong too.
    assert result.returned == ("1",)
    # A replica may still show it from before its deletion.
    assert result.doubtful == ("3",)
    assert records.pages.changed(PATIENTS, page, NOON + 2 * HOUR + timedelta(seconds=1)) == [page[3]]


def test_a_record_that_is_kept_already_is_not_measured(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    store(documents, patients(3))
    measured: list[object] = []

    def measure(record: Mapping[str, Any]) -> Parts:
        measured.append(record["id"])
        return split(record)

    monkeypatch.setattr(prepared, "split", measure)
    assert store(documents, [*patients(3), {"id": 3}], hours=1, source="sync").stored == ("3",)
    assert measured == [3]


def test_a_record_that_is_too_large_fails_before_anything_is_written(documents: Documents) -> None:
    bill = Counted(documents)
    result = store(bill, [*patients(2), {"id": 2, "text": "x" * LARGEST_DOCUMENT_BYTES}])
    assert (result.stored, result.failed) == (("0", "1"), {"2": "too_large"})
    assert (bill.reads, bill.writes) == (0, 2)


@pytest.mark.parametrize("source", ["backfill", "sync"])
def test_existing_records_are_judged_and_new_ones_on_the_page_are_stored(documents: Documents, source: str) -> None:
    store(documents, patients(1, name="fetched later"), hours=2)
    store(documents, patients(2, name="fetched earlier")[1:], hours=-2)
    result = store(documents, patients(4, name="this page"), source=source)
    assert result.verdicts == {Verdict.LATE: 1, Verdict.STORE: 3}
    assert set(result.stored) == {"1", "2", "3"}
    names = {key: document["name"] for key, document in documents.query("patients")}
    assert names == {"0": "fetched later", "1": "this page", "2": "this page", "3": "this page"}


class Refusing:
    """A store that refuses every commit with the patient 1 in it, as Firestore does with a document it cannot hold."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.each = documents.each

    def transact(self, work: Callable[[Transaction], T]) -> T:
        def refused(transaction: Transaction) -> T:
            written: list[str] = []
            for name in ("create", "set"):
                self._watch(transaction, name, written)
            result = work(transaction)
            if "patients/1" in written:
                raise RecordTooLarge("refused by the test")
            return result

        return self._documents.transact(refused)

    def _watch(self, transaction: Any, name: str, written: list[str]) -> None:
        write = getattr(transaction, name)

        def watched(path: str, data: dict[str, Any]) -> None:
            written.append(path)
            write(path, data)

        setattr(transaction, name, watched)


@pytest.mark.parametrize("source", ["backfill", "sync"])
def test_a_record_that_the_store_refuses_fails_alone(documents: Documents, source: str) -> None:
    result = store(Refusing(documents), patients(4), source=source)  # type: ignore[arg-type]
    assert result.failed == {"1": "too_large"}
    assert set(result.stored) == {"0", "2", "3"}
    assert result.keys == {"0", "1", "2", "3"}
    assert [key for key, _ in documents.query("patients")] == ["0", "2", "3"]


def test_an_empty_page_causes_no_calls(documents: Documents) -> None:
    bill = Counted(documents)
    assert store(bill, []).keys == frozenset()
    assert (bill.reads, bill.writes) == (0, 0)
