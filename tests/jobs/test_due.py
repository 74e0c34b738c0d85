"""When a kind is due, by its checkpoint alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import provable_from
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.due import has_passed, list_is_due, pass_is_due

NOW = datetime(2026, 3, 10, 15, 0, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
PATIENTS, DOCTORS = KINDS["patients"], KINDS["doctors"]


@pytest.mark.parametrize("never", [None, "2026-03-10", datetime(2026, 3, 10)])  # noqa: DTZ001 (no instant)
def test_what_was_never_done_is_due(never: object) -> None:
    assert has_passed(DAY, never, NOW)


def test_a_span_has_passed_at_its_end_and_not_before() -> None:
    assert has_passed(DAY, NOW - DAY, NOW)
    assert not has_passed(DAY, NOW - DAY + timedelta(microseconds=1), NOW)


def test_a_list_is_due_after_its_interval_and_while_it_is_unfinished() -> None:
    interval = timedelta(minutes=PATIENTS.sync_minutes)
    recent = Checkpoint(synced_at=NOW - interval + MINUTE, complete_at=NOW - DAY)
    assert not list_is_due(PATIENTS, recent, NOW)
    assert list_is_due(PATIENTS, recent, NOW + MINUTE)
    assert list_is_due(PATIENTS, Checkpoint(synced_at=NOW, complete_at=NOW, sync={"resume": None}), NOW)
    assert list_is_due(PATIENTS, Checkpoint(), NOW)


def test_the_first_sync_after_a_backfill_comes_as_soon_as_it_can_prove_the_kind_complete() -> None:
    filled = Checkpoint(synced_at=NOW, filled_at=NOW)
    assert not list_is_due(PATIENTS, filled, NOW)
    assert list_is_due(PATIENTS, filled, provable_from(NOW))
    assert not list_is_due(PATIENTS, Checkpoint(synced_at=NOW), provable_from(NOW))


def test_a_whole_list_is_read_again_until_one_proves_the_kind_complete() -> None:
    assert list_is_due(DOCTORS, Checkpoint(synced_at=NOW), NOW)
    assert not list_is_due(DOCTORS, Checkpoint(synced_at=NOW, complete_at=NOW), NOW)


def test_no_pass_begins_before_somebody_asked_for_a_copy() -> None:
    assert not pass_is_due(Checkpoint(), Checkpoint(), DAY, NOW)
    assert pass_is_due(Checkpoint(), Checkpoint(backfilled_at=NOW), DAY, NOW)
    assert pass_is_due(Checkpoint(reconcile={"began": NOW}), Checkpoint(), DAY, NOW)


def test_a_pass_is_repeated_after_its_interval_or_never() -> None:
    patients, done = Checkpoint(backfilled_at=NOW), Checkpoint(reconciled_at=NOW - DAY, complete_at=NOW - DAY)
    assert pass_is_due(done, patients, DAY, NOW)
    assert not pass_is_due(done, patients, DAY + MINUTE, NOW)
    assert not pass_is_due(done, patients, None, NOW)
    assert pass_is_due(Checkpoint(reconciled_at=NOW), patients, None, NOW)
