"""What a list has shown is kept only as long as something is compared with it, and across runs."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.records import Page
from shared.jobs.listing import Listing
from shared.jobs.seen import Seen
from shared.records.results import PageResult

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
PATIENTS = KINDS["patients"]


class Lists:
    """Lists of patients, each page of which may be read by another run."""

    def __init__(self, documents: Documents, **how: bool) -> None:
        self.documents, self.how = documents, how
        self.state: dict[str, Any] = {}

    def read(self, *pages: str, total: int | None = None) -> Listing:
        """Read a whole list; each letter is a record."""
        for number, keys in enumerate(pages, 1):
            listing = self.go_on()
            resume = {"page": number} if number < len(pages) else None
            records = [{"id": key, "updated_at": "2026-02-01T08:00:00"} for key in keys]
            listing.add(Page(records, NOON, resume, total, last=resume is None), _new())
            self.state = listing.state
        return listing

    def go_on(self) -> Listing:
        return Listing(Seen(self.documents), "backfill", PATIENTS, self.state, **self.how)

    def again(self, listing: Listing) -> None:
        """The list is read again."""
        self.state = listing.state_of_next
        listing.forget(again=True)

    @property
    def kept(self) -> int:
        return self.documents.count("sync_state")


def _new() -> PageResult:
    return PageResult(Counter(), (), (), (), (), {}, {})


def test_without_a_count_nothing_is_kept_and_every_list_agrees(embedded: Documents) -> None:
    lists = Lists(embedded)
    assert lists.read("ab", "bc").agrees()
    assert lists.kept == 0


@pytest.mark.parametrize(("pages", "agrees"), [(("ab", "c"), True), (("ab", "bc"), True), (("ab", "b"), False)])
def test_pages_with_a_count_are_kept_until_they_are_compared_with_it(
    embedded: Documents, pages: tuple[str, ...], agrees: bool
) -> None:
    lists = Lists(embedded)
    listing = lists.read(*pages, total=3)
    assert lists.kept == 2
    assert listing.agrees() is agrees
    listing.forget()
    assert lists.kept == 0
    assert listing.state_of_next == {"reading": None, "pages": 0, "before": 0}


def test_a_list_of_one_page_is_compared_and_not_kept(embedded: Documents) -> None:
    for exact in (False, True):
        lists = Lists(embedded, exact=exact)
        assert lists.read("abc", total=3).agrees()
        lists.state = {}
        assert not lists.read("ab", total=3).agrees()
        assert lists.kept == 0


@pytest.mark.parametrize("total", [None, 3])
@pytest.mark.parametrize(("second", "proved"), [(("ca", "b"), True), (("ab", "cd"), True), (("ab", "d"), False)])
def test_an_exact_list_is_proved_by_a_second_reading_that_shows_all_of_it_again(
    embedded: Documents, total: int | None, second: tuple[str, ...], proved: bool
) -> None:
    lists = Lists(embedded, exact=True)
    first = lists.read("ab", "c", total=total)
    assert first.agrees()
    assert not first.proves_the_one_before()
    lists.again(first)
    assert lists.kept == 2
    again = lists.read(*second, total=total)
    again.agrees()
    assert again.proves_the_one_before() is proved
    again.forget()
    assert lists.kept == 0


def test_a_reading_that_proves_nothing_is_not_compared_with_the_next(embedded: Documents) -> None:
    lists = Lists(embedded, exact=True)
    first = lists.read("ab", "bc")  # one was shown twice: another may have been missed
    assert first.agrees()
    lists.again(first)
    assert lists.kept == 0
    second = lists.read("ab", "c")
    second.agrees()
    assert not second.proves_the_one_before()
    lists.again(second)
    third = lists.read("abc")
    third.agrees()
    assert third.proves_the_one_before()


def test_of_three_readings_the_last_two_are_compared(embedded: Documents) -> None:
    lists = Lists(embedded, exact=True)
    for pages in (("ab", "c"), ("ab", "d"), ("db", "a")):
        listing = lists.read(*pages)
        listing.agrees()
        proved = listing.proves_the_one_before()
        lists.again(listing)
    assert proved


def test_a_walk_may_keep_the_ids_of_all_its_lists(embedded: Documents) -> None:
    lists = Lists(embedded, keep_ids=True)
    for pages in (("a",), ("b", "c")):
        listing = lists.read(*pages)
        assert listing.agrees()
        listing.forget()
        lists.state = listing.state_of_next
    assert listing.pages == 3
    assert Seen(embedded).all("backfill-patients", 3) == {"a", "b", "c"}
