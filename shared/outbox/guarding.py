"""A target's guard within a transaction: who holds it, who may pass, and when it is released."""

from __future__ import annotations

from datetime import datetime

from shared.documents import Data, Transaction
from shared.outbox import guards, transitions
from shared.outbox.entries import State
from shared.outbox.entry_documents import is_request, is_taken
from shared.outbox.guards import Guard, Unreadable, guard_of, guard_to_document


def passed(guard: Guard, holder: Data | None, now: datetime) -> Guard | None:
    """Return the guard for another entry of the target. A holder that was removed, or that cannot be settled, does not
    hold it for ever.
    """
    if holder is None:
        return transitions.freed(guard)  # it was removed
    lost = not is_request(holder) or (is_taken(holder) and is_settled(holder))
    return transitions.passed_over(guard) if lost and now >= transitions.provable_absence(guard.sent_at) else guard


def may_have_been_sent(key: str, data: Data, transaction: Transaction) -> bool:
    named = target_of_document(data)
    if named is None:
        return False
    try:
        guard = guard_of(transaction.get(guard_path(named)))
    except Unreadable:
        return data.get("state") in (State.SENDING, State.UNKNOWN)
    if guard is None:
        return False
    return dict(guard.past).get(key) == "" or (guard.entry == key and guard.state is not State.DONE)


def readable(data: Data | None) -> Guard | None:
    try:
        return guard_of(data)
    except Unreadable:
        return None


def release(transaction: Transaction, key: str, target: str, data: Data | None, now: datetime) -> None:
    """Remove the guard of a target, if the entry holds it or the holder is unreadable."""
    guard = readable(data)
    if data is not None and (guard is None or guard.entry == key):
        put_guard(transaction, target, transitions.freed(guard), now)


def put_guard(transaction: Transaction, target: str, guard: Guard | None, now: datetime) -> None:
    if guard is None:
        transaction.delete(guard_path(target))
    else:
        transaction.set(guard_path(target), guard_to_document(guard, now))


def is_settled(data: Data) -> bool:
    return data.get("state") in (State.DONE, State.REJECTED)


def target_of_document(data: Data) -> str | None:
    """Return the target of a processed entry, if the entry still names one."""
    target = data.get("target")
    return target if isinstance(target, str) and target and "/" not in target else None


def guard_path(target: str) -> str:
    return f"{guards.COLLECTION}/{target}"
