"""A limiter over a document that is not a ledger: it stays within the quota and recovers without help."""

from __future__ import annotations

import copy
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import Data, Documents
from shared.errors import QuotaExhausted
from shared.rate_limit.document import QUOTA
from shared.rate_limit.encoding import MalformedLedger, decoded, encoded
from shared.rate_limit.ledger import Cooldown, Lane, Ledger, Reservation
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from tests.rate_limit.fleet import Fleet
from tests.rate_limit.instances import Clock, Watched, limiter, take
from tests.rate_limit.test_encoding import anything
from workstation.embedded_documents import EmbeddedDocuments

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def put(documents: Documents, data: Data) -> None:
    documents.transact(lambda transaction: transaction.set(QUOTA, data))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["embedded", pytest.param("firestore", marks=pytest.mark.emulator)])
def store(request: pytest.FixtureRequest, clock: Clock) -> Documents:
    name = {"embedded": "embedded", "firestore": "firestore_documents"}[request.param]
    return Watched(request.getfixturevalue(name), now=clock.now)


def test_a_malformed_document_counts_as_used_up_and_recovers(
    store: Documents, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, {"sent": "secret", "when": NOON})
    one = limiter(store, clock)
    for _ in range(3):
        with pytest.raises(QuotaExhausted) as refused:
            one.acquire(Lane.LIVE)
    clock.seconds = (refused.value.until - NOON).total_seconds()
    assert clock.seconds < 75
    assert take(one, Lane.LIVE) == 1  # a probe
    clock.seconds += 2
    assert take(one, Lane.LIVE) == 99
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    malformed = [line for line in lines if line["message"] == "quota.malformed"]
    assert malformed == [{"severity": "ERROR", "message": "quota.malformed", "id": QUOTA}]


def test_requests_reserved_before_the_damage_are_still_counted(store: Documents, clock: Clock) -> None:
    first, second = limiter(store, clock, "a"), limiter(store, clock, "b")
    sent = take(first, Lane.LIVE, 35)
    put(store, {})
    while clock.seconds < 60:
        sent += take(first, Lane.LIVE) + take(second, Lane.LIVE)
        clock.seconds += 0.5
    assert sent <= 100


def test_damage_during_a_refusal_recovers(store: Documents, clock: Clock) -> None:
    one = limiter(store, clock)
    assert take(one, Lane.LIVE) == 100
    clock.seconds = 30
    put(store, {})
    # The instance waits out its refusal (62 s at most) before it reads the document again.
    assert next_acquired_at(one, clock) <= 62 + 75


def test_the_state_of_a_malformed_document_shows_it_as_used_up(store: Documents, clock: Clock) -> None:
    put(store, {})
    state = limiter(store, clock).state()
    assert [(window.limit, window.used) for window in state.windows] == [(100, 100)]


def next_acquired_at(one: RateLimiter, clock: Clock) -> float:
    """When a live request is permitted that asks again whenever it is told to."""
    for _ in range(100):
        try:
            one.acquire(Lane.LIVE, wait_seconds=0)
        except QuotaExhausted as refused:
            clock.seconds = max(clock.seconds + 0.01, (refused.until - NOON).total_seconds())
        else:
            return clock.seconds
    raise AssertionError("never permitted")


def ledger_document() -> Data:
    now = NOON.timestamp()
    return encoded(
        Ledger(
            sent={60: {int(now * 2): 5}, 1: {int(now * 120): 1}},
            reservations={"x": Reservation(1, 3, now + 2), "instance 1": Reservation(1, 2, now + 1)},
            borrowed={60: {int(now * 2): 1}, 1: {}},
            live_at=now - 3,
            cooldown=Cooldown(now + 5),
        )
    )


@st.composite
def damaged_ledgers(draw: st.DrawFn) -> Data:
    """A real document in which one value is removed or replaced by anything."""
    document = copy.deepcopy(ledger_document())
    inner: dict[str, Any] = document
    while True:
        name = draw(st.sampled_from(sorted(inner)))
        if isinstance(inner[name], dict) and inner[name] and draw(st.booleans()):
            inner = inner[name]
            continue
        if draw(st.booleans()):
            del inner[name]
        else:
            inner[name] = draw(anything)
        return document


def is_ledger(document: Data) -> bool:
    try:
        decoded(document, NOON.timestamp())
    except MalformedLedger:
        return False
    return True


documents_of_any_kind = st.dictionaries(st.text(), anything, max_size=4) | damaged_ledgers()


@settings(max_examples=150)
@given(
    documents_of_any_kind,
    st.sampled_from(["20/minute", "3/second,30/minute", "60/minute burst 6"]),
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 20), st.sampled_from(Lane)), max_size=12),
    st.integers(0, 12),
)
def test_no_document_raises_exceeds_the_quota_or_stops_the_system_for_ever(
    tmp_path_factory: pytest.TempPathFactory,
    document: Data,
    quota: str,
    steps: list[tuple[int, float, Lane]],
    damaged_at: int,
) -> None:
    """None of DrChrono's possible limiters refuses a request, whatever document two instances find.

    A malformed one may appear while they send. A well-formed one is there from the start: one that forgets what was
    sent can't be told from the truth.
    """
    if is_ledger(document):
        damaged_at = 0
    store = EmbeddedDocuments(tmp_path_factory.mktemp("store") / "store.sqlite3")
    fleet = Fleet(store, quota, skews=[0.0, 40.0])
    for step, (number, later, lane) in enumerate(steps):
        fleet.clock.sleep(later)
        if step == damaged_at:
            put(store, document)
        for _ in range(40):
            fleet.send(number, lane)
            fleet.clock.sleep(0.01)
    assert fleet.refused() == 0
    put(store, document)
    # The longest cooldown that is not taken for damage is a day.
    one = RateLimiter(
        fleet.store,
        parse_windows(quota),
        background_share=0.8,
        now=fleet.clock.now,
        sleep=fleet.clock.sleep,
        instance="new",
    )
    before = fleet.clock.seconds
    assert next_acquired_at(one, fleet.clock) - before <= 86400 + 200
