"""One quota for all instances: both stores, clocks that differ, killed processes, cooldowns, and hours of traffic."""

from __future__ import annotations

import contextlib
import heapq
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quota import Task, finish, start
from shared.documents import Data, Documents, Snapshot, Transaction, Where
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.rate_limit.document import QUOTA
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import LONGEST_WAIT_SECONDS, RateLimiter
from shared.rate_limit.windows import IN_FLIGHT_SECONDS, Window, parse_windows
from simulator import Config, Simulator
from simulator.quota import LIMITERS, Quota, parse_quota
from workstation.embedded_documents import EmbeddedDocuments

T = TypeVar("T")

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Clock:
    """Moved by the test, and by `sleep`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def skewed(self, seconds: float) -> Callable[[], datetime]:
        return lambda: self.now() + timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def documents(documents: Documents, clock: Clock) -> Documents:
    """Both stores, with the test's clock as the store's time."""
    return Watched(documents, now=clock.now)


@pytest.fixture
def embedded(embedded: Documents, clock: Clock) -> Documents:
    return Watched(embedded, now=clock.now)


def limiter(documents: Documents, clock: Clock, instance: str = "a", quota: str = "100/minute") -> RateLimiter:
    windows = parse_windows(quota)
    return RateLimiter(documents, windows, background_share=0.8, now=clock.now, sleep=clock.sleep, instance=instance)


def take(one: RateLimiter, lane: Lane, most: int = 1000) -> int:
    """Return how many requests are permitted without waiting."""
    for count in range(most):
        try:
            one.acquire(lane, wait_seconds=0)
        except QuotaExhausted:
            return count
    return most


def test_the_limit_is_kept_by_all_instances_together(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    assert take(first, Lane.LIVE, 60) == 60
    assert take(second, Lane.LIVE) + take(first, Lane.LIVE) == 40


def test_background_leaves_a_fifth_to_live_events(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    one.acquire(Lane.LIVE)
    assert take(one, Lane.BACKGROUND) == 79
    assert take(one, Lane.LIVE) == 20


@pytest.mark.parametrize("quota", ["100/minute", "500/hour", "100/minute burst 10"])
def test_a_flood_of_live_requests_leaves_background_work_half_of_its_share(
    embedded: Documents, clock: Clock, quota: str
) -> None:
    """The flood takes whatever it gets, at every step. Background work asks during one minute of five."""
    flood, job = limiter(embedded, clock, "flood", quota), limiter(embedded, clock, "job", quota)
    (window,) = parse_windows(quota)
    hours, used = 4, 0
    while clock.seconds < hours * 3600:
        take(flood, Lane.LIVE)
        if clock.seconds >= 3600 and clock.seconds % 300 < 60:
            used += take(job, Lane.BACKGROUND)
        clock.seconds += 5
    # Half of 80 %, of each window in which it asked.
    asked_in = (hours - 1) * (12 if window.seconds == 60 else 1)
    assert used >= asked_in * window.limit * 0.4 * (0.5 if window.burst else 0.9)


def test_background_uses_the_reserve_while_no_live_events_come(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    used = 0
    for _ in range(61):
        used += take(one, Lane.BACKGROUND)
        clock.seconds += 1
    assert used == 99
    one.acquire(Lane.LIVE, wait_seconds=0)  # one request in a hundred is kept for the first live event


def test_a_live_event_waits_seconds_after_background_used_everything(documents: Documents, clock: Clock) -> None:
    background, live = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    for _ in range(600):
        take(background, Lane.BACKGROUND)
        clock.seconds += 0.5
    began = clock.seconds
    for _ in range(3):
        live.acquire(Lane.LIVE, wait_seconds=10)
        take(background, Lane.BACKGROUND)
    assert clock.seconds - began < 10


def test_a_refusal_states_when_the_next_request_is_free(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    take(one, Lane.LIVE)
    clock.seconds = 20
    with pytest.raises(QuotaExhausted) as refused:
        one.acquire(Lane.LIVE)
    assert clock.seconds == 20
    until = (refused.value.until - NOON).total_seconds()
    assert 60 + IN_FLIGHT_SECONDS <= until <= 62.5
    clock.seconds = until
    one.acquire(Lane.LIVE, wait_seconds=0)


def test_acquire_waits_seconds_but_not_longer(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock, quota="5/second")
    take(one, Lane.LIVE)
    one.acquire(Lane.LIVE)
    assert 1.0 <= clock.seconds <= LONGEST_WAIT_SECONDS


def test_an_idle_system_writes_nothing(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock)
    one.acquire(Lane.LIVE)
    assert counted.transactions == 1
    before = documents.get(QUOTA)
    clock.seconds += 7200
    one.state()
    assert documents.get(QUOTA) == before


def test_a_busy_instance_writes_about_once_a_second(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock, quota="3000/minute")
    for _ in range(400):
        one.acquire(Lane.BACKGROUND)
        clock.seconds += 0.05
    assert counted.transactions <= 20 + 6  # one a second, and a few while the batches grow


def test_reserved_requests_that_are_not_needed_are_returned(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    take(one, Lane.LIVE, 35)  # batches double, so some of the last one are left
    assert one.state().windows[0].used == 63
    clock.seconds += 1.9
    one.acquire(Lane.BACKGROUND)
    assert one.state().windows[0].used == 35 + 1 + 5  # 4 of the last reservation were sent: that pace needs 5


def test_requests_reserved_by_a_dead_instance_count_as_sent_and_become_free_in_time(
    documents: Documents, clock: Clock
) -> None:
    dead, other = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    take(dead, Lane.LIVE, 35)
    reserved = other.state().windows[0].used - 35
    assert reserved > 0
    assert take(other, Lane.LIVE) == 100 - 35 - reserved
    clock.seconds = 60 + IN_FLIGHT_SECONDS + 5 + 1
    assert take(other, Lane.LIVE) == 100


def test_reserved_requests_are_not_sent_after_the_reservation_ended(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock)
    take(one, Lane.LIVE, 20)
    clock.seconds += 30
    before = counted.transactions
    one.acquire(Lane.LIVE)
    assert counted.transactions == before + 1


@pytest.mark.parametrize("skew", [-3600.0, -4.9, -2.0, 2.0, 4.9, 3600.0])
def test_a_clock_that_is_ahead_or_behind_frees_no_request_too_early(
    documents: Documents, clock: Clock, skew: float
) -> None:
    first = limiter(documents, clock, "a")
    other = RateLimiter(
        documents,
        parse_windows("100/minute"),
        background_share=0.8,
        now=clock.skewed(skew),
        sleep=clock.sleep,
        instance="b",
    )
    assert take(first, Lane.LIVE) == 100
    clock.seconds = 60.9
    assert take(other, Lane.LIVE) == 0
    clock.seconds = 80
    assert take(other, Lane.LIVE) == 100
    clock.seconds = 80 + 60.9
    assert take(first, Lane.LIVE) == 0


def test_a_cooldown_stops_every_instance_within_a_second(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    take(first, Lane.LIVE, 33)
    take(second, Lane.LIVE, 33)
    assert second.state().reserved > 0
    first.throttled(clock.now() + timedelta(minutes=45))
    assert take(first, Lane.LIVE) == 0
    clock.seconds += 0.8
    with pytest.raises(QuotaExhausted) as refused:
        second.acquire(Lane.LIVE)
    assert refused.value.until == clock.now() + timedelta(minutes=45, seconds=-0.8)
    assert second.state().cooldown_until == refused.value.until


def test_after_a_cooldown_one_request_probes_and_then_the_others_follow(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    first.throttled(clock.now() + timedelta(seconds=90))
    clock.seconds = 90
    assert take(second, Lane.BACKGROUND) + take(first, Lane.LIVE) + take(second, Lane.LIVE) == 1
    clock.seconds = 92.5
    assert take(first, Lane.LIVE, 50) == 50


def test_a_refused_probe_starts_another_cooldown(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    first.throttled(clock.now() + timedelta(seconds=90))
    clock.seconds = 90
    assert take(first, Lane.LIVE) == 1
    first.throttled(clock.now() + timedelta(seconds=60))
    clock.seconds = 149
    assert take(first, Lane.LIVE) + take(second, Lane.LIVE) == 0
    clock.seconds = 150
    assert take(second, Lane.LIVE) + take(first, Lane.LIVE) == 1


def test_many_429s_at_once_are_one_cooldown(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock)
    for late in range(20):
        one.throttled(NOON + timedelta(seconds=30, milliseconds=late))
    assert counted.transactions == 1


def test_a_failing_store_permits_no_request(documents: Documents, clock: Clock) -> None:
    flaky = Watched(documents)
    one = limiter(flaky, clock)
    flaky.broken = "before"
    with pytest.raises(StoreUnavailable):
        one.acquire(Lane.LIVE)


def test_reserved_requests_are_not_sent_when_the_reservation_cannot_be_checked(
    documents: Documents, clock: Clock
) -> None:
    flaky = Watched(documents)
    one = limiter(flaky, clock)
    take(one, Lane.LIVE, 33)
    flaky.broken = "before"
    clock.seconds += 0.8
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            one.acquire(Lane.LIVE)


def test_a_commit_whose_response_was_lost_neither_costs_nor_frees_requests(documents: Documents, clock: Clock) -> None:
    flaky = Watched(documents)
    one = limiter(flaky, clock)
    used = take(one, Lane.LIVE, 31)
    flaky.broken = "after"
    with pytest.raises(StoreUnavailable):
        one.acquire(Lane.LIVE, wait_seconds=0)
    flaky.broken = ""
    assert used + take(one, Lane.LIVE) == 100


def test_an_instance_that_cannot_store_a_cooldown_stops_and_stores_it_later(documents: Documents, clock: Clock) -> None:
    flaky = Watched(documents)
    first, second = limiter(flaky, clock, "a"), limiter(documents, clock, "b")
    flaky.broken = "before"
    first.throttled(clock.now() + timedelta(seconds=60))
    with pytest.raises(StoreUnavailable):
        first.acquire(Lane.LIVE)
    flaky.broken = ""
    with pytest.raises(QuotaExhausted):
        first.acquire(Lane.LIVE)
    assert take(second, Lane.LIVE) == 0


def test_the_state_shows_what_is_used(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock, quota="10/second,500/hour")
    assert [(window.limit, window.used) for window in one.state().windows] == [(10, 0), (500, 0)]
    one.acquire(Lane.LIVE)
    state = one.state()
    assert [(window.limit, window.used) for window in state.windows] == [(10, 1), (500, 1)]
    assert (state.live_at, state.cooldown_until, state.holders, state.reserved) == (NOON, None, 1, 1)


def test_the_quota_is_logged_once_a_minute_and_a_cooldown_when_it_starts(
    embedded: Documents, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    one = limiter(embedded, clock)
    for _ in range(20):
        one.acquire(Lane.LIVE)
        clock.seconds += 5
    one.throttled(clock.now() + timedelta(seconds=30))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["quota.state", "quota.state", "quota.cooldown"]
    assert (lines[0]["quota_left"], lines[0]["share"]) == (99, 0.01)
    assert lines[2]["seconds"] == 30


class Watched:
    """A store that counts its transactions, takes time, fails on demand, and reads on the clock of the test."""

    def __init__(
        self,
        documents: Documents,
        *,
        now: Callable[[], datetime] | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._documents = documents
        self._now = now
        self._pause = pause
        self.transactions = 0
        self.broken = ""

    def get(self, path: str) -> Data | None:
        return self._documents.get(path)

    def snapshot(self, path: str) -> Snapshot:
        if self.broken:
            raise StoreUnavailable("broken by the test")
        return self.read(self._documents, path)

    def read(self, source: Documents | Transaction, path: str) -> Snapshot:
        self._pause()
        found = source.snapshot(path)
        if self._now is not None:
            found = Snapshot(found.data, self._now())
        self._pause()
        return found

    def transact(self, work: Callable[[Transaction], T]) -> T:
        self.transactions += 1
        if self.broken == "before":
            raise StoreUnavailable("broken by the test")
        result = self._documents.transact(lambda transaction: work(WatchedTransaction(transaction, self)))
        self._pause()
        if self.broken == "after":
            raise StoreUnavailable("broken by the test")
        return result

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        raise NotImplementedError

    def each(self, work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
        raise NotImplementedError

    def query(self, collection: str, where: Sequence[Where] = (), **rest: Any) -> Iterator[tuple[str, Data]]:
        raise NotImplementedError

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        raise NotImplementedError


class WatchedTransaction:
    def __init__(self, transaction: Transaction, watched: Watched) -> None:
        self._transaction, self._watched = transaction, watched

    def get(self, path: str) -> Data | None:
        return self._transaction.get(path)

    def snapshot(self, path: str) -> Snapshot:
        return self._watched.read(self._transaction, path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        raise NotImplementedError

    def create(self, path: str, data: Data) -> None:
        self._transaction.create(path, data)

    def set(self, path: str, data: Data) -> None:
        self._transaction.set(path, data)

    def update(self, path: str, data: Data) -> None:
        self._transaction.update(path, data)

    def delete(self, path: str) -> None:
        self._transaction.delete(path)


class Fleet:
    """Instances with skewed clocks on one store, in true time that the test advances. The store reads on true time.

    Each permitted request arrives at once or as late as IN_FLIGHT_SECONDS allows. Each half of a store call takes up to
    `slow` seconds.
    """

    def __init__(
        self, store: Documents, quota: str, skews: Sequence[float], *, seed: int = 1, slow: float = 0.1
    ) -> None:
        self.clock = Clock()
        self.random = random.Random(seed)
        self.store = Watched(store, now=self.clock.now, pause=lambda: self.clock.sleep(self.random.uniform(0, slow)))
        self.quota = quota
        self.skews = list(skews)
        self.born = 0
        self.instances: list[RateLimiter] = []
        for number in range(len(skews)):
            self.instances.append(self.start(number))
        self.arrivals: list[float] = []

    def start(self, number: int) -> RateLimiter:
        self.born += 1
        return RateLimiter(
            self.store,
            parse_windows(self.quota),
            background_share=0.8,
            now=self.clock.skewed(self.skews[number]),
            sleep=self.clock.sleep,
            instance=f"instance {self.born}",
        )

    def kill(self, number: int) -> None:
        """Replace the instance; what it reserved is lost."""
        self.instances[number] = self.start(number)

    def send(self, number: int, lane: Lane) -> float | None:
        """Send one request without waiting. If refused, return the true time at which to ask again."""
        try:
            self.instances[number].acquire(lane, wait_seconds=0)
        except QuotaExhausted as exhausted:
            return (exhausted.until - NOON).total_seconds() - self.skews[number]
        self.arrivals.append(self.clock.seconds + self.random.choice([0.0, IN_FLIGHT_SECONDS]))
        return None

    def saturate(self, seconds: float, *, workers: int = 5, live_per_second: float = 0.0) -> list[float]:
        """Run a backfill on every instance and random live events. Return how long each live event waited, sorted."""
        waits = []
        queue: list[tuple[float, int, int, float | None]] = []
        end = self.clock.seconds + seconds
        for number in range(len(self.instances) * workers):
            queue.append((self.clock.seconds, len(queue), number % len(self.instances), None))
        when = self.clock.seconds
        while live_per_second and (when := when + self.random.expovariate(live_per_second)) < end:
            queue.append((when, len(queue), self.random.randrange(len(self.instances)), when))
        heapq.heapify(queue)
        while queue[0][0] < end:
            when, order, number, came = heapq.heappop(queue)
            self.clock.seconds = max(self.clock.seconds, when)
            again = self.send(number, Lane.BACKGROUND if came is None else Lane.LIVE)
            if again is None and came is not None:
                waits.append(self.clock.seconds - came)
                continue
            pause = self.random.uniform(0.02, 0.4) if again is None else 0.01
            heapq.heappush(queue, (max(self.clock.seconds + pause, again or 0.0), order, number, came))
        return sorted(waits)

    def refused(self) -> int:
        """Return how many requests DrChrono's possible limiters would have refused."""
        count = 0
        windows, _, burst = self.quota.partition(" burst ")
        for kind in LIMITERS:
            limiter = Quota(parse_quota(windows, kind, int(burst or 0) if kind == "bucket" else 0))
            count += sum(limiter.admit(NOON.timestamp() + arrival) > 0 for arrival in sorted(self.arrivals))
        return count

    def used(self, window: Window, since: float) -> float:
        """Return the part used of what the window allowed from `since`, in true time."""
        sent = sum(arrival >= since for arrival in self.arrivals)
        return sent / (window.limit * (self.clock.seconds - since) / window.seconds)


