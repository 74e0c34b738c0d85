"""The copy as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from google.cloud import firestore

from drchrono_reader.chart import CHART_KINDS, Chart, chart_of
from drchrono_reader.embedded import EmbeddedFile
from drchrono_reader.firestore import FirestoreStore
from drchrono_reader.query import Records
from drchrono_reader.status import COLLECTION, Status, status_of
from drchrono_reader.store import Store

PRACTICE_KINDS = ("doctors", "offices", "users", "appointment_profiles")
KINDS = ("patients", *CHART_KINDS, *PRACTICE_KINDS)


class Copy:
    """Errors are those of the store: `google.api_core.exceptions` for Firestore, `sqlite3.Error` for the file."""

    def __init__(self, client: firestore.Client | EmbeddedFile) -> None:
        self._store: Store = client if isinstance(client, EmbeddedFile) else FirestoreStore(client)
        self.patients = self.kind("patients")
        self.appointments = self.kind("appointments")
        self.clinical_notes = self.kind("clinical_notes")
        self.medications = self.kind("medications")
        self.problems = self.kind("problems")
        self.allergies = self.kind("allergies")
        self.doctors = self.kind("doctors")
        self.offices = self.kind("offices")
        self.users = self.kind("users")
        self.appointment_profiles = self.kind("appointment_profiles")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Copy:
        """Return the copy that the settings of the functions name.

        EMBEDDED_FOLDER: set by `make run` in the embedded form. Otherwise GCP_PROJECT or GOOGLE_CLOUD_PROJECT, and
        FIRESTORE_DATABASE. The client itself reads FIRESTORE_EMULATOR_HOST.
        """
        if folder := environ.get("EMBEDDED_FOLDER"):
            return cls(EmbeddedFile(Path(folder) / "documents.sqlite3"))
        project = environ.get("GCP_PROJECT") or environ.get("GOOGLE_CLOUD_PROJECT")
        return cls(firestore.Client(project=project, database=environ.get("FIRESTORE_DATABASE") or "(default)"))

    def kind(self, name: str) -> Records:
        """Return the records of a kind, by the name of its collection."""
        return Records(self._store, name)

    def status(self, kind: str) -> Status:
        """Return what the copy states about its completeness. Read it before the records that it should cover."""
        return status_of(kind, self._store.get(COLLECTION, kind))

    def is_complete(self, kind: str, *, at: datetime) -> bool:
        """Return whether every change made at DrChrono before `at` (aware) is in the copy.

        This covers what the user who authorized the copy may see; see `status(kind).coverage`. Ask before reading the
        records. Returns False if it is not known.
        """
        return self.status(kind).is_complete(at=at)

    def chart(self, patient: str | int, *, deleted: bool = False) -> Chart:
        """Return all records of a patient, with their completeness. deleted: with tombstones. Raises ValueError."""
        kinds = ("patients", *CHART_KINDS)
        statuses = {kind: self.status(kind) for kind in kinds}
        records = {kind: self.kind(kind) for kind in kinds}
        return chart_of(str(patient), records, statuses, deleted=deleted)
