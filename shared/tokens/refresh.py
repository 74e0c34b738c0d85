"""One refresh of DrChrono's token pair, as a protocol that loses no pair to a crash, a race or a restart.

The pair is one JSON value in one secret and is read by version number. The number, the phase and the lease are in the
document `sync_state/token` (`shared.tokens.state`). The steps, and what the next instance finds if this one crashes
right after each:

 1. **Take the lease.** A transaction takes the lease on generation N with the next fencing token. — Phase `ok`. The
    access token still serves while it lives. After LEASE_SECONDS and CLOCK_SKEW_SECONDS, another instance takes the
    lease and starts over.
 2. **Look for a newer version.** A version with a higher generation is an unfinished step 6. Record it (step 7),
    without any request to DrChrono. Nothing is sent, and no loss is reported, before this look.
 3. **Check that a version can be added** to the secret. If not, release the lease and send nothing. — As after 1.
 4. **Record `sent`**, if the fencing token is still valid and enough of the lease is left. — Phase `sent`: the refresh
    token may be spent. The next instance does step 2; if it finds nothing, it sends the same token again, once and on
    purpose. After a crash in this step that succeeds, since nothing was sent.
 5. **Send the refresh token.** Without a readable answer, this instance repeats the request once, immediately. — Phase
    `sent`. If DrChrono had rotated, the new pair is lost with this instance: *the one window that no protocol closes*.
    The repeat succeeds if the server has a grace period. If it is refused, step 2 is done again, and the phase becomes
    `lost`.
 6. **Store the new pair** (generation N + 1) as a new version, before it is used. Storing is tried for half a minute,
    and then again with every later call of this instance. — Phase `sent`; step 2 finds the version.
 7. **Record the version** in the document, if the fencing token is still valid. This releases the lease. — Phase `ok`.
 8. **Destroy the versions before it.** — Remaining versions are destroyed after the next refresh.

An instance whose lease expired in between (its machine was paused) fails in step 4 or 7 and overwrites nothing. Its
pair may still be the only valid one, so step 6 has no condition: the pair is stored, and the next step 2 finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from shared.errors import LeaseLost, StoreUnavailable, SyncError, TokenUnavailable
from shared.log import log
from shared.tokens.decisions import failure
from shared.tokens.failures import postponed, revoked, unreadable
from shared.tokens.state import Phase, TokenState
from shared.tokens.storage import Stored, TokenStorage
from shared.tokens.token import Answer, Granted, Refused, Token, Unavailable, Unknown, Validity, to_token


class Refresh:
    """Replaces the stored pair by a newer one. Not thread-safe: `TokenRefresher` lets one thread in at a time.

    send: sends a refresh token (`TokenEndpoint.refresh`).
    legacy_tokens: access and refresh token of an earlier integration, imported if no pair was ever stored.
    step: called with the name of each completed step, so that a test can stop there.
    """

    def __init__(
        self,
        *,
        storage: TokenStorage,
        send: Callable[[str], Answer],
        now: Callable[[], datetime],
        random: Callable[[], float],
        legacy_tokens: Callable[[], tuple[str, str] | None],
        step: Callable[[str], None],
    ) -> None:
        self._storage = storage
        self._send_token = send
        self._now = now
        self._random = random
        self._legacy_tokens = legacy_tokens
        self._step = step
        self._unstored: Token | None = None

    def run(self, seen: TokenState, *, cached: Stored | None, rejected: bool) -> Stored | None:
        """Return a newer pair than that of `seen`; None if another instance is refreshing, or has just refreshed.

        cached: a pair in memory; its version is not read again. rejected: the API answered 401 to the current pair.
        Raises TokenMissing, TokenRevoked, TokenUnavailable, StoreUnavailable.
        """
        lease = self._storage.take_lease(seen, rejected=rejected)
        if lease is None:
            return None
        self._step("leased")
        with suppress(LeaseLost):
            prepared = self._prepare(lease, cached)
            if isinstance(prepared, Stored):
                return self._record(lease, prepared, "token.recovered")
            return self._exchange(lease, prepared)
        return None

    def store_pending(self) -> None:
        """Store the pair that step 6 could not store earlier, if there is one. The next step 2 finds it."""
        if self._unstored is not None:
            self._storage.store(self._unstored)
            self._unstored = None

    def adopt(self, granted: Granted) -> Stored:
        """Store the pair of a new authorization. DrChrono has revoked all earlier pairs, so a running refresh is fenced
        off. Raises TokenUnavailable, StoreUnavailable.
        """
        self._unstored = None
        state = self._storage.state()
        newest = self._storage.newest(state)
        generation = (newest.token.generation if newest else state.generation) + 1
        stored = self._storage.store(to_token(granted, now=self._now(), generation=generation))
        self._storage.seize(stored)
        self._storage.destroy_before(stored.number)
        log("token.adopted", generation=generation)
        return stored

    def _prepare(self, lease: TokenState, cached: Stored | None) -> Stored | Token:
        """Steps 2 to 4. Return a stored pair to record, or the pair whose refresh token may now be sent.

        An error releases the lease; nothing was sent.
        """
        try:
            stored = self._storage.newest(lease) or self._import_legacy(lease)
            if stored is not None:
                return stored
            token = self._current_pair(lease, cached)
            self._check_writable(lease)
            self._record_sent(lease)
        except SyncError:
            self._storage.release_lease(lease)
            raise
        return token

    def _import_legacy(self, lease: TokenState) -> Stored | None:
        """Store the pair of an earlier integration. Its age is unknown, so it counts as expired."""
        pair = self._legacy_tokens() if not lease.generation else None
        if pair is None:
            return None
        access_token, refresh_token = pair
        now = self._now()
        stored = self._storage.store(Token(access_token, refresh_token, Validity(now, now), scope="", generation=1))
        log("token.taken_over", generation=stored.token.generation)
        return stored

    def _current_pair(self, lease: TokenState, cached: Stored | None) -> Token:
        if lease.phase.final:
            raise revoked(lease)
        stored = cached if cached is not None and cached.number == lease.version else self._storage.read(lease)
        if stored is None:
            raise unreadable(lease.version)
        return stored.token

    def _check_writable(self, lease: TokenState) -> None:
        if not self._storage.writable():
            log("token.refresh_failed", "ERROR", reason="secret_not_writable", generation=lease.generation)
            raise TokenUnavailable(
                "the token was not refreshed, because no version can be added to its secret: "
                "grant roles/secretmanager.secretVersionManager on it"
            )
        self._step("checked")

    def _record_sent(self, lease: TokenState) -> None:
        if not lease.lease.enough_left(self._now()):
            raise TokenUnavailable("too little of the lease is left to refresh the token: try again in a minute")
        self._storage.update(lease, TokenState.sent)
        self._step("sent")

    def _exchange(self, lease: TokenState, token: Token) -> Stored:
        """Steps 5 to 8."""
        uncertain = lease.phase is Phase.SENT
        answer = self._send(token)
        if isinstance(answer, Unknown) and not uncertain:
            # Once, and immediately: a server's grace period for lost answers is short.
            log("token.refresh_failed", "WARNING", reason=answer.reason, generation=lease.generation)
            uncertain = True
            self._storage.update(lease, TokenState.sent)
            answer = self._send(token)
        if isinstance(answer, Granted):
            return self._store(lease, answer, before=token)
        return self._fail(lease, answer, uncertain=uncertain)

    def _send(self, token: Token) -> Answer:
        answer = self._send_token(token.refresh_token)
        self._step("answered")
        return answer

    def _store(self, lease: TokenState, granted: Granted, *, before: Token) -> Stored:
        token = to_token(granted, now=self._now(), generation=lease.generation + 1, before=before)
        self._unstored = token
        stored = self._storage.store(token)
        self._unstored = None
        self._step("stored")
        # `store_ms` is the time in which a crash would have lost the pair.
        window = self._now() - token.validity.obtained_at
        log("token.stored", generation=token.generation, store_ms=window.total_seconds() * 1000)
        return self._record(lease, stored, "token.refreshed")

    def _record(self, lease: TokenState, stored: Stored, label: str) -> Stored:
        """Record the version in the document. The pair is usable even if the document cannot be written now."""
        try:
            self._storage.persist(
                lambda: self._storage.update(lease, lambda state: state.replaced_by(stored.number, stored.token))
            )
        except StoreUnavailable:
            log("token.refresh_failed", "WARNING", reason="state_not_updated", generation=lease.generation)
        else:
            self._step("recorded")
            self._storage.destroy_before(stored.number)
            self._step("destroyed")
        left = stored.token.validity.expires_at - self._now()
        log(label, generation=stored.token.generation, expires_in_seconds=left.total_seconds())
        return stored

    def _fail(self, lease: TokenState, answer: Refused | Unavailable | Unknown, *, uncertain: bool) -> Stored:
        """Record the failure and raise it. After a refusal, return the pair that another instance has stored, if any:
        this may be why DrChrono refuses ours.
        """
        refused = isinstance(answer, Refused)
        newest = self._storage.newest(lease) if refused else None
        if newest is not None:
            return self._record(lease, newest, "token.recovered")
        failed = failure(answer, lease, uncertain=uncertain, now=self._now(), random=self._random())
        if not refused:
            attempt = lease.attempts + 1
            log("token.refresh_failed", "WARNING", reason=failed.reason, generation=lease.generation, attempt=attempt)
        state = self._storage.update(lease, lambda state: state.failed(failed.phase, failed.reason, failed.retry_at))
        if not refused:
            raise postponed(state, self._now(), unusable=False)
        log("token.revoked", "ERROR", reason=failed.reason, outcome=failed.phase.value, generation=lease.generation)
        raise revoked(state)