skews = st.lists(st.floats(-2.5, 2.5) | st.floats(-3600, 3600), min_size=3, max_size=3)
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.9, 2.5, 11.0, 57.0, 61.0, 62.0, 3600.0]) | st.floats(0, 70),
        st.integers(0, 2),
        st.sampled_from([Lane.LIVE, Lane.LIVE, Lane.BACKGROUND]),
        st.integers(1, 60),
        st.sampled_from(["", "", "", "", "kill", "after", "throttled"]),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["20/minute", "7/second,30/minute", "5/second", "40/hour", "60/minute burst 6"]),
    skews,
    steps,
    st.integers(0, 99),
)
def test_no_limiter_refuses_a_request_in_any_history(
    tmp_path_factory: pytest.TempPathFactory,
    quota: str,
    skews: list[float],
    steps: list[tuple[float, int, Lane, int, str]],
    seed: int,
) -> None:
    """Killed instances, lost responses, cooldowns, clocks that differ by up to two hours, a slow store and network."""
    store = EmbeddedDocuments(tmp_path_factory.mktemp("store") / "store.sqlite3")
    fleet = Fleet(store, quota, skews, seed=seed, slow=0.4)
    for later, number, lane, burst, event in steps:
        fleet.clock.sleep(later)
        if event == "kill":
            fleet.kill(number)
        if event == "throttled":
            fleet.instances[number].throttled(fleet.clock.skewed(fleet.skews[number])() + timedelta(seconds=5))
        fleet.store.broken = event if event == "after" else ""
        for _ in range(burst):
            with contextlib.suppress(StoreUnavailable):
                fleet.send(number, lane)
            fleet.clock.sleep(0.01)
    assert fleet.refused() == 0


