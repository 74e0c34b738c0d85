"""Instances that crash at every step of a refresh: the system recovers without a person.

The simulator tells whether a token works, how often a pair was rotated, and how often a dead token was used.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.emulators import Emulators
from local.secret_manager import SecretManagerStandIn
from shared.errors import SyncError, TokenRevoked
from shared.tokens.refresher import TokenRefresher
from shared.tokens.state import CLOCK_SKEW_SECONDS, LEASE_SECONDS
from shared.tokens.token import Granted, Token
from simulator import Config, Simulator
from tests.tokens.refresher_process import Services, serve

SECRET = "projects/p/secrets/drchrono-oauth-token"
STEPS = ("leased", "checked", "sent", "answered", "stored", "recorded", "destroyed")
EXPIRED_SECONDS = LEASE_SECONDS + CLOCK_SKEW_SECONDS + 1

# The fork server has everything imported and no threads: starting a process takes milliseconds instead of a second.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.tokens.refresher_process"])


@dataclass
class Instance:
    process: Any
    pipe: Connection

    def outcomes(self) -> list[str]:
        """Return the outcome of each thread; none if the process died."""
        try:
            assert self.pipe.poll(60), "the instance hangs"
            return self.pipe.recv()  # type: ignore[no-any-return]
        except (EOFError, ConnectionResetError):
            self.process.join(10)
            return []


@dataclass
class Practice:
    sim: Simulator
    stand_in: SecretManagerStandIn
    services: Services
    clock_offset_seconds: float = 0.0
    instances: list[Instance] = field(default_factory=list)

    def token_refresher(self, step: Any = lambda _: None) -> TokenRefresher:
        """Return an instance in this process."""
        return self.services.token_refresher(
            clock_offset_seconds=lambda: self.clock_offset_seconds, owner="in-process", step=step
        )

    def authorize(self) -> str:
        issued = self.sim.issue_token()
        self.token_refresher().adopt(
            Granted(issued["access_token"], issued["refresh_token"], issued["expires_in"], issued["scope"])
        )
        return str(issued["access_token"])

    def start(self, count: int) -> list[Instance]:
        started = []
        for _ in range(count):
            ours, theirs = FORKS.Pipe()
            process = FORKS.Process(target=serve, args=(self.services, theirs), daemon=True)
            process.start()
            theirs.close()
            started.append(Instance(process, ours))
        self.instances += started
        return started

    def ask(self, instances: list[Instance], *, threads: int = 1, crash_at: str = "") -> list[list[str]]:
        """Let all instances send requests at once, each from `threads` threads. They die at the step `crash_at`."""
        for instance in instances:
            instance.pipe.send((self.clock_offset_seconds, threads, crash_at))
        return [instance.outcomes() for instance in instances]

    def advance(self, seconds: float) -> None:
        self.sim.clock.advance(seconds)
        self.clock_offset_seconds += seconds

    def tokens(self) -> tuple[int, int]:
        """Return how many pairs were rotated, and how many dead refresh tokens were used."""
        counts = self.sim.stats()["tokens"]
        return counts["refreshed"], counts["dead_refresh_used"]

    def stop(self) -> None:
        for instance in self.instances:
            instance.pipe.close()
        for instance in self.instances:
            instance.process.join(10)
            instance.process.kill()
            instance.process.join()


@contextmanager
def practice(store: dict[str, Any], grace_seconds: float = 0) -> Iterator[Practice]:
    with ExitStack() as stack:
        sim = stack.enter_context(Simulator(Config(patients=0, form="live", grace_seconds=grace_seconds)))
        stand_in = stack.enter_context(SecretManagerStandIn())
        stand_in.secrets.create(SECRET)
        made = Practice(sim, stand_in, Services(drchrono_url=sim.url, secrets_address=stand_in.address, **store))
        stack.callback(made.stop)
        yield made


@pytest.fixture
def on_emulator(emulators: Emulators, project: str) -> dict[str, Any]:
    return {"firestore_host": emulators.environment["FIRESTORE_EMULATOR_HOST"], "project": project}


@pytest.fixture
def on_embedded(tmp_path: Path) -> dict[str, Any]:
    return {"file": tmp_path / "store.sqlite3"}


def let_one_crash(made: Practice, instances: list[Instance], step: str) -> list[str]:
    """Let all instances need a new token at once. The lease holder dies at `step`. Return the others' outcomes."""
    made.sim.tokens.expire_access()
    outcomes = made.ask(instances, crash_at=step)
    assert outcomes.count([]) == 1
    return list(itertools.chain(*outcomes))


