"""The sync and the feed: it sends what was left to it, and tells once of each kind that it has been filled."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox
from shared.feed.relay import Relay
from shared.jobs import backfill
from shared.jobs.run import Parts
from shared.jobs.sync import sync
from shared.records.absence import Absences
from shared.records.announcing import Announcing, Feed
from shared.records.store import Records
from tests.clinic import Clinic, simulator
from tests.feed.harness import Broker
from tests.jobs.test_isolation import fail, runs
from tests.jobs.test_sync import entries


@dataclass
class TellingClinic(Clinic):
    broker: Broker = field(default_factory=Broker)

    def __post_init__(self) -> None:
        super().__post_init__()
        fences = itertools.count()
        outbox = Outbox(self.documents, self.now)
        relay = Relay(outbox, self.broker.publish, self.now, lambda: f"fence-{next(fences)}")
        self.feed = Feed(outbox, relay, Fillings(self.documents))
        self.records = Records(self.documents, self.now, Announcing(self.documents, self.feed))
        self.absences = Absences(self.documents, self.records, self.queue, self.now)

    def parts(self) -> Parts:
        return replace(super().parts(), feed=self.feed)


@pytest.fixture(params=["guide", "live"])
def clinic(request: pytest.FixtureRequest, documents: Documents) -> Iterator[TellingClinic]:
    with simulator(form=request.param, patients=6) as running:
        yield TellingClinic(running, documents)


def fill(clinic: TellingClinic) -> None:
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    clinic.run(backfill.go_on)
    runs(clinic, hours=0.5)
    clinic.settle()


def test_a_first_filling_is_told_once_for_each_kind_with_what_is_kept_and_never_again(clinic: TellingClinic) -> None:
    fill(clinic)
    assert clinic.differences() == []
    told = clinic.broker.told
    assert Counter(one["operation"] for one in told) == {"filled": len(KINDS)}
    assert {one["kind"]: one["count"] for one in told} == {name: len(clinic.stored(name)) for name in KINDS}
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    runs(clinic, hours=0.5)
    assert clinic.broker.told == told


def test_a_kind_whose_list_fails_is_not_told_to_be_filled_before_it_is(clinic: TellingClinic) -> None:
    fail(clinic, r"/api/appointments(_list)?\?", "500")
    fill(clinic)
    assert "appointments" not in {one["kind"] for one in clinic.broker.told if one["operation"] == "filled"}
    clinic.simulator.faults.set([], replace=True)
    runs(clinic, hours=2)
    clinic.settle()
    assert clinic.differences() == []
    filled = [one for one in clinic.broker.told if one["operation"] == "filled"]
    assert Counter(one["kind"] for one in filled) == dict.fromkeys(KINDS, 1)


def test_what_the_broker_did_not_take_is_sent_by_a_later_sync_in_order(clinic: TellingClinic) -> None:
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
