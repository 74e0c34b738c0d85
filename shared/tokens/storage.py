"""Where DrChrono's token pair is kept: the pair in a vault, the pointer to it in a document that fences its writers."""

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

# The only long wait, half a minute: a pair in hand is the only one that lives, and storing it is worth more than the
# caller's time.
STORE_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1, 2, 4, 8, 8, 8)
# The first call after an idle hour may meet a connection that is gone; one repetition heals that.
READ_PAUSES_SECONDS = (0.2,)


class Vault(Protocol):
    """The versions of one secret (see `shared.cloud.secret_manager`). Every method may raise TokenUnavailable."""

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


class Safe:
    """owner: names this instance in the lease."""

    def __init__(
        self,
        *,
        documents: Documents,
        vault: Vault,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        owner: str,
    ) -> None:
        self._documents = documents
        self._vault = vault
        self._now = now
        self._sleep = sleep
        self._owner = owner

    def pointer(self) -> TokenState:
        return TokenState.from_document(self._documents.get(PATH))

    def open(self, pointer: TokenState) -> Stored | None:
        """The pair that `pointer` names; None if there is none, or it cannot be read (any more)."""
        if not pointer.version:
            return None
        payload = self._repeat(lambda: self._vault.read(pointer.version), READ_PAUSES_SECONDS)
        token = Token.from_json(payload) if payload is not None else None
        return Stored(pointer.version, token) if token is not None else None

    def newest(self, pointer: TokenState) -> Stored | None:
        """The pair of the highest generation beyond the pointer's: stored by one who could not move the pointer."""
        newer = self._repeat(lambda: list(self._vault.newer(pointer.version)), READ_PAUSES_SECONDS)
        found = [
            Stored(number, token)
            for number, payload in newer
            if (token := Token.from_json(payload)) is not None and token.generation > pointer.generation
        ]
        return max(found, key=lambda stored: (stored.token.generation, stored.number), default=None)

    def writable(self) -> bool:
        return self._repeat(self._vault.writable, READ_PAUSES_SECONDS)

    def take(self, seen: TokenState, *, rejected: bool) -> TokenState | None:
        """Take the lease; None if it is held, or was since the pointer was `seen`."""

        def work(transaction: Transaction) -> TokenState | None:
            pointer = TokenState.from_document(transaction.get(PATH))
            now = self._now()
            if pointer.lease.fence != seen.lease.fence or pointer.lease.held(now):
                return None
            leased = pointer.leased(self._owner, now, rejected=rejected)
            transaction.set(PATH, leased.to_document())
            return leased

        return self._documents.transact(work)

    def change(self, lease: TokenState, change: Callable[[TokenState], TokenState]) -> TokenState:
        """Change the pointer if nobody has taken the lease since. Raises LeaseLost."""

        def work(transaction: Transaction) -> TokenState:
            pointer = TokenState.from_document(transaction.get(PATH))
            if pointer.lease.fence != lease.lease.fence:
                raise LeaseLost("another instance has taken over the refresh of the token")
            changed = change(pointer)
            transaction.set(PATH, changed.to_document())
            return changed

        return self._documents.transact(work)

    def release(self, lease: TokenState) -> None:
        """Give the lease back where nothing was sent; if that fails, it lapses."""
        with suppress(StoreUnavailable, LeaseLost):
            self.change(lease, TokenState.released)

    def seize(self, stored: Stored) -> TokenState:
        """Point to `stored`, whoever holds the lease: its holder loses the fence."""

        def work(transaction: Transaction) -> TokenState:
            pointer = TokenState.from_document(transaction.get(PATH))
            fenced = pointer.leased(self._owner, self._now(), rejected=False)
            seized = fenced.moved(stored.number, stored.token)
            transaction.set(PATH, seized.to_document())
            return seized

        return self.persist(lambda: self._documents.transact(work))

    def store(self, token: Token) -> Stored:
        """Add a version. An attempt that failed may have added one, too: `tidy` takes care of it."""
        return Stored(self.persist(lambda: self._vault.add(token.to_json())), token)

    def tidy(self, number: int) -> None:
        """Destroy the versions before `number`. What cannot be destroyed now is destroyed after the next refresh."""
        try:
            self._vault.destroy_before(number)
        except TokenUnavailable:
            log("token.old_version_kept", "WARNING", reason="vault_unavailable")

    def persist(self, work: Callable[[], T]) -> T:
        """`work`, and again for half a minute if the vault or the document store fails."""
        return self._repeat(work, STORE_PAUSES_SECONDS)

    def _repeat(self, work: Callable[[], T], pauses_seconds: Sequence[float]) -> T:
        for pause in pauses_seconds:
            try:
                return work()
            except (TokenUnavailable, StoreUnavailable) as error:
                log("token.store_failed", "WARNING", reason=error.reason)
            self._sleep(pause)
        return work()
