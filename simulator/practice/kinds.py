"""The kinds of records, one row each: six of patients, four of the practice. Fields are those of DrChrono's API."""

from __future__ import annotations

from dataclasses import dataclass, field

PATIENTS, APPOINTMENTS, NOTES = "patients", "appointments", "clinical_notes"
MEDICATIONS, PROBLEMS, ALLERGIES = "medications", "problems", "allergies"
DOCTORS, OFFICES, USERS, PROFILES = "doctors", "offices", "users", "appointment_profiles"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How one kind is addressed, read, written and announced by webhooks."""

    name: str
    scope: str
    """First part of the OAuth scope: `patients` in `patients:read`."""
    verbose_only: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset({"GET", "POST", "PUT", "PATCH"})
    filters: tuple[str, ...] = ("patient", "doctor")
    timed: bool = False
    """Whether records have `updated_at` and lists accept `since`."""
    bulk: bool = False
    clinical: bool = True
    """Whether records belong to patients, as opposed to the practice."""
    live_events: dict[str, str] = field(default_factory=dict)
    """The live form's event for each action: create, modify, delete, lock, unlock."""
    guide_events: dict[str, str] = field(default_factory=dict)
    page_sizes: tuple[int, int] = (250, 50)
    """Default and maximum page size, plain and verbose."""


_INSURANCES = ("primary", "secondary", "tertiary", "auto_accident", "workers_comp")

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name=PATIENTS,
            scope="patients",
            verbose_only=frozenset(f"{which}_insurance" for which in _INSURANCES)
            | {"custom_demographics", "patient_flags", "patient_flags_attached", "referring_doctor"},
            required=("gender", "doctor"),
            methods=frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"}),
            filters=(
                *("first_name", "last_name", "date_of_birth", "gender", "email", "chart_id"),
                *("doctor", "race", "ethnicity", "preferred_language"),
            ),
            timed=True,
            bulk=True,
            live_events={"create": "PATIENT_CREATE", "modify": "PATIENT_MODIFY"},
            guide_events={"create": "PATIENT_CREATE", "modify": "PATIENT_MODIFY"},
        ),
        Kind(
            name=APPOINTMENTS,
            scope="calendar",
            verbose_only=frozenset(
                {"clinical_note", "vitals", "custom_vitals", "custom_fields", "reminders"}
                | {"status_transitions", "extended_updated_at"}
            ),
            required=("doctor", "exam_room", "office", "patient", "scheduled_time"),
            methods=frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"}),
            filters=("patient", "doctor", "office", "status"),
            timed=True,
            bulk=True,
            live_events={
                "create": "APPOINTMENT_CREATE",
                "modify": "APPOINTMENT_MODIFY",
                "delete": "APPOINTMENT_DELETE",
            },
            guide_events={"create": "APPOINTMENT_CREATE", "modify": "APPOINTMENT_MODIFY"},
            # The documentation's prose says 20, its schema 25 with verbose=true.
            page_sizes=(20, 25),
        ),
        Kind(
            name=NOTES,
            scope="clinical",
            methods=frozenset({"GET"}),
            filters=("patient", "doctor", "office"),
            timed=True,
            bulk=True,
            # The live service has no event for an edit. Changes to unlocked notes are found only by polling.
            live_events={"lock": "CLINICAL_NOTE_LOCK", "unlock": "CLINICAL_NOTE_UNLOCK"},
            guide_events={
                "create": "CLINICAL_NOTE_MODIFY",
                "modify": "CLINICAL_NOTE_MODIFY",
                "unlock": "CLINICAL_NOTE_MODIFY",
                "lock": "CLINICAL_NOTE_LOCK",
            },
        ),
        *(
            Kind(
                name=name,
                scope="clinical",
                verbose_only=frozenset({"description"} if name == ALLERGIES else ()),
                required=("doctor", "patient"),
                # The guide's six events do not cover these three kinds.
                live_events={"create": f"PATIENT_{word}_CREATE", "modify": f"PATIENT_{word}_MODIFY"},
            )
            for name, word in ((MEDICATIONS, "MEDICATION"), (PROBLEMS, "PROBLEM"), (ALLERGIES, "ALLERGY"))
        ),
        # The schema names no scope for users; `user:read` follows the guide.
        *(
            Kind(name=name, scope=scope, methods=frozenset({"GET"}), filters=("doctor",), clinical=False)
            for name, scope in ((DOCTORS, "user"), (OFFICES, "user"), (USERS, "user"), (PROFILES, "calendar"))
        ),
    )
}


def kind_of_event(event: str) -> str | None:
    """Return the kind an event is about; None for PING and unknown events."""
    for kind in KINDS.values():
        if event in kind.live_events.values() or event in kind.guide_events.values():
            return kind.name
    return None
