"""The copy of a written record: stored at once, and fetched again when an answer proves more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from shared.drchrono.kinds import Kind, is_deleted
from shared.drchrono.lag import provable_from
from shared.drchrono.records import Fetched
from shared.errors import RecordTooLarge, StoreUnavailable, SyncError
from shared.outbox.matching import differences
from shared.queue.entries import Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.store import Records, Source

# Most replicas have caught up after these pauses. The work queue does the rest.
LAG_SECONDS = 3.0


class Api(Protocol):
    """Of `shared.drchrono.client.DrChrono`."""

    def get(self, kind: Kind, id: str) -> Fetched: ...  # noqa: A002 (DrChrono's word)


class Written:
    """No method raises, because the write must be recorded as done whatever happens to the copy. The sync corrects the
    copy.
    """

    def __init__(
        self,
        *,
        records: Records,
        queue: WorkQueue,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._records = records
        self._queue = queue
        self._now = now
        self._sleep = sleep

    def keep(self, kind: Kind, key: str, record: Mapping[str, Any], began: datetime) -> str | None:
        """Store what a request that began at `began` showed. Return its `updated_at`."""
        self._look_later(kind, key)
        with contextlib.suppress(StoreUnavailable, RecordTooLarge):
            if not is_deleted(record):
                self._records.store(kind, key, dict(record), began, Source("outbox"))
        version = record.get("updated_at")
        return version if isinstance(version, str) else None

    def fetch(self, api: Api, kind: Kind, key: str, fields: Mapping[str, Any]) -> str | None:
        """Fetch and store a changed record. Return its `updated_at` if it shows the change."""
        self._look_later(kind, key)
        for last in (False, True):
            try:
                fetched = api.get(kind, key)
            except SyncError:
                return None
            if not differences(fields, fetched.record):
                return self.keep(kind, key, fetched.record, fetched.began)
            if not last:
                self._sleep(LAG_SECONDS)
        return None

    def _look_later(self, kind: Kind, key: str) -> None:
        now = self._now()
        entry = Entry(Target(kind.name, key), "confirm", Priority.CONFIRM, now, now, due=provable_from(now))
        with contextlib.suppress(StoreUnavailable):
            self._queue.enqueue([entry])
