"""Whatever DrChrono answers: nothing but the defined outcomes, nothing of it in a log line, and the next good answer
heals it.

FUZZ_EXAMPLES says how many answers are tried by each test.
"""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.store_record import Store, handle
from shared.documents import Documents
from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS, key_of
from shared.drchrono.lag import VERSION_LAG
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Leases
from shared.jobs.run import Parts, Run
from shared.jobs.seen import Seen
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.queue.single_flight import SingleFlight
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from shared.records.absence import Absences
from shared.records.coverage import Coverages
from shared.records.ordering import Outcome
from shared.records.refresh import Refresh
from shared.records.storable import META, join
from shared.records.store import Records
from shared.records.zones import Zones
from shared.webhooks.events import Change, encode
from tests.clinic import simulator, unsigned
from tests.fuzz.answers import CANARY, Reply, Service, cut, spoiled
from workstation.embedded_documents import EmbeddedDocuments

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
FUZZED = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
FORMS = st.sampled_from(["guide", "live"])
FOLDER = tempfile.TemporaryDirectory()
JSON = {"Content-Type": "application/json"}
EVENTS = {"patients": "PATIENT_MODIFY", "appointments": "APPOINTMENT_MODIFY", "clinical_notes": "CLINICAL_NOTE_LOCK"}


class RateLimiter:
    def acquire(self, lane: Lane) -> None: ...
    def throttled(self, until: datetime) -> None: ...


class Token:
    def current(self) -> str:
        return "token"

    def rejected(self, access_token: str) -> str:
        return "newer"


@dataclass
class Practice:
    """One record of each kind, in one form; `dice` spoil each answer while they are there."""

    truth: Mapping[str, dict[str, Any]]
    documents: Documents
    dice: Random | None = None
    now: datetime = NOON
    log: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.client = DrChrono(
            url="http://127.0.0.1:1",
            tokens=Token(),
            limiter=RateLimiter(),
            now=self.clock,
            sleep=lambda seconds: None,
            random=lambda: 0.5,
            session=Service(self.answer).session(),
        )
        self.records, self.queue = Records(self.documents, self.clock), WorkQueue(self.documents, self.clock)
        self.absences = Absences(self.documents, self.records, self.queue, self.clock)

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def answer(self, method: str, target: str) -> Reply:
        kind, *key = urlsplit(target).path.removeprefix("/api/").removesuffix("_list").strip("/").split("/")
        kind = kind.removesuffix("_list")
        record = self.truth[kind]
        key = [str(record["id"])] if key == ["current"] else key
        data: Any = record if key else {"previous": None, "results": [record], "next": None}
        if key and key[0] != key_of(KINDS[kind], record):
            return 404, JSON, b'{"detail": "Not found."}'
        if self.dice is None:
            return 200, JSON, json.dumps(data).encode()
        status = self.dice.choice([200] * 12 + [201, 202, 204, 302, 400, 403, 404, 409, 429, 500, 503])
        body = json.dumps(spoiled(data, self.dice)).encode()
        if self.dice.random() < 0.1:
            body = cut(body, self.dice)
        return status, JSON if self.dice.random() < 0.9 else {"Content-Type": "text/html"}, body

    def refresh(self, lane: Lane = Lane.LIVE) -> Refresh:
        return Refresh(
            api=self.client.in_lane(lane),
            records=self.records,
            queue=self.queue,
            absences=self.absences,
            now=self.clock,
        )

    def event(self, kind: str) -> Outcome:
        key = key_of(KINDS[kind], self.truth[kind])
        assert key is not None
        change = Change(EVENTS[kind], kind, key, "delivery", self.now)
        store = Store(
            refresh=self.refresh(),
            records=self.records,
            queue=self.queue,
            single_flight=SingleFlight(),
            now=self.clock,
            sleep=lambda seconds: None,
            random=lambda: 0.5,
        )
        with redirect_stdout(self.log):
            return handle({"message": {"data": base64.b64encode(encode(change)).decode()}}, store)

    def sync(self) -> None:
        parts = Parts(
            lists=self.client,
            events=self.refresh(),
            children=self.refresh(Lane.BACKGROUND),
            records=self.records,
            queue=self.queue,
            absences=self.absences,
            checkpoints=Checkpoints(self.documents),
            leases=Leases(self.documents, self.clock, lambda: "run"),
            seen=Seen(self.documents),
            zones=Zones(self.documents),
            coverage=Coverages(
                self.documents, current_user=self.client.current_user, scopes=lambda: "", now=self.clock
            ),
            now=self.clock,
            random=lambda: 0.5,
        )
        try:
            with redirect_stdout(self.log):
                sync(Run(parts, deadline=self.now + timedelta(seconds=60)), force=True)
        except Stopped:
            return

    def copy(self, kind: str) -> dict[str, Any] | None:
        found = self.documents.get(f"{kind}/{key_of(KINDS[kind], self.truth[kind])}")
        return None if found is None or found[META]["deleted"] else join(found)


@cache
def truth_in(form: str) -> Mapping[str, dict[str, Any]]:
    """One record of each kind as DrChrono shows it, all of the patient of the first note."""
    with simulator(form=form, patients=20, children=4) as running:
        note = min(running.truth("clinical_notes").items())[1]
        visit = running.truth("appointments")[str(note["appointment"])]
        patient = running.truth("patients")[str(visit["patient"])]
        return {
            "patients": {**patient, "last_name": CANARY},
            "appointments": visit,
            "clinical_notes": note,
            **{
                kind: next(one for one in running.truth(kind).values() if str(one["patient"]) == str(visit["patient"]))
                for kind in KINDS["patients"].children
            },
            **{name: min(running.truth(name).items())[1] for name, kind in KINDS.items() if kind.whole},
        }


def practice_of(form: str, dice: Random) -> Practice:
    folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
    return Practice(truth_in(form), EmbeddedDocuments(folder / "documents.sqlite3"), dice)


def heals(practice: Practice) -> Iterator[str]:
    """What is not as in DrChrono, although every answer has been good for as long as a strange one is doubted."""
    practice.dice = None
    for _ in range(3):
        practice.now += VERSION_LAG + timedelta(days=1)
        for kind in EVENTS:
            practice.event(kind)
        practice.sync()
    for kind in EVENTS:
        copy = practice.copy(kind)
        if copy is None or unsigned(copy) != unsigned(practice.truth[kind]):
            yield kind


@FUZZED
@given(form=FORMS, seed=st.integers(0, 2**32), kind=st.sampled_from(sorted(EVENTS)), after=st.booleans())
def test_an_event_whose_answer_is_strange_ends_in_an_outcome_and_heals(
    form: str, seed: int, kind: str, after: bool
) -> None:
    practice = practice_of(form, Random(seed))
    if after:
        practice.dice = None
        practice.event(kind)
        practice.dice, practice.now = Random(seed), practice.now + timedelta(hours=1)
    assert isinstance(practice.event(kind), Outcome)
    assert CANARY not in practice.log.getvalue()
    assert list(heals(practice)) == []


@FUZZED
@given(form=FORMS, seed=st.integers(0, 2**32))
def test_a_sync_whose_answers_are_strange_ends_without_a_crash_and_heals(form: str, seed: int) -> None:
    practice = practice_of(form, Random(seed))
    practice.sync()
    practice.now += timedelta(hours=1)
    practice.sync()
    assert CANARY not in practice.log.getvalue()
    assert list(heals(practice)) == []
