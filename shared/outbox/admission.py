"""New entries: validate them, and convert their instants to the doctor's local time."""

from __future__ import annotations

from typing import Protocol

from shared.documents import Data, Documents
from shared.drchrono.ids import document_id, id_of
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Fetched
from shared.errors import Forbidden, NotFound
from shared.outbox.entries import Entry
from shared.outbox.entry_documents import OWN
from shared.outbox.storage import Outbox
from shared.outbox.validation import Action, Refused, Request, local_time, read_request

# Read for its `timezone` if the copy has no doctors.
DOCTORS = KINDS["doctors"]

UNKNOWN_ZONE = "the doctor's time zone is not known: give scheduled_time, the local time without an offset"


class Api(Protocol):
    """Of `shared.drchrono.client.DrChrono`."""

    def get(self, kind: Kind, id: str) -> Fetched: ...  # noqa: A002 (DrChrono's word)


class Admission:
    """documents: the copy."""

    def __init__(self, documents: Documents, outbox: Outbox) -> None:
        self._documents = documents
        self._outbox = outbox
        self._zones: dict[str, str] = {}

    def admit(self, key: str, data: Data, api: Api) -> Entry | None:
        """Return the entry, waiting to be sent, or as its guard recorded it; None if it is invalid or removed.

        Raises what the API and the stores raise; the entry then stays new.
        """
        try:
            request = read_request(data, own=OWN)
            local = None
            if request.scheduled_at is not None:
                local = self._local_time(request, api)
                request = request.at(local)
        except Refused as refused:
            self._outbox.refuse(key, refused.complaints)
            return None
        return self._outbox.admit(key, request, local_time=local)

    def _local_time(self, request: Request, api: Api) -> str:
        """Raises Refused."""
        doctor = self._doctor(request, api)
        zone = self._zone(doctor, api) if doctor is not None else None
        local = local_time(request.scheduled_at, zone) if request.scheduled_at is not None and zone else None
        if local is None:
            raise Refused({"scheduled_at": [UNKNOWN_ZONE]})
        return local

    def _doctor(self, request: Request, api: Api) -> str | None:
        """Return the doctor that is given, or that of the changed appointment."""
        given = id_of(request.fields.get("doctor"))
        if given is not None or request.action is Action.CREATE:
            return given
        stored = self._documents.get(f"{request.kind}/{document_id(request.id or '')}") or {}
        known = id_of(stored.get("doctor"))
        if known is not None:
            return known
        try:
            return id_of(api.get(KINDS[request.kind], request.id or "").record.get("doctor"))
        except (NotFound, Forbidden):
            return None

    def _zone(self, doctor: str, api: Api) -> str | None:
        if doctor not in self._zones:
            stored = self._documents.get(f"{DOCTORS.name}/{document_id(doctor)}") or {}
            zone = stored.get("timezone")
            if not isinstance(zone, str):
                try:
                    zone = api.get(DOCTORS, doctor).record.get("timezone")
                except (NotFound, Forbidden):
                    zone = None
            if not isinstance(zone, str):
                return None
            self._zones[doctor] = zone
        return self._zones[doctor]
