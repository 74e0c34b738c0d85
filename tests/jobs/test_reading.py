"""What the pages of a list prove: they may have been cut from a list that changed between two requests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.drchrono.kinds import KINDS
from shared.drchrono.records import Page
from shared.jobs.reading import MOST_NEW, Reading, reading_of

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
PATIENTS = KINDS["patients"]
OLD = "2026-02-01T08:00:00"


def page(*keys: int | None, total: int | None = None, changed: object = OLD, minutes: int = 0) -> Page:
    records: list[dict[str, Any]] = [{"updated_at": changed} | ({} if key is None else {"id": key}) for key in keys]
    return Page(records, NOON + timedelta(minutes=minutes), None, total, last=False)


def read(*pages: Page) -> Reading:
    reading = Reading()
    for one in pages:
        reading = reading.with_page(PATIENTS, one, ())
    return reading


def test_pages_are_added_up_from_the_first_request_on() -> None:
    reading = read(page(1, 2, None, total=4), page(3, total=4, minutes=5))
    assert (reading.pages, reading.began, reading.count) == (2, NOON, 4)
    assert (reading.named, reading.unnamed, reading.steady, reading.quiet) == (3, 1, True, True)
    assert reading_of(reading.as_json()) == reading
    assert reading_of(None) == Reading()
    assert reading_of({"pages": 3, "field of an older version": 1}) == Reading(pages=3)


@pytest.mark.parametrize(
    ("reading", "different", "agrees", "provable"),
    [
        # As many as the pages state, those without an id included.
        (read(page(1, 2, total=4), page(3, None, total=4)), 3, True, True),
        (read(page(1, 2, total=4), page(2, 3, total=4)), 3, False, False),
        (read(page(1, 2, total=2), page(3, total=2)), 3, False, False),
        # Each page must state the same number, the first of which may be any.
        (read(page(1, 2, total=4), page(3, total=3)), 3, False, False),
        (read(page(1, 2, total=3), page(3, total=4), page(total=3)), 3, False, False),
        # Without a number: it may have missed one, and that shows in one that it showed twice.
        (read(page(1, 2), page(3, None)), 3, True, True),
        (read(page(1, 2), page(2, 3)), 3, True, False),
    ],
)
def test_a_reading_agrees_with_the_number_that_its_pages_state(
    reading: Reading, different: int, agrees: bool, provable: bool
) -> None:
    assert reading.agrees(different) is agrees
    assert reading.is_provable(different) is provable


def test_one_page_proves_itself_and_more_only_with_a_number_and_nothing_changed_meanwhile() -> None:
    assert read(page(1)).is_proof()
    assert not read(page(1), page(2)).is_proof()
    assert read(page(1, total=2), page(2, total=2)).is_proof()
    assert not read(page(1, total=2), page(2, total=2, changed=None)).is_proof()


@pytest.mark.parametrize(
    ("changed", "quiet"),
    [
        # The reading began at noon UTC, what it shows may be 31 s old, and it is midnight at the western end.
        ("2026-02-28T23:59:28", True),
        ("2026-02-28T23:59:29", False),
        ("2026-03-01T07:00:00", False),
        (None, False),
        (20260228, False),
    ],
)
def test_what_may_have_changed_since_the_reading_began_is_not_quiet(changed: object, quiet: bool) -> None:
    assert read(page(1, changed=changed)).quiet is quiet
    # One is enough, on whichever page, and the first page says when it began.
    assert read(page(1, changed=changed), page(2, minutes=9)).quiet is quiet
    assert read(page(1), page(2, changed=changed, minutes=9)).quiet is quiet


def test_more_new_records_than_matter_are_not_kept() -> None:
    reading = Reading()
    for first in range(0, MOST_NEW + 100, 100):
        reading = reading.with_page(PATIENTS, page(), tuple(str(first + key) for key in range(100)))
    assert reading.new == tuple(str(key) for key in range(MOST_NEW + 1))
