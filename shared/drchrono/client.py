"""The client of the DrChrono API: methods return records, and raise one typed error for every other answer.

`calls` builds the requests, `sender` sends them, `lists` walks the pages of a list, and `list_protocol` detects whether
the service speaks the guide's list protocol or the live one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import requests

from shared.drchrono import calls
from shared.drchrono.calls import GUIDE
from shared.drchrono.ids import id_of
from shared.drchrono.kinds import KINDS, Kind, is_of
from shared.drchrono.list_protocol import ListProtocol
from shared.drchrono.lists import Lists
from shared.drchrono.records import Cursor, Fetched, Page
from shared.drchrono.sender import RateLimiter, Sender, Tokens
from shared.drchrono.wire import TimeLimits
from shared.errors import MalformedAnswer
from shared.rate_limit.ledger import Lane

__all__ = ["DrChrono", "Page", "TimeLimits"]


class DrChrono:
    """Every method may raise a DrChronoError, a TokenError or QuotaExhausted.

    url: DrChrono's origin. now: the time in UTC. random: a number from 0 to 1. list_protocol: the `list_protocol` of
    an earlier client of the same service. Opens no connection before the first request. Threads may share a client.
    """

    def __init__(
        self,
        *,
        url: str,
        tokens: Tokens,
        limiter: RateLimiter,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        random: Callable[[], float],
        lane: Lane = Lane.LIVE,
        session: requests.Session | None = None,
        list_protocol: Mapping[str, str] | None = None,
        time_limits: TimeLimits = TimeLimits(),  # noqa: B008 (frozen)
    ) -> None:
        self._sender = Sender(
            url=url,
            tokens=tokens,
            limiter=limiter,
            now=now,
            sleep=sleep,
            random=random,
            lane=lane,
            session=session,
            time_limits=time_limits,
        )
        self._now, self._sleep = now, sleep
        self._list_protocol = ListProtocol(list_protocol)

    @property
    def list_protocol(self) -> Mapping[str, str] | None:
        """The detected list protocol in JSON values, for another client's `list_protocol=`; None if unknown."""
        return self._list_protocol.detected

    def in_lane(self, lane: Lane, limiter: RateLimiter | None = None) -> DrChrono:
        """Return a client for another lane that shares the connections. It uses `limiter`, by default the same one."""
        other = copy.copy(self)
        other._sender = self._sender.in_lane(lane, limiter)
        return other

    def get(self, kind: Kind, id: str) -> Fetched:  # noqa: A002 (DrChrono's word)
        """Return one record. Raises MalformedAnswer if the answer holds another one."""
        call = calls.one(kind, id)
        record, began = self._sender.send(call)
        if not is_of(kind, id, record):
            raise MalformedAnswer(call.operation, status=200, remedy="it is not the requested record")
        return Fetched(record=record, began=began)

    def current_user(self) -> dict[str, Any]:
        """Return the user who authorized this application."""
        data, _ = self._sender.send(calls.CURRENT_USER)
        return dict(data)

    def create(
        self,
        kind: Kind,
        fields: Mapping[str, Any],
        *,
        allow_duplicates: bool = False,
        before_sending: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Create a record and return it. After OutcomeUnknown it may exist: sending again could create a second one.

        allow_duplicates: accept a patient with the same names, birth date and gender as another. before_sending: see
        `Call`.
        """
        call = calls.creation(kind, fields, allow_duplicates=allow_duplicates)
        data, _ = self._sender.send(replace(call, before_sending=before_sending))
        return dict(data)

    def update(
        self,
        kind: Kind,
        id: str,  # noqa: A002
        fields: Mapping[str, Any],
        *,
        before_sending: Callable[[], None] | None = None,
    ) -> None:
        """Change these fields of a record and leave the others."""
        self._sender.send(replace(calls.change(kind, id, fields), before_sending=before_sending))

    def list_matching(self, kind: Kind, filters: Mapping[str, str]) -> Iterator[Page]:
        """Yield the records that match DrChrono's own list filters (see its API documentation), and perhaps others."""
        return self._lists().pages(calls.matching(kind, filters))

    def list_by_patient(self, kind: Kind, patient: str) -> Iterator[Page]:
        """Yield all records of one patient, of a kind that is listed by patient."""
        if kind.listed_by != "patient":
            raise ValueError(f"{kind.name} is not listed by patient")
        return self._lists().pages(calls.list_of(kind, "patient", patient))

    def list_practice(
        self, kind: Kind, *, doctor: str | None = None, page_size: int, resume: Cursor | None = None
    ) -> Iterator[Page]:
        """Yield the records of all patients, or of one doctor if given, of a kind that is listed by patient.

        The guide names no such list, so a service may refuse it. The live service answers it, in an undocumented order.
        Production programs report that the widest lists time out.
        """
        if kind.listed_by != "patient":
            raise ValueError(f"{kind.name} is not listed by patient")
        return self._lists().pages(calls.practice_list(kind, doctor, page_size), resume)

    def list_notes(self, appointment: str) -> Iterator[Page]:
        """Yield the notes of one appointment.

        The live service ignores the guide's filter and returns all notes. The first note of another appointment
        reveals that. The notes of the appointment's patient are listed then, and filtered here.
        """
        notes = KINDS["clinical_notes"]
        for page in self._lists().pages(calls.list_of(notes, "appointment", appointment)):
            if not all(_is_of(appointment, note) for note in page.records):
                break
            yield page
        else:
            return
        patient = id_of(self.get(KINDS["appointments"], appointment).record.get("patient"))
        if patient is not None:
            for page in self._lists().pages(calls.list_of(notes, "patient", patient)):
                yield replace(page, records=[note for note in page.records if _is_of(appointment, note)])

    def list_changed(
        self,
        kind: Kind,
        *,
        since: str | None,
        window: tuple[str, str] | None = None,
        resume: Cursor | None = None,
        bulk: bool = True,
        archived: bool = False,
    ) -> Iterator[Page]:
        """Yield the records that were created or changed since then and lie in the window. Requests pages lazily.

        since: DrChrono's own local time, without offset; inclusive. The live bulk list uses only its date.
        window: first and last day of appointments, at most `kind.window_days`. resume: of a Page or a BulkNotReady.
        bulk: whether many records are expected. The live plain list takes fewer requests for few records.
        archived: include deleted appointments. Raises ValueError for a list that DrChrono would refuse.
        """
        protocols = calls.changes(kind, since=since, window=window, archived=archived, bulk=bulk)
        if not resume:  # an empty position is the start of the list
            return self._list_protocol.pages(kind, protocols, lambda call: self._lists().pages(call))
        # A `next` link is complete by itself. A page number belongs to the method that requested the page before.
        method = resume.get("method", "GET")
        return self._lists().pages(
            next((call for call in protocols.values() if call.method == method), protocols[GUIDE]), resume
        )

    def _lists(self) -> Lists:
        return Lists(send=self._sender.send, locate=self._sender.locate, now=self._now, sleep=self._sleep)


def _is_of(appointment: str, note: Mapping[str, Any]) -> bool:
    return str(note.get("appointment")) == appointment
