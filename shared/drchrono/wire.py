"""One HTTP exchange with DrChrono: connections, time limits, a bounded body. It decides nothing about the answer."""

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

# More than one instance has threads; beyond it connections are made and dropped, never waited for.
POOLED_CONNECTIONS = 32

HEADERS = {
    "Accept": "application/json",
    "User-Agent": "drchrono-firestore",
    # Without it the version set for the application in DrChrono's console applies ("Versioning" in its documentation);
    # changes within v4 only add fields.
    "X-DRC-API-Version": "v4",
}


@dataclass(frozen=True)
class Patience:
    """How long an exchange may take: to connect, between two bytes, and until the answer is there in full.

    The last is looked at with each piece that comes, so the longest exchange takes the last two together. Two of those
    and a pause are less than the two minutes after which a pending entry goes to another worker.
    """

    connect_seconds: float = 5.0
    silence_seconds: float = 25.0
    answer_seconds: float = 30.0


class Wire:
    """Exchanges over one `requests.Session`, which is made on first use and shared by threads."""

    def __init__(self, *, now: Callable[[], datetime], session: requests.Session | None, patience: Patience) -> None:
        self._now = now
        self._made = session
        self._making = threading.Lock()
        self._patience = patience

    def exchange(self, call: Call, url: str, token: str) -> Answer:
        """Send `call` to `url` and read the answer; redirects are not followed.

        Raises Unreachable, or OutcomeUnknown for a write of which something may have been sent.
        """
        patience = self._patience
        deadline = self._now() + timedelta(seconds=patience.answer_seconds)
        headers = {**HEADERS, "Authorization": f"Bearer {token}"}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._session().request(
                call.method,
                url,
                data=call.body,
                headers=headers,
                timeout=(patience.connect_seconds, patience.silence_seconds),
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            # Its text holds the URL with its query: nothing of it is kept.
            raise _unanswered(call, error) from None
        with response:
            body, flaw = self._read(response, deadline)
            return Answer(response.status_code, response.headers, body, flaw)

    def _read(self, response: requests.Response, deadline: datetime) -> tuple[bytes, str]:
        """The body, unpacked, and what is wrong with it. One that is not whole is dropped; its status still counts."""
        chunks, size = [], 0
        try:
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > MOST_BYTES:
                    return b"", f"it is longer than {MOST_BYTES // 1024**2} MiB"
                if self._now() > deadline:
                    return b"", f"it took longer than {self._patience.answer_seconds:g} s"
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
    # Proxies, certificate bundles and ~/.netrc of the environment are not used: a netrc entry would replace the token,
    # and patient data goes to DrChrono and through nobody's proxy.
    session.trust_env = False
    # Only the token says who asks: with a session cookie Django wants a CSRF token for writes.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", HTTPAdapter(pool_maxsize=POOLED_CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=POOLED_CONNECTIONS))
    return session


def _unanswered(call: Call, error: requests.RequestException) -> DrChronoError:
    if call.writes and not _never_connected(error):
        return OutcomeUnknown(call.operation, remedy="look in DrChrono before it is sent again")
    return Unreachable(call.operation, remedy=f"{type(error).__name__}; it is asked again later")


def _never_connected(error: requests.RequestException) -> bool:
    """Whether it is certain that nothing was sent: no connection came about."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)
