"""Programs, senders and DrChrono under every kind of trouble at once, in both forms: see `model.schedule`.

`python -m tests.outbox.model --schedules 5000` is the long run.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from shared.documents import Documents
from tests.outbox.model.run import run_one
from tests.outbox.model.schedule import Schedule

# Each has shown a fault.
FOUND = (
    10,  # an entry was written again by its program after a like one was done, and made a second record
    *(2583, 2704),  # an entry was written again while it was sent, and waited for one that waited for it
    3396,  # a list was empty without a permission, which was back when another record was looked for
    *(72, 101, 161, 232, 1933),  # the copy was behind the update before, so that no search could settle the next
)

SEEDS = 240
CHUNK = 40


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_every_write_is_done_once_and_in_order(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + CHUNK):
        assert (seed, run_one(seed, tmp_path / "store.sqlite3").wrong) == (seed, [])


@pytest.mark.parametrize("seed", FOUND)
def test_a_schedule_that_showed_a_fault_shows_none_any_more(seed: int, tmp_path: Path) -> None:
    assert run_one(seed, tmp_path / "store.sqlite3").wrong == []


@pytest.mark.emulator
@pytest.mark.parametrize("seed", [2, 7])
def test_firestore_ends_as_the_embedded_store_does(seed: int, firestore_documents: Documents) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert Schedule(seed, firestore_documents).run() == []


def test_a_seed_gives_the_same_schedule_again(tmp_path: Path) -> None:
    lines = [run_one(10, tmp_path / "store.sqlite3", tracing=True).lines for _ in range(2)]
    assert len(lines[0]) > 50
    assert lines[0] == lines[1]
