"""The only code that decides that an absent record is deleted, for every kind and however the absence was noticed.

DrChrono answers with an empty list and status 200 if a permission is missing, and a lagging replica does not show a new
record yet. So an absence in a list proves nothing. It only queues the record for single reads, which decide under three
conditions:

1. The request was sent late enough that every replica must know the record (`shared.drchrono.lag`).
2. Two reads do not find it, and a read between them finds another record of the kind. The three are further apart than
   the lag, so a single loss of the permission cannot explain both absences.
3. Not too many records are absent at once (`shared.records.deletion_limit`).

An event that announced the deletion replaces the second and third condition, if another record of the kind is shown
right after the 404. Without that check, a late event could delete a record that exists again and is hidden by a missing
permission. The second condition also applies to a record without a living copy: an event named it, and only a 404 that
is believed settles that event.

If the second or third condition fails, the deletions of the kind are held: nothing is marked until the records are
shown again, or until a person confirms the deletions (`ops accept-deletions`). If a marked record returns, the absence
was a fault, so the other recent tombstones of the kind are read again.

`shared.records.deletion_state` keeps the state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from shared.documents import Documents
from shared.drchrono.kinds import Kind
from shared.drchrono.lag import provable_from, shown_until
from shared.errors import DeletionsHeld, LookAgain
from shared.log import log
from shared.queue.entries import ABSENT, Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.deletion_limit import is_exceeded
from shared.records.deletion_state import DeletionState
from shared.records.ordering import Copy
from shared.records.store import Records

# Tombstones of this age or younger are read again after another one of their kind was wrong.
REVIEWED = timedelta(days=30)
REVIEW_PAUSE = timedelta(hours=1)

# How many other records are requested before the deletions are held.
MOST_CONTROLS = 3


class Absences:
    """Every method may raise StoreUnavailable."""

    def __init__(self, documents: Documents, records: Records, queue: WorkQueue, now: Callable[[], datetime]) -> None:
        self._state = DeletionState(documents, now)
        self._records = records
        self._queue = queue
        self._now = now

    def notice(self, kind: Kind, keys: Iterable[str], began: datetime) -> None:
        """Queue a single read of each of these living records, which a complete list, begun at `began`, did not show.

        Raises DeletionsHeld if they are too many. Then none is queued, and the list must be requested again.
        """
        absent = list(keys)
        if not absent:
            return
        if not self._state.is_accepted(kind):
            known = self._queue.keys_of(kind.name)
            self._check(kind, sum(key not in known for key in absent))
        due = provable_from(began)
        self._queue.enqueue(
            Entry(Target(kind.name, key), "absent", Priority.CHILDREN, began, began, due) for key in absent
        )

    def believable_from(self, copy: Copy | None, last_seen: datetime, *, announced: bool) -> datetime:
        """Return the earliest time of a request whose 404 can be believed.

        last_seen: when an event last named the record, or its absence was noticed. announced: an event announced the
        deletion.
        """
        seen = [] if announced else [last_seen]
        if copy is not None and not copy.deleted:
            seen.append(copy.fetched_at)
        return max((provable_from(instant) for instant in seen), default=last_seen)

    def is_kind_shown(self, kind: Kind, key: str, is_shown: Callable[[str], bool]) -> bool:
        """Return whether DrChrono shows another record of the kind now, or the copy has no other to ask for."""
        controls = self._controls(kind, key)
        return not controls or any(map(is_shown, controls))

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
        """Return if a record may be marked as deleted because a single read, sent at `began`, did not find it.

        first: when an earlier read did not find it; None if there was none. is_shown: whether DrChrono shows the record
        with this id. living: the copy of the record is living. Raises LookAgain if another read must decide,
        DeletionsHeld, and the errors of `is_shown`.
        """
        if self._state.is_accepted(kind):
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
            self._state.count(kind)
            if self.held_since(kind) is not None:
                # Another record is shown and the limit is not exceeded: the reason for the hold has passed.
                self.found(kind, returned=False)

    def found(self, kind: Kind, *, returned: bool) -> None:
        """Note that an absent record, or the absent records of a list, are shown again.

        returned: the record had been marked as deleted. If deletions are held, or a marked record returned, the absence
        was a fault: the held deletions are tried again, and the other recent tombstones of the kind are read again.
        """
        state = self._state.read(kind)
        held = state.get("held_since") is not None
        if held:
            self._state.change(kind, {"held_since": None})
            log("deletions.lifted", "WARNING", kind=kind.name)
            self._queue.make_due(self._now(), reason=DeletionsHeld.reason, kind=kind.name)
        if held or (returned and not _within(state.get("reviewed_at"), REVIEW_PAUSE, self._now())):
            self._review(kind)

    def accept(self, kind: Kind) -> int:
        """Record that a person confirmed the deletions. Return how many records become due."""
        now = self._now()
        self._state.accept(kind, now)
        log("deletions.accepted", "WARNING", kind=kind.name)
        return self._queue.make_due(now, reason=DeletionsHeld.reason, kind=kind.name)

    def held_since(self, kind: Kind) -> datetime | None:
        """Return since when the deletions of the kind are held, or None."""
        return self._state.held_since(kind)

    def _check(self, kind: Kind, more: int) -> None:
        """Raise DeletionsHeld if `more` absent records, added to the known ones, exceed the limit."""
        recent = self._state.recent(kind)
        absent = recent + self._queue.count_absent(kind.name) + more
        if is_exceeded(absent, self._records.count_living(kind) + recent):
            self._hold(kind, absent)
            raise DeletionsHeld(kind.name)

    def _shown_after(self, kind: Kind, key: str, instant: datetime, is_shown: Callable[[str], bool]) -> datetime:
        """Return when another record of the kind was shown in answer to a request that was sent after `instant`.

        Raises DeletionsHeld if none is shown, or the copy has no other.
        """
        state = self._state.read(kind)
        asked, shown = state.get("asked"), state.get("shown")
        if isinstance(asked, datetime) and isinstance(shown, datetime) and asked >= instant:
            return shown
        now = self._now()
        if now < instant:
            return instant
        if not any(map(is_shown, self._controls(kind, key))):
            self._hold(kind)
            raise DeletionsHeld(kind.name)
        shown = self._now()
        self._state.change(kind, {"asked": now, "shown": shown})
        return shown

    def _controls(self, kind: Kind, key: str) -> Sequence[str]:
        """Return the ids of other records of the kind to request, if possible such as are not in the work queue."""
        controls = self._records.neighbours(kind, key, MOST_CONTROLS, self._queue.keys_of(kind.name))
        return controls or self._records.neighbours(kind, key, MOST_CONTROLS, ())

    def _review(self, kind: Kind) -> None:
        """Queue the recent tombstones of absent records to be read again."""
        now = self._now()
        absent = self._records.absent(kind, now - REVIEWED)
        seen = shown_until(now)
        entries = [Entry(Target(kind.name, key), "review", Priority.CONFIRM, seen, seen, now) for key in absent]
        self._queue.enqueue(entries)
        self._state.change(kind, {"reviewed_at": now})
        log("deletions.reviewed", "WARNING", kind=kind.name, count=len(entries))

    def _hold(self, kind: Kind, absent: int = 0) -> None:
        if self._state.hold(kind):
            log("deletions.held", "CRITICAL", kind=kind.name, count=absent)


def _within(instant: object, span: timedelta, now: datetime) -> bool:
    return isinstance(instant, datetime) and now - instant < span
