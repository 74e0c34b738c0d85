"""The arithmetic of growth, on literal figures; and the store that counts what Firestore would bill."""

from __future__ import annotations

from benchmarks.scale import Cost, Counted, Practice, Prices, Units, day, month, pages
from shared.documents import Documents, Transaction, Where

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
)


def test_a_pass_is_pages_of_a_thousand_and_notes_by_twenty() -> None:
    # 39 windows of appointments, each a page at least, and all appointments once more.
    assert pages(Practice(1_000)) == 1 + 39 + 15 + 600
    assert pages(Practice(10_000)) == 10 + 2 * 150 + 6_000


def test_a_day_adds_up_events_lists_the_round_and_the_pass() -> None:
    # 12 visits: 9 events and 9 lists each; 96 syncs of 3 lists; 100 lists of the round.
    assert day(Practice(1_000), ONE, passes=0).requests == 12 * 9 + 12 * 9 + 96 * 3 + 100
    whole = day(Practice(1_000), ONE)
    assert whole.requests == 604 + 655
    assert whole.reads == 28_000  # 1,000 patients, 15,000 appointments, 12,000 notes


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
