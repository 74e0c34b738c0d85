"""TokenRefresher of DrChrono's token pair: one instance refreshes, and no crash, race or restart loses the pair.

The pair is one JSON value in one secret, its *vault*, read by version number; the number is in the document
`sync_state/token`, with the state and the lease (see `shared.tokens.state`). A refresh, with what the next instance
finds and does if this one dies after the step:

 1. **Lease.** A transaction takes the lease on generation N with the next fence. — Phase `ok`. The access token serves
    while it lives; once the lease has lapsed (LEASE_SECONDS and CLOCK_SKEW_SECONDS), another takes it and begins at 1.
 2. **Look.** A version newer than the pointer's, of a higher generation, is somebody's unfinished step 6: the pointer
    is moved to it, without any request. Nothing is spent and nobody is told of a loss before this look.
 3. **Show** that a version can be added. If not, the lease is given back and nothing is spent. — As after 1.
 4. **Record `sent`**, if the fence is still ours and enough of the lease is left. — Phase `sent`: the token may be
    spent or not. Step 2, else the same token is sent again: the deliberate repeat. Here it works: nothing was sent.
 5. **POST.** No readable answer: the one repeat at once, by the same instance. — Phase `sent`. If the server had
    rotated, the new pair died with this instance: *the one window that no protocol closes*. The repeat works where the
    server grants a grace; else it is refused, step 2 is done again, and the state becomes `lost`.
 6. **Store** the new pair (generation N + 1) as a new version. It is tried for half a minute, and after that with
    every call of this instance. The pair is not used before. — Phase `sent`; step 2 finds the version.
 7. **Move** the pointer, if the fence is still ours; this frees the lease. — Phase `ok`, all is well.
 8. **Destroy** the versions before it. — What is left over is destroyed after the next refresh.

A holder whose lease lapsed on the way (its machine was paused) fails in 4 or 7 and overwrites nothing. Its pair may
still be the only living one, so step 6 has no condition: it is stored, and step 2 finds it, by this or any instance.

The API's 401 is the notice that a pair was replaced elsewhere: `rejected` reads the pointer again, and refreshes only
if it still names the pair that was refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Documents
from shared.errors import LeaseLost, StoreUnavailable, SyncError, TokenMissing, TokenUnavailable
from shared.log import log
from shared.tokens.state import (
    AUTHORIZE,
    REFUSED_PAUSE_SECONDS,
    Phase,
    Step,
    TokenState,
    backoff,
    missing,
    next_step,
    postponed,
    refresh_is_due,
    revoked,
)
from shared.tokens.storage import Safe, Stored, Vault
from shared.tokens.token import Answer, Granted, Refused, Token, Unavailable, Unknown, Validity, to_token

# A caller waits this long for another instance or thread, then defers its work.
WAIT_SECONDS = 5.0
POLL_SECONDS = 0.25
# In a final state, each instance looks this often whether a late holder has stored its pair after all.
LOOK_AGAIN_SECONDS = 60


@dataclass(frozen=True)
class TokenReport:
    """How the token is, without anything of it. Ages and times left in seconds; `refreshed`: by this very call."""

    state: str
    generation: int
    version: int
    age_seconds: float
    expires_in_seconds: float
    expires_at: datetime
    scope: str
    reason: str
    retry_at: datetime | None
    refreshed: bool = False

    def as_json(self) -> dict[str, Any]:
        """With times as ISO 8601 texts (UTC)."""
        fields = asdict(self)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}


class TokenRefresher:
    """Serves the access token of one DrChrono application to all threads of an instance.

    documents, vault: where pointer and pair are kept. refresh: sends a refresh token (`TokenEndpoint.refresh`).
    owner: names this instance in the lease. by_hand: access and refresh token that somebody stored by the guide, taken
    over if nothing else was ever stored. step: told each step of a refresh as it is done, so that tests can stop there.
    """

    def __init__(
        self,
        *,
        documents: Documents,
        vault: Vault,
        refresh: Callable[[str], Answer],
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        random: Callable[[], float],
        owner: str,
        by_hand: Callable[[], tuple[str, str] | None] = lambda: None,
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._safe = Safe(documents=documents, vault=vault, now=now, sleep=sleep, owner=owner)
        self._refresh = refresh
        self._now = now
        self._sleep = sleep
        self._random = random
        self._by_hand = by_hand
        self._step = step
        self._lock = threading.Lock()
        self._held: Stored | None = None
        self._refused: str | None = None
        self._unstored: Token | None = None
        self._looked_at: datetime | None = None

    def current(self) -> str:
        """An access token that is good for a request now. Costs nothing while the one in hand is.

        Raises TokenMissing, TokenRevoked or TokenUnavailable, and StoreUnavailable.
        """
        return self._in_hand(refused=None) or self._obtain(refused=None)

    def rejected(self, access_token: str) -> str:
        """Another one than `access_token`, which the API answered 401 to. Raises as `current` does."""
        held = self._held
        if held is None or held.token.access_token == access_token:
            # While there is no other, `current` must not send every caller to DrChrono for the same answer.
            self._refused = access_token
        return self._in_hand(refused=access_token) or self._obtain(refused=access_token)

    def refresh_if_due(self, *, force: bool = False) -> TokenReport:
        """Refresh when less than half of the lifetime is left, or in any case that is not final where `force`.

        Where another instance is at it, nothing is done. Raises as `current` does.
        """
        with self._alone():
            refreshed = self._refreshed_if_due(force=force)
        report = replace(self.report(), refreshed=refreshed)
        log("token.state", generation=report.generation, expires_in_seconds=report.expires_in_seconds)
        return report

    def adopt(self, granted: Granted) -> None:
        """Store the pair of a new authorization, whatever was before. Raises TokenUnavailable, StoreUnavailable.

        The authorization has ended all earlier pairs. Whoever is refreshing one loses its fence.
        """
        with self._alone():
            self._unstored = None
            pointer = self._safe.pointer()
            newest = self._safe.newest(pointer)
            generation = (newest.token.generation if newest else pointer.generation) + 1
            stored = self._safe.store(to_token(granted, now=self._now(), generation=generation))
            self._safe.seize(stored)
            self._held = stored
            self._safe.tidy(stored.number)
        log("token.adopted", generation=generation)

    def report(self) -> TokenReport:
        """Reads one document, and no secret. Raises TokenMissing, StoreUnavailable."""
        pointer = self._safe.pointer()
        if not pointer.generation:
            raise missing()
        now = self._now()
        return TokenReport(
            state=pointer.state.value,
            generation=pointer.generation,
            version=pointer.version,
            age_seconds=(now - pointer.validity.obtained_at).total_seconds(),
            expires_in_seconds=(pointer.validity.expires_at - now).total_seconds(),
            expires_at=pointer.validity.expires_at,
            scope=pointer.scope,
            reason=pointer.reason,
            retry_at=pointer.retry_at,
        )

    # Getting hold of a token

    def _in_hand(self, refused: str | None) -> str | None:
        held = self._held
        return held.token.access_token if held and self._is_good(held, refused) else None

    def _is_good(self, stored: Stored, refused: str | None) -> bool:
        return not self._is_refused(stored, refused) and stored.token.validity.fresh(self._now())

    def _is_refused(self, stored: Stored, refused: str | None) -> bool:
        return stored.token.access_token in (refused, self._refused)

    def _obtain(self, refused: str | None) -> str:
        with self._alone():
            # Another thread may have got one while this one waited its turn.
            return self._in_hand(refused) or self._stored_or_refreshed(refused).token.access_token

    def _stored_or_refreshed(self, refused: str | None) -> Stored:
        self._store_late()
        waited = 0.0
        while waited < WAIT_SECONDS:
            pointer = self._pointer()
            stored = self._open(pointer)
            unusable = stored is None or self._is_refused(stored, refused)
            step = next_step(pointer, self._now(), unusable=unusable)
            if step is Step.USE and stored is not None:
                self._held = stored
                return stored
            if step is Step.POSTPONE:
                raise postponed(pointer, self._now(), unusable=unusable)
            if step is Step.STOP and not self._worth_a_look(pointer):
                raise revoked(pointer)
            if step is not Step.WAIT:
                renewed = self._renew(pointer, rejected=stored is not None and unusable)
                if renewed is not None and self._is_good(renewed, refused):
                    return renewed
            self._sleep(POLL_SECONDS)
            waited += POLL_SECONDS
        raise TokenUnavailable("another instance is refreshing the token: try again in a minute")

    def _refreshed_if_due(self, *, force: bool) -> bool:
        self._store_late()
        refreshed = False
        # Twice, because what was found in the vault, or taken over, may itself be due.
        for turn in range(2):
            pointer = self._pointer()
            now = self._now()
            if pointer.state.final and self._safe.newest(pointer) is None:
                raise revoked(pointer)
            waits = pointer.retry_at is not None and now < pointer.retry_at
            if (force and turn == 0) or (refresh_is_due(pointer, now) and not waits):
                refreshed = self._renew(pointer, rejected=False) is not None or refreshed
        return refreshed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread of this instance at a time."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise TokenUnavailable("another thread is fetching the token: try again in a minute")
        try:
            yield
        finally:
            self._lock.release()

    def _pointer(self) -> TokenState:
        """Raises TokenMissing where there is nothing to point to, nor anything to take over."""
        pointer = self._safe.pointer()
        if not pointer.generation and not self._safe.newest(pointer) and not self._by_hand():
            raise missing()
        return pointer

    def _open(self, pointer: TokenState) -> Stored | None:
        held = self._held
        return held if held is not None and held.number == pointer.version else self._safe.open(pointer)

    def _worth_a_look(self, pointer: TokenState) -> bool:
        now = self._now()
        if self._looked_at is not None and now - self._looked_at < timedelta(seconds=LOOK_AGAIN_SECONDS):
            return False
        self._looked_at = now
        return self._safe.newest(pointer) is not None

    def _store_late(self) -> None:
        """Store the pair that could not be stored when it came; step 2 of whoever is next then finds it."""
        if self._unstored is not None:
            self._safe.store(self._unstored)
            self._unstored = None

    # The refresh, step by step as in the module's text

    def _renew(self, seen: TokenState, *, rejected: bool) -> Stored | None:
        """A newer pair than the one `seen`; None where another instance is at it, or was quicker.

        Raises TokenMissing, TokenRevoked, TokenUnavailable, StoreUnavailable.
        """
        lease = self._safe.take(seen, rejected=rejected)
        if lease is None:
            return None
        self._step("leased")
        with suppress(LeaseLost):
            ready = self._ready(lease)
            if isinstance(ready, Stored):
                return self._move(lease, ready, "token.recovered")
            return self._spend(lease, ready)
        return None

    def _ready(self, lease: TokenState) -> Stored | Token:
        """Steps 2 to 4: a stored pair to move to, or one whose refresh token may now be sent. Errors spend nothing."""
        try:
            ready = self._safe.newest(lease) or self._taken_over(lease) or self._spendable(lease)
            if isinstance(ready, Token):
                self._record_sent(lease)
        except SyncError:
            self._safe.release(lease)
            raise
        return ready

    def _taken_over(self, lease: TokenState) -> Stored | None:
        """The pair that somebody stored by hand, made ours. Its age is not known, so it counts as expired."""
        pair = self._by_hand() if not lease.generation else None
        if pair is None:
            return None
        access_token, refresh_token = pair
        now = self._now()
        stored = self._safe.store(Token(access_token, refresh_token, Validity(now, now), scope="", generation=1))
        log("token.taken_over", generation=stored.token.generation)
        return stored

    def _spendable(self, lease: TokenState) -> Token:
        """The pair whose refresh token may be sent."""
        if lease.state.final:
            raise revoked(lease)
        stored = self._open(lease)
        if stored is None:
            raise TokenMissing(
                f"version {lease.version} of the token's secret cannot be read, and there is no newer one: "
                f"enable it again, or run `{AUTHORIZE}`"
            )
        if not self._safe.writable():
            log("token.refresh_failed", "ERROR", reason="vault_not_writable", generation=lease.generation)
            raise TokenUnavailable(
                "the token was not refreshed, because its secret takes no new version: "
                "grant roles/secretmanager.secretVersionManager on it"
            )
        self._step("shown")
        return stored.token

    def _record_sent(self, lease: TokenState) -> None:
        if not lease.lease.enough_left(self._now()):
            raise TokenUnavailable("too little of the lease is left to refresh the token: try again in a minute")
        self._safe.change(lease, TokenState.sent)
        self._step("sent")

    def _spend(self, lease: TokenState, token: Token) -> Stored | None:
        uncertain = lease.state is Phase.SENT
        answer = self._post(token)
        if isinstance(answer, Unknown) and not uncertain:
            # The one deliberate repeat. At once: where a server grants a grace for lost answers, it is short.
            log("token.refresh_failed", "WARNING", reason=answer.reason, generation=lease.generation)
            uncertain = True
            self._safe.change(lease, TokenState.sent)
            answer = self._post(token)
        match answer:
            case Granted():
                renewed = to_token(answer, now=self._now(), generation=lease.generation + 1, before=token)
                return self._keep(lease, renewed)
            case Refused():
                return self._end(lease, answer, uncertain=uncertain)
            case Unavailable():
                state = lease.state if answer.unspent and not uncertain else Phase.SENT
                raise self._put_off(lease, state, answer.reason, answer.until)
            case Unknown():
                raise self._put_off(lease, Phase.SENT, answer.reason, None)

    def _post(self, token: Token) -> Answer:
        answer = self._refresh(token.refresh_token)
        self._step("answered")
        return answer

    def _keep(self, lease: TokenState, token: Token) -> Stored | None:
        self._unstored = token
        stored = self._safe.store(token)
        self._unstored = None
        self._step("stored")
        # From the answer to here a crash would have lost the pair.
        window = self._now() - token.validity.obtained_at
        log("token.stored", generation=token.generation, store_ms=window.total_seconds() * 1000)
        return self._move(lease, stored, "token.refreshed")

    def _move(self, lease: TokenState, stored: Stored, label: str) -> Stored:
        """Point to a version that is stored. Where the document store fails, the pair is good all the same."""
        try:
            self._safe.persist(
                lambda: self._safe.change(lease, lambda pointer: pointer.moved(stored.number, stored.token))
            )
        except StoreUnavailable:
            log("token.refresh_failed", "WARNING", reason="pointer_not_moved", generation=lease.generation)
        else:
            self._step("moved")
            self._safe.tidy(stored.number)
            self._step("destroyed")
        self._held = stored
        left = stored.token.validity.expires_at - self._now()
        log(label, generation=stored.token.generation, expires_in_seconds=left.total_seconds())
        return stored

    def _end(self, lease: TokenState, refused: Refused, *, uncertain: bool) -> Stored | None:
        """A clear no. Look once more before saying that a person is needed."""
        newest = self._safe.newest(lease)
        if newest is not None:
            return self._move(lease, newest, "token.recovered")
        if refused.final:
            state = Phase.LOST if uncertain else Phase.REVOKED
            ended = self._safe.change(lease, lambda pointer: pointer.ended(state, refused.reason))
        else:
            state = Phase.SENT if uncertain else Phase.REFUSED
            until = self._now() + timedelta(seconds=REFUSED_PAUSE_SECONDS)
            ended = self._safe.change(lease, lambda pointer: pointer.put_off(state, refused.reason, until))
        log("token.revoked", "ERROR", reason=refused.reason, outcome=state.value, generation=lease.generation)
        raise revoked(ended)

    def _put_off(self, lease: TokenState, state: Phase, reason: str, until: datetime | None) -> SyncError:
        log("token.refresh_failed", "WARNING", reason=reason, generation=lease.generation, attempt=lease.attempts + 1)
        until = until or self._now() + backoff(lease.attempts + 1, self._random())
        later = self._safe.change(lease, lambda pointer: pointer.put_off(state, reason, until))
        return postponed(later, self._now(), unusable=False)
