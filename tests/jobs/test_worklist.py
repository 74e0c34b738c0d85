"""How the queue is worked off, whatever comes of each entry: no simulator, only the outcomes of its reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from shared.documents import Documents
from shared.drchrono.lag import Evidence
from shared.errors import Forbidden, QuotaExhausted, ServerError, TokenRevoked
from shared.jobs.health import FAILURES_IN_A_ROW
from shared.jobs.run import Parts, Run
from shared.jobs.stopping import Stopped
from shared.jobs.worklist import CLAIM_ENTRIES, KIND_PAUSE, MOST_FAILED_RETRIES, retry_failed, work_off
from shared.queue.entries import Entry, Priority, Target
from shared.records.ordering import Outcome
from shared.records.outcome import Done, Known
from shared.records.store import Source
from tests.clinic import Clinic, simulator

MINUTE = timedelta(minutes=1)
Read = Callable[[Target], Done]


class Reads:
    """Stands for a refresh. asked: what was read, and with what was known."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.asked: list[tuple[Target, Known, Source]] = []

    def run(self, target: Target, known: Known, source: Source) -> Done:
        self.asked.append((target, known, source))
        return self.read(target)

    @property
    def ids(self) -> list[str]:
        return [target.id for target, _, _ in self.asked]


class Queue:
    """A queue, its entries, and one run over it."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic, self.queue, self.now = clinic, clinic.queue, clinic.now()
        self.live, self.background = Reads(self.stored), Reads(self.stored)

    def stored(self, target: Target) -> Done:
        return Done(Outcome.STORED, Evidence(self.now))

    def add(self, *keys: str, kind: str = "patients", by: str = "id", **fields: Any) -> None:
        at = {"first_seen": self.now, "last_seen": self.now, "due": self.now}
        what = {"reason": "quota", "priority": Priority.EVENT, **at, **fields}
        self.queue.enqueue(Entry(Target(kind, key, by), **what) for key in keys)

    def get(self, key: str, kind: str = "patients") -> Entry:
        entry = self.queue.get(Target(kind, key))
        assert entry is not None
        return entry

    def run(self, **changed: Any) -> Run:
        parts: Parts = replace(
            self.clinic.parts(), events=cast(Any, self.live), children=cast(Any, self.background), **changed
        )
        return Run(parts, deadline=self.now + 10 * MINUTE)


@pytest.fixture
def queue(embedded: Documents) -> Iterator[Queue]:
    with simulator(patients=0) as running:
        yield Queue(Clinic(running, embedded))


def failing(error: Exception) -> Read:
    def read(target: Target) -> Done:
        raise error

    return read


DOWN = ServerError("GET /api/patients/1", status=500)


def test_only_events_use_live_requests_and_without_one_a_request_of_the_background(queue: Queue) -> None:
    queue.add("event")
    queue.add("confirm", priority=Priority.CONFIRM)
    queue.add("child", priority=Priority.CHILDREN)
    work_off(queue.run(), Priority.CHILDREN)
    assert (queue.live.ids, queue.background.ids) == (["event"], ["confirm", "child"])

    queue.live.read = failing(QuotaExhausted(queue.now + MINUTE))
    queue.add("later")
    work_off(queue.run(), Priority.EVENT)
    assert queue.background.ids[-1] == "later"
    assert queue.queue.waiting() == 0


def test_what_is_known_of_a_target_and_where_its_change_came_from_go_with_it(queue: Queue) -> None:
    queue.add(
        "1", updated_at="2026-03-01T07:00:00", deletes=True, reason="absent", absent_since=queue.now, deliveries=("d1",)
    )
    queue.add("2", kind="problems", by="patient", reason="backfill")
    queue.add("3", kind="problems", by="patient", reason="follows")
    queue.add("4", reason="backfill")
    work_off(queue.run(), Priority.EVENT)
    asked = {target.id: (known, source) for target, known, source in queue.live.asked}
    known, source = asked["1"]
    assert known == Known(queue.now, "2026-03-01T07:00:00", deletes=True, reason="absent", absent_since=queue.now)
    assert source == Source("webhook", queue.now, deliveries=("d1",))
    assert {one.name for _, one in asked.values()} == {"webhook", "pending"}
    # Only the lists of patients that a backfill asked for are part of a walk over everything.
    assert [key for key in sorted(asked) if asked[key][1].lists_all] == ["2"]


def test_content_in_doubt_is_confirmed_and_what_is_proved_is_done(queue: Queue) -> None:
    confirm_at = queue.now + MINUTE
    queue.live.read = lambda target: replace(queue.stored(target), confirm_at=confirm_at if target.id == "1" else None)
    queue.add("1", "2")
    run = queue.run()
    work_off(run, Priority.EVENT)
    entry = queue.get("1")
    assert (entry.reason, entry.due, entry.priority, entry.attempts) == ("confirm", confirm_at, Priority.CONFIRM, 0)
    assert queue.queue.waiting() == 1
    assert run.counts[Outcome.STORED] == 2


@pytest.mark.parametrize("error", [Forbidden("GET", status=403), ZeroDivisionError()])
def test_an_entry_that_fails_is_postponed_and_the_others_go_on(queue: Queue, error: Exception) -> None:
    queue.live.read = lambda target: failing(error)(target) if target.id == "1" else queue.stored(target)
    queue.add("1", "2")
    run = queue.run()
    work_off(run, Priority.EVENT)
    entry = queue.get("1")
    assert (entry.priority, entry.attempts) == (Priority.RETRY, 1)
    assert entry.due > queue.now
    assert queue.queue.waiting() == 1
    assert (run.counts[Outcome.STORED], run.counts[Outcome.DEFERRED]) == (1, 1)


def test_what_would_stop_every_entry_ends_the_run_and_gives_the_rest_back(queue: Queue) -> None:
    queue.live.read = failing(TokenRevoked("authorize"))
    queue.add("1", "2", "3")
    with pytest.raises(Stopped, match="revoked"):
        work_off(queue.run(), Priority.EVENT)
    assert len(queue.live.asked) == 1
    assert [queue.get(key).due for key in "123"] == [queue.now] * 3
    assert [queue.get(key).attempts for key in "123"] == [0] * 3


def test_after_the_deadline_nothing_is_begun_and_everything_given_back(queue: Queue) -> None:
    queue.add("1", "2")
    run = queue.run()
    run.deadline = queue.now
    with pytest.raises(Stopped, match="deadline"):
        work_off(run, Priority.EVENT)
    assert queue.live.asked == []
    assert [queue.get(key).lease_until for key in "12"] == [None, None]


def test_a_kind_whose_records_fail_in_a_row_is_paused_but_for_what_failed_before(queue: Queue) -> None:
    queue.live.read = failing(DOWN)
    keys = [str(number) for number in range(FAILURES_IN_A_ROW + 2)]
    queue.add(*keys)
    queue.add("failed before", attempts=1)
    run = queue.run()
    work_off(run, Priority.EVENT)
    assert run.health.unreadable == {"patients"}
    assert len(set(queue.live.ids) - {"failed before"}) == FAILURES_IN_A_ROW
    assert "failed before" in queue.live.ids
    paused = [queue.get(key) for key in keys if key not in queue.live.ids]
    assert [(one.due, one.attempts) for one in paused] == [(queue.now + KIND_PAUSE, 0)] * 2


def test_an_answer_in_between_and_what_failed_before_make_no_row(queue: Queue) -> None:
    error = Forbidden("GET", status=403)
    queue.live.read = lambda target: failing(error if target.id == "answered" else DOWN)(target)
    first = [str(number) for number in range(FAILURES_IN_A_ROW - 1)]
    run = queue.run()
    queue.add(*first)
    work_off(run, Priority.EVENT)
    queue.add("answered")
    work_off(run, Priority.EVENT)
    queue.add(*(f"again {key}" for key in first))
    queue.add(*(f"failed before {key}" for key in first), attempts=1)
    work_off(run, Priority.EVENT)
    assert run.health.unreadable == set()
    assert len(queue.live.asked) == 3 * len(first) + 1


def test_the_records_of_two_kinds_that_fail_in_a_row_mean_that_drchrono_is_down(queue: Queue) -> None:
    queue.live.read = failing(DOWN)
    run = queue.run()
    for kind in ("patients", "appointments"):
        queue.add(*(str(number) for number in range(FAILURES_IN_A_ROW)), kind=kind)
    with pytest.raises(Stopped, match="unavailable"):
        work_off(run, Priority.EVENT)
    assert len(queue.live.asked) == 2 * FAILURES_IN_A_ROW


@pytest.mark.parametrize(
    ("waiting", "tried"), [(MOST_FAILED_RETRIES - 1, MOST_FAILED_RETRIES - 1), (30, MOST_FAILED_RETRIES)]
)
def test_so_many_of_what_failed_before_may_fail_again_in_one_run(queue: Queue, waiting: int, tried: int) -> None:
    queue.background.read = failing(DOWN)
    queue.add(*(str(number) for number in range(waiting)), priority=Priority.RETRY, attempts=1)
    queue.add("event")
    retry_failed(queue.run())
    assert len(queue.background.asked) == tried
    assert queue.live.asked == []


def test_of_what_failed_before_and_succeeds_now_all_is_tried(queue: Queue) -> None:
    keys = [str(number) for number in range(CLAIM_ENTRIES + MOST_FAILED_RETRIES + 1)]
    queue.add(*keys, priority=Priority.RETRY, attempts=1)
    retry_failed(queue.run())
    assert sorted(queue.background.ids) == sorted(keys)
    assert queue.queue.waiting() == 0


def test_entries_that_are_not_due_wait(queue: Queue) -> None:
    later: datetime = queue.now + MINUTE
    queue.add("1", due=later)
    queue.add("2", priority=Priority.RETRY, due=later)
    run = queue.run()
    work_off(run, Priority.BACKFILL)
    retry_failed(run)
    assert (queue.live.asked, queue.background.asked) == ([], [])
