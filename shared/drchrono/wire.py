"""One HTTP exchange with DrChrono: connections, time limits, a bounded body. `answers` interprets the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError

from shared.drchrono.answers import Answer
from shared.drchrono.calls import Call
from shared.errors import DrChronoError, OutcomeUnknown, Unreachable

# A page of 1,000 verbose patients is about 6 MB.
MOST_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024

# More than an instance has threads. Requests beyond it open and close their own connection and never wait for one.
POOLED_CONNECTIONS = 32

HEADERS = {
    "Accept": "application/json",
    "User-Agent": "drchrono-firestore",
    # Without it, the version set in DrChrono's console applies ("Versioning" in its documentation). Changes within v4
    # only add fields.
    "X-DRC-API-Version": "v4",
}


@dataclass(frozen=True)
class TimeLimits:
    """Time limits of an exchange: to connect, between two bytes, and for the whole answer.

    The last is checked when data arrives, so the longest exchange takes the sum of the last two. Two exchanges and a
    pause take less than the lease of a queue entry (two minutes).
    """

    connect_seconds: float = 5.0
    silence_seconds: float = 25.0
    answer_seconds: float = 30.0


class Wire:
    """Exchanges over one `requests.Session`, which is created at the first use. Threads may share it."""

    def __init__(self, *, now: Callable[[], datetime], session: requests.Session | None, limits: TimeLimits) -> None:
        self._now = now
        self._made = session
        self._making = threading.Lock()
        self._limits = limits

    def exchange(self, call: Call, url: str, token: str) -> Answer:
        """Send `call` to `url` and return the answer. Does not follow redirects.

        Raises Unreachable, or OutcomeUnknown for a write that may have been sent.
        """
        limits = self._limits
        deadline = self._now() + timedelta(seconds=limits.answer_seconds)
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._session().request(
                call.method,
                url,
                data=call.body,
                headers=headers,
                timeout=(limits.connect_seconds, limits.silence_seconds),
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            # The error's text contains the URL with its query, so it is dropped.
            raise _unanswered(call, error) from None
        with response:
            body, flaw = self._read(response, deadline)
            return Answer(response.status_code, response.headers, body, flaw)

    def _read(self, response: requests.Response, deadline: datetime) -> tuple[bytes, str]:
        """Return the decoded body, and why it is incomplete. An incomplete body is dropped; the status still counts."""
        chunks, size = [], 0
        try:
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > MOST_BYTES:
                    return b"", f"it is longer than {MOST_BYTES // 1024**2} MiB"
                if self._now() > deadline:
                    return b"", f"it took longer than {self._limits.answer_seconds:g} s"
        except (HTTPError, OSError):
            return b"", "it broke off"
        return b"".join(chunks), ""

    def _session(self) -> requests.Session:
        if self._made is None:
            with self._making:
                if self._made is None:
                    self._made = _session()
        return self._made


def _session() -> requests.Session:
    session = requests.Session()
    # Ignore proxies, certificate bundles and ~/.netrc of the environment: a netrc entry would replace the token, and a
    # proxy would see patient data.
    session.trust_env = False
    # Accept no cookies: with a session cookie, Django requires a CSRF token for writes.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", HTTPAdapter(pool_maxsize=POOLED_CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=POOLED_CONNECTIONS))
    return session


def _unanswered(call: Call, error: requests.RequestException) -> DrChronoError:
    if call.writes and not _never_connected(error):
        return OutcomeUnknown(call.operation, remedy="look in DrChrono before you send it again")
    return Unreachable(call.operation, remedy=f"{type(error).__name__}; it is tried again later")


def _never_connected(error: requests.RequestException) -> bool:
    """Return whether certainly nothing was sent, because there was no connection."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)
