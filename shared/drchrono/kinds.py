"""The kinds of records in the copy, one row each. A new kind is one row and one fixture.

Paths, filters and scopes: guide, "API Endpoints" and "OAuth 2.0 Flow". Page sizes and `verbose`: DrChrono's API
documentation (app.drchrono.com/api-docs), where it differs from the guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.drchrono.ids import id_of


@dataclass(frozen=True)
class Kind:
    """One kind of record.

    name: the collection in Firestore and the path segment under `/api/`.
    scope: the OAuth scope that reading needs.
    changes: the list that takes `since` (`patients_list`), or None if there is no such list.
    live_changes: the bulk list that only the live service has.
    permissions: the DrChrono user's permissions that reading needs. practice_access: the permission without which lists
      contain only the user's own records. Both as the schema names them (`x-permissions`, `x-practice-access`).
    listed_by: the filter of the list that contains all records of an owner (`patient`), or None.
    whole: whether the kind has one list, without `since` and webhooks, which is read once a day. A record that the list
      no longer shows is kept: DrChrono archives these kinds and deletes none.
    page_size: the size to request. The service may return other sizes.
    order_by: an order of the bulk list in which edits do not move records. Live pages are cut by number, each from the
      list as it is then. By `updated_at`, an edited record would move to the end, and the first record of the next page
      would be on no page.
    verbose: whether `verbose=true` adds a field. It reduces a page of a plain list from 250 records to 50.
    window_days: the longest date window that the list accepts, or None if `since` alone is enough.
    key_fields: the first of these fields that a record has is its id.
    children: kinds whose per-patient lists may have changed with a record of this kind.
    writable: whether this system may create and update it.
    sync_minutes: how often `run_job sync` requests the changes, or the whole list.
    """

    name: str
    scope: str
    permissions: tuple[str, ...]
    practice_access: str | None
    changes: str | None
    listed_by: str | None
    page_size: int
    live_changes: str | None = None
    whole: bool = False
    order_by: str | None = None
    verbose: bool = True
    window_days: int | None = None
    key_fields: tuple[str, ...] = ("id",)
    children: tuple[str, ...] = ()
    writable: bool = False
    sync_minutes: int = 15


_CHILDREN = ("medications", "problems", "allergies")


_SHARED = "share_patients"


def _of_patient(name: str, *, verbose: bool = False) -> Kind:
    return Kind(
        name=name,
        scope="clinical:read",
        permissions=("clinical-notes",),
        practice_access=_SHARED,
        changes=None,
        listed_by="patient",
        page_size=250,
        verbose=verbose,
    )


def _whole(name: str, scope: str, permissions: tuple[str, ...] = (), practice_access: str | None = None) -> Kind:
    """Return a kind of the practice itself: few records, which rarely change."""
    return Kind(
        name=name,
        scope=scope,
        permissions=permissions,
        practice_access=practice_access,
        changes=None,
        listed_by=None,
        page_size=250,
        whole=True,
        sync_minutes=24 * 60,
    )


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="patients",
            scope="patients:read",
            permissions=("manage-patients",),
            practice_access=_SHARED,
            changes="patients_list",
            listed_by=None,
            page_size=1000,
            order_by="id",
            children=_CHILDREN,
            writable=True,
        ),
        Kind(
            name="appointments",
            scope="calendar:read",
            permissions=("scheduling", "clinical-notes"),
            practice_access=_SHARED,
            changes="appointments_list",
            listed_by=None,
            page_size=1000,
            order_by="scheduled_time",
            window_days=180,
            writable=True,
        ),
        Kind(
            name="clinical_notes",
            scope="clinical:read",
            permissions=("clinical-notes",),
            practice_access=_SHARED,
            changes="clinical_notes",
            listed_by="appointment",
            page_size=20,  # guide: "Paginated at 5 per page (max 20)"
            live_changes="clinical_notes_list",
            order_by="id",
            verbose=False,
            # Live notes have no id of their own; the appointment is the key.
            key_fields=("id", "appointment"),
            children=_CHILDREN,
            sync_minutes=60,
        ),
        _of_patient("medications"),
        _of_patient("problems"),
        _of_patient("allergies", verbose=True),  # adds `description`
        _whole("doctors", "user:read"),
        _whole("offices", "user:read"),
        _whole("users", "user:read"),  # its scope is not documented; the guide reads `/users/current` with this one
        # The schema's second permission, `settings`, goes with its second scope, `settings:read`.
        _whole("appointment_profiles", "calendar:read", ("scheduling",), "share_appointment_profiles"),
    )
}


def key_of(kind: Kind, record: Mapping[str, Any]) -> str | None:
    """Return the document id of `record`, or None if it has no usable one."""
    for field in kind.key_fields:
        if key := id_of(record.get(field)):
            return key
    return None


def is_of(kind: Kind, key: str, record: Mapping[str, Any]) -> bool:
    """Return whether `record` can be the answer to a request for `key`.

    Live notes have no id of their own, and it is not documented which key the live service accepts for one.
    """
    first, *_ = kind.key_fields
    return key_of(kind, record) is not None and (
        first not in record or key in {id_of(record.get(field)) for field in kind.key_fields}
    )


def patient_of(kind: Kind, record: Mapping[str, Any]) -> str | None:
    """Return the patient whose lists may have changed with this record; None if there is none, or no such lists."""
    return id_of(record.get("id" if kind.name == "patients" else "patient")) if kind.children else None


def is_deleted(record: Mapping[str, Any]) -> bool:
    """Return whether the record has the flag of deleted appointments, which `show_archived=true` includes."""
    return record.get("deleted_flag") is True
