"""When the jobs try again, what a list strikes off the queue, and when the slow round goes on: at each limit."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.run import Run
from shared.jobs.slow_round import FEW_WAITING, MOST_PER_ROUND_STEP, ROUND, go_on
from shared.jobs.sync import changes
from shared.queue.entries import Entry, Priority, Target
from tests.clinic import Clinic, simulator
from tests.jobs.test_sync import filled

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MOMENT = timedelta(microseconds=1)


def test_the_pauses_of_a_kind_double_from_two_minutes_to_an_hour() -> None:
    checkpoint, pauses = Checkpoint(), []
    for _ in range(8):
        checkpoint = checkpoint.failed("sync", "server_error", NOON)
        pauses.append((checkpoint.problems["sync"]["retry_at"] - NOON).total_seconds() / 60)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert checkpoint.problems["sync"]["attempts"] == 8


def test_a_kind_is_tried_at_the_stated_time_and_not_before_and_each_job_for_itself() -> None:
    failed = Checkpoint().failed("sync", "forbidden", NOON)
    at = NOON + timedelta(minutes=2)
    assert not failed.may_try("sync", at - MOMENT)
    assert failed.may_try("sync", at)
    assert failed.may_try("backfill", NOON)
    later = failed.failed("reconcile", "list_shifted", at)
    assert later.problem == failed.problems["sync"]  # the one that has lasted longest
    assert later.recovered("sync").problem == later.problems["reconcile"]
    assert later.recovered("sync").recovered("reconcile").problem is None
    assert later.failed("sync", "forbidden", at).problems["sync"]["since"] == NOON


@pytest.mark.parametrize(("seconds", "struck"), [(31, True), (30.999, False), (0, False), (-1, False)])
def test_a_list_strikes_only_what_it_certainly_shows(embedded: Documents, seconds: float, struck: bool) -> None:
    """The longest lag and the skew of clocks are taken off the time of its request, not added to it."""
    with simulator(form="guide", patients=6, appointments=0, notes=0, children=0) as running:
        clinic = filled(Clinic(running, embedded))
        key = min(running.truth("patients"))
        running.change("patients", key, webhook=False)
        clinic.later(minutes=2)
        now = clinic.now()
        seen = now - timedelta(seconds=seconds)
        entry = Entry(Target("patients", key), "quota", Priority.EVENT, seen, seen, due=now + timedelta(hours=9))
        clinic.queue.enqueue([entry])
        assert changes(Run(clinic.parts(), deadline=now + timedelta(hours=1)), KINDS["patients"], force=True)
        assert clinic.now() == now  # the simulated clock stands still
        assert (clinic.queue.get(entry.target) is None) is struck


def by_patient(clinic: Clinic) -> None:
    for name in ("medications", "problems", "allergies"):
        clinic.positions.change(name, lambda old: Checkpoint(strategy="patient", reconciled_at=old.reconciled_at))


def test_the_slow_round_waits_for_a_nearly_empty_queue_and_takes_its_share_of_time(embedded: Documents) -> None:
    with simulator(form="guide", patients=60, appointments=0, notes=0, children=0) as running:
        clinic = filled(Clinic(running, embedded))
        by_patient(clinic)
        clinic.run(go_on)
        began = clinic.positions.round()
        assert (began.after, clinic.queue.waiting()) == (None, 0)
        # A patient's turn is a sixtieth of the round.
        turn = ROUND / 60
        clinic.later(seconds=turn.total_seconds() - 1)
        clinic.run(go_on)
        assert clinic.positions.round() == began
        clinic.later(seconds=2)
        clinic.run(go_on)
        assert clinic.queue.waiting() == 3  # three lists of one patient
        now = clinic.now()
        clinic.queue.enqueue(
            Entry(Target("patients", f"{number}"), "asked", Priority.RETRY, now, now, now)
            for number in range(FEW_WAITING - 3)
        )
        clinic.later(days=90)
        before = clinic.positions.round()
        clinic.queue.enqueue([Entry(Target("patients", "more"), "asked", Priority.RETRY, now, now, now)])
        clinic.run(go_on)
        assert clinic.positions.round() == before  # one too many wait
        clinic.documents.transact(lambda transaction: transaction.delete("sync_pending/patients:more"))
        clinic.run(go_on)
        assert clinic.positions.round().at == clinic.now()
        # After a long pause, one step takes no more than so many patients.
        assert clinic.queue.count("allergies", "patient") == 1 + MOST_PER_ROUND_STEP