def use_all(made: Practice) -> set[str]:
    """Return the outcomes of the survivors and of a new instance after the dead instance's lease has expired.

    They ask again if another instance refreshes for longer than they wait (a twentieth of a second here).
    """
    made.advance(EXPIRED_SECONDS)
    survivors = [instance for instance in made.instances if instance.process.is_alive()]
    asked = survivors + made.start(1)
    for _ in range(50):
        outcomes = set(itertools.chain(*made.ask(asked)))
        if "token_unavailable" not in outcomes:
            break
    return outcomes


def check_recovery(made: Practice, count: int, step: str) -> None:
    made.authorize()
    meanwhile = let_one_crash(made, made.start(count), step)
    # Before the new version is recorded, the lease of the dead instance blocks all others.
    assert set(meanwhile) <= {"token_unavailable", *(["works"] if step in ("recorded", "destroyed") else [])}
    if step == "answered":
        # The one window that no protocol closes: DrChrono rotated, and the new pair was lost with the instance.
        assert use_all(made) == {"token_revoked"}
        assert made.tokens() == (1, 1)
        with pytest.raises(TokenRevoked, match=r"answer to a token refresh was lost.*python -m ops authorize"):
            made.token_refresher().current()
        made.authorize()
    assert use_all(made) == {"works"}
    assert made.tokens() == (1, 1 if step == "answered" else 0)
    assert made.token_refresher().report().state == "ok"


@pytest.mark.emulator
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("count", [1, 2, 8])
def test_one_of_several_instances_crashes_at_a_step(on_emulator: dict[str, Any], count: int, step: str) -> None:
    with practice(on_emulator) as made:
        check_recovery(made, count, step)


@pytest.mark.parametrize("step", STEPS)
def test_one_of_two_instances_crashes_at_a_step_on_the_embedded_store(on_embedded: dict[str, Any], step: str) -> None:
    with practice(on_embedded) as made:
        check_recovery(made, 2, step)


@pytest.mark.emulator
def test_a_lost_answer_loses_no_pair_within_a_grace_period(on_emulator: dict[str, Any]) -> None:
    with practice(on_emulator, grace_seconds=600) as made:
        made.authorize()
        let_one_crash(made, made.start(2), "answered")
        assert use_all(made) == {"works"}
        assert made.tokens() == (1, 0)


@pytest.mark.emulator
def test_four_processes_of_four_threads_with_one_expired_token_refresh_once(on_emulator: dict[str, Any]) -> None:
    with practice({**on_emulator, "pace": 1}) as made:
        made.authorize()
        instances = made.start(4)
        made.sim.tokens.expire_access()
        assert made.ask(instances, threads=4) == [["works"] * 4] * 4
        assert made.tokens() == (1, 0)


class Crashed(BaseException):
    """Ends an instance in this process as a kill would: no handler for errors runs."""


def crashing_at(step: str) -> Any:
    def crash(name: str) -> None:
        if name == step:
            raise Crashed

    return crash


@pytest.mark.parametrize(("first", "second"), list(itertools.product(STEPS, STEPS)))
def test_two_instances_crash_one_after_the_other(on_embedded: dict[str, Any], first: str, second: str) -> None:
    with practice(on_embedded) as made:
        access_token = made.authorize()
        made.sim.tokens.expire_access()
        for step in (first, second):
            with suppress(Crashed, SyncError):
                made.token_refresher(crashing_at(step)).rejected(access_token)
            made.advance(EXPIRED_SECONDS)
        # The second instance loses an answer only if it sends a request. After `stored`, it recovers without one.
        lost = first == "answered" or (second == "answered" and first in ("leased", "checked", "sent"))
        if lost:
            with pytest.raises(TokenRevoked, match="lost"):
                made.token_refresher().rejected(access_token)
            access_token = made.authorize()
        else:
            access_token = made.token_refresher().rejected(access_token)
        assert made.sim.tokens.find_valid(access_token) is not None
        # A repeat that crashed before its answer was read is repeated again: each lost answer costs one dead token.
        refreshed, dead = made.tokens()
        assert refreshed == 1
        assert dead == (0 if not lost else 2 if (first, second) == ("answered", "answered") else 1)


