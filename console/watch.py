"""One thread that looks at the copy for every open page, as often as the place allows."""

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

# A page that is open says so by its stream; one that was only loaded is looked at for so long.
LOOKED_AT = timedelta(minutes=1)


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks: at the arrivals and the quota (7 reads where nothing came), and at the whole status
    (some 120 reads), which is read only while somebody looks.
    """

    arrivals: float
    status: float


def pace(target: TargetSystem) -> Pace:
    if target.folder is not None:
        return Pace(arrivals=1.0, status=2.0)
    return Pace(arrivals=2.0, status=6.0) if target.google is None else Pace(arrivals=5.0, status=30.0)


@dataclass(frozen=True)
class Seen:
    """What a page shows. version: grows with each look. trouble: why there is nothing newer."""

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
        # What was done from the pages: when, what, and whether it went well.
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
        """What is known, read anew where it is older than it would be if somebody had looked."""
        self._looked_at = self._now()
        if self._is_due(self._looked_at):
            self.look()
        return self._seen

    def next(self, version: int, seconds: float) -> Seen:
        """What is known as soon as it is newer than `version`, or after so long."""
        self._looked_at = self._now()
        with self._changed:
            self._changed.wait_for(lambda: self._seen.version > version or self.ended, seconds)
        return self._seen

    def refresh(self) -> None:
        """Something was done: look at once."""
        self._status_at = None
        self.look()

    def look(self) -> None:
        """Read what is due. What cannot be read is said on the page, and read again at the next look."""
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
