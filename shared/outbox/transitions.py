"""The states of an entry and the transitions between them. Pure.

    new ──► waiting ──► sending ──► done
             ▲  ▲          │  └───► rejected
             │  └─ unsent ─┘
             │             └───► unknown ──► done, rejected
             └── nothing arrived ───┘

- `sending` is recorded with a fence before the request is sent, in the entry and in the guard of its target. Of two
  senders one succeeds; the other finds the entry taken or the guard held.
- An entry returns to `waiting` only if it was certainly not done: the request was never sent, DrChrono refused it, a
  search proved that nothing arrived, or a person says so. Otherwise it is `unknown`: it is searched for, never resent.
- A transition names the fence of its attempt, and the guard decides. A transition that comes late, or twice because the
  answer of a commit was lost, changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shared.drchrono.lag import provable_from
from shared.outbox.entries import Entry, State
from shared.outbox.guards import Guard
from shared.outbox.validation import Complaints

# A request starts within this time after `sending` was recorded, or not at all: a sender that was suspended gives up.
SEND_WITHIN = timedelta(seconds=30)

# How long DrChrono may still act on a request after the sender stopped waiting. Not documented; this is twice the usual
# time limit of web servers.
ACTED_WITHIN = timedelta(minutes=2)

# A sender that has recorded no outcome by then has crashed: a token refresh, the exchange
# (`shared.drchrono.wire.TimeLimits`) and the store's writes together take less.
SENDING_LEASE = timedelta(minutes=2)

LONGEST_PAUSE = timedelta(hours=1)

# The reason of a waiting entry whose guard no longer says what was sent. Only a person releases it.
MALFORMED_GUARD = "malformed_guard"

MOST_PAST = 50  # how many entries of a target are remembered as done, in case their program writes them again


class Blocked(Exception):
    """Another entry of the target comes first. entry: its key."""

    def __init__(self, entry: str) -> None:
        super().__init__(entry)
        self.entry = entry


class Superseded(Exception):
    """The attempt is already settled, or another one was begun, so its outcome changes nothing."""


def provable_absence(sent_at: datetime) -> datetime:
    """Return when to begin a search that certainly shows every effect of the attempt."""
    return provable_from(sent_at + SEND_WITHIN + ACTED_WITHIN)


def visible_from(sent_at: datetime) -> datetime:
    """Return when to begin a search that probably shows it."""
    return provable_from(sent_at)


def begun(
    entry: Entry, guard: Guard | None, *, fence: str, now: datetime, before: str | None, known: tuple[str, ...]
) -> tuple[Entry, Guard]:
    """Return the entry in `sending`. Raises Superseded if it is not waiting, and Blocked if the guard is held.

    If the guard shows that the entry was sent before, return it as the guard says, not in `sending` with this fence.
    """
    if guard is not None and guard.fence == fence:  # the commit succeeded, but its answer was lost
        return _sending(entry, guard, now), guard
    if entry.state is not State.WAITING:
        raise Superseded
    if guard is not None and (again := recalled(entry, guard, now)) is not entry:
        return again, guard
    if guard is not None and guard.state is not State.DONE:
        raise Blocked(guard.entry)
    past = (*guard.past, (guard.entry, guard.record_id or ""))[-MOST_PAST:] if guard is not None else ()
    new = Guard(entry.key, State.SENDING, fence, sent_at=now, before=before, known=known, past=past)
    return _sending(replace(entry, attempts=entry.attempts + 1), new, now), new


def _sending(entry: Entry, guard: Guard, now: datetime) -> Entry:
    return replace(
        entry,
        state=State.SENDING,
        due=guard.sent_at + SENDING_LEASE,
        reason="",
        fence=guard.fence,
        sent_at=guard.sent_at,
        before=guard.before,
        known=guard.known,
        looks=0,
    )


def recalled(entry: Entry, guard: Guard | None, now: datetime) -> Entry:
    """Return a waiting entry as the guard recorded it, if it was sent before; otherwise unchanged."""
    if guard is not None and guard.entry == entry.key:
        return _remembered(entry, guard, now)
    if guard is not None and (record := dict(guard.past).get(entry.key)) is not None:
        return _remembered(entry, replace(guard, state=State.DONE, record_id=record, version=None), now)
    return entry


def _remembered(entry: Entry, guard: Guard, now: datetime) -> Entry:
    if guard.state is State.DONE and not guard.record_id:
        return rejected(entry, reason="outcome_lost", complaints={}, now=now)
    if guard.state is State.DONE:
        return replace(
            entry,
            state=State.DONE,
            due=now,
            reason="",
            fence=guard.fence,
            sent_at=guard.sent_at,
            record_id=guard.record_id,
            version=guard.version,
            settled_at=now,
        )
    return replace(_sending(entry, guard, now), state=State(guard.state))


def held(entry: Entry, guard: Guard | None, fence: str) -> Guard:
    """Return the guard, if the attempt `fence` of the entry is not settled. Raises Superseded."""
    if guard is None or guard.entry != entry.key or guard.fence != fence or guard.state is State.DONE:
        raise Superseded
    return guard


def freed(guard: Guard | None) -> Guard | None:
    """Return the guard after its entry proved not to have been done. It keeps what was done before."""
    if guard is None or not guard.past:
        return None
    *past, (entry, record) = guard.past
    return replace(guard, entry=entry, state=State.DONE, fence="", record_id=record, version=None, past=tuple(past))


def passed_over(guard: Guard) -> Guard:
    """Return the guard after its entry can no longer be settled, and DrChrono can no longer act on it. The guard still
    records that the entry was sent.
    """
    return replace(guard, state=State.DONE, record_id=None, version=None)


def guard_in(entry: Entry | None) -> Guard | None:
    """Return the guard that belongs to an entry that is being sent or unknown, without earlier entries."""
    if entry is None or entry.state not in (State.SENDING, State.UNKNOWN) or not entry.fence or entry.sent_at is None:
        return None
    return Guard(entry.key, entry.state, entry.fence, sent_at=entry.sent_at, before=entry.before, known=entry.known)


def unsent(entry: Entry, *, reason: str, due: datetime) -> Entry:
    """Nothing was done. Removes the guard."""
    return replace(entry, state=State.WAITING, due=due, reason=reason)


def unknown(entry: Entry, guard: Guard, *, reason: str, now: datetime) -> tuple[Entry, Guard]:
    """The entry was sent, and its outcome is unknown."""
    due = max(now, visible_from(guard.sent_at))
    return replace(entry, state=State.UNKNOWN, due=due, reason=reason), replace(guard, state=State.UNKNOWN)


def looked(entry: Entry, *, reason: str, now: datetime) -> Entry:
    """A search settled nothing. The next one follows when it can prove an absence, and then after growing pauses."""
    proof = provable_absence(entry.sent_at) if entry.sent_at else now
    pause = min(timedelta(minutes=1) * 2 ** min(entry.looks, 10), LONGEST_PAUSE)
    return replace(entry, due=proof if now < proof else now + pause, reason=reason, looks=entry.looks + 1)


def done(
    entry: Entry, guard: Guard, *, record_id: str, version: str | None, now: datetime, differs: tuple[str, ...] = ()
) -> tuple[Entry, Guard]:
    settled = replace(
        entry,
        state=State.DONE,
        due=now,
        reason="",
        record_id=record_id,
        version=version,
        differs=differs,
        settled_at=now,
        complaints={},
    )
    return settled, replace(guard, state=State.DONE, record_id=record_id, version=version)


def rejected(entry: Entry, *, reason: str, complaints: Complaints, now: datetime) -> Entry:
    """Final, and nothing was done. Removes the guard."""
    return replace(entry, state=State.REJECTED, due=now, reason=reason, complaints=complaints, settled_at=now)


def again(entry: Entry, now: datetime) -> Entry:
    """A person has an entry sent again that was rejected, or that is unknown and did not arrive."""
    return replace(entry, state=State.WAITING, due=now, reason="asked", complaints={}, settled_at=None, looks=0)