def test_the_window_in_which_a_crash_loses_the_pair_is_measured(
    on_embedded: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with practice(on_embedded) as made:
        made.authorize()
        times = {}

        def note(step: str) -> None:
            times[step] = datetime.now(timezone.utc)

        made.token_refresher(note).refresh_if_due(force=True)
    assert '"message": "token.stored"' in capsys.readouterr().out
    assert times["answered"] < times["stored"]


FAILURES = st.one_of(
    st.tuples(st.just("crash"), st.sampled_from(STEPS)),
    st.tuples(st.just("endpoint"), st.sampled_from(["503", "429", "reset", "garbage", "drop_after_write", "truncate"])),
    st.tuples(st.just("secret"), st.sampled_from([1, 5, 10])),
    st.tuples(st.just("wait"), st.sampled_from([1, 70, EXPIRED_SECONDS, 86_400])),
    st.tuples(st.just("expire"), st.none()),
)


class Three:
    """Three instances in this process. One that crashes is replaced."""

    def __init__(self, made: Practice) -> None:
        self.made = made
        self.crash_step = ""
        self.lost = False
        self.instances = [made.token_refresher(self.step) for _ in range(3)]
        self.held = [token_refresher.current() for token_refresher in self.instances]

    def step(self, name: str) -> None:
        if name == self.crash_step:
            raise Crashed

    def ask(self, number: int) -> None:
        """Let one instance get a token for a request. DrChrono rejects the one it has if that is dead."""
        rotated, _ = self.made.tokens()
        carried = self.instances[number]._refresh._unstored is not None
        try:
            if not self.works(self.held[number]):
                self.held[number] = self.instances[number].rejected(self.held[number])
            self.held[number] = self.instances[number].current()
        except SyncError:
            pass
        except Crashed:
            self.instances[number] = self.made.token_refresher(self.step)
            self.lost = self.lost or (carried and not self.is_stored())
        new = self.made.tokens()[0] > rotated
        self.lost = self.lost or (new and not self.is_stored() and self.instances[number]._refresh._unstored is None)

    def works(self, access_token: str) -> bool:
        return self.made.sim.tokens.find_valid(access_token) is not None

    def is_stored(self) -> bool:
        """Return whether the newest version holds the pair with the valid refresh token."""
        token = Token.from_json(self.made.stand_in.secrets.access(SECRET, "latest")[1].decode())
        return token is not None and not self.made.sim.tokens._by_refresh[token.refresh_token].revoked


@settings(max_examples=30)
@given(st.lists(st.tuples(FAILURES, st.integers(min_value=0, max_value=2)), min_size=1, max_size=8))
def test_a_pair_is_lost_only_with_the_answer_that_held_it(
    tmp_path_factory: pytest.TempPathFactory, failures: list[tuple[tuple[str, Any], int]]
) -> None:
    """Each failure meets one of three instances, which then asks for a token."""
    with practice({"file": tmp_path_factory.mktemp("token_refresher") / "store.sqlite3"}) as made:
        made.authorize()
        three = Three(made)
        for (failure, detail), number in failures:
            three.crash_step = detail if failure == "crash" else ""
            if failure == "endpoint":
                made.sim.faults.set([{"match": {"path": "/o/token"}, "fault": detail, "times": 1}], replace=True)
            elif failure == "secret":
                made.stand_in.secrets.fail("AddSecretVersion", grpc.StatusCode.UNAVAILABLE, times=detail)
            elif failure == "wait":
                made.advance(detail)
            elif failure == "expire":
                made.sim.tokens.expire_access()
            three.ask(number)
        # The failures end, leases and pauses expire, and all instances ask again.
        three.crash_step = ""
        made.sim.faults.set([], replace=True)
        made.stand_in.secrets.heal()
        made.advance(2 * 3600)
        for number in (0, 1, 2) * 3:
            three.ask(number)
            made.advance(EXPIRED_SECONDS)
        assert [three.works(access_token) for access_token in three.held] == [not three.lost] * 3
        assert made.token_refresher().report().state == ("lost" if three.lost else "ok")
