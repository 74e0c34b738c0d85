"""Search DrChrono for the effect of a request that was not answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.documents import Documents, Where
from shared.drchrono.ids import id_of, id_of_document
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Fetched, Page
from shared.errors import NotFound
from shared.outbox.entries import Entry
from shared.outbox.matching import MOST_KNOWN, Finding, Found, created, digest, updated
from shared.outbox.queries import Entries
from shared.outbox.targets import identity_of, with_seconds
from shared.outbox.validation import Action, Request
from shared.records.ordering import Copy, copy_of
from shared.records.prepared import path_of
from shared.records.storable import join

# DrChrono's local time is at most this much behind UTC, and an hour for the end of summer time.
WEST = timedelta(hours=13)

CONTROLS = 3


class Api(Protocol):
    """The methods of `shared.drchrono.client.DrChrono` that a search uses."""

    def get(self, kind: Kind, id: str) -> Fetched: ...  # noqa: A002 (DrChrono's word)
    def list_matching(self, kind: Kind, filters: Mapping[str, str]) -> Iterator[Page]: ...


class Search:
    """documents: the copy. Every method may raise what the API and the stores raise."""

    def __init__(self, documents: Documents, entries: Entries) -> None:
        self._documents = documents
        self._entries = entries

    def before(self, request: Request) -> str | None:
        """Return a digest of the values in the copy that an update replaces; None if the copy lacks the record."""
        if request.action is Action.CREATE:
            return None
        document = self._documents.get(path_of(KINDS[request.kind], request.id or ""))
        copy = copy_of(document)
        if document is None or copy is None or copy.deleted:
            return None
        return digest(request.fields, join(document))

    def copy(self, request: Request) -> Copy | None:
        """Return the copy of the record that an update is for."""
        return copy_of(self._documents.get(path_of(KINDS[request.kind], request.id or "")))

    def known(self, request: Request) -> tuple[str, ...]:
        """Return the ids of records in the copy that look like the one to create, so that a search does not mistake
        them.
        """
        if request.action is Action.UPDATE:
            return ()
        fields = request.fields
        where = [Where("doctor", "==", fields["doctor"])]
        if request.kind == "appointments":
            where.append(Where("scheduled_time", "==", with_seconds(fields["scheduled_time"])))
        else:
            where += [Where(name, "==", fields[name]) for name in ("date_of_birth", "last_name") if fields.get(name)]
        wanted = identity_of(request.kind, fields)
        found = self._documents.query(request.kind, where, limit=MOST_KNOWN * 10)
        alike = [id_of_document(name) for name, data in found if identity_of(request.kind, join(data)) == wanted]
        return tuple(alike[:MOST_KNOWN])

    def look(self, api: Api, entry: Entry) -> tuple[Found, datetime | None]:
        """Return the finding of one search, and when the request began that showed the record, if one did."""
        kind = KINDS[entry.request.kind]
        if entry.request.action is Action.UPDATE:
            try:
                fetched = api.get(kind, entry.request.id or "")
            except NotFound:
                return Found(Finding.AMBIGUOUS), None
            return updated(entry, fetched.record, fetched.began), fetched.began
        found, began, empty = self._created(api, kind, entry)
        if found.finding is not Finding.ABSENT or not empty:
            return found, began
        # An empty list proves nothing while a permission is missing. The permission was present throughout if another
        # record shows that is listed between two looks.
        if not self._is_shown_another(api, kind, entry):
            return Found(Finding.UNPROVEN), None
        found, began, _ = self._created(api, kind, entry)
        return found, began

    def _created(self, api: Api, kind: Kind, entry: Entry) -> tuple[Found, datetime | None, bool]:
        """Return the finding of one list, when it was requested, and whether it was empty."""
        shown, began = _listed(api, kind, _filters(entry))
        if began is None:
            return Found(Finding.OPEN), None, True
        wanted = identity_of(kind.name, entry.request.fields)
        alike = [record for record in shown if identity_of(kind.name, record) == wanted]
        ids = [key for record in alike if (key := id_of(record.get("id"))) is not None]
        claimed = self._entries.claimed(kind.name, ids, by_others_than=entry.key)
        return created(entry, alike, began, claimed=claimed), began, not shown

    def _is_shown_another(self, api: Api, kind: Kind, entry: Entry) -> bool:
        """Whether a list shows another record of the doctor, one that it must show."""
        doctor = entry.request.fields.get("doctor")
        found = self._documents.query(kind.name, [Where("doctor", "==", doctor)], limit=CONTROLS * 10)
        controls = [(name, data) for name, data in found if (copy := copy_of(data)) is not None and not copy.deleted]
        for name, data in controls[:CONTROLS]:
            shown, _ = _listed(api, kind, _filters_of_control(kind, join(data)))
            if any(id_of(record.get("id")) == id_of_document(name) for record in shown):
                return True
        return False


def _listed(api: Api, kind: Kind, filters: Mapping[str, str]) -> tuple[list[Mapping[str, Any]], datetime | None]:
    """Return all records, and when the first page was requested."""
    shown: list[Mapping[str, Any]] = []
    began: datetime | None = None
    for page in api.list_matching(kind, filters):
        began = began or page.began
        shown += page.records
    return shown, began


def _filters(entry: Entry) -> dict[str, str]:
    """Return filters by values that DrChrono stores as sent, so not by names. Include deleted appointments."""
    fields = entry.request.fields
    if entry.request.kind == "patients":
        filters = {"doctor": str(fields["doctor"])}
        if fields.get("date_of_birth"):
            return filters | {"date_of_birth": str(fields["date_of_birth"])}
        since = (entry.sent_at or entry.requested_at) - WEST
        return filters | {"since": since.strftime("%Y-%m-%dT%H:%M:%S")}
    return _filters_of_day(fields)


def _filters_of_day(appointment: Mapping[str, Any]) -> dict[str, str]:
    return {
        "date": str(appointment["scheduled_time"])[:10],
        "doctor": str(appointment["doctor"]),
        "show_archived": "true",
    }


def _filters_of_control(kind: Kind, record: Mapping[str, Any]) -> dict[str, str]:
    if kind.name == "appointments":
        return _filters_of_day(record)
    filters = {"doctor": str(record["doctor"])}
    if record.get("date_of_birth"):
        filters["date_of_birth"] = str(record["date_of_birth"])
    return filters
