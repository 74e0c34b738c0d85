"""`store_record`: one event from Pub/Sub becomes a stored record, or an entry of the pending list."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.drchrono.kinds import KINDS
from shared.errors import LookAgain, MessageUnusable, StoreUnavailable, SyncError
from shared.jobs.checkpoints import Checkpoints
from shared.log import log
from shared.queue.entries import Target, attempted, due_after, of_event
from shared.queue.single_flight import SingleFlight
from shared.queue.work_queue import WorkQueue
from shared.records.ordering import LAG_LIMIT, Outcome, already_done
from shared.records.refresh import Done, Known, Refresh
from shared.records.store import Records, Source
from shared.webhooks.events import Change, decode

# DrChrono's replicas are "several seconds" behind at worst (its API documentation): most have caught up after these,
# and whatever has not waits on the pending list for the next sync, which is minutes away.
LAG_SECONDS = 3.0


@dataclass(frozen=True)
class Store:
    """What the function works with; one for the life of an instance."""

    refresh: Refresh
    records: Records
    queue: WorkQueue
    checkpoints: Checkpoints
    single_flight: SingleFlight
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    random: Callable[[], float]


def handle(event: object, store: Store) -> Outcome:
    """Take one Pub/Sub push (`message.data` is base64). Returning means: finished, or safely on the pending list.

    Raises MessageUnusable, which Pub/Sub answers by carrying the message to the dead-letter topic, and
    StoreUnavailable, which it answers by delivering again.
    """
    try:
        change = decode(_data(event))
    except MessageUnusable as error:
        log("event.unusable", "ERROR", reason=error.reason)
        raise
    began = store.now()
    done, reason = _bring_up_to_date(change, store)
    now = store.now()
    log(
        "event.done",
        event=change.event,
        kind=change.kind,
        id=change.id,
        delivery=change.delivery,
        outcome=done.outcome,
        reason=reason,
        seconds=round((now - change.received_at).total_seconds(), 3),
        wait_ms=_ms((began - change.received_at).total_seconds()),
        fetch_ms=_ms(done.fetch_seconds),
        store_ms=_ms(done.store_seconds),
        ms=_ms((now - began).total_seconds()),
    )
    return done.outcome


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def traceparent(event: object) -> str:
    """The trace of the webhook that the event came by, or an empty text."""
    value = _field(_field(_field(event, "message"), "attributes"), "traceparent")
    return value if isinstance(value, str) else ""


def _bring_up_to_date(change: Change, store: Store) -> tuple[Done, str]:
    """What became of it, and why where it is not plain."""
    target = Target(change.kind, change.id)
    with store.single_flight.turn(target, change.received_at) as flight:
        copy = store.records.copy(KINDS[change.kind], change.id)
        outcome = already_done(change, copy, _synced_at(change, store))
        if outcome is not None:
            return Done(outcome), ""
        known = Known(flight.latest, change.updated_at, creates=change.creates, deletes=change.deletes)
        try:
            done = _fetched(target, known, Source("webhook", change.event, known.last_seen), store)
        except StoreUnavailable:
            raise
        except SyncError as error:
            due = due_after(error, 0, store.now(), store.random)
            store.queue.enqueue([of_event(change, error.reason, due, attempts=int(attempted(error)))])
            return Done(Outcome.DEFERRED), error.reason
        store.queue.complete(target, known.last_seen)
        return done, ""


def _fetched(target: Target, known: Known, source: Source, store: Store) -> Done:
    """Where a replica is behind, it is asked once more."""
    try:
        return store.refresh.run(target, known, source)
    except LookAgain:
        store.sleep(LAG_SECONDS)
        return store.refresh.run(target, known, source)


def _synced_at(change: Change, store: Store) -> datetime | None:
    """Looked up for late events only: a sync cannot yet have seen the change behind a fresh one."""
    if store.now() - change.received_at < LAG_LIMIT:
        return None
    return store.checkpoints.get(change.kind).synced_at


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
