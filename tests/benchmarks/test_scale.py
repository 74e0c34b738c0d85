"""The arithmetic of growth, on literal figures; and the store that counts what Firestore would bill."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from benchmarks.counted_store import Counted
from benchmarks.practice_costs import Cost, Practice, Prices, Units, child_pages, day, first_filling, month, pages
from benchmarks.scale import Meter
from shared.documents import Documents, Transaction, Where
from shared.jobs import backfill
from shared.jobs.sync import sync
from tests.clinic import simulator

NOTHING = Cost()
ONE = Units(
    patient=Cost(requests=1),
    appointment=Cost(requests=1),
    note=Cost(requests=1),
    listed=Cost(requests=1),
    tick=NOTHING,
    lists=Cost(requests=3),
    filled=NOTHING,
    passed=Cost(reads=1),
    children=Cost(writes=1),
)


def test_a_pass_is_pages_of_a_thousand_and_notes_by_twenty() -> None:
    assert pages(Practice(1_000)) == 1 + 15 + 600
    assert pages(Practice(10_000)) == 10 + 150 + 6_000
    assert pages(Practice(10_000), live=True) == 2 * (10 + 150 + 120)


def test_a_first_filling_reads_uncounted_lists_twice_and_the_lists_of_the_practice_once() -> None:
    assert child_pages(Practice(1_000)) == 36 + 36 + 80
    assert first_filling(Practice(1_000)) == 2 * 616 + 152
    assert first_filling(Practice(1_000), live=True) == 2 * (1 + 15 + 12) + 152


def test_a_day_adds_up_events_lists_and_the_passes() -> None:
    # 12 visits: 9 events and 9 lists each; 96 syncs of 3 lists; a daily pass of 152 requests.
    assert day(Practice(1_000), ONE, passes=0).requests == 12 * 9 + 12 * 9 + 96 * 3 + 152
    whole = day(Practice(1_000), ONE)
    assert whole.requests == 656 + 616
    assert whole.reads == 28_000  # 1,000 patients, 15,000 appointments, 12,000 notes
    assert whole.writes == 22_000


def test_daily_passes_take_no_more_than_their_share() -> None:
    practice = Practice(100_000)
    least = day(practice, ONE, passes=0, live=True).requests - 18 * practice.visits - 96 * 3
    assert round(least) == 1_200 < child_pages(practice)


def test_money_has_a_fixed_part() -> None:
    assert month(Practice(0), NOTHING, Prices(second=0.0, fixed=5.0)) == 5.0
    assert month(Practice(0), Cost(writes=100_000), Prices(second=0.0, fixed=0.0)) == 30 * 0.18


def test_a_query_that_finds_nothing_and_a_document_that_is_not_there_cost_a_read(embedded: Documents) -> None:
    counted = Counted(embedded)
    assert counted.get("patients/1") is None
    assert list(counted.query("patients", [Where("patient", "==", 1)])) == []
    assert counted.count("patients") == 0

    def work(transaction: Transaction) -> None:
        transaction.get_all(["patients/1", "patients/2"])
        transaction.set("patients/1", {"id": 1})
        transaction.delete("patients/2")

    counted.transact(work)
    assert (counted.reads, counted.writes, counted.deletes) == (5, 1, 1)


@pytest.mark.parametrize(
    ("event", "kind", "cost"),
    [
        # The record, the three lists of the patient that are to be read, and the request that confirms the change.
        ("PATIENT_MODIFY", "patients", Cost(requests=1, reads=2, writes=5)),
        ("CLINICAL_NOTE_LOCK", "clinical_notes", Cost(requests=1, reads=2, writes=5)),
    ],
)
def test_an_event_at_rest_reads_the_copy_twice_and_writes_five_documents(
    tmp_path: Path, event: str, kind: str, cost: Cost
) -> None:
    with simulator(form="guide", patients=3, token_seconds=10**9) as running:
        meter = Meter(running, tmp_path)
        backfill.start(meter.clinic.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
        meter.clinic.run(backfill.go_on)
        meter.clinic.later(hours=1)
        meter.clinic.run(sync)
        meter.clinic.later(hours=1)
        assert meter.event(event, kind, times=1) == cost
