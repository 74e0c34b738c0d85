"""The sync and the feed: it sends what was left to it, and tells once of each kind that it has been filled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill
from shared.jobs.announce import announce, report
from shared.jobs.run import Run
from shared.jobs.sync import sync
from shared.queue.entries import Entry, Priority, Target
from shared.records.store import Source
from tests.clinic import simulator
from tests.feed.clinic import TellingClinic
from tests.feed.harness import Broker
from tests.jobs.test_isolation import fail, runs
from tests.jobs.test_sync import entries
from tests.records.test_ordering import NOON

Practice = TellingClinic[Broker]


@pytest.fixture(params=["guide", "live"])
def clinic(request: pytest.FixtureRequest, documents: Documents) -> Iterator[Practice]:
    with simulator(form=request.param, patients=6) as running:
        yield Practice(running, documents, broker=Broker())


@pytest.fixture
def empty(embedded: Documents) -> Iterator[Practice]:
    with simulator(patients=0) as running:
        yield Practice(running, embedded, broker=Broker())


def fill(clinic: Practice) -> None:
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    clinic.run(backfill.go_on)
    runs(clinic, hours=0.5)
    clinic.settle()


def test_a_first_filling_is_announced_once_for_each_kind_with_what_is_kept_and_never_again(
    clinic: TellingClinic[Broker],
) -> None:
    fill(clinic)
    assert clinic.differences() == []
    told = clinic.broker.told
    assert Counter(one["operation"] for one in told) == {"filled": len(KINDS)}
    assert {one["kind"]: one["count"] for one in told} == {name: len(clinic.stored(name)) for name in KINDS}
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    runs(clinic, hours=0.5)
    assert clinic.broker.told == told


def test_a_kind_whose_list_fails_is_not_told_to_be_filled_before_it_is(clinic: Practice) -> None:
    fail(clinic, r"/api/appointments(_list)?\?", "500")
    fill(clinic)
    assert "appointments" not in {one["kind"] for one in clinic.broker.told if one["operation"] == "filled"}
    clinic.simulator.faults.set([], replace=True)
    runs(clinic, hours=2)
    clinic.settle()
    assert clinic.differences() == []
    filled = [one for one in clinic.broker.told if one["operation"] == "filled"]
    assert Counter(one["kind"] for one in filled) == dict.fromkeys(KINDS, 1)


def test_what_the_broker_did_not_take_is_sent_by_a_later_sync_in_order(clinic: Practice) -> None:
    fill(clinic)
    clinic.broker.messages.clear()
    key = min(clinic.simulator.truth("patients"))
    clinic.broker.works = False
    for _ in range(3):
        clinic.simulator.change("patients", key, webhook=False)
        clinic.queue.enqueue(entries(clinic, [key]))
        clinic.later(minutes=2)
        clinic.run(sync)
    assert clinic.broker.messages == []
    assert clinic.differences() == []
    assert clinic.feed.outbox.lag().records == 1
    clinic.broker.works = True
    clinic.later(minutes=2)
    clinic.run(sync)
    versions = clinic.broker.versions()[f"patients/{key}"]
    assert len(versions) >= 3
    assert versions == list(range(versions[0], versions[0] + len(versions)))
    assert clinic.feed.outbox.lag().records == 0


@pytest.mark.parametrize(
    ("kind", "filled_by", "oldest", "told"),
    [
        ("patients", "backfilled_at", None, True),
        ("appointments", "backfilled_at", NOON, True),
        ("doctors", "synced_at", None, True),
        ("medications", "filled_at", None, True),
        # A list of a patient that waits since then may hold the first records of the kind.
        ("medications", "filled_at", NOON, False),
        ("medications", "filled_at", NOON + timedelta(microseconds=1), True),
    ],
)
def test_a_kind_is_announced_to_be_filled_after_its_first_complete_listing(
    empty: Practice, kind: str, filled_by: str, oldest: datetime | None, told: bool
) -> None:
    run = Run(empty.parts(), deadline=empty.now() + timedelta(hours=1))
    if oldest is not None:
        by = "patient" if KINDS[kind].listed_by == "patient" else "id"
        empty.queue.enqueue([Entry(Target(kind, "1", by), "follows", Priority.CHILDREN, oldest, oldest, oldest)])
    others: dict[str, Any] = dict.fromkeys({"backfilled_at", "synced_at", "filled_at"} - {filled_by}, NOON)
    empty.positions.change(kind, lambda old: replace(old, **others))
    announce(run, 100)
    assert empty.broker.told == []
    this: dict[str, Any] = {filled_by: NOON}
    empty.positions.change(kind, lambda old: replace(old, **this))
    announce(run, 100)
    assert [one["kind"] for one in empty.broker.told] == [kind] * told


def test_what_waits_to_be_told_is_reported_with_its_age(empty: Practice, capsys: pytest.CaptureFixture[str]) -> None:
    def reported(seconds: float) -> dict[str, Any]:
        now = empty.now() + timedelta(seconds=seconds)
        capsys.readouterr()
        report(replace(empty.parts(), now=lambda: now))
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {name: found[name] for name in ("message", "count", "oldest_seconds")}

    assert reported(90) == {"message": "feed.state", "count": 0, "oldest_seconds": 0}
    empty.broker.works = False
    empty.records.store(KINDS["patients"], "1", {"id": 1}, empty.now(), Source("sync"))
    assert reported(90) == {"message": "feed.state", "count": 1, "oldest_seconds": 90}
    assert reported(-5)["oldest_seconds"] == 0  # the clock of another instance is ahead
