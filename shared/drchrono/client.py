"""The DrChrono API as the rest sees it: records in, records out, one typed error where there is none.

What is asked is in `calls`, how lists go on in `lists`, what an answer means in `answers`, the exchange in `wire`.
Here is what stands between them: the rate limit, tokens, redirects, one repetition, and the list
protocol of the service.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import requests

from shared.drchrono import calls
from shared.drchrono.answers import Answer, data_of
from shared.drchrono.calls import GUIDE, Call
from shared.drchrono.hosts import allowed_origins, resolve_link
from shared.drchrono.ids import id_of
from shared.drchrono.kinds import KINDS, Kind, is_of
from shared.drchrono.lists import Lists
from shared.drchrono.records import Cursor, Fetched, Page
from shared.drchrono.retry import pause_before_repeat
from shared.drchrono.wire import Patience, Wire
from shared.errors import (
    BadRequest,
    BulkNotReady,
    DrChronoError,
    MalformedAnswer,
    NotFound,
    ServerError,
    Throttled,
    Unauthorized,
)
from shared.log import Fields, Severity, log
from shared.rate_limit.ledger import Lane

__all__ = ["DrChrono", "Fetched", "Page", "Patience", "RateLimiter", "Tokens"]

# What a service may answer that knows the other way only. A server error counts while no way is known to work.
REFUSALS = (BadRequest, NotFound, MalformedAnswer)

REDIRECTS = (301, 302, 307, 308)
# `/api/users/current` takes one; a move to the other host may take one more.
MOST_REDIRECTS = 3


class Tokens(Protocol):
    """Access tokens. Both may raise a TokenError."""

    def current(self) -> str: ...

    def rejected(self, access_token: str) -> str:
        """A newer token, after a 401 with this one."""


class RateLimiter(Protocol):
    """Permission to send requests, shared by all instances (`shared.rate_limit.limiter`)."""

    def acquire(self, lane: Lane) -> None:
        """Take permission for one HTTP request under `/api`. Raises QuotaExhausted or StoreUnavailable."""

    def throttled(self, until: datetime) -> None:
        """Start a cooldown after a 429: no request before `until` (UTC)."""


class DrChrono:
    """Every method may raise a DrChronoError, a TokenError or QuotaExhausted.

    url: DrChrono's origin. now: the time in UTC. random: a number from 0 to 1. list_protocol: what
    `list_protocol` was when another client had found out how this service answers. Nothing is opened before the first
    request. Threads may share a client.
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
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        self._url, self._allowed = url, allowed_origins(url)
        self._tokens, self._limiter, self._lane = tokens, limiter, lane
        self._now, self._sleep, self._random = now, sleep, random
        self._wire = Wire(now=now, session=session, patience=patience)
        self._list_protocol = dict(list_protocol or {})
        self._accepted = [""]  # the token that was last accepted; shared by the lanes, as the connections are

    @property
    def list_protocol(self) -> Mapping[str, str] | None:
        """How this service answers bulk lists, in JSON values, for another client's `list_protocol=`; or None."""
        return dict(self._list_protocol) or None

    def in_lane(self, lane: Lane) -> DrChrono:
        """Return this client, with the same connections, for requests of another lane."""
        other = copy.copy(self)
        other._lane = lane
        return other

    def get(self, kind: Kind, id: str) -> Fetched:  # noqa: A002 (DrChrono's word)
        call = calls.one(kind, id)
        record, began = self._send(call)
        if not is_of(kind, id, record):
            raise MalformedAnswer(call.operation, status=200, remedy="it is not the record that was asked for")
        return Fetched(record=record, began=began)

    def current_user(self) -> dict[str, Any]:
        """Whoever authorized this application."""
        data, _ = self._send(calls.CURRENT_USER)
        return dict(data)

    def create(
        self,
        kind: Kind,
        fields: Mapping[str, Any],
        *,
        allow_duplicates: bool = False,
        before_sending: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """The new record. After OutcomeUnknown there may be one: sent again, it may become two.

        allow_duplicates: of patients with the names, birth date and gender of another. before_sending: see `Call`.
        """
        call = calls.creation(kind, fields, allow_duplicates=allow_duplicates)
        data, _ = self._send(replace(call, before_sending=before_sending))
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
        self._send(replace(calls.change(kind, id, fields), before_sending=before_sending))

    def list_matching(self, kind: Kind, filters: Mapping[str, str]) -> Iterator[Page]:
        """What meets DrChrono's own filters of the list (its API documentation), and perhaps more."""
        return self._lists().pages(calls.matching(kind, filters))

    def list_by_patient(self, kind: Kind, patient: str) -> Iterator[Page]:
        """All records of a kind that is listed by patient."""
        if kind.listed_by != "patient":
            raise ValueError(f"{kind.name} is not listed by patient")
        return self._lists().pages(calls.list_of(kind, "patient", patient))

    def list_notes(self, appointment: str) -> Iterator[Page]:
        """The notes of one appointment.

        The live service does not know the guide's filter and answers with every note there is. As soon as that shows,
        the notes of the appointment's patient are listed instead, and those of other appointments left out.
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
        """What was created or changed since, and is in the window, page by page; each page is asked for when wanted.

        since: DrChrono's own local time, without offset; inclusive, and in a live bulk list cut to the day.
        window: first and last day of appointments, at most `kind.window_days`. resume: of a Page or a BulkNotReady.
        bulk: whether much is expected; live, few records take fewer requests in a plain list.
        archived: deleted appointments, too. Raises ValueError for a list that DrChrono would not give.
        """
        ways = calls.changes(kind, since=since, window=window, archived=archived, bulk=bulk)
        if resume is None:
            return self._found_out(ways)
        # A link says all by itself; a page number is meant for the method by which the page before was asked for.
        method = resume.get("method", "GET")
        return self._lists().pages(next((call for call in ways.values() if call.method == method), ways[GUIDE]), resume)

    def _found_out(self, ways: Mapping[str, Call]) -> Iterator[Page]:
        """The list, in the way that this service answers: the known one or the guide's, and if refused the other."""
        refusals: list[DrChronoError] = []
        refused = REFUSALS if self._list_protocol else (*REFUSALS, ServerError)
        for way in sorted(ways, key=lambda way: way != self._list_protocol.get("lists", GUIDE)):
            begun = False
            try:
                for page in self._lists().pages(ways[way]):
                    begun = True
                    self._remember(way, ways)
                    yield page
                return
            except BulkNotReady:
                self._remember(way, ways)
                raise
            except refused as error:
                if begun:
                    raise
                refusals.append(error)
        raise min(refusals if self._list_protocol else refusals[::-1], key=_rank)

    def _remember(self, way: str, ways: Mapping[str, Call]) -> None:
        if len(ways) > 1:
            self._list_protocol["lists"] = way

    def _lists(self) -> Lists:
        return Lists(send=self._send, locate=self._locate, now=self._now, sleep=self._sleep)

    def _locate(self, link: str, operation: str) -> str:
        """The target of a `next` link; it is asked for at the configured origin, whichever allowed one it names."""
        return resolve_link(link, seen_at=self._url, allowed=self._allowed, operation=operation)[1]

    def _send(self, call: Call) -> tuple[Any, datetime]:
        """The data of `call`, and the instant before its request was sent; one repetition where that is right."""
        attempt = 1
        while True:
            try:
                return self._authorized(call, attempt)
            except Throttled as error:
                seconds = (error.until - self._now()).total_seconds()
                log("api.throttled", "WARNING", kind=call.kind, seconds=round(seconds, 1))
                self._limiter.throttled(error.until)
                raise
            except DrChronoError as error:
                pause = pause_before_repeat(error, attempt=attempt, writes=call.writes, jitter=self._random())
                if pause is None:
                    raise
            self._sleep(pause)
            attempt += 1

    def _authorized(self, call: Call, attempt: int) -> tuple[Any, datetime]:
        """With the current token, and once more with a newer one if it is refused (nothing was done then).

        A token that DrChrono accepts otherwise is not exchanged: then the 401 is the answer to this request alone, and
        each further attempt would cost a refresh token.
        """
        token = self._tokens.current()
        try:
            return self._followed(call, token, attempt)
        except Unauthorized:
            if call != calls.CURRENT_USER and self._is_accepted(token):
                raise
            token = self._tokens.rejected(token)
        return self._followed(call, token, attempt)

    def _is_accepted(self, token: str) -> bool:
        """Whether DrChrono still takes a token that it has taken before: one request to find out."""
        if token != self._accepted[0]:
            return False
        try:
            self._followed(calls.CURRENT_USER, token, attempt=1)
        except Unauthorized:
            return False
        except DrChronoError:
            return True
        return True

    def _followed(self, call: Call, token: str, attempt: int) -> tuple[Any, datetime]:
        """Along redirects to allowed hosts, with the same method; `requests` would drop the token, or the method."""
        origin, target = self._url, call.target
        for _ in range(1 + MOST_REDIRECTS):
            answer, began = self._exchange(call, origin + target, token, attempt)
            if answer.status != 401:
                self._accepted[0] = token
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not location:
                return data_of(call, answer, self._now()), began
            origin, target = resolve_link(
                location, seen_at=origin + target, allowed=self._allowed, operation=call.operation
            )
        raise MalformedAnswer(call.operation, status=answer.status, remedy=f"redirected over {MOST_REDIRECTS} times")

    def _exchange(self, call: Call, url: str, token: str, attempt: int) -> tuple[Answer, datetime]:
        self._limiter.acquire(self._lane)
        if call.before_sending is not None:
            call.before_sending()
        began = self._now()
        try:
            answer = self._wire.exchange(call, url, token)
        except DrChronoError as error:
            self._log(call, began, attempt, {"reason": error.reason})
            raise
        self._log(call, began, attempt, {"status": answer.status})
        return answer, began

    def _log(self, call: Call, began: datetime, attempt: int, outcome: Fields) -> None:
        fields: Fields = {"kind": call.kind, "attempt": attempt, "ms": _milliseconds(self._now() - began)}
        if call.id:
            fields["id"] = call.id
        log("api.request", _severity(outcome.get("status")), **(fields | outcome))


def _milliseconds(duration: timedelta) -> float:
    return round(duration.total_seconds() * 1000, 1)


def _severity(status: int | None) -> Severity:
    if status == 404:
        return "INFO"  # how deleted records look
    return "DEBUG" if status is not None and status < 400 else "WARNING"


def _rank(refusal: DrChronoError) -> int:
    """Which of two refusals to report: one that may pass by itself, or else one that finds fault with the request."""
    if isinstance(refusal, ServerError):
        return 0
    return 1 if refusal.status == 400 else 2


def _is_of(appointment: str, note: Mapping[str, Any]) -> bool:
    return str(note.get("appointment")) == appointment
