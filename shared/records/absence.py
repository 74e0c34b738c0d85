"""The one place where an absent record is taken for a deleted one: of every kind, however the absence was noticed.

DrChrono answers with an empty list and status 200 where a permission is missing, and a replica does not show yet what
was made a moment ago. So an absence in a list proves nothing: it puts the record into the work queue. There single
reads decide, under three conditions:

1. The request was sent so late that no replica can have been unaware of the record (`shared.drchrono.lag`).
2. Two reads do not find it, and between them another record of the kind is shown; the three are so far apart that they
   tell of three instants in that order. So no single loss of the permission can be the reason for both.
3. Not too many are absent at once (`shared.records.deletion_limit`).

An event that announced the deletion stands for the second and third. The second also holds for a record of which no
living copy is kept: an event named it, and a 404 that is believed settles that event.

Where the second or third fails, the deletions of the kind are held: nothing is marked until the records are there
again, or a person says that the deletions are real (`ops accept-deletions`). A record that returns after it was marked
shows that the absence was a fault, so that the other recent tombstones of the kind are looked at again.

State: `sync_state/deletions-<kind>`, {recent, held_since, accepted_until, reviewed_at, asked, shown}. asked: when
another record was asked for last; shown: when the answer showed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Documents, Transaction
from shared.drchrono.kinds import Kind
from shared.drchrono.lag import provable_from, shown_until
from shared.errors import DeletionsHeld, LookAgain
from shared.log import log
from shared.queue.entries import ABSENT, Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.deletion_limit import counted, is_exceeded, minute_of
from shared.records.ordering import Copy
from shared.records.store import Records

# How long ago a tombstone may have been made to be looked at again when another one of its kind was wrong.
REVIEWED = timedelta(days=30)
REVIEW_PAUSE = timedelta(hours=1)

# For how long a person's word holds.
ACCEPTED = timedelta(hours=24)

# Other records that are asked for before an absence is believed.
MOST_CONTROLS = 3


class Absences:
    """One for the life of an instance. Every method may raise StoreUnavailable."""

    def __init__(self, documents: Documents, records: Records, queue: WorkQueue, now: Callable[[], datetime]) -> None:
        self._documents = documents
        self._records = records
        self._queue = queue
        self._now = now

    def notice(self, kind: Kind, keys: Iterable[str], began: datetime) -> None:
        """A complete list, begun at `began`, did not show these living records: have each looked at.

        Raises DeletionsHeld where they are too many; then none is queued, and the list is to be asked for again.
        """
        absent = list(keys)
        if not absent:
            return
        if not self._accepted(kind):
            known = self._queue.keys_of(kind.name)
            self._check(kind, sum(key not in known for key in absent))
        due = provable_from(began)
        self._queue.enqueue(
            Entry(Target(kind.name, key), "absent", Priority.CHILDREN, began, began, due) for key in absent
        )

    def believable_from(self, copy: Copy | None, last_seen: datetime, *, announced: bool) -> datetime:
        """When a request must be sent whose 404 can be believed.

        last_seen: when it was last said that the record exists, or noticed that it is absent. announced: an event said
        that it is deleted.
        """
        seen = [] if announced else [last_seen]
        if copy is not None and not copy.deleted:
            seen.append(copy.fetched_at)
        return max((provable_from(instant) for instant in seen), default=last_seen)

    def allow(
        self,
        kind: Kind,
        key: str,
        first: datetime | None,
        began: datetime,
        is_shown: Callable[[str], bool],
        *,
        living: bool,
    ) -> None:
        """Before a record is marked as deleted because a single read, sent at `began`, did not find it.

        first: when an earlier one did not, None if there was none. is_shown: whether DrChrono shows the record with
        this id. living: the record is kept as a living one. Raises LookAgain where another read has to decide,
        DeletionsHeld, and what `is_shown` raises.
        """
        if self._accepted(kind):
            return
        if first is None:
            now = self._now()
            raise LookAgain("absent", provable_from(now), absent_since=now)
        due = provable_from(self._shown_after(kind, key, provable_from(first), is_shown))
        if began < due:
            raise LookAgain("absent", due, absent_since=first)
        if living:
            entry = self._queue.get(Target(kind.name, key))
            self._check(kind, 0 if entry is not None and entry.reason in ABSENT else 1)
            self._count(kind)
            if self.held_since(kind) is not None:
                # Another record is shown and the limit is kept: why they were held has passed.
                self.found(kind, returned=False)

    def found(self, kind: Kind, *, returned: bool) -> None:
        """What was absent is there: a record, or the records of a list. returned: it had been marked as deleted.

        Then the absence was a fault: what was held is tried again, and so are the other recent tombstones of the kind.
        """
        state = self._state(kind)
        held = state.get("held_since") is not None
        if held:
            self._change(kind, {"held_since": None})
            log("deletions.lifted", "WARNING", kind=kind.name)
            self._queue.make_due(self._now(), reason=DeletionsHeld.reason, kind=kind.name)
        if held or (returned and not _within(state.get("reviewed_at"), REVIEW_PAUSE, self._now())):
            self._review(kind)

    def accept(self, kind: Kind) -> int:
        """A person has looked: what is absent is deleted. Returns how many records are tried now."""
        now = self._now()
        self._change(kind, {"accepted_until": now + ACCEPTED, "held_since": None})
        log("deletions.accepted", "WARNING", kind=kind.name)
        return self._queue.make_due(now, reason=DeletionsHeld.reason, kind=kind.name)

    def held_since(self, kind: Kind) -> datetime | None:
        """Since when the deletions of the kind are held, None where they are not."""
        since = self._state(kind).get("held_since")
        return since if isinstance(since, datetime) else None

    def _check(self, kind: Kind, more: int) -> None:
        """Raises DeletionsHeld if the limit is exceeded with `more` absent records than are known of."""
        recent = sum(counted(self._state(kind).get("recent") or {}, self._now()).values())
        absent = recent + self._queue.count_absent(kind.name) + more
        if is_exceeded(absent, self._records.count_living(kind) + recent):
            self._hold(kind, absent)
            raise DeletionsHeld(kind.name)

    def _shown_after(self, kind: Kind, key: str, instant: datetime, is_shown: Callable[[str], bool]) -> datetime:
        """When another record of the kind was shown in answer to a request that was sent after `instant`.

        Raises DeletionsHeld where none is shown, or no other is kept.
        """
        state = self._state(kind)
        asked, shown = state.get("asked"), state.get("shown")
        if isinstance(asked, datetime) and isinstance(shown, datetime) and asked >= instant:
            return shown
        now = self._now()
        if now < instant:
            return instant
        controls = self._records.neighbours(kind, key, MOST_CONTROLS, self._queue.keys_of(kind.name))
        controls = controls or self._records.neighbours(kind, key, MOST_CONTROLS, ())
        if not any(map(is_shown, controls)):
            self._hold(kind)
            raise DeletionsHeld(kind.name)
        shown = self._now()
        self._change(kind, {"asked": now, "shown": shown})
        return shown

    def _review(self, kind: Kind) -> None:
        """Have the recent tombstones of absent records looked at again."""
        now = self._now()
        absent = self._records.absent(kind, now - REVIEWED)
        seen = shown_until(now)
        entries = [Entry(Target(kind.name, key), "review", Priority.CONFIRM, seen, seen, now) for key in absent]
        self._queue.enqueue(entries)
        self._change(kind, {"reviewed_at": now})
        log("deletions.reviewed", "WARNING", kind=kind.name, count=len(entries))

    def _hold(self, kind: Kind, absent: int = 0) -> None:
        now = self._now()

        def work(transaction: Transaction) -> bool:
            state = transaction.get(_path(kind)) or {}
            if state.get("held_since") is not None:
                return False
            transaction.set(_path(kind), {**state, "held_since": now})
            return True

        if self._documents.transact(work):
            log("deletions.held", "CRITICAL", kind=kind.name, count=absent)

    def _count(self, kind: Kind) -> None:
        now = self._now()

        def work(transaction: Transaction) -> None:
            state = transaction.get(_path(kind)) or {}
            recent = counted(state.get("recent") or {}, now)
            recent[minute_of(now)] = recent.get(minute_of(now), 0) + 1
            transaction.set(_path(kind), {**state, "recent": recent})

        self._documents.transact(work)

    def _accepted(self, kind: Kind) -> bool:
        until = self._state(kind).get("accepted_until")
        return isinstance(until, datetime) and self._now() < until

    def _state(self, kind: Kind) -> dict[str, Any]:
        return self._documents.get(_path(kind)) or {}

    def _change(self, kind: Kind, changes: dict[str, Any]) -> None:
        self._documents.transact(
            lambda transaction: transaction.set(_path(kind), (transaction.get(_path(kind)) or {}) | changes)
        )


def _path(kind: Kind) -> str:
    return f"sync_state/deletions-{kind.name}"


def _within(instant: object, span: timedelta, now: datetime) -> bool:
    return isinstance(instant, datetime) and now - instant < span
