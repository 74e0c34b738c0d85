"""DrChrono's client, imitated: answers out of a `World`, seconds old, and now and then an error instead.

It is what `shared.records.refresh.Api` and `shared.jobs.run.Lists` ask for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Fetched, Page
from shared.errors import (
    BulkNotReady,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    ServerError,
    Throttled,
    TokenUnavailable,
    Unreachable,
)
from tests.model.scheduler import Scheduler
from tests.model.world import State, World, is_alive, utc

UUID_AGE_SECONDS = 3600.0


@dataclass
class Service:
    """What all clients share. lag_seconds: the oldest answer. failures: the share of requests that fail.

    snapshots: whether a list of changes is made once, and its pages are cut from that.
    """

    world: World
    scheduler: Scheduler
    rng: random.Random
    lag_seconds: float
    failures: float
    snapshots: bool
    page_size: int
    trace: Callable[[str], None]
    made: dict[str, tuple[float, datetime, list[dict[str, Any]]]] = field(default_factory=dict)

    def answer(self, what: str, now: Callable[[], datetime]) -> tuple[datetime, float]:
        """When a request was sent by the client's clock, and of which instant its answer tells. Raises what may go
        wrong.
        """
        began, sent = now(), self.scheduler.now
        self.scheduler.wait(self._latency())
        if self.rng.random() < self.failures:
            error = self._failure(what, now())
            self.trace(f"{what} failed: {error.reason}")
            raise error
        lag = self.rng.choice((0.0, 0.0, self.rng.random(), 1.0)) * self.lag_seconds
        instant = self.rng.uniform(sent, self.scheduler.now) - lag
        self.trace(f"{what} as of {utc(instant):%H:%M:%S.%f}, began {began:%H:%M:%S.%f}")
        return began, instant

    def _latency(self) -> float:
        if self.rng.random() < 0.05:
            return self.rng.uniform(2.0, 30.0)
        return self.rng.uniform(0.05, 1.5)

    def _failure(
        self, what: str, now: datetime
    ) -> ServerError | Throttled | QuotaExhausted | Unreachable | MalformedAnswer | TokenUnavailable:
        until = now + timedelta(seconds=self.rng.choice((2.0, 30.0, 600.0)))
        return self.rng.choice(
            (
                ServerError(what, status=500),
                ServerError(what, status=502),
                Unreachable(what),
                MalformedAnswer(what, status=200),
                Throttled(what, until=until),
                QuotaExhausted(until),
                TokenUnavailable("no token now"),
            )
        )


@dataclass(frozen=True)
class Client:
    """now: the clock of the instance that asks."""

    service: Service
    now: Callable[[], datetime]

    def get(self, kind: Kind, id: str) -> Fetched:  # noqa: A002 (DrChrono's word)
        what = f"GET {kind.name}/{id}"
        began, instant = self.service.answer(what, self.now)
        world = self.service.world
        loss = world.lost(kind.name, instant)
        state = world.at(kind.name, id, instant)
        unknown = kind.name == "clinical_notes" and not world.by_key
        if state is None or state.record is None or unknown or (loss is not None and loss.hidden):
            self.service.trace(f"{what}: 404")
            raise NotFound(what, status=404)
        self.service.trace(f"{what}: {state.record}")
        return Fetched(dict(state.record), began)

    def current_user(self) -> dict[str, Any]:
        self.service.answer("GET users/current", self.now)
        return {"id": 1, "permissions": {}}

    def list_by_patient(self, kind: Kind, patient: str) -> Iterator[Page]:
        def belongs(state: State) -> bool:
            return str((state.record or {}).get("patient")) == patient

        return self._pages(f"LIST {kind.name} of patient {patient}", kind, belongs)

    def list_practice(
        self, kind: Kind, *, doctor: str | None = None, page_size: int, resume: Mapping[str, Any] | None = None
    ) -> Iterator[Page]:
        return self._pages(f"LIST {kind.name}", kind, is_alive, resume)

    def list_notes(self, appointment: str) -> Iterator[Page]:
        def belongs(state: State) -> bool:
            return str((state.record or {}).get("appointment")) == appointment

        return self._pages(f"LIST notes of appointment {appointment}", KINDS["clinical_notes"], belongs)

    def list_changed(
        self,
        kind: Kind,
        *,
        since: str | None,
        window: tuple[str, str] | None = None,
        resume: Mapping[str, Any] | None = None,
        bulk: bool = True,
        archived: bool = False,
    ) -> Iterator[Page]:
        def belongs(state: State) -> bool:
            record = state.record or {}
            inside = window is None or window[0] <= record["scheduled_time"][:10] <= window[1]
            return inside and (since is None or state.stamp >= since) and (archived or is_alive(state))

        what = f"LIST {kind.name} since {since} in {window} archived {archived}"
        if self.service.snapshots and bulk and kind.name != "clinical_notes":
            return self._snapshot(what, kind, belongs, resume)
        return self._pages(what, kind, belongs, resume)

    def _pages(
        self, what: str, kind: Kind, belongs: Callable[[State], bool], resume: Mapping[str, Any] | None = None
    ) -> Iterator[Page]:
        """Each page is cut from the list as a replica has it when the page is asked for."""
        number = int(resume["page"]) if resume else 0
        while True:
            began, records = self._list(f"{what}, page {number}", kind, belongs)
            page = self._page(records, number, began, {})
            yield page
            if page.last:
                return
            number += 1

    def _snapshot(
        self, what: str, kind: Kind, belongs: Callable[[State], bool], resume: Mapping[str, Any] | None
    ) -> Iterator[Page]:
        number = int(resume["page"]) if resume else 0
        uuid = str(resume["uuid"]) if resume else ""
        while True:
            made = self.service.made.get(uuid)
            if made is None or self.service.scheduler.now - made[0] > UUID_AGE_SECONDS:
                began, records = self._list(what, kind, belongs)
                uuid = str(len(self.service.made))
                made = self.service.made[uuid] = (self.service.scheduler.now, began, records)
                if self.service.rng.random() < self.service.failures:
                    raise BulkNotReady(what, {"page": number, "uuid": uuid})
            else:
                self.service.answer(f"{what}, page {number} of list {uuid}", self.now)
            page = self._page(made[2], number, made[1], {"uuid": uuid})
            yield page
            if page.last:
                return
            number += 1

    def _list(self, what: str, kind: Kind, belongs: Callable[[State], bool]) -> tuple[datetime, list[dict[str, Any]]]:
        began, instant = self.service.answer(what, self.now)
        world = self.service.world
        lost = world.lost(kind.name, instant) is not None
        records = [dict(state.record or {}) for state in world.all_at(kind.name, instant) if belongs(state)]
        records = [] if lost else records
        self.service.trace(f"{what}: {records}")
        return began, records

    def _page(self, records: list[dict[str, Any]], number: int, began: datetime, more: Mapping[str, Any]) -> Page:
        first = number * self.service.page_size
        last = first + self.service.page_size >= len(records)
        resume = None if last else {"page": number + 1, **more}
        return Page(records[first : first + self.service.page_size], began, resume, len(records), last)
