"""The relay: a broker that does not answer, two relays at once, replays, and what a stored change costs."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from ops.replay import replay
from shared.documents import Documents
from shared.feed.document import Lease
from shared.feed.entries import ENTRY_BYTES, MOST_WAITING_BYTES, Entry, Operation, appended, message_of, without
from shared.feed.outbox import LEASE, Target
from shared.records.announcing import Announcing
from shared.records.store import Records
from tests.feed.harness import NOON, PATIENTS, WEBHOOK, Broker, Harness


def test_what_was_sent_without_an_answer_is_sent_again_before_anything_newer(documents: Documents) -> None:
    harness = Harness(documents, Broker(works=False, hears=True))
    harness.store("1", name="a")
    harness.broker.works = True
    harness.store("1", name="b")

    assert harness.broker.versions() == {"patients/1": [1, 1, 2]}


def test_a_change_that_meets_a_lease_is_sent_by_whoever_holds_it(documents: Documents) -> None:
    harness = Harness(documents)
    lease = Lease("other", harness.now + timedelta(minutes=5))
    harness.broker.works = False
    harness.store("1", name="a")
    harness.later(90)  # the lease of the first has lapsed
    held = harness.outbox.claim(["patients:1"], Lease("other", harness.now + timedelta(minutes=5)))
    harness.broker.works = True
    harness.store("1", name="b")
    harness.sweep()
    assert harness.broker.messages == []

    following = harness.outbox.acknowledged(held, Lease("other", lease.until), Lease("next", harness.now + LEASE))
    assert [entry.version for entry in following.values()] == [2]


def test_a_relay_whose_record_was_taken_over_tells_the_store_nothing(documents: Documents) -> None:
    harness = Harness(documents, Broker(works=False))
    harness.store("1", name="a")
    harness.later(60)
    old = Lease("old", harness.now + LEASE)
    held = harness.outbox.claim(["patients:1"], old)
    harness.later(30)
    assert harness.outbox.claim(["patients:1"], Lease("new", harness.now + LEASE)) == held

    assert harness.outbox.acknowledged(held, old, Lease("again", harness.now + LEASE)) == {}
    assert harness.waiting() == 1


def test_a_relay_sends_nothing_with_a_lease_that_is_about_to_end(documents: Documents) -> None:
    harness = Harness(documents)
    lease = Lease("slow", harness.now + LEASE)
    entry = Entry("patients", "1", 1, Operation.CREATED, NOON)
    documents.transact(lambda transaction: harness.outbox.add(transaction, [entry], lease, new=True))
    harness.later(LEASE.total_seconds() - 1)
    harness.relay().send({entry.name: entry}, lease)

    assert harness.broker.calls == 0


def test_a_backlog_of_one_record_is_announced_in_order(documents: Documents) -> None:
    harness = Harness(documents, Broker(works=False))
    for number in range(12):
        harness.store("1", name=number)
    harness.broker.works = True
    harness.later(3600)
    harness.sweep()

    assert harness.broker.versions() == {"patients/1": list(range(1, 13))}
    assert harness.waiting() == 0


def test_a_replay_comes_behind_what_waits_and_raises_no_version(documents: Documents) -> None:
    harness = Harness(documents, Broker(works=False))
    harness.store("1", name="a")
    harness.store("2", name="a")
    harness.delete("2")
    harness.broker.works = True
    harness.later(3600)
    pauses: list[float] = []
    counts = replay(harness.feed, documents, PATIENTS, sleep=pauses.append)

    told = [(one["id"], one["version"], one["operation"], one["replay"]) for one in harness.broker.told]
    assert sorted(told) == [
        ("1", 1, "created", False),
        ("1", 1, "present", True),
        ("2", 1, "created", False),
        ("2", 2, "deleted", False),
        ("2", 2, "deleted", True),
    ]
    assert [one for one in told if one[0] == "2"] == [
        one for one in sorted(told, key=lambda one: one[1]) if one[0] == "2"
    ]
    assert (counts["asked"], counts["published"], counts["failed"]) == (2, 5, 0)
    assert sum(pauses) == pytest.approx(2 / 50)
    assert (harness.version("1"), harness.version("2"), harness.waiting()) == (1, 2, 0)


def test_a_replay_takes_what_was_stored_since_or_one_record(documents: Documents) -> None:
    harness = Harness(documents)
    harness.store("1", name="a")
    harness.store("2", name="a")
    harness.broker.messages.clear()
    replay(harness.feed, documents, PATIENTS, since=harness.now, sleep=lambda seconds: None)
    replay(harness.feed, documents, PATIENTS, record="1", sleep=lambda seconds: None)
    replay(harness.feed, documents, PATIENTS, record="none", sleep=lambda seconds: None)

    assert [(one["id"], one["replay"]) for one in harness.broker.told] == [("2", True), ("1", True)]
    assert harness.waiting() == 0


def test_a_replay_that_the_broker_does_not_take_is_left_to_the_sync(documents: Documents) -> None:
    harness = Harness(documents)
    harness.store("1", name="a")
    harness.broker.works = False
    harness.outbox.ask_again([Target("patients", "1")])
    harness.relay().claim(["patients:1"], Counter())
    harness.store("1", name="b")
    harness.broker.works = True
    harness.later(60)
    harness.sweep()

    assert [(one["version"], one["replay"]) for one in harness.broker.told] == [(1, False), (2, False), (2, True)]


def test_more_than_a_document_holds_waits_as_one_entry_and_is_announced_version_by_version() -> None:
    waiting: list[Entry] = []
    names = tuple(f"{number:04}" * 20 for number in range(100))
    versions = 3 * MOST_WAITING_BYTES // (ENTRY_BYTES + 81 * 100)
    for version in range(1, versions + 1):
        waiting = appended(waiting, Entry("patients", "1", version, Operation.CHANGED, NOON, names))

    assert sum(one.size for one in waiting) < MOST_WAITING_BYTES + 50_000
    told = []
    while waiting:
        told.append(message_of(waiting[0]))
        waiting = without(waiting, waiting[0].version)
    assert len(told) == versions
    assert f'"version": {versions},'.encode() in told[-1].data


class Counted:
    """Documents, and how many of Firestore's operations they were asked for: what Google charges."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.operations: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    def transact(self, work: Any) -> Any:
        counted = self

        class Transaction:
            def __init__(self, inner: Any) -> None:
                self._inner = inner

            def get(self, path: str) -> Any:
                counted.operations["reads"] += 1
                return self._inner.get(path)

            def get_all(self, paths: Any, fields: Any = ()) -> Any:
                counted.operations["reads"] += len(paths)
                counted.operations["masked"] += bool(fields)
                return self._inner.get_all(paths, fields)

            def create(self, path: str, data: Any) -> None:
                counted.operations["writes"] += 1
                self._inner.create(path, data)

            def set(self, path: str, data: Any) -> None:
                counted.operations["writes"] += 1
                self._inner.set(path, data)

            def update(self, path: str, data: Any) -> None:
                counted.operations["writes"] += 1
                self._inner.update(path, data)

            def delete(self, path: str) -> None:
                counted.operations["deletes"] += 1
                self._inner.delete(path)

        return self._documents.transact(lambda transaction: work(Transaction(transaction)))


@pytest.mark.parametrize(
    ("feed", "history", "cost"),
    [
        (False, False, {"reads": 1, "writes": 1, "masked": 1}),
        (False, True, {"reads": 1, "writes": 2}),
        (True, False, {"reads": 2, "writes": 2, "deletes": 1}),
        (True, True, {"reads": 2, "writes": 3, "deletes": 1}),
    ],
)
def test_a_stored_change_costs_no_more_than_before_where_all_is_off(
    embedded: Documents, feed: bool, history: bool, cost: dict[str, int]
) -> None:
    documents = Counted(embedded)
    harness = Harness(documents, history=timedelta(days=1) if history else None)
    if not feed:
        announcing = Announcing(harness.documents, None, harness.history)
        harness.records = Records(harness.documents, lambda: harness.now, announcing)
    harness.records.store(PATIENTS, "1", {"id": 1}, harness.later(60), WEBHOOK)
    documents.operations.clear()
    harness.records.store(PATIENTS, "1", {"id": 1, "a": 2}, harness.later(60), WEBHOOK)

    assert {name: count for name, count in documents.operations.items() if count} == cost
