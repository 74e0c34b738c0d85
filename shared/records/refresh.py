"""Bring one target up to date: fetch it, mark what hangs on it, store it. Events and pending entries go this way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.documents import Where
from shared.drchrono.kinds import KINDS, Kind, id_of, is_deleted, key_of, patient_of
from shared.drchrono.records import Fetched, Page
from shared.errors import LookAgain, NotFound
from shared.log import log
from shared.queue.entries import HOPELESS_RETRY, LAG_RETRY, Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.ordering import LAG_LIMIT, Outcome, Verdict, is_older
from shared.records.store import PageResult, Records, Source

# A 404 this soon after the event may be a replica that has not heard of the record yet.
YOUNG = timedelta(seconds=30)

OUTCOMES = {
    Verdict.STORE: Outcome.STORED,
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
    """What is known before the fetch. last_seen: when the newest event was received; updated_at: the newest that one of
    them named; creates, deletes: what the newest said; first: nothing was fetched for it yet.
    """

    last_seen: datetime
    updated_at: str | None = None
    creates: bool = False
    deletes: bool = False
    first: bool = True


@dataclass(frozen=True)
class Done:
    """What became of a target. Of a single record also how long DrChrono and the store took, in seconds."""

    outcome: Outcome
    fetch_seconds: float = 0.0
    store_seconds: float = 0.0


class Refresh:
    def __init__(self, *, api: Api, records: Records, queue: WorkQueue, now: Callable[[], datetime]) -> None:
        self._api = api
        self._records = records
        self._queue = queue
        self._now = now

    def run(self, target: Target, known: Known, source: Source) -> Done:
        """Raises what the API, the token, the quota and the store raise, LookAgain and RecordTooLarge."""
        kind = KINDS[target.kind]
        if target.by == "patient":
            return Done(self._list_of_patient(kind, target.id, known, source))
        if target.by == "appointment":
            return Done(self._notes_of(kind, target.id, source))
        return self._record(kind, target.id, known, source)

    def _record(self, kind: Kind, key: str, known: Known, source: Source) -> Done:
        began = self._now()
        try:
            fetched = self._api.get(kind, key)
        except NotFound:
            if kind.listed_by == "appointment":
                outcome = self._notes_of(kind, key, source)
                if outcome is not Outcome.GONE:
                    self._queue.enqueue([_mark(Target("appointments", key), known.last_seen, began)])
                    return Done(outcome)
            young = known.creates or began - known.last_seen < YOUNG
            if known.first and young and not known.deletes:
                raise LookAgain("lag") from None
            return Done(OUTCOMES[self._records.mark_deleted(kind, key, began, source, "not_found")])
        answered = self._now()
        if is_deleted(fetched.record):
            return Done(OUTCOMES[self._records.mark_deleted(kind, key, fetched.began, source, "deleted_flag")])
        self._queue.enqueue(marks(kind, fetched.record, known.last_seen, fetched.began))
        # Where the API's own key differs from what was asked (a note by its appointment), its own counts.
        verdict = self._records.store(kind, key_of(kind, fetched.record) or key, fetched.record, fetched.began, source)
        behind = is_older(fetched.record.get("updated_at"), known.updated_at)
        if verdict is Verdict.LAGGING or (behind and fetched.began - known.last_seen < LAG_LIMIT):
            raise LookAgain("lag")
        return Done(
            OUTCOMES[verdict],
            fetch_seconds=(answered - fetched.began).total_seconds(),
            store_seconds=(self._now() - answered).total_seconds(),
        )

    def _notes_of(self, kind: Kind, appointment: str, source: Source) -> Outcome:
        stored = Outcome.GONE
        for page in self._api.list_notes(appointment):
            result = store_page(self._records, self._queue, kind, page, source)
            if result.keys:
                stored = Outcome.STORED if result.stored else Outcome.UNCHANGED
        return stored

    def _list_of_patient(self, kind: Kind, patient: str, known: Known, source: Source) -> Outcome:
        """The list is the full set: what is stored of this patient and not in it is gone."""
        began: datetime | None = None
        seen: set[str] = set()
        stored = False
        for page in self._api.list_by_patient(kind, patient):
            began = began or page.began
            result = store_page(self._records, self._queue, kind, page, source)
            seen |= result.keys
            stored |= bool(result.stored)
        owner = Where("patient", "==", int(patient) if patient.isdigit() else patient)
        missing = [key for key, _ in self._records.living(kind, [owner]) if key not in seen]
        if missing and not seen and known.first:
            # An empty answer may be a lapsed permission: it counts when it is given twice.
            raise LookAgain("empty_list")
        for key in missing:
            self._records.mark_deleted(kind, key, began or self._now(), source, "absent")
        return Outcome.STORED if stored or missing else Outcome.UNCHANGED


def store_page(records: Records, queue: WorkQueue, kind: Kind, page: Page, source: Source) -> PageResult:
    """Store a page, and put on the pending list what could not be stored from it."""
    deleted = [key for record in page.records if is_deleted(record) and (key := key_of(kind, record))]
    records.mark_listed_deleted(kind, deleted, page.began, source)
    result = records.store_page(kind, (r for r in page.records if not is_deleted(r)), page.began, source)
    again = dict.fromkeys(result.lagging, ("lag", page.began + LAG_RETRY))
    again |= {key: (reason, page.began + HOPELESS_RETRY) for key, reason in result.failed.items() if key != "?"}
    queue.enqueue(
        Entry(Target(kind.name, key), reason, Priority.EVENT, page.began, page.began, due)
        for key, (reason, due) in again.items()
    )
    if "?" in result.failed:
        log("record.unusable", "ERROR", kind=kind.name, reason=result.failed["?"])
    return result


def marks(kind: Kind, record: dict[str, Any], seen: datetime, now: datetime) -> list[Entry]:
    """What may have changed together with this record, and is looked at later, at lower priority."""

    key, appointment = id_of(record.get("id")), id_of(record.get("appointment"))
    targets: list[Target] = []
    if kind.name == "appointments" and key and _may_have_note(record, now):
        targets.append(Target("clinical_notes", key, "appointment"))
    if kind.name == "clinical_notes" and "locked" not in record and appointment:
        # Live, the lock, the PDF and the time of a note are shown on its appointment, which has no event for them.
        targets.append(Target("appointments", appointment))
    if patient := patient_of(kind, record):
        targets += [Target(child, patient, "patient") for child in kind.children]
    return [_mark(target, seen, now) for target in targets]


def _mark(target: Target, seen: datetime, now: datetime) -> Entry:
    return Entry(target, "follows", Priority.CHILDREN, first_seen=seen, last_seen=seen, due=now)


def _may_have_note(record: dict[str, Any], now: datetime) -> bool:
    """Live, a verbose appointment names its note. The guide's does not: there a note begins with the visit."""
    if "clinical_note" in record:
        return bool(record["clinical_note"])
    tomorrow = (now + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")  # local times are at most 14 h off UTC
    return not is_older(tomorrow, record.get("scheduled_time"))
