"""The clinic at work: every change to a record, whoever makes it, is made here, and told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from simulator import charts, drafts, people
from simulator.clock import Clock
from simulator.config import Config
from simulator.kinds import APPOINTMENTS, NOTES, PATIENTS
from simulator.localtime import LocalTime
from simulator.numbering import Numbering
from simulator.store import Fields, Record, Store, Version


class NoSuchRecordError(LookupError):
    """There is no such record, or none that the change asked for can be made to."""


@dataclass(frozen=True)
class Change:
    """One thing that happened: create, modify, delete, lock or unlock."""

    kind: str
    key: str
    action: str
    version: Version

    @property
    def record_id(self) -> Any:
        """The id in the record's own type (the live form's clinical notes have their appointment's only)."""
        fields = self.version.fields
        return fields["id"] if "id" in fields else fields["appointment"]


class Clinic:
    """The practice's records and staff. `listeners` hear of every change made after the start."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config, self.clock = config, clock
        self.local = LocalTime(config.timezone)
        self.store = Store()
        self.listeners: list[Callable[[Change], None]] = []
        self.changes = 0
        self._noted: set[str] = set()  # appointments that have, or had, a clinical note: there is never a second one
        self.rng = Random(f"{config.seed} clinic")
        self.numbering = Numbering(self.rng)
        staff = Random(f"{config.seed} staff")
        # About as many as a practice of that size has, so that calendars are not hopelessly double-booked.
        self.doctors = people.doctors(staff, 3 + config.patients // 2500, config.timezone)
        self.offices = people.offices(staff, self.doctors[0]["id"])

    def create(self, kind: str, given: Fields, *, draft: bool = True) -> Change:
        """Add a record: `given` on top of a made-up one, or (`draft=False`) on top of an empty one."""
        with self.store.lock:
            now, given = self.clock.now(), dict(given)
            fields = {**(self._draft(kind, given) if draft else drafts.blank(kind, live=self.config.live)), **given}
            if kind != NOTES:
                number = self.numbering.next(kind)
                fields["id"] = str(number) if kind == APPOINTMENTS and self.config.live else number
            if kind == PATIENTS and not fields["chart_id"]:
                fields["chart_id"] = people.chart_id(fields["first_name"], fields["last_name"], fields["id"])
            return self._tell(self.add(kind, fields, created=now, updated=now), "create")

    def add(self, kind: str, fields: Fields, *, created: float, updated: float) -> Record:
        """Put a complete new record into the store, stamped; used for the initial records, too."""
        shown = self.local.text(updated)
        if "updated_at" in fields:
            fields["created_at"], fields["updated_at"] = self.local.text(created), shown
        if "extended_updated_at" in fields:
            fields["extended_updated_at"] = shown
        key = str(fields["id"] if "id" in fields else fields["appointment"])
        record = self.store.add(kind, key, fields, changed_at=updated, updated_at=float(int(updated)))
        if kind == NOTES:
            self._show_on_visit(record, at=updated)
        return record

    def change(self, kind: str, key: object, given: Fields | None = None) -> Change:
        """Change a record's fields; without `given`, something that people do change."""
        with self.store.lock:
            record = self.find(kind, key)
            fields = given
            if fields is None:
                fields = drafts.edit(self.rng, kind, record.current.fields, live=self.config.live)
            return self._tell(self._put(record, fields), "modify")

    def delete(self, kind: str, key: object) -> Change:
        """Delete a record. An appointment stays to be seen with `show_archived=true`."""
        with self.store.lock:
            record = self.find(kind, key)
            mark = {"deleted_flag": True} if kind == APPOINTMENTS else {}
            return self._tell(self._put(record, mark, deleted=True), "delete")

    def lock(self, key: object, *, locked: bool = True) -> Change:
        """Sign a clinical note, or open it again."""
        with self.store.lock:
            record = self.find(NOTES, key)
            fields: Fields = {"locked": locked}
            if self.config.live:
                visit = self.store.by_key[APPOINTMENTS][record.key].current.fields
                fields = {"signee": charts.signee(visit["doctor"] if locked else None)}
            return self._tell(self._put(record, fields), "lock" if locked else "unlock")

    def find(self, kind: str, key: object) -> Record:
        record = self.store.get(kind, key)
        if record is None:
            raise NoSuchRecordError(f"there is no {kind} {key}")
        return record

    def pick(self, kind: str, suits: Callable[[Record], bool] = lambda record: True) -> Record:
        """Some existing record that suits."""
        records = self.store.in_order[kind]
        for _ in range(20 if records else 0):  # nearly always enough, and does not walk the whole practice
            record = self.rng.choice(records)
            if record.exists and suits(record):
                return record
        suitable = [record for record in records if record.exists and suits(record)]
        if not suitable:
            raise NoSuchRecordError(f"there is no such record among the {kind}")
        return self.rng.choice(suitable)

    def is_locked(self, note: Record) -> bool:
        fields = note.current.fields
        return bool(fields["signee"]["locked_by"]) if self.config.live else bool(fields["locked"])

    def has_note(self, visit: Record) -> bool:
        """Whether there ever was a note of this appointment."""
        return visit.key in self._noted

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
            self._show_on_visit(record, at=now)
        return record

    def _show_on_visit(self, note: Record, *, at: float) -> None:
        """Live, a note's lock, PDF and time of change stand on its appointment."""
        visit_key = str(note.current.fields["appointment"])
        self._noted.add(visit_key)
        if not self.config.live:
            return
        visit = self.store.by_key[APPOINTMENTS][visit_key]
        old, shown = visit.current, self.local.text(at)
        seen = None
        if note.exists:
            seen = charts.note_of_visit(visit_key, locked=self.is_locked(note), updated_at=shown)
        fields = {**old.fields, "clinical_note": seen}
        updated_at = old.updated_at
        if self.config.note_touches_appointment:
            updated_at = max(updated_at, float(int(at)))
            fields["updated_at"] = fields["extended_updated_at"] = self.local.text(updated_at)
        self.store.put(visit, fields, at=max(at, old.changed_at), updated_at=updated_at, deleted=old.deleted)

    def _tell(self, record: Record, action: str) -> Change:
        kind = record.current.kind.name
        change = Change(kind, record.key, action, record.current)
        self.changes += 1
        for listener in self.listeners:
            listener(change)
        return change

    def _draft(self, kind: str, given: Fields) -> Fields:
        """A made-up new record to go with what is given of it; its id is still to come."""
        doctor, office = self.rng.choice(self.doctors)["id"], self.rng.choice(self.offices)["id"]
        if kind == NOTES:
            return self._draft_note(given.pop("appointment", None))
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
            raise NoSuchRecordError(f"appointment {visit.key} is a break, or has its note already")
        make = charts.live_note if self.config.live else charts.guide_note
        return make(self.rng, self.numbering.next(NOTES), visit.current.fields, locked=False)
