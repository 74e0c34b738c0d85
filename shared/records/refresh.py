"""Bring one target up to date: fetch it, mark what hangs on it, store it. Events and pending entries go this way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.documents import Where
from shared.drchrono.ids import id_of, spellings
from shared.drchrono.kinds import KINDS, Kind, is_deleted, key_of, patient_of
from shared.drchrono.lag import VERSION_LAG, Evidence, is_older, provable_from, shown_until
from shared.drchrono.records import Fetched, Page
from shared.errors import LookAgain, NotFound
from shared.log import log
from shared.queue.entries import ABSENT, HOPELESS_RETRY, Entry, Priority, Target
from shared.queue.work_queue import BEHIND_RETRY, WorkQueue
from shared.records.absence import Absences
from shared.records.ordering import Copy, Outcome, Verdict
from shared.records.store import PageResult, Records, Source, Stored

OUTCOMES = {
    Verdict.STORE: Outcome.STORED,
    Verdict.UNSURE: Outcome.STORED,
    Verdict.SAME: Outcome.UNCHANGED,
    Verdict.LATE: Outcome.STALE,
    Verdict.TOMBSTONE: Outcome.GONE,
}


class Api(Protocol):
    """Of `shared.drchrono.client.DrChrono`: what is asked for one target."""

    def get(self, kind: Kind, id: str) -> Fetched: ...  # noqa: A002 (DrChrono's word)
    def list_by_patient(self, kind: Kind, patient: str) -> Iterator[Page]: ...
    def list_notes(self, appointment: str) -> Iterator[Page]: ...


@dataclass(frozen=True)
class Known:
    """What is known before the fetch. last_seen: when the newest event was received; updated_at: the newest version
    that one of them named; deletes: the newest announced a deletion; reason, absent_since: of the queue entry, if it
    has one.
    """

    last_seen: datetime
    updated_at: str | None = None
    deletes: bool = False
    reason: str = ""
    absent_since: datetime | None = None


@dataclass(frozen=True)
class Done:
    """What became of a target. evidence: what it proves. confirm_at: when to look again, where what was stored may be
    older than what it replaced.

    fetch_seconds, store_seconds: how long DrChrono and the store took, of a single record.
    """

    outcome: Outcome
    evidence: Evidence
    confirm_at: datetime | None = None
    fetch_seconds: float = 0.0
    store_seconds: float = 0.0


class Refresh:
    """Every method may raise what the API, the token, the quota and the store raise, LookAgain where the answer may be
    too old, DeletionsHeld and RecordTooLarge.
    """

    def __init__(
        self, *, api: Api, records: Records, queue: WorkQueue, absences: Absences, now: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._records = records
        self._queue = queue
        self._absences = absences
        self._now = now

    def run(self, target: Target, known: Known, source: Source) -> Done:
        kind = KINDS[target.kind]
        if target.by == "patient":
            return self._list_of_patient(kind, target.id, known, source)
        if target.by == "appointment":
            return self._notes_of(kind, target.id, source)[0]
        return self._record(kind, target.id, known, source)

    def _record(self, kind: Kind, key: str, known: Known, source: Source) -> Done:
        began = self._now()
        try:
            fetched = self._api.get(kind, key)
        except NotFound:
            if kind.listed_by == "appointment":
                listed, shown_keys = self._notes_of(kind, key, source)
                copy = self._records.copy(kind, key)
                # A note that is kept under this id, and is not one of these, has its id in common with an appointment.
                if shown_keys and (key in shown_keys or copy is None or copy.deleted):
                    self._queue.enqueue([_mark(Target("appointments", key), known.last_seen)])
                    return listed
            return self._absent(kind, key, began, known, source)
        answered = self._now()
        if is_deleted(fetched.record):
            self._queue.enqueue(_marks_of_deleted(kind, key, fetched.began))
            stored = self._records.mark_deleted(kind, key, fetched.began, source, "deleted_flag", stated=True)
            return _done(stored, known, fetched.began)
        self._queue.enqueue(marks(kind, fetched.record, known.last_seen, fetched.began))
        # Where the API's own key differs from what was asked (a note by its appointment), its own counts.
        shown = key_of(kind, fetched.record) or key
        stored = self._records.store(kind, shown, fetched.record, fetched.began, source)
        if stored.returned or known.reason in ABSENT:
            self._absences.found(kind, returned=stored.returned)
        if kind.listed_by == "patient" and (patient := id_of(fetched.record.get("patient"))):
            self._look_at_unknown(patient, fetched.began)
        return replace(
            _done(stored, known, fetched.began),
            fetch_seconds=(answered - fetched.began).total_seconds(),
            store_seconds=(self._now() - answered).total_seconds(),
        )

    def _absent(self, kind: Kind, key: str, began: datetime, known: Known, source: Source) -> Done:
        """A single read that began at `began` did not find the record."""
        copy = self._records.copy(kind, key)
        living = copy is not None and not copy.deleted
        if kind.whole:  # what DrChrono no longer shows is archived, and kept
            return Done(Outcome.UNCHANGED if living else Outcome.GONE, Evidence(shown_until(began)))
        # What was seen or announced after the deletion was announced is of a record that is there again.
        announced = known.deletes and not (copy and living and copy.events_until >= known.last_seen)
        if announced:
            entry = self._queue.get(Target(kind.name, key))
            announced = entry is None or entry.deletes or entry.last_seen <= known.last_seen
        believable = self._absences.believable_from(copy, known.last_seen, announced=announced)
        if began < believable:
            raise LookAgain("absent", believable)
        if not announced:
            # What was seen or announced since the first look makes this one the first.
            first = known.absent_since if known.absent_since and known.absent_since >= believable else None
            self._absences.allow(kind, key, first, began, lambda other: self._is_shown(kind, other), living=living)
        if copy is None or living:
            self._queue.enqueue(_marks_of_deleted(kind, key, began))
        return _done(self._records.mark_deleted(kind, key, began, source, "not_found"), known, began)

    def _is_shown(self, kind: Kind, key: str) -> bool:
        try:
            self._api.get(kind, key)
        except NotFound:
            return kind.listed_by == "appointment" and any(page.records for page in self._api.list_notes(key))
        return True

    def _notes_of(self, kind: Kind, appointment: str, source: Source) -> tuple[Done, set[str]]:
        """Also the ids of the notes that were shown."""
        began: datetime | None = None
        outcome = Outcome.GONE
        shown: set[str] = set()
        for page in self._api.list_notes(appointment):
            began = began or page.began
            result = store_page(self._records, self._queue, self._absences, kind, page, source)
            shown |= result.keys
            if result.keys:
                outcome = Outcome.STORED if result.stored else Outcome.UNCHANGED
        return Done(outcome, Evidence(shown_until(began or self._now()))), shown

    def _list_of_patient(self, kind: Kind, patient: str, known: Known, source: Source) -> Done:
        """The list is the full set: what is stored of this patient and not in it is looked at by itself."""
        began: datetime | None = None
        seen: set[str] = set()
        stored = False
        for page in self._api.list_by_patient(kind, patient):
            began = began or page.began
            result = store_page(self._records, self._queue, self._absences, kind, page, source)
            seen |= result.keys
            stored |= bool(result.stored)
        began = began or self._now()
        owners = [Where("patient", "==", value) for value in spellings(patient)]
        missing = [key for owner in owners for key, _ in self._records.living(kind, [owner]) if key not in seen]
        self._absences.notice(kind, missing, began)
        if known.reason in ABSENT and not missing:
            self._absences.found(kind, returned=False)
        copy = self._look_at_unknown(patient, began)
        for owner in owners:
            self._records.mark_orphans(kind, owner, deleted=copy is not None and copy.deleted)
        return Done(Outcome.STORED if stored or missing else Outcome.UNCHANGED, Evidence(shown_until(began)))

    def _look_at_unknown(self, patient: str, seen: datetime) -> Copy | None:
        """The copy of this patient. Where there is none, the patient is looked at: the lists of what belongs to one
        are asked for again only because the patient is kept, as a tombstone if need be.
        """
        kind = KINDS["patients"]
        copy = self._records.copy(kind, patient)
        if copy is None:
            self._queue.enqueue([_mark(Target(kind.name, patient), seen)])
        return copy


def _done(stored: Stored, known: Known, began: datetime) -> Done:
    """Raises LookAgain where the answer is older than the copy, or than the event says."""
    after = stored.after
    behind = after is not None and not after.deleted and is_older(after.updated_at, known.updated_at)
    if after is None or stored.verdict is Verdict.LAGGING:
        fetched_at = after.fetched_at if after else began
        raise LookAgain("lag", max(provable_from(fetched_at), began + BEHIND_RETRY))
    if behind and began < known.last_seen + VERSION_LAG:
        raise LookAgain("lag", max(provable_from(known.last_seen), began + BEHIND_RETRY))
    confirm_at = provable_from(after.fetched_at) if stored.verdict is Verdict.UNSURE else None
    return Done(OUTCOMES[stored.verdict], after.evidence, confirm_at)


def store_page(
    records: Records, queue: WorkQueue, absences: Absences, kind: Kind, page: Page, source: Source
) -> PageResult:
    """Store a page, and queue what could not be stored from it, or may be older than the copy."""
    deleted = [key for record in page.records if is_deleted(record) and (key := key_of(kind, record))]
    records.mark_listed_deleted(kind, deleted, page.began, source)
    living = [record for record in page.records if not is_deleted(record)]
    result = records.store_page(kind, living, page.began, source)
    # A process that dies here finds them again: an unsure copy says so itself until it was looked at.
    queue.enqueue(_look(kind, key, "lag", page.began, provable_from(page.began)) for key in result.doubtful)
    queue.enqueue(
        replace(_look(kind, key, reason, page.began, page.began + HOPELESS_RETRY), unstorable=True)
        for key, reason in result.failed.items()
        if key != "?"
    )
    if "?" in result.failed:
        log("record.unusable", "ERROR", kind=kind.name, reason=result.failed["?"])
    if result.returned:
        absences.found(kind, returned=True)
    return result


def _look(kind: Kind, key: str, reason: str, seen: datetime, due: datetime) -> Entry:
    return Entry(Target(kind.name, key), reason, Priority.CONFIRM, seen, seen, due)


def marks(kind: Kind, record: dict[str, Any], seen: datetime, now: datetime) -> list[Entry]:
    """What may have changed together with this record, and is looked at later, at lower priority.

    seen: when the newest event of the record was received.
    """

    key, appointment = id_of(record.get("id")), id_of(record.get("appointment"))
    targets: list[Target] = []
    if kind.name == "appointments" and key and _may_have_note(record, now):
        targets.append(Target("clinical_notes", key, "appointment"))
    if kind.name == "clinical_notes" and "locked" not in record and appointment:
        # Live, the lock, the PDF and the time of a note are shown on its appointment, which has no event for them.
        targets.append(Target("appointments", appointment))
    if patient := patient_of(kind, record):
        targets += [Target(child, patient, "patient") for child in kind.children]
    return [_mark(target, seen) for target in targets]


def _marks_of_deleted(kind: Kind, key: str, began: datetime) -> list[Entry]:
    """The lists of a deleted patient: what they show and whose patient is gone is told to the readers."""
    lists = kind.children if kind.name == "patients" else ()
    return [_mark(Target(child, key, "patient"), began) for child in lists]


def _mark(target: Target, seen: datetime) -> Entry:
    return Entry(target, "follows", Priority.CHILDREN, seen, seen, due=provable_from(seen))


def _may_have_note(record: dict[str, Any], now: datetime) -> bool:
    """Live, a verbose appointment names its note. The guide's does not: there a note begins with the visit."""
    if "clinical_note" in record:
        return bool(record["clinical_note"])
    tomorrow = (now + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")  # local times are at most 14 h off UTC
    return not is_older(tomorrow, record.get("scheduled_time"))
