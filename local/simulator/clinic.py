"""The clinic at work: every change to a record, whoever makes it, is made here, and told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from local.simulator import charts, people, words
from local.simulator.clock import Clock
from local.simulator.config import Config
from local.simulator.kinds import (
    ALLERGIES,
    APPOINTMENTS,
    MEDICATIONS,
    NOTES,
    PATIENTS,
    PROBLEMS,
)
from local.simulator.localtime import LocalTime
from local.simulator.numbering import Numbering
from local.simulator.store import Fields, Record, Store, Version

CHART = {MEDICATIONS: charts.medication, PROBLEMS: charts.problem, ALLERGIES: charts.allergy}


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
        self.rng = Random(f"{config.seed} clinic")
        self.numbering = Numbering(self.rng)
        staff = Random(f"{config.seed} staff")
        # About as many as a practice of that size has, so that calendars are not hopelessly double-booked.
        self.doctors = people.doctors(staff, 3 + config.patients // 2500, config.timezone)
        self.offices = people.offices(staff, self.doctors[0]["id"])

    def create(self, kind: str, given: Fields, *, draft: bool = True) -> Change:
        """Add a record: `given` on top of a made-up one, or (`draft=False`) on top of an empty one."""
        with self.store.lock:
            now = self.clock.now()
            fields = {**(self._draft(kind, given) if draft else self.blank(kind)), **given}
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
            fields = self._edit(kind, record.current.fields) if given is None else given
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
        return visit.key in self.numbering.noted

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
        self.numbering.noted.add(visit_key)
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

    def blank(self, kind: str) -> Fields:
        """A record of which nothing is known yet."""
        if kind == PATIENTS:
            return people.NEW_PATIENT
        if kind == APPOINTMENTS:
            return charts.NEW_APPOINTMENT | ({"clinical_note": None} if self.config.live else {})
        sample = self._draft(kind, {})
        return {name: _empty(value) for name, value in sample.items()} | {"status": "active"}

    def _draft(self, kind: str, given: Fields) -> Fields:
        """A made-up new record; its id is still to be given."""
        today, rng = self.local.day(self.clock.now()), self.rng
        doctor, office = rng.choice(self.doctors)["id"], rng.choice(self.offices)["id"]
        if kind == PATIENTS:
            fields = people.patient(rng, 0, doctor, office, today)
            return {**fields, "chart_id": "", "email": f"new.{rng.randrange(10**6)}@example.com"}
        if kind == NOTES:
            return self._draft_note(given)
        patient = given["patient"] if "patient" in given else self.pick(PATIENTS).current.fields["id"]
        if kind == APPOINTMENTS:
            blank = self.blank(kind)
            day = today.fromordinal(today.toordinal() + rng.randrange(1, 60))
            links = {"patient": patient, "doctor": doctor, "office": office}
            return blank | charts.appointment(rng, 0, day, past=False, index=99, **links)
        return CHART[kind](rng, 0, patient, doctor, today, live=self.config.live)

    def _draft_note(self, given: Fields) -> Fields:
        def open_visit(visit: Record) -> bool:
            return visit.current.fields["patient"] is not None and not self.has_note(visit)

        chosen = given.get("appointment")
        visit = self.pick(APPOINTMENTS, open_visit) if chosen is None else self.find(APPOINTMENTS, chosen)
        make = charts.live_note if self.config.live else charts.guide_note
        return make(self.rng, self.numbering.next(NOTES), visit.current.fields, locked=False)

    def _edit(self, kind: str, fields: Fields) -> Fields:
        """What somebody at the desk might change in such a record."""
        rng = self.rng
        if kind == PATIENTS:
            city, state, zip_code = rng.choice(words.PLACES)
            return rng.choice(
                (
                    {"cell_phone": people.phone(rng)},
                    {"email": f"changed.{rng.randrange(10**6)}@example.com"},
                    {"address": f"{rng.randrange(1, 9999)} {rng.choice(words.STREETS)}", "city": city}
                    | {"state": state, "zip_code": zip_code},
                    {"primary_insurance": people.insurance(rng, fields)},
                )
            )
        if kind == APPOINTMENTS:
            if fields["patient"] is not None and rng.random() < 0.7:
                return {"status": rng.choice([status for status in charts.STATUSES if status != fields["status"]])}
            return {"notes": f"Moved by phone, call {rng.randrange(10**6)}"}
        if kind == NOTES and self.config.live:
            first, *rest = fields["clinical_note_sections"]
            value = {**first["values"][0], "value": f"{charts.text(rng)} ({rng.randrange(10**6)})"}
            return {"clinical_note_sections": [{**first, "values": [value]}, *rest]}
        if kind == NOTES:
            changed = {rng.choice(words.SECTIONS): f"{charts.text(rng)} ({rng.randrange(10**6)})"}
            return {"sections": fields["sections"] | changed}
        return {"notes": f"Reviewed, entry {rng.randrange(10**6)}"}


def _empty(value: Any) -> Any:
    return {str: "", bool: False, list: []}.get(type(value))
