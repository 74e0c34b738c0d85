"""Where an observation comes from, and the result of storing it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from shared.records.ordering import Copy, Verdict

WRITTEN = (Verdict.STORE, Verdict.UNSURE)


@dataclass(frozen=True)
class Source:
    """Where an observation comes from, for the copy's `_sync`. name: `webhook`, `pending`, `sync`, `backfill`,
    `reconcile` or `outbox`.

    received_at: when the newest known event was received, None if there was none. event: the name of the event that is
    being handled. deliveries: the webhook deliveries that the event or the queue entry stands for; the copy records
    them. lists_all: part of a walk over everything that has another name. again: most records were shown before, so
    they are stored already.
    """

    name: str
    received_at: datetime | None = None
    event: str | None = None
    deliveries: tuple[str, ...] = ()
    lists_all: bool = False
    again: bool = False

    @property
    def fills_kind(self) -> bool:
        """Whether it is part of a walk over everything. The feed announces the first such walk as a whole."""
        return self.name == "backfill" or self.lists_all

    @property
    def fills(self) -> bool:
        """Whether most of the records that it shows are not stored yet."""
        return self.name == "backfill" and not self.again


@dataclass(frozen=True)
class PageResult:
    """The result of storing a page.

    verdicts: how many records got each verdict. stored: ids of the records that were written. new: ids of those that
    had no living copy before. doubtful: ids of those that must be fetched again. returned: ids of those that were
    tombstones because they had been absent. failed: by id, why a record cannot be stored; `?` stands for records
    without an id. versions: by id, the `updated_at` of each record of the page.
    """

    verdicts: Counter[Verdict]
    stored: tuple[str, ...]
    new: tuple[str, ...]
    doubtful: tuple[str, ...]
    returned: tuple[str, ...]
    failed: dict[str, str]
    versions: dict[str, str | None]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self.versions)


@dataclass(frozen=True)
class Stored:
    """The result of storing one record. before, after: the copy before and after. doubted_until: see
    `ordering.doubted_until`. returned: the record was a tombstone because it had been absent, and exists again.
    """

    verdict: Verdict
    before: Copy | None
    after: Copy | None
    doubted_until: datetime | None = None
    returned: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether the record must be fetched again."""
        return self.verdict is Verdict.LAGGING or self.doubted_until is not None

    @property
    def is_new(self) -> bool:
        """Whether a record was written that had no living copy."""
        return self.verdict in WRITTEN and (self.before is None or self.before.deleted)
