"""Storage of the token pair: pairs as versions of one secret, the token state with its lease in one document.

Every write of the document is conditional on the lease's fencing token, except `seize`, which takes the lease over.
Adding a secret version has no condition: a late holder's pair may be the only valid one, and `newest` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from shared.documents import Documents, Transaction
from shared.errors import LeaseLost, StoreUnavailable, TokenUnavailable
from shared.log import log
from shared.tokens.state import TokenState
from shared.tokens.token import Token

T = TypeVar("T")

PATH = "sync_state/token"

# Half a minute in all. This is the only long wait: a pair that was just issued is the only valid one, and storing it is
# worth more than the caller's time.
STORE_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1, 2, 4, 8, 8, 8)
# The first call after an idle hour may use a closed connection. One repeat is enough.
READ_PAUSES_SECONDS = (0.2,)


class VersionedSecret(Protocol):
    """The versions of one secret (`shared.cloud.secret_manager`). Every method may raise TokenUnavailable."""

    def read(self, number: int) -> str | None: ...
    def newer(self, number: int) -> Iterator[tuple[int, str]]: ...
    def add(self, payload: str) -> int: ...
    def destroy_before(self, number: int) -> None: ...
    def writable(self) -> bool: ...


@dataclass(frozen=True)
class Stored:
    """A pair and the number of the secret version that holds it."""

    number: int
    token: Token


class TokenStorage:
    """Methods raise StoreUnavailable for the document, TokenUnavailable for the secret. owner: this instance's name."""

    def __init__(
        self,
        *,
        documents: Documents,
        secret: VersionedSecret,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        owner: str,
    ) -> None:
        self._documents = documents
        self._secret = secret
        self._now = now
        self._sleep = sleep
        self._owner = owner

    # The secret

    def read(self, state: TokenState) -> Stored | None:
        """Return the pair of `state.version`; None if there is none, or the version cannot be read."""
        if not state.version:
            return None
        payload = self._repeat(lambda: self._secret.read(state.version), READ_PAUSES_SECONDS)
        token = Token.from_json(payload) if payload is not None else None
        return Stored(state.version, token) if token is not None else None

    def newest(self, state: TokenState) -> Stored | None:
        """Return the pair of the highest generation beyond `state`: stored, but not yet recorded in the document."""
        newer = self._repeat(lambda: list(self._secret.newer(state.version)), READ_PAUSES_SECONDS)
        found = [
            Stored(number, token)
            for number, payload in newer
            if (token := Token.from_json(payload)) is not None and token.generation > state.generation
        ]
        return max(found, key=lambda stored: (stored.token.generation, stored.number), default=None)

    def writable(self) -> bool:
        """Return whether a version can be added to the secret."""
        return self._repeat(self._secret.writable, READ_PAUSES_SECONDS)

    def store(self, token: Token) -> Stored:
        """Add a version. A failed attempt may have added one as well; `destroy_before` removes it."""
        return Stored(self.persist(lambda: self._secret.add(token.to_json())), token)

    def destroy_before(self, number: int) -> None:
        """Destroy the versions before `number`. Those that cannot be destroyed now are left to the next refresh."""
        try:
            self._secret.destroy_before(number)
        except TokenUnavailable:
            log("token.old_version_kept", "WARNING", reason="secret_unavailable")

    # The document

    def state(self) -> TokenState:
        return TokenState.from_document(self._documents.get(PATH))

    def take_lease(self, seen: TokenState, *, rejected: bool) -> TokenState | None:
        """Take the lease. Return None if another instance holds it, or has held it since `seen` was read."""

        def work(transaction: Transaction) -> TokenState | None:
            state = TokenState.from_document(transaction.get(PATH))
            now = self._now()
            if state.lease.fence != seen.lease.fence or state.lease.held(now):
                return None
            leased = state.leased(self._owner, now, rejected=rejected)
            transaction.set(PATH, leased.to_document())
            return leased

        return self._documents.transact(work)

    def update(self, lease: TokenState, change: Callable[[TokenState], TokenState]) -> TokenState:
        """Write the result of `change`. Raises LeaseLost if the fencing token is no longer that of `lease`."""

        def work(transaction: Transaction) -> TokenState:
            state = TokenState.from_document(transaction.get(PATH))
            if state.lease.fence != lease.lease.fence:
                raise LeaseLost("another instance has taken over the token refresh")
            changed = change(state)
            transaction.set(PATH, changed.to_document())
            return changed

        return self._documents.transact(work)

    def release_lease(self, lease: TokenState) -> None:
        """Release the lease before anything was sent. If that fails, it expires by itself."""
        with suppress(StoreUnavailable, LeaseLost):
            self.update(lease, TokenState.released)

    def seize(self, stored: Stored) -> TokenState:
        """Record `stored` as the current pair, whoever holds the lease. The holder's fencing token becomes invalid."""

        def work(transaction: Transaction) -> TokenState:
            state = TokenState.from_document(transaction.get(PATH))
            fenced = state.leased(self._owner, self._now(), rejected=False)
            seized = fenced.replaced_by(stored.number, stored.token)
            transaction.set(PATH, seized.to_document())
            return seized

        return self.persist(lambda: self._documents.transact(work))

    # Repeats

    def persist(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, repeated for half a minute while the secret or the document is unavailable."""
        return self._repeat(work, STORE_PAUSES_SECONDS)

    def _repeat(self, work: Callable[[], T], pauses_seconds: Sequence[float]) -> T:
        for pause in pauses_seconds:
            try:
                return work()
            except (TokenUnavailable, StoreUnavailable) as error:
                log("token.store_failed", "WARNING", reason=error.reason)
            self._sleep(pause)
        return work()
