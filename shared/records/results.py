"""Where an observation comes from, and what became of it in the store."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from shared.records.ordering import Copy, Verdict

WRITTEN = (Verdict.STORE, Verdict.UNSURE)


@dataclass(frozen=True)
class Source:
    """Where an observation comes from, for the copy's `_sync`. name: `webhook`, `pending`, `sync`, `backfill`,
    `reconcile` or `outbox`. received_at: when the newest event that was known then was received, None where there was
    none.

    event: its name, of an event that is being handled. deliveries: those that the queue entry of the target stands for.
    They are noted with the copy, because the entry outlives the fetch. lists_all: it is part of a walk over everything,
    though by another name. again: what it shows has been shown before, so it is kept already.
    """

    name: str
    received_at: datetime | None = None
    event: str | None = None
    deliveries: tuple[str, ...] = ()
    lists_all: bool = False
    again: bool = False

    @property
    def fills_kind(self) -> bool:
        """Whether it is part of a walk over everything, which the feed tells of as a whole the first time."""
        return self.name == "backfill" or self.lists_all

    @property
    def fills(self) -> bool:
        """Whether most of what it shows is not kept yet."""
        return self.name == "backfill" and not self.again


@dataclass(frozen=True)
class PageResult:
    """verdicts: how many records met which. stored: the ids of those that were written. new: the ids of those of which
    the copy had no living record. doubtful: the ids of those to look at again. returned: the ids of those that were
    tombstones because they had been absent. failed: ids that cannot be kept, by reason; `?` stands for those without an
    id. versions: the `updated_at` of all that were seen, by id.
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
    """verdict: what a fetch meant. before, after: the copy then and now. doubted_until: see `ordering.doubted_until`.
    returned: it was a tombstone because it had been absent, and is there again.
    """

    verdict: Verdict
    before: Copy | None
    after: Copy | None
    doubted_until: datetime | None = None
    returned: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether the record must be looked at again."""
        return self.verdict is Verdict.LAGGING or self.doubted_until is not None

    @property
    def is_new(self) -> bool:
        """Whether a record was written of which the copy had no living one."""
        return self.verdict in WRITTEN and (self.before is None or self.before.deleted)
