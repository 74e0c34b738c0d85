"""The states of an entry, and what may follow on each. Pure.

    new ──► waiting ──► sending ──► done
             ▲  ▲          │  └───► rejected
             │  └─ unsent ─┘
             │             └───► unknown ──► done, rejected
             └── nothing arrived ───┘

- `sending` is recorded with a fence before the request leaves, in the entry and in the guard of its target. Of two
  senders one gets there; the other finds the entry taken, or the guard held.
- Only what was certainly not done goes back to `waiting`: the request never left, DrChrono refused it, a search proved
  that nothing arrived, or a person says so. Everything else is `unknown`, and is searched for, never sent.
- A transition names the fence of the attempt that it belongs to, and the guard decides: one that comes late, or twice
  because the answer of a commit was lost, changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shared.drchrono.lag import provable_from
from shared.outbox.entries import Entry, State
from shared.outbox.guards import Guard
from shared.outbox.validation import Complaints

# A request begins within this time after `sending` was recorded, or not at all: a sender that stood still gives up.
SEND_WITHIN = timedelta(seconds=30)

# How long DrChrono may still act on a request that it was sent, though nobody waits for the answer any more. Twice what
# web servers give a request; it is not documented.
ACTED_WITHIN = timedelta(minutes=2)

# A sender that has not said what became of its request by then is dead: longer than a token refresh, the exchange
# (`shared.drchrono.wire.TimeLimits`) and the writes of the store take together.
SENDING_LEASE = timedelta(minutes=2)

LONGEST_PAUSE = timedelta(hours=1)

# Reason of a waiting entry whose guard does not say any more what was sent: only a person frees it.
MALFORMED_GUARD = "malformed_guard"

MOST_PAST = 50  # entries of one target that are remembered as done, for when their program writes them again


class Blocked(Exception):
    """Another entry of the target comes first. entry: its key."""

    def __init__(self, entry: str) -> None:
        super().__init__(entry)
        self.entry = entry


class Superseded(Exception):
    """The attempt is settled already, or another one was begun: what is known about it changes nothing."""


def provable_absence(sent_at: datetime) -> datetime:
    """When to begin a search whose answer shows everything that the attempt can have done."""
    return provable_from(sent_at + SEND_WITHIN + ACTED_WITHIN)


def visible_from(sent_at: datetime) -> datetime:
    """When to begin a search that most likely shows it."""
    return provable_from(sent_at)


def begun(
    entry: Entry, guard: Guard | None, *, fence: str, now: datetime, before: str | None, known: tuple[str, ...]
) -> tuple[Entry, Guard]:
    """The entry in `sending`. Raises Superseded where it is not waiting, Blocked where the guard is held.

    What was sent before and has forgotten it comes back as the guard says, and not in `sending` with this fence.
    """
    if guard is not None and guard.fence == fence:  # the commit was done, and its answer lost
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
    """A waiting entry as the guard knows it, if it was sent before; otherwise the same."""
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
    """The guard, if the attempt `fence` of the entry is not settled. Raises Superseded."""
    if guard is None or guard.entry != entry.key or guard.fence != fence or guard.state is State.DONE:
        raise Superseded
    return guard


def freed(guard: Guard | None) -> Guard | None:
    """The guard after its entry turned out not to have been done: it remembers what was done before."""
    if guard is None or not guard.past:
        return None
    *past, (entry, record) = guard.past
    return replace(guard, entry=entry, state=State.DONE, fence="", record_id=record, version=None, past=tuple(past))


def passed_over(guard: Guard) -> Guard:
    """The guard after its entry can not be settled any more, and DrChrono does not act on it any more, either. That it
    was sent stays known.
    """
    return replace(guard, state=State.DONE, record_id=None, version=None)


def guard_in(entry: Entry | None) -> Guard | None:
    """The guard that was written with an entry that is being sent or unknown, without what was done before it."""
    if entry is None or entry.state not in (State.SENDING, State.UNKNOWN) or not entry.fence or entry.sent_at is None:
        return None
    return Guard(entry.key, entry.state, entry.fence, sent_at=entry.sent_at, before=entry.before, known=entry.known)


def unsent(entry: Entry, *, reason: str, due: datetime) -> Entry:
    """Nothing was done. The guard goes."""
    return replace(entry, state=State.WAITING, due=due, reason=reason)


def unknown(entry: Entry, guard: Guard, *, reason: str, now: datetime) -> tuple[Entry, Guard]:
    """Sent, and not known what became of it."""
    due = max(now, visible_from(guard.sent_at))
    return replace(entry, state=State.UNKNOWN, due=due, reason=reason), replace(guard, state=State.UNKNOWN)


def looked(entry: Entry, *, reason: str, now: datetime) -> Entry:
    """A search that settled nothing: the next comes when it can prove an absence, then after growing pauses."""
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
    """Final, with nothing done. The guard goes."""
    return replace(entry, state=State.REJECTED, due=now, reason=reason, complaints=complaints, settled_at=now)


def again(entry: Entry, now: datetime) -> Entry:
    """A person says that it is to be sent (again): what was rejected, or what is unknown and did not arrive."""
    return replace(entry, state=State.WAITING, due=now, reason="asked", complaints={}, settled_at=None, looks=0)
