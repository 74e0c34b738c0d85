"""TokenRefresher: serves the access token to all threads of an instance, and refreshes it when needed.

The order of attempts: the pair in memory, the stored pair, a refresh. While another instance refreshes, callers wait
for up to WAIT_SECONDS. A refresh itself is the protocol in `shared.tokens.refresh`.

A 401 of the API is a hint that another instance has replaced the pair. `rejected` reads the token state again, and
refreshes only if it still names the pair that the API rejected.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from shared.documents import Documents
from shared.errors import TokenUnavailable
from shared.log import log
from shared.tokens.decisions import Step, next_step, refresh_is_due
from shared.tokens.failures import never_authorized, postponed, revoked
from shared.tokens.refresh import Refresh
from shared.tokens.report import TokenReport
from shared.tokens.state import TokenState
from shared.tokens.storage import Stored, TokenStorage, VersionedSecret
from shared.tokens.token import Answer, Granted

# A caller waits this long for another instance or thread. After that it defers its work.
WAIT_SECONDS = 5.0
POLL_SECONDS = 0.25
# In a final phase, each instance looks this often for a pair that a late lease holder has stored.
LOOK_AGAIN_SECONDS = 60


class TokenRefresher:
    """The access token of one DrChrono application.

    documents, secret: storage of the token state and of the pair. refresh: sends a refresh token
    (`TokenEndpoint.refresh`). owner: this instance's name in the lease. legacy_tokens, step: see `Refresh`.
    """

    def __init__(
        self,
        *,
        documents: Documents,
        secret: VersionedSecret,
        refresh: Callable[[str], Answer],
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        random: Callable[[], float],
        owner: str,
        legacy_tokens: Callable[[], tuple[str, str] | None] = lambda: None,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._storage = TokenStorage(documents=documents, secret=secret, now=now, sleep=sleep, owner=owner)
        self._refresh = Refresh(
            storage=self._storage, send=refresh, now=now, random=random, legacy_tokens=legacy_tokens, step=step
        )
        self._now = now
        self._sleep = sleep
        self._legacy_tokens = legacy_tokens
        self._lock = threading.Lock()
        self._cached: Stored | None = None
        self._rejected: str | None = None
        self._looked_at: datetime | None = None

    def current(self) -> str:
        """Return an access token for a request that begins now. While the cached one is good, nothing is read.

        Raises TokenMissing, TokenRevoked, TokenUnavailable, StoreUnavailable.
        """
        return self._from_memory(rejected=None) or self._obtain(rejected=None)

    def rejected(self, access_token: str) -> str:
        """Return another access token than `access_token`, which the API answered 401 to. Raises as `current` does."""
        cached = self._cached
        if cached is None or cached.token.access_token == access_token:
            # Until there is another token, `current` must not return this one to more callers.
            self._rejected = access_token
        return self._from_memory(rejected=access_token) or self._obtain(rejected=access_token)

    def refresh_if_due(self, *, force: bool = False) -> TokenReport:
        """Refresh if less than half of the lifetime is left; with `force`, in any phase that is not final.

        Does nothing while another instance refreshes. Raises as `current` does.
        """
        with self._exclusive():
            refreshed = self._refreshed_if_due(force=force)
        report = replace(self.report(), refreshed=refreshed)
        log("token.state", generation=report.generation, expires_in_seconds=report.expires_in_seconds)
        return report

    def adopt(self, granted: Granted) -> None:
        """Store the pair of a new authorization, in any phase. Raises TokenUnavailable, StoreUnavailable."""
        with self._exclusive():
            self._cached = self._refresh.adopt(granted)

    def report(self) -> TokenReport:
        """Return the token's condition. Reads one document and no secret. Raises TokenMissing, StoreUnavailable."""
        state = self._storage.state()
        if not state.generation:
            raise never_authorized()
        return TokenReport.of(state, self._now())

    def _from_memory(self, rejected: str | None) -> str | None:
        cached = self._cached
        return cached.token.access_token if cached and self._is_good(cached, rejected) else None

    def _is_good(self, stored: Stored, rejected: str | None) -> bool:
        return not self._is_rejected(stored, rejected) and stored.token.validity.fresh(self._now())

    def _is_rejected(self, stored: Stored, rejected: str | None) -> bool:
        return stored.token.access_token in (rejected, self._rejected)

    def _obtain(self, rejected: str | None) -> str:
        with self._exclusive():
            # Another thread may have obtained a token while this one waited for the lock.
            return self._from_memory(rejected) or self._stored_or_refreshed(rejected).token.access_token

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one thread of this instance in at a time."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise TokenUnavailable("another thread is fetching the token: try again in a minute")
        try:
            yield
        finally:
            self._lock.release()

    def _stored_or_refreshed(self, rejected: str | None) -> Stored:
        self._refresh.store_pending()
        waited = 0.0
        while waited < WAIT_SECONDS:
            state = self._state()
            stored = self._read(state)
            unusable = stored is None or self._is_rejected(stored, rejected)
            step = next_step(state, self._now(), unusable=unusable)
            if step is Step.USE and stored is not None:
                self._cached = stored
                return stored
            if step is Step.POSTPONE:
                raise postponed(state, self._now(), unusable=unusable)
            if step is Step.STOP and not self._found_late_pair(state):
                raise revoked(state)
            if step is not Step.WAIT:
                renewed = self._renew(state, rejected=stored is not None and unusable)
                if renewed is not None and self._is_good(renewed, rejected):
                    return renewed
            self._sleep(POLL_SECONDS)
            waited += POLL_SECONDS
        raise TokenUnavailable("another instance is refreshing the token: try again in a minute")

    def _refreshed_if_due(self, *, force: bool) -> bool:
        self._refresh.store_pending()
        refreshed = False
        # Twice, because a pair that the first turn recovered or imported may itself be due.
        for turn in range(2):
            state = self._state()
            now = self._now()
            if state.phase.final and self._storage.newest(state) is None:
                raise revoked(state)
            blocked = state.retry_at is not None and now < state.retry_at
            if (force and turn == 0) or (refresh_is_due(state, now) and not blocked):
                refreshed = self._renew(state, rejected=False) is not None or refreshed
        return refreshed

    def _renew(self, state: TokenState, *, rejected: bool) -> Stored | None:
        renewed = self._refresh.run(state, cached=self._cached, rejected=rejected)
        self._cached = renewed or self._cached
        return renewed

    def _state(self) -> TokenState:
        """Return the token state. Raises TokenMissing if no pair was ever stored and there is none to import."""
        state = self._storage.state()
        if not state.generation and not self._storage.newest(state) and not self._legacy_tokens():
            raise never_authorized()
        return state

    def _read(self, state: TokenState) -> Stored | None:
        cached = self._cached
        return cached if cached is not None and cached.number == state.version else self._storage.read(state)

    def _found_late_pair(self, state: TokenState) -> bool:
        """Return whether a late lease holder has stored a pair. Between looks, return False without reading."""
        now = self._now()
        if self._looked_at is not None and now - self._looked_at < timedelta(seconds=LOOK_AGAIN_SECONDS):
            return False
        self._looked_at = now
        return self._storage.newest(state) is not None
