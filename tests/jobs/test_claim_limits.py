"""What may be claimed, at each limit: of what was listed, of what waits, and of lists that were asked for."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.jobs.checkpoint import Checkpoint
from shared.jobs.claims import of_children, of_listed
from shared.queue.work_queue import Pending

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MOMENT = timedelta(microseconds=1)
NOTHING = Pending(0, None, unstorable=False)
BEFORE = NOON - timedelta(hours=3)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def since(oldest: datetime | None, *, unstorable: bool = False) -> Pending:
    return Pending(1, oldest, unstorable)


@pytest.mark.parametrize(
    ("listed", "pending", "before", "claim"),
    [
        (None, NOTHING, None, None),
        (None, NOTHING, BEFORE, BEFORE),
        (NOON, NOTHING, None, NOON),
        (NOON, NOTHING, BEFORE, NOON),
        (BEFORE, NOTHING, NOON, NOON),  # never back
        # What waits was in the copy two lags before it was noticed.
        (NOON, since(at(62)), None, NOON),
        (NOON, since(at(61)), None, at(-1)),
        (NOON, since(at(0)), None, at(-62)),
        (NOON, since(at(-9_000)), BEFORE + timedelta(hours=2), BEFORE + timedelta(hours=2)),
        # What may be missing altogether, or cannot be read, allows nothing new.
        (NOON, since(at(900), unstorable=True), BEFORE, BEFORE),
        (NOON, since(None), BEFORE, BEFORE),
        (NOON, since(None), None, None),
    ],
)
def test_of_what_was_listed(
    listed: datetime | None, pending: Pending, before: datetime | None, claim: datetime | None
) -> None:
    assert of_listed(Checkpoint(complete_at=listed), pending, before) == claim


@pytest.mark.parametrize(
    ("pending", "patients", "claim"),
    [
        (NOTHING, at(60), NOON),
        (NOTHING, at(-60), at(-60)),  # no more than of the patients
        (NOTHING, None, BEFORE),
        # A list that waits since all were asked for may never have been read.
        (since(at(30)), at(60), BEFORE),
        (since(at(30) + MOMENT), at(60), NOON),
        (since(at(900), unstorable=True), at(60), BEFORE),
    ],
)
def test_of_lists_that_were_all_asked_for_between_two_instants(
    pending: Pending, patients: datetime | None, claim: datetime
) -> None:
    asked = Checkpoint(complete_at=NOON, filled_at=at(30))
    assert of_children(asked, pending, patients, BEFORE) == claim
    for unknown in (Checkpoint(complete_at=NOON), Checkpoint(filled_at=at(30))):
        assert of_children(unknown, pending, patients, BEFORE) == BEFORE
