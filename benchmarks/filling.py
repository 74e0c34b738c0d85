"""The clinic of the fill benchmark: real HTTP, store and rate limiter, on a clock that runs faster."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from functions.store_record import handle
from shared.documents import Documents
from shared.drchrono.kinds import Kind, key_of
from shared.drchrono.records import Page
from shared.errors import QuotaExhausted
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.run import Parts
from shared.jobs.waiting import WaitingLimiter
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from shared.webhooks.events import Change, encode
from simulator.quota import parse_quota
from tests.clinic import Clinic, simulator
from workstation.embedded_documents import EmbeddedDocuments

BULK_SECONDS = 4
BACKGROUND_SHARE = 0.8
EVENT_SECONDS = 10
PAGES_TO_KILL = 10


class Killed(BaseException):
    """Not an Exception, so that no handler of the system catches it."""


class Filled(BaseException):
    """Ends the run in which the copy got the last of the records."""


class Counting:
    """A rate limiter in front of a rate limiter, which records when each request was granted."""

    def __init__(self, limiter: RateLimiter, now: Any, taken: list[tuple[float, Lane]]) -> None:
        self._limiter, self._now, self._taken = limiter, now, taken
        self.refused = 0

    def acquire(self, lane: Lane) -> None:
        try:
            self._limiter.acquire(lane)
        except QuotaExhausted:
            self.refused += 1
            raise
        self._taken.append((self._now().timestamp(), lane))

    def throttled(self, until: datetime) -> None:
        self._limiter.throttled(until)


class WatchedCheckpoints(Checkpoints):
    """Crashes at every tenth page, if armed, after it is stored and before its checkpoint is.

    changed: called after each change. read: the records on each page that the run has read. again: how many pages a run
    read that the killed run before it had read.
    """

    pages = 0
    armed = False
    read: frozenset[frozenset[str]] = frozenset()
    read_before: frozenset[frozenset[str]] = frozenset()
    again = 0

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents)
        self.changed: Callable[[], None] = lambda: None

    def count(self, kind: Kind, page: Page) -> None:
        self.pages += 1
        self.armed = self.armed or self.pages % PAGES_TO_KILL == 0
        ids = frozenset(f"{kind.name}/{key_of(kind, record)}" for record in page.records)
        if ids and self.get(kind.name).filled_at is None:  # later lists of a kind show the same again, killed or not
            self.again += ids in self.read_before
            self.read |= {ids}

    def begin_run(self) -> None:
        self.read_before, self.read = self.read, frozenset()

    def change(self, kind: str, change: Any, *also: Any) -> Checkpoint:
        if self.armed:
            self.armed = False
            raise Killed
        checkpoint = super().change(kind, change, *also)
        self.changed()
        return checkpoint


@dataclass
class Filling(Clinic):
    """A clinic whose background requests wait for the quota, like those of `System`.

    live: another instance, which processes an event every ten seconds; None for no events.
    """

    taken: list[tuple[float, Lane]] = field(default_factory=list)
    live: Clinic | None = None
    crashing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positions: WatchedCheckpoints = WatchedCheckpoints(self.documents)
        self._next_event = self.simulator.clock.now() + EVENT_SECONDS

    def parts(self) -> Parts:
        waiting = WaitingLimiter(self.allowance, self.now, self.sleep)
        api = self.drchrono.in_lane(Lane.BACKGROUND, waiting)
        children = self.refresh(Lane.BACKGROUND)
        children._api = api
        lists = _CrashingLists(api, self.positions) if self.crashing else api
        return replace(super().parts(), lists=lists, children=children, waiting=waiting)

    def sleep(self, seconds: float) -> None:
        clock = self.simulator.clock
        until = clock.now() + seconds
        while self.live is not None and self._next_event <= until:
            clock.advance(max(0.0, self._next_event - clock.now()))
            self._next_event += EVENT_SECONDS
            self._event(self.live)
        clock.advance(max(0.0, until - clock.now()))

    def _event(self, live: Clinic) -> None:
        changed = self.simulator.change("patients", webhook=False)
        event = encode(Change("PATIENT_MODIFY", "patients", str(changed["id"]), "delivery", self.now()))
        handle({"message": {"data": base64.b64encode(event).decode()}}, live.store())


class _CrashingLists:
    def __init__(self, api: Any, positions: WatchedCheckpoints) -> None:
        self._api, self._positions = api, positions

    def list_changed(self, kind: Kind, **named: Any) -> Iterator[Page]:
        return self._counted(kind, self._api.list_changed(kind, **named))

    def list_practice(self, kind: Kind, **named: Any) -> Iterator[Page]:
        return self._counted(kind, self._api.list_practice(kind, **named))

    def _counted(self, kind: Kind, pages: Iterator[Page]) -> Iterator[Page]:
        for page in pages:
            self._positions.count(kind, page)
            yield page


@contextmanager
def empty(
    form: str, quota: str, patients: int, children: dict[str, int], *, events: bool, crashing: bool
) -> Iterator[Filling]:
    sizes = {
        "patients": patients,
        "appointments": 2 * patients,
        "notes": patients // 5,
        "children_of": children,
        # A list is ready after a time, not after a number of polls.
        "polls_until_complete": 0,
        "bulk_seconds": BULK_SECONDS,
    }
    with simulator(form=form, **sizes) as running, tempfile.TemporaryDirectory() as folder:

        def now() -> datetime:
            return datetime.fromtimestamp(running.clock.now(), timezone.utc)

        def sleep(seconds: float) -> None:
            running.clock.advance(seconds)

        documents = EmbeddedDocuments(Path(folder) / "store.sqlite3", now=now)
        running.quota.set(parse_quota(quota))
        taken: list[tuple[float, Lane]] = []

        def limiter(instance: str) -> Counting:
            limiter = RateLimiter(
                documents,
                parse_windows(quota),
                background_share=BACKGROUND_SHARE,
                now=now,
                sleep=sleep,
                instance=instance,
            )
            return Counting(limiter, now, taken)

        live = Clinic(running, documents, limiter("live")) if events else None
        yield Filling(running, documents, limiter("fill"), taken=taken, live=live, crashing=crashing)
