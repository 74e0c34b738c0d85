"""Sends one call to DrChrono: takes a request from the rate limiter, adds the token, follows redirects, repeats once.

`wire` does the HTTP exchange, `answers` turns each answer into data or one typed error, `retry` decides on repetition.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import requests

from shared.drchrono.answers import Answer, data_of
from shared.drchrono.calls import CURRENT_USER, Call
from shared.drchrono.hosts import allowed_origins, resolve_link
from shared.drchrono.retry import pause_before_repeat
from shared.drchrono.wire import TimeLimits, Wire
from shared.errors import DrChronoError, MalformedAnswer, ServerError, Throttled, Unauthorized, Unreachable
from shared.log import Fields, Severity, log
from shared.rate_limit.ledger import Lane

REDIRECTS = (301, 302, 307, 308)
# `/api/users/current` redirects once. A redirect to DrChrono's other host may add one.
MOST_REDIRECTS = 3


class Tokens(Protocol):
    """Access tokens. Both methods may raise a TokenError."""

    def current(self) -> str: ...

    def rejected(self, access_token: str) -> str:
        """Return a newer token, after a 401 with this one."""


class RateLimiter(Protocol):
    """Permission to send requests, shared by all instances (`shared.rate_limit.limiter`)."""

    def acquire(self, lane: Lane) -> None:
        """Take permission for one HTTP request under `/api`. Raises QuotaExhausted or StoreUnavailable."""

    def throttled(self, until: datetime) -> None:
        """Start a cooldown after a 429: no request before `until` (UTC)."""


class Sender:
    """Sends calls in one lane. Threads may share a sender."""

    def __init__(
        self,
        *,
        url: str,
        tokens: Tokens,
        limiter: RateLimiter,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        random: Callable[[], float],
        lane: Lane,
        session: requests.Session | None,
        time_limits: TimeLimits,
    ) -> None:
        self._url, self._allowed = url, allowed_origins(url)
        self._tokens, self._limiter, self._lane = tokens, limiter, lane
        self._now, self._sleep, self._random = now, sleep, random
        self._wire = Wire(now=now, session=session, limits=time_limits)
        self._accepted = [""]  # the last token that DrChrono accepted; the lanes share it, like the connections

    def in_lane(self, lane: Lane, limiter: RateLimiter | None = None) -> Sender:
        """Return a sender for another lane that shares the connections. It uses `limiter`, by default the same one."""
        other = copy.copy(self)
        other._lane, other._limiter = lane, limiter or self._limiter
        return other

    def send(self, call: Call) -> tuple[Any, datetime]:
        """Return the data of `call`, and the instant just before the request was sent (UTC).

        Repeats the request once if `pause_before_repeat` allows it. Raises DrChronoError, TokenError, QuotaExhausted.
        """
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

    def locate(self, link: str, operation: str) -> str:
        """Return the target (path and query) of a `next` link. Raises ForeignHost.

        The target is requested from the configured origin, whichever allowed origin the link names.
        """
        return resolve_link(link, seen_at=self._url, allowed=self._allowed, operation=operation)[1]

    def _authorized(self, call: Call, attempt: int) -> tuple[Any, datetime]:
        """Send with the current token, and once more with a newer one after a 401, which means that nothing was done.

        If DrChrono still accepts the token elsewhere, the 401 is the answer to this call only. The token is kept then:
        every further attempt would cost a refresh token.
        """
        token = self._tokens.current()
        try:
            return self._followed(call, token, attempt)
        except Unauthorized:
            if call != CURRENT_USER and self._is_accepted(token):
                raise
            token = self._tokens.rejected(token)
        return self._followed(call, token, attempt)

    def _is_accepted(self, token: str) -> bool:
        """Return whether DrChrono still accepts a token that it has accepted before. Costs one request."""
        if token != self._accepted[0]:
            return False
        try:
            self._followed(CURRENT_USER, token, attempt=1)
        except (Unauthorized, ServerError, Unreachable, MalformedAnswer):
            return False  # not known: an expired token must not stay because of this one endpoint
        except DrChronoError:
            return True
        return True

    def _followed(self, call: Call, token: str, attempt: int) -> tuple[Any, datetime]:
        """Send, and follow redirects to allowed hosts. `requests` itself would drop the token or the method."""
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
        return "INFO"  # a deleted record
    return "DEBUG" if status is not None and status < 400 else "WARNING"