@pytest.mark.parametrize(
    ("quota", "binding", "hours", "least"),
    [
        ("100/minute", Window(100, 60), 1.0, 0.95),
        ("10/second,500/hour", Window(500, 3600), 8.0, 0.95),
        # Reserved requests are missing from the small bucket until they are sent or returned.
        ("100/minute burst 10", Window(100, 60, 10), 1.0, 0.93),
    ],
)
def test_over_hours_a_backfill_uses_nearly_all_with_few_transactions_and_no_refusal(
    embedded: Documents, quota: str, binding: Window, hours: float, least: float
) -> None:
    fleet = Fleet(embedded, quota, skews=[0.0, 2.0, -2.0, 1.0])
    fleet.saturate(hours * 3600)
    assert fleet.refused() == 0
    assert fleet.used(binding, since=binding.seconds) >= least
    assert fleet.store.transactions <= 2 * hours * 3600


def test_live_events_do_not_wait_for_a_backfill(embedded: Documents) -> None:
    fleet = Fleet(embedded, "100/minute", skews=[0.0, 0.0, 0.0, 0.0])
    waits = fleet.saturate(1200, live_per_second=15 / 60)
    assert fleet.refused() == 0
    assert len(waits) > 200
    assert waits[int(len(waits) * 0.95)] < 2.0


