"""`store_record`: processes one event from Pub/Sub, by storing the record or adding an entry to the work queue."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import provable_from
from shared.errors import LookAgain, MessageUnusable, StoreUnavailable, SyncError
from shared.log import log
from shared.queue.entries import Entry, Priority, Target, absent_since, attempted, due_after, of_event, priority_after
from shared.queue.single_flight import SingleFlight
from shared.queue.work_queue import WorkQueue
from shared.records.ordering import Copy, Outcome, already_settled, shares_fetch
from shared.records.outcome import Done, Known
from shared.records.refresh import Refresh
from shared.records.store import Records, Source
from shared.webhooks.events import Change, decode

# DrChrono's replicas may be "several seconds" behind (its API documentation). Most have caught up after this time. If
# not, the work queue fetches the record again, or the next sync finds the change.
LAG_SECONDS = 3.0

# The least time between two fetches of one record, however many events arrive.
SHARE_SECONDS = 5.0


@dataclass(frozen=True)
class Store:
    """The dependencies of the function; one object per instance."""

    refresh: Refresh
    records: Records
    queue: WorkQueue
    single_flight: SingleFlight
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    random: Callable[[], float]


def handle(event: object, store: Store) -> Outcome:
    """Process one Pub/Sub push (`message.data` is base64). After it returns, the event is done or in the work queue.

    Raises MessageUnusable and StoreUnavailable. After either, Pub/Sub delivers the message again, and moves it to the
    dead-letter topic after 20 attempts.
    """
    try:
        change = decode(_data(event))
    except MessageUnusable as error:
        log("event.unusable", "ERROR", reason=error.reason)
        raise
    began = store.now()
    settled = _settle(change, store)
    now = store.now()
    log(
        "event.done",
        event=change.event,
        kind=change.kind,
        id=change.id,
        delivery=change.delivery,
        outcome=settled.outcome,
        reason=settled.reason,
        seconds=round((now - change.received_at).total_seconds(), 3),
        wait_ms=_ms((began - change.received_at).total_seconds()),
        fetch_ms=_ms(settled.fetch_seconds),
        store_ms=_ms(settled.store_seconds),
        ms=_ms((now - began).total_seconds()),
    )
    return settled.outcome


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def traceparent(event: object) -> str:
    """Return the trace of the webhook that announced the event, or an empty text."""
    value = _field(_field(_field(event, "message"), "attributes"), "traceparent")
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Settled:
    """What became of an event, and the reason if the outcome alone does not say it. fetch_seconds, store_seconds: how
    long DrChrono and the store took.
    """

    outcome: Outcome
    reason: str = ""
    fetch_seconds: float = 0.0
    store_seconds: float = 0.0


def _settle(change: Change, store: Store) -> Settled:
    """Fetch and store the record, unless the copy already settles the event or a later fetch covers it.

    The event enters the work queue before the fetch, so it survives a crash at any step. It leaves the queue only when
    a fetch proves its change. That is almost always a later fetch, because an answer may be some seconds old.
    """
    target = Target(change.kind, change.id)
    with store.single_flight.turn(target, change.received_at) as flight:
        copy = store.records.copy(KINDS[change.kind], change.id)
        if copy is not None and _wait_for_next_fetch(target, copy, store):
            copy = store.records.copy(KINDS[change.kind], change.id)
        outcome = already_settled(change, copy)
        if outcome is not None:
            return Settled(outcome)
        now = store.now()
        due = max(provable_from(now), provable_from(change.received_at))
        entry = of_event(change, "confirm", due, priority=Priority.CONFIRM)
        store.queue.enqueue([entry])
        if copy is not None and shares_fetch(change, copy):
            return Settled(Outcome.COVERED, "confirm")
        newest = flight.latest <= change.received_at
        known = Known(flight.latest, change.updated_at, deletes=change.deletes and newest)
        source = Source("webhook", known.last_seen, change.event, (change.delivery,))
        try:
            done = _fetched(target, known, source, store)
        except StoreUnavailable:
            raise
        except SyncError as error:
            _postpone(entry, error, store)
            return Settled(Outcome.DEFERRED, error.reason)
        certain = done.confirm_at is None and done.evidence.until >= change.received_at
        settled = certain and store.queue.complete(target, done.evidence)
        return Settled(done.outcome, "" if settled else "confirm", done.fetch_seconds, done.store_seconds)


def _wait_for_next_fetch(target: Target, copy: Copy, store: Store) -> bool:
    """Wait if the record was fetched less than SHARE_SECONDS ago, so that events in quick succession share a fetch.

    Return whether it waited. An event that caused the last fetch is still in the work queue, because no answer proves
    it so soon. Without an entry, a list read the record, and there is no fetch to share.
    """
    since = (store.now() - copy.fetched_at).total_seconds()
    if not 0 <= since < SHARE_SECONDS or store.queue.get(target) is None:
        return False
    store.sleep(SHARE_SECONDS - since + store.random())
    return True


def _postpone(entry: Entry, error: SyncError, store: Store) -> None:
    store.queue.retry(
        entry,
        error.reason,
        due_after(error, 0, store.now(), store.random),
        priority=priority_after(error, replace(entry, priority=Priority.EVENT)),
        failed=attempted(error) and not isinstance(error, LookAgain),
        absent_since=absent_since(error, entry),
    )


def _fetched(target: Target, known: Known, source: Source, store: Store) -> Done:
    """Fetch the record, and once more if a replica lags."""
    try:
        return store.refresh.run(target, known, source)
    except LookAgain as error:
        if error.reason != "lag":
            raise
        store.sleep(LAG_SECONDS)
        return store.refresh.run(target, known, source)


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _data(event: object) -> bytes:
    data = _field(_field(event, "message"), "data")
    if not isinstance(data, str | bytes):
        raise MessageUnusable("no_data")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise MessageUnusable("not_base64") from None
