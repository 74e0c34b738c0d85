"""One thread that reads the copy for all open pages, as often as the system allows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from console.arrivals import Arrival, Arrivals
from console.history import Sample, thinned
from ops.status import Status, Unknown, status
from ops.target_system import STORE_REMEDY, TargetSystem
from shared.errors import StoreUnavailable, SyncError
from shared.rate_limit.state import QuotaState

# An open page has a stream. A page that was only loaded counts as open for this long.
LOOKED_AT = timedelta(minutes=1)


@dataclass(frozen=True)
class Pace:
    """Seconds between two reads: of the arrivals and the quota (7 reads if nothing arrived), and of the whole status
    (about 120 reads), which is read only while a page is open.
    """

    arrivals: float
    status: float


def pace(target: TargetSystem) -> Pace:
    if target.folder is not None:
        return Pace(arrivals=1.0, status=2.0)
    return Pace(arrivals=2.0, status=6.0) if target.google is None else Pace(arrivals=5.0, status=30.0)


@dataclass(frozen=True)
class Seen:
    """What a page shows. version: grows with each read. trouble: why there is nothing newer."""

    version: int = 0
    at: datetime | None = None
    status: Status | None = None
    arrivals: tuple[Arrival, ...] = ()
    samples: tuple[Sample, ...] = ()
    trouble: str = ""


class Watch:
    def __init__(self, target: TargetSystem, now: Callable[[], datetime]) -> None:
        self._target = target
        self._now = now
        self._pace = pace(target)
        self._arrivals: Arrivals | None = None
        self._changed = threading.Condition()
        self._seen = Seen()
        self._looked_at: datetime | None = None
        self._status_at: datetime | None = None
        self._ended = threading.Event()
        # The actions from the pages: when, what, and whether they succeeded.
        self.done: list[tuple[datetime, str, bool]] = []

    def start(self) -> None:
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def end(self) -> None:
        self._ended.set()
        with self._changed:
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def seen(self) -> Seen:
        """Return what was read. Read it again first if it is older than an open page would have allowed."""
        self._looked_at = self._now()
        if self._is_due(self._looked_at):
            self.look()
        return self._seen

    def next(self, version: int, seconds: float) -> Seen:
        """Return what was read as soon as it is newer than `version`, or after the timeout."""
        self._looked_at = self._now()
        with self._changed:
            self._changed.wait_for(lambda: self._seen.version > version or self.ended, seconds)
        return self._seen

    def refresh(self) -> None:
        """Read at once, after an action."""
        self._status_at = None
        self.look()

    def look(self) -> None:
        """Read what is due. The page says what cannot be read, and the next look tries again."""
        now = self._now()
        with self._changed:
            try:
                self._seen = replace(self._read(now), version=self._seen.version + 1, at=now, trouble="")
            except StoreUnavailable as error:
                self._seen = replace(self._seen, version=self._seen.version + 1, trouble=f"{error}: {STORE_REMEDY}")
            except SyncError as error:
                self._seen = replace(self._seen, version=self._seen.version + 1, trouble=str(error))
            self._changed.notify_all()

    def _read(self, now: datetime) -> Seen:
        if self._arrivals is None:
            self._arrivals = Arrivals(self._target.system.documents())
        self._arrivals.look(now)
        seen = replace(self._seen, arrivals=tuple(self._arrivals.all()))
        if self._is_due(now):
            seen = replace(seen, status=status(self._target, now, with_lag=False))
            self._status_at = now
            quota = seen.status.quota if seen.status else self._quota()
        else:
            quota = self._quota()
        if not isinstance(quota, Unknown):
            sample = Sample(now, {window.seconds: window.used for window in quota.windows})
            seen = replace(seen, samples=tuple(thinned([*seen.samples, sample], now)))
        return seen

    def _is_due(self, now: datetime) -> bool:
        if self._seen.status is None or self._status_at is None:
            return True
        looked_at = self._looked_at is not None and now - self._looked_at <= LOOKED_AT
        return looked_at and now - self._status_at >= timedelta(seconds=self._pace.status)

    def _quota(self) -> QuotaState | Unknown:
        try:
            return self._target.system.rate_limiter().state()
        except StoreUnavailable:
            raise
        except SyncError as error:
            return Unknown(str(error))

    def _run(self) -> None:
        while not self._ended.wait(self._pace.arrivals):
            self.look()
