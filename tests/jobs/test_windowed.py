"""A walk reads its lists in order, again where one may have missed a record, and gives way to another run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.errors import ListShifted
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.walk_state import UNDATED, State, new_state
from shared.jobs.watermark import EARLIEST
from shared.jobs.windowed import walk_windows
from tests.clinic import Clinic, simulator

PATIENTS = KINDS["patients"]
DATED = {"first": "2026-01-01", "last": "2026-06-30"}
OLD, RECENT = "2026-02-01T08:00:00", "2030-01-01T08:00:00"


class Walk:
    """A walk over lists that are given in the order in which they are asked for: pages of records, a letter each."""

    def __init__(
        self, clinic: Clinic, *lists: tuple[str, ...], total: int | None = None, updated_at: str = OLD
    ) -> None:
        self.clinic, self.lists, self.total, self.updated_at = clinic, list(lists), total, updated_at
        self.asked: list[tuple[str | None, tuple[str, str] | None]] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.begin(since=EARLIEST)

    def begin(self, since: date, **state: Any) -> None:
        begun = new_state(PATIENTS, since, self.clinic.now(), done=0) | state
        self.clinic.positions.change("patients", lambda old: replace(old, backfill=begun))

    def list_changed(
        self, kind: Kind, *, since: str | None, window: tuple[str, str] | None = None, **_: Any
    ) -> Iterator[Page]:
        self.asked.append((since, window))
        pages = self.lists.pop(0)  # an IndexError if it is asked too often
        for number, keys in enumerate(pages, 1):
            records: list[dict[str, Any]] = [{"id": key, "updated_at": self.updated_at} for key in keys]
            resume = {"page": number} if number < len(pages) else None
            yield Page(records, self.clinic.now(), resume, self.total, last=resume is None)

    def list_practice(self, kind: Kind, **_: Any) -> Iterator[Page]:
        raise AssertionError(kind.name)

    def each(self, state: State, page: Page, result: object) -> dict[str, Any]:
        self.meanwhile()
        return {"done": state["done"] + 1}

    def go_on(self, *, exact: bool = True) -> State | None:
        parts = replace(self.clinic.parts(), lists=self, overlap=False)
        run = Run(parts, deadline=self.clinic.now() + timedelta(hours=1))
        return walk_windows(run, PATIENTS, "backfill", self.each, exact=exact)

    @property
    def left(self) -> list[dict[str, Any]]:
        state = self.clinic.positions.get("patients").backfill
        assert state is not None
        found: list[dict[str, Any]] = state["windows"]
        return found


@pytest.fixture
def clinic(embedded: Documents) -> Iterator[Clinic]:
    with simulator(patients=0) as running:
        yield Clinic(running, embedded)


def test_each_list_is_read_once_in_order_with_its_dates_or_since_the_beginning(clinic: Clinic) -> None:
    walk = Walk(clinic, ("a", "b"), (), ("abc",))
    walk.begin(EARLIEST, windows=[DATED, {**DATED, "first": "2025-07-01"}, dict(UNDATED)], all_windows=3)
    state = walk.go_on()
    assert state is not None
    assert (state["windows"], state["done"]) == ([], 3)
    assert walk.asked == [
        (None, ("2026-01-01", "2026-06-30")),
        (None, ("2025-07-01", "2026-06-30")),
        ("2009-01-01T00:00:00", None),
    ]
    assert clinic.stored("patients").keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("exact", "total", "updated_at", "readings"),
    [
        (False, None, OLD, 1),
        (True, None, OLD, 2),
        # As many records as the pages state prove the list, unless one of them may have changed meanwhile.
        (True, 3, OLD, 1),
        (True, 3, RECENT, 2),
    ],
)
def test_a_list_of_several_pages_is_read_again_until_it_is_proved(
    clinic: Clinic, exact: bool, total: int | None, updated_at: str, readings: int
) -> None:
    walk = Walk(clinic, *[("ab", "c")] * readings, total=total, updated_at=updated_at)
    walk.go_on(exact=exact)
    assert (walk.left, walk.lists) == ([], [])
    assert clinic.documents.get("sync_state/seen-backfill-patients-0") is None


def test_a_list_whose_pages_do_not_agree_with_their_count_is_read_again(clinic: Clinic) -> None:
    walk = Walk(clinic, ("ab", "b"), ("ab", "c"), total=3)
    walk.go_on(exact=False)
    assert (walk.left, walk.lists) == ([], [])


def test_a_list_that_no_reading_proves_fails_after_three_and_is_tried_again(clinic: Clinic) -> None:
    walk = Walk(clinic, ("ab", "c"), ("bd", "a"), ("ce", "a"), ("ce", "a"), ())
    with pytest.raises(ListShifted):
        walk.go_on()
    assert len(walk.asked) == 3
    assert walk.left == [{**UNDATED, "readings": 3}]


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        (("d",), ()),  # the list of changes shows it: it is new since
        (("",), ("abcd",)),  # it was there before, so the first reading missed it, and others may be missed as well
    ],
)
def test_a_record_that_only_the_second_reading_shows_must_have_changed_since(
    clinic: Clinic, changes: tuple[str, ...], last: tuple[str, ...]
) -> None:
    walk = Walk(clinic, ("ab", "c"), ("ab", "cd"), changes, *[last] * bool(last))
    walk.go_on()
    assert (walk.left, walk.lists) == ([], [])
    since, window = walk.asked[2]
    assert window is None
    assert since is not None
    assert since > "2026"


def test_a_walk_that_was_begun_anew_or_is_gone_on_with_by_another_run_stops_this_one(clinic: Clinic) -> None:
    walk = Walk(clinic, ("a", "b"))

    def anew() -> None:
        clinic.later(seconds=1)
        walk.begin(EARLIEST)

    walk.meanwhile = anew
    with pytest.raises(Stopped, match="restarted"):
        walk.go_on()
    assert walk.left == [UNDATED]

    began = clinic.now()
    walk = Walk(clinic, ("a", "b"))
    walk.begin(EARLIEST, began=began, windows=[DATED, dict(UNDATED)], all_windows=2)
    walk.meanwhile = lambda: walk.begin(EARLIEST, began=began, all_windows=2)
    with pytest.raises(Stopped, match="running"):
        walk.go_on()
    assert walk.left == [UNDATED]


def test_a_walk_that_was_ended_is_not_gone_on_with(clinic: Clinic) -> None:
    walk = Walk(clinic)
    clinic.positions.change("patients", lambda old: replace(old, backfill=None))
    assert walk.go_on() is None
    walk = Walk(clinic, ("a", "b"))
    walk.meanwhile = lambda: clinic.positions.change("patients", lambda old: replace(old, backfill=None))
    with pytest.raises(Stopped, match="restarted"):
        walk.go_on()
