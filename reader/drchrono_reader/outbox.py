"""Create and change patients and appointments in DrChrono, through entries of the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from google.cloud import firestore

COLLECTION = "outbox"
POLL_SECONDS = 0.5

FINAL = ("done", "rejected")


@dataclass(frozen=True)
class Written:
    """The state of an entry, and its result.

    state: `new`, `waiting`, `sending`, `unknown`, `done` or `rejected`; the last two are final. reason: a code such as
    `overlap`, `duplicate`, `invalid` or `changed_meanwhile`. complaints: texts by field. record_id, version: the id of
    the record and its new `updated_at`; None if not known yet. differs: for a record that was found by a search, the
    fields whose values differ from those sent.
    """

    entry: str
    state: str
    reason: str = ""
    complaints: Mapping[str, list[str]] = field(default_factory=dict, repr=False)
    record_id: str | None = None
    version: str | None = None
    differs: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def final(self) -> bool:
        return self.state in FINAL


class Outbox:
    """client: of the database that holds the outbox (`drchrono-outbox`, unless the settings name another).

    requested_by: the name of your program. Errors are those of the store.
    """

    def __init__(
        self,
        client: firestore.Client,
        *,
        requested_by: str,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._entries = client.collection(COLLECTION)
        self._requested_by = requested_by
        self._now = now
        self._sleep = sleep

    def create(
        self,
        kind: Literal["patients", "appointments"],
        fields: Mapping[str, Any],
        *,
        entry: str | None = None,
        allow_overlapping: bool = False,
        allow_duplicates: bool = False,
    ) -> str:
        """Request a new record, and return the name of the entry.

        entry: a name of your own, such as the id of a booking. A second request with the same name raises
        `google.api_core.exceptions.AlreadyExists` and creates nothing. Names must not contain patient data.
        """
        return self._add(
            entry,
            {
                "kind": kind,
                "action": "create",
                "fields": dict(fields),
                "allow_overlapping": allow_overlapping,
                "allow_duplicates": allow_duplicates,
            },
        )

    def update(
        self,
        kind: Literal["patients", "appointments"],
        id: str | int,  # noqa: A002 (DrChrono's word)
        fields: Mapping[str, Any],
        *,
        entry: str | None = None,
        expected_updated_at: str | None = None,
        allow_overlapping: bool = False,
    ) -> str:
        """Request a change of these fields, and return the name of the entry.

        expected_updated_at: the `updated_at` of the version that you read. If the record has a different one when the
        change is sent, nothing is changed.
        """
        data = {"kind": kind, "action": "update", "id": id, "fields": dict(fields)}
        if expected_updated_at is not None:
            data["expected_updated_at"] = expected_updated_at
        return self._add(entry, {**data, "allow_overlapping": allow_overlapping})

    def get(self, entry: str) -> Written | None:
        """Return the state of an entry; None if it does not exist (any more)."""
        found = self._entries.document(entry).get().to_dict()
        return None if found is None else written_of(entry, found)

    def wait(self, entry: str, *, seconds: float = 30.0) -> Written:
        """Return the entry once it is done or rejected, or its state after `seconds`. Raises KeyError.

        DrChrono may have done an `unknown` entry: check it later, and do not send the request again under another name.
        """
        deadline = self._now() + seconds
        while True:
            found = self.get(entry)
            if found is None:
                raise KeyError(entry)
            if found.final or self._now() >= deadline:
                return found
            self._sleep(POLL_SECONDS)

    def _add(self, entry: str | None, data: dict[str, Any]) -> str:
        document = self._entries.document(entry) if entry else self._entries.document()
        # The store's time. Entries of one record are sent in this order.
        document.create({**data, "requested_by": self._requested_by, "requested_at": firestore.SERVER_TIMESTAMP})
        return str(document.id)


def written_of(entry: str, data: Mapping[str, Any]) -> Written:
    """Return the state that an entry's document holds."""
    state = data.get("state") or "new"
    if not isinstance(data.get("due"), datetime):
        state = "new"
    return Written(
        entry=entry,
        state=str(state),
        reason=str(data.get("reason") or ""),
        complaints=dict(data.get("complaints") or {}),
        record_id=data.get("record_id"),
        version=data.get("version"),
        differs=tuple(data.get("differs") or ()),
    )