def test_a_live_event_after_a_quiet_hour_does_not_wait_for_a_backfill(embedded: Documents) -> None:
    fleet = Fleet(embedded, "100/minute", skews=[0.0, 0.0, 0.0, 0.0])
    fleet.saturate(600)
    waits = fleet.saturate(600, live_per_second=5 / 60)
    assert fleet.refused() == 0
    assert waits[-1] < 5.0


@pytest.fixture(params=["embedded", pytest.param("firestore", marks=pytest.mark.emulator)])
def store(request: pytest.FixtureRequest, tmp_path: Path, project: str) -> str:
    """The store as the processes find it: a file, or a project of the emulator."""
    if request.param == "embedded":
        return str(tmp_path / "store.sqlite3")
    request.getfixturevalue("emulators")
    return project


def started(simulator: Simulator, store: str, quota: str, skews: Sequence[float]) -> list[subprocess.Popen[str]]:
    token = simulator.issue_token()["access_token"]
    return [
        start(
            Task(
                instance=f"instance {number}",
                gate="shared",
                url=simulator.url,
                token=token,
                store=store,
                quota=quota,
                seconds=3.0,
                skew_seconds=skew,
            )
        )
        for number, skew in enumerate(skews)
    ]


def test_twenty_workers_in_four_processes_are_never_refused_though_one_is_killed(store: str) -> None:
    """On the real clock and the store's own time; a process dies with requests reserved; clocks differ by hours."""
    quota = "300/second,400/minute"
    with Simulator(Config(patients=5, quota=quota, limiter="sliding")) as simulator:
        processes = started(simulator, store, quota, skews=[0.0, 3600.0, -2.0, 0.0])
        while simulator.stats()["requests"] < 20 and processes[0].poll() is None:
            time.sleep(0.01)
        processes[0].kill()
        processes[0].communicate()
        for process in processes[1:]:
            finish(process)
        by_status = simulator.stats()["by_status"]
    assert by_status.keys() == {"200"}
    assert by_status["200"] <= 400


def test_an_unexpected_429_stops_all_processes_until_the_stated_time_and_then_one_probes(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with Simulator(Config(patients=5, json_log=log)) as simulator:
        simulator.faults.set([{"fault": "429", "times": 1, "after": 100, "retry_after": 2}], replace=True)
        for process in started(
            simulator, str(tmp_path / "store.sqlite3"), "1000/second", skews=[0.0, 1.0, -3600.0, 0.0]
        ):
            finish(process)
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in seen]
    refused = [when for when, line in zip(times, seen, strict=True) if line["status"] == "429"]
    assert len(refused) == 1
    after = [when - refused[0] for when in times]
    assert not [seconds for seconds in after if 1.5 < seconds < 2.0]
    assert len([seconds for seconds in after if 2.0 <= seconds < 3.5]) <= 1
