"""Bring one target up to date: fetch it, queue what depends on it, store it. Events and queue entries both use this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from shared.documents import Where
from shared.drchrono.ids import id_of, spellings
from shared.drchrono.kinds import KINDS, Kind, is_deleted, key_of
from shared.drchrono.lag import Evidence, shown_until
from shared.drchrono.records import Fetched, Page
from shared.errors import LookAgain, NotFound
from shared.queue.entries import ABSENT, Target
from shared.queue.work_queue import WorkQueue
from shared.records.absence import Absences
from shared.records.marks import mark, marks, marks_of_patient
from shared.records.ordering import Copy, Outcome
from shared.records.outcome import Done, Known, done
from shared.records.pages import store_page
from shared.records.store import Records, Source


class Api(Protocol):
    """The methods of `shared.drchrono.client.DrChrono` that fetch one target."""

    def get(self, kind: Kind, id: str) -> Fetched: ...  # noqa: A002 (DrChrono's word)
    def list_by_patient(self, kind: Kind, patient: str) -> Iterator[Page]: ...
    def list_notes(self, appointment: str) -> Iterator[Page]: ...


@dataclass(frozen=True)
class _Listed:
    """A complete list. began: when its first page was requested. keys: the ids that it showed. stored: whether a record
    was written.
    """

    began: datetime
    keys: set[str]
    stored: bool


class Refresh:
    """Every method may raise the errors of the API, the token, the quota and the store, LookAgain if the answer may be
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
        """Fetch the target, queue what depends on it, and store it."""
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
                # A stored note with this id that is not in the list only shares its id with the appointment.
                if shown_keys and (key in shown_keys or copy is None or copy.deleted):
                    self._queue.enqueue([mark(Target("appointments", key), known.last_seen)])
                    return listed
            return self._absent(kind, key, began, known, source)
        answered = self._now()
        if is_deleted(fetched.record):
            self._queue.enqueue(marks_of_patient(kind, key, self._now()))
            stored = self._records.mark_deleted(kind, key, fetched.began, source, "deleted_flag", stated=True)
            return done(stored, known, fetched.began)
        self._queue.enqueue(marks(kind, fetched.record, known.last_seen, fetched.began))
        # If the record's own key differs from the requested one (a note by its appointment), its own key counts.
        shown = key_of(kind, fetched.record) or key
        stored = self._records.store(kind, shown, fetched.record, fetched.began, source)
        if stored.returned:
            # A list that was read meanwhile found the patient still deleted.
            self._queue.enqueue(marks_of_patient(kind, shown, self._now()))
        if stored.returned or known.reason in ABSENT:
            self._absences.found(kind, returned=stored.returned)
        if kind.listed_by == "patient" and (patient := id_of(fetched.record.get("patient"))):
            self._look_at_unknown(patient, fetched.began)
        return replace(
            done(stored, known, fetched.began),
            fetch_seconds=(answered - fetched.began).total_seconds(),
            store_seconds=(self._now() - answered).total_seconds(),
        )

    def _absent(self, kind: Kind, key: str, began: datetime, known: Known, source: Source) -> Done:
        """Decide after a single read, begun at `began`, that did not find the record."""
        copy = self._records.copy(kind, key)
        living = copy if copy is not None and not copy.deleted else None
        if kind.whole:  # DrChrono archives these records and hides them; the copy keeps them
            return Done(Outcome.UNCHANGED if living else Outcome.GONE, Evidence(shown_until(began)))
        announced = known.deletes and not (living and known.precedes(living))
        if announced:
            entry = self._queue.get(Target(kind.name, key))
            announced = entry is None or entry.deletes
        believable = self._absences.believable_from(copy, known.last_seen, announced=announced)
        if began < believable:
            raise LookAgain("absent", believable)
        if announced and living:
            announced = self._absences.is_kind_shown(kind, key, lambda other: self._is_shown(kind, other))
        if not announced:
            # If the record was seen or announced since the first read, this read counts as the first.
            first = known.absent_since if known.absent_since and known.absent_since >= believable else None
            if first and living and (still := self._shown_by_its_list(kind, key, source)):
                return still
            self._absences.allow(
                kind, key, first, began, lambda other: self._is_shown(kind, other), living=living is not None
            )
        if copy is None or living:
            self._queue.enqueue(marks_of_patient(kind, key, self._now()))
        # An absence proves only the change that caused the read, and none after it: later, the record may exist again
        # and be hidden by a missing permission.
        stored = self._records.mark_deleted(kind, key, began, source, "not_found", until=known.last_seen)
        return done(stored, known, began)

    def _shown_by_its_list(self, kind: Kind, key: str, source: Source) -> Done | None:
        """Store the list of the patient of a living record that two single reads did not find.

        Return None if the list does not show the record either. The list is requested at least a lag after the first
        read, so a record that it shows still exists.
        """
        patient = self._records.patient_of(kind, key) if kind.listed_by == "patient" else None
        if patient is None:
            return None
        listed = self._store_list(kind, self._api.list_by_patient(kind, patient), source)
        if key not in listed.keys:
            return None
        self._absences.found(kind, returned=False)
        return Done(Outcome.STORED if listed.stored else Outcome.UNCHANGED, Evidence(shown_until(listed.began)))

    def _is_shown(self, kind: Kind, key: str) -> bool:
        try:
            self._api.get(kind, key)
        except NotFound:
            return kind.listed_by == "appointment" and any(page.records for page in self._api.list_notes(key))
        return True

    def _notes_of(self, kind: Kind, appointment: str, source: Source) -> tuple[Done, set[str]]:
        """Store the notes of an appointment. Also return the ids of the notes that the list showed."""
        listed = self._store_list(kind, self._api.list_notes(appointment), source)
        outcome = Outcome.STORED if listed.stored else Outcome.UNCHANGED if listed.keys else Outcome.GONE
        return Done(outcome, Evidence(shown_until(listed.began))), listed.keys

    def _list_of_patient(self, kind: Kind, patient: str, known: Known, source: Source) -> Done:
        """Store the complete list of one patient. Queue a single read for each stored record that the list lacks."""
        listed = self._store_list(kind, self._api.list_by_patient(kind, patient), source)
        owners = [Where("patient", "==", value) for value in spellings(patient)]
        missing = [key for owner in owners for key, _ in self._records.living(kind, [owner]) if key not in listed.keys]
        self._absences.notice(kind, missing, listed.began)
        if known.reason in ABSENT and not missing:
            self._absences.found(kind, returned=False)
        copy = self._look_at_unknown(patient, listed.began)
        self._records.mark_orphans(kind, patient, deleted=copy is not None and copy.deleted)
        return Done(
            Outcome.STORED if listed.stored or missing else Outcome.UNCHANGED, Evidence(shown_until(listed.began))
        )

    def _store_list(self, kind: Kind, pages: Iterable[Page], source: Source) -> _Listed:
        began: datetime | None = None
        keys: set[str] = set()
        stored = False
        for page in pages:
            began = began or page.began
            result = store_page(self._records, self._queue, self._absences, kind, page, source)
            keys |= result.keys
            stored |= bool(result.stored)
        return _Listed(began or self._now(), keys, stored)

    def _look_at_unknown(self, patient: str, seen: datetime) -> Copy | None:
        """Return the copy of this patient. If there is none, queue the patient: only a stored patient, or a
        tombstone of one, has the lists of its records fetched again.
        """
        kind = KINDS["patients"]
        copy = self._records.copy(kind, patient)
        if copy is None:
            self._queue.enqueue([mark(Target(kind.name, patient), seen)])
        return copy
