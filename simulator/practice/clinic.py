"""The practice. All changes to records are made here and reported to listeners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from simulator.clock import Clock
from simulator.config import Config
from simulator.localtime import LocalTime
from simulator.practice import drafts, notes, patients, staff
from simulator.practice.ids import Ids
from simulator.practice.kinds import APPOINTMENTS, KINDS, NOTES, PATIENTS
from simulator.practice.lookup import Lookup, NoSuchRecordError
from simulator.practice.store import Fields, Record, Store, Version


@dataclass(frozen=True)
class Change:
    """A change to a record. `action` is create, modify, delete, lock or unlock."""

    kind: str
    key: str
    action: str
    version: Version

    @property
    def record_id(self) -> Any:
        """The id in the record's own type. Clinical notes of the live form have only their appointment's id."""
        fields = self.version.fields
        return fields["id"] if "id" in fields else fields["appointment"]


class Clinic(Lookup):
    """The records of the practice. `listeners` are called for each change after the initial data."""

    def __init__(self, config: Config, clock: Clock) -> None:
        super().__init__(Store(), Random(f"{config.seed} clinic"), live=config.live)
        self.config, self.clock = config, clock
        self.local = LocalTime(config.timezone)
        self.listeners: list[Callable[[Change], None]] = []
        self.changes = 0
        self.ids = Ids(self.rng)
        rng = Random(f"{config.seed} staff")
        # A realistic number for the size of the practice, so that few appointments overlap.
        doctors = 3 + config.patients // 2500
        shown = config.share_patients if config.permissions_show_sharing else None
        long_ago = clock.now() - 365 * 86_400
        for kind, records in staff.staff(rng, doctors, config.timezone, share_patients=shown).items():
            for fields in records:
                self.add(kind, fields, created=long_ago, updated=long_ago)

    def create(self, kind: str, given: Fields, *, draft: bool = True) -> Change:
        """Add a record: `given` on top of a generated record, or of an empty one with `draft=False`."""
        with self.store.lock:
            now, given = self.clock.now(), dict(given)
            fields = {**(self._draft(kind, given) if draft else drafts.blank(kind, live=self.config.live)), **given}
            if kind != NOTES:
                number = self.ids.next(kind)
                fields["id"] = str(number) if kind == APPOINTMENTS and self.config.live else number
            if kind == PATIENTS and not fields["chart_id"]:
                fields["chart_id"] = patients.chart_id(fields["first_name"], fields["last_name"], fields["id"])
            return self._notify(self.add(kind, fields, created=now, updated=now), "create")

    def add(self, kind: str, fields: Fields, *, created: float, updated: float) -> Record:
        """Store a complete new record and set its timestamps. Listeners are not called."""
        shown = self.local.text(updated)
        if "updated_at" in fields:
            fields["created_at"], fields["updated_at"] = self.local.text(created), shown
        if "extended_updated_at" in fields:
            fields["extended_updated_at"] = shown
        key = str(fields["id"] if "id" in fields else fields["appointment"])
        record = self.store.add(kind, key, fields, changed_at=created, updated_at=float(int(updated)))
        if kind == NOTES:
            self._update_appointment_of(record, at=updated)
        return record

    def change(self, kind: str, key: object, given: Fields | None = None) -> Change:
        """Change a record's fields; without `given`, make a plausible edit."""
        with self.store.lock:
            record = self.find(kind, key)
            fields = given
            if fields is None:
                fields = drafts.edit(self.rng, kind, record.current.fields, live=self.config.live)
            return self._notify(self._put(record, fields), "modify")

    def delete(self, kind: str, key: object) -> Change:
        """Delete a record. A deleted appointment is still listed with `show_archived=true`."""
        with self.store.lock:
            record = self.find(kind, key)
            mark = {"deleted_flag": True} if kind == APPOINTMENTS else {}
            return self._notify(self._put(record, mark, deleted=True), "delete")

    def lock(self, key: object, *, locked: bool = True) -> Change:
        """Lock a clinical note, or unlock it."""
        with self.store.lock:
            record = self.find(NOTES, key)
            fields: Fields = {"locked": locked}
            if self.config.live:
                visit = self.store.by_key[APPOINTMENTS][record.key].current.fields
                fields = {"signee": notes.signee(visit["doctor"] if locked else None)}
            return self._notify(self._put(record, fields), "lock" if locked else "unlock")

    def _put(self, record: Record, fields: Fields, *, deleted: bool = False) -> Record:
        now = self.clock.now()
        old = record.current
        new = {**old.fields, **fields}
        shown = self.local.text(now)
        if "updated_at" in new:
            new["updated_at"] = shown
        if "extended_updated_at" in new:
            new["extended_updated_at"] = shown
        if old.kind.name == APPOINTMENTS and new["status"] != old.fields["status"]:
            step = {"from_status": old.fields["status"], "to_status": new["status"], "datetime": shown}
            new["status_transitions"] = [*new["status_transitions"], {**step, "appointment": new["id"]}]
        self.store.put(record, new, at=now, updated_at=float(int(now)), deleted=deleted)
        if old.kind.name == NOTES:
            self._update_appointment_of(record, at=now)
        return record

    def _update_appointment_of(self, note: Record, *, at: float) -> None:
        """Update the `clinical_note` field of the note's appointment, which exists in the live form only."""
        visit_key = str(note.current.fields["appointment"])
        self.noted.add(visit_key)
        if not self.config.live:
            return
        visit = self.store.by_key[APPOINTMENTS][visit_key]
        old, shown = visit.current, self.local.text(at)
        seen = None
        if note.exists:
            seen = notes.note_of_appointment(visit_key, locked=self.is_locked(note), updated_at=shown)
        fields = {**old.fields, "clinical_note": seen}
        updated_at = old.updated_at
        if self.config.note_touches_appointment:
            updated_at = max(updated_at, float(int(at)))
            fields["updated_at"] = fields["extended_updated_at"] = self.local.text(updated_at)
        self.store.put(visit, fields, at=max(at, old.changed_at), updated_at=updated_at, deleted=old.deleted)

    def _notify(self, record: Record, action: str) -> Change:
        kind = record.current.kind.name
        change = Change(kind, record.key, action, record.current)
        self.changes += 1
        for listener in self.listeners:
            listener(change)
        return change

    def _draft(self, kind: str, given: Fields) -> Fields:
        """Return a generated record that fits the given fields, without its id."""
        doctor, office = self.rng.choice(self.doctors)["id"], self.rng.choice(self.offices)["id"]
        if kind == NOTES:
            return self._draft_note(given.pop("appointment", None))
        if not KINDS[kind].clinical:
            return staff.draft(kind, self.rng, doctor, self.config.timezone)
        patient = given.get("patient")
        if kind != PATIENTS and "patient" not in given:
            patient = self.pick(PATIENTS).current.fields["id"]
        today = self.local.day(self.clock.now())
        return drafts.draft(self.rng, kind, today, live=self.config.live, patient=patient, doctor=doctor, office=office)

    def _draft_note(self, visit_key: object) -> Fields:
        def open_visit(visit: Record) -> bool:
            return visit.current.fields["patient"] is not None and not self.has_note(visit)

        visit = self.pick(APPOINTMENTS, open_visit) if visit_key is None else self.find(APPOINTMENTS, visit_key)
        if not open_visit(visit):
            raise NoSuchRecordError(f"appointment {visit.key} is a break or already has a note")
        make = notes.live_note if self.config.live else notes.guide_note
        return make(self.rng, self.ids.next(NOTES), visit.current.fields, locked=False)
