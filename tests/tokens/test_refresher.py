"""The token refresher on both stores, against the simulator's token endpoint and the stand-in for Secret Manager.

All instances and the simulator share one virtual clock.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
import pytest

from local.secret_manager import SecretManagerStandIn
from local.secret_manager.secrets import State
from shared.cloud.secret_manager import SecretVersions, connect, legacy_tokens
from shared.documents import Data, Documents, Transaction
from shared.drchrono.client import DrChrono
from shared.errors import StoreUnavailable, TokenMissing, TokenRevoked, TokenUnavailable
from shared.rate_limit.ledger import Lane
from shared.settings import cloud_settings
from shared.tokens.endpoint import TokenEndpoint
from shared.tokens.refresher import TokenRefresher
from shared.tokens.token import Answer, Granted, Unknown
from simulator import Config, Simulator

SECRET = "projects/p/secrets/drchrono-oauth-token"
STATE = "sync_state/token"


@dataclass
class World:
    """One practice: DrChrono, its secrets, its documents. `steps` collects the completed steps of all instances."""

    sim: Simulator
    stand_in: SecretManagerStandIn
    documents: Documents
    steps: list[str] = field(default_factory=list)
    owners: int = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.sim.clock.now(), timezone.utc)

    def advance(self, seconds: float) -> None:
        self.sim.clock.advance(seconds)

    def endpoint(self) -> TokenEndpoint:
        return TokenEndpoint(
            url=self.sim.url, client_id="simulator-client", client_secret="simulator-secret", now=self.now
        )

    def instance(self, **changes: Any) -> TokenRefresher:
        """Return a new instance of the system with an empty memory."""
        self.owners += 1
        client = connect(
            cloud_settings({"GCP_PROJECT": "p", "SECRET_MANAGER_EMULATOR_HOST": self.stand_in.address}),
        )
        parts: dict[str, Any] = {
            "documents": self.documents,
            "secret": SecretVersions(client, project="p", secret="drchrono-oauth-token"),
            "refresh": self.endpoint().refresh,
            "now": self.now,
            "sleep": self.advance,
            "random": lambda: 0.5,
            "owner": f"instance-{self.owners}",
            "legacy_tokens": lambda: legacy_tokens(client, "p"),
            "step": self.steps.append,
        }
        return TokenRefresher(**{**parts, **changes})

    def authorize(self) -> str:
        """Authorize as `ops authorize` does, and return the access token."""
        code = self.sim.tokens.new_code("http://127.0.0.1:8765/callback", "patients:read user:read")
        granted = self.endpoint().exchange(code, "http://127.0.0.1:8765/callback")
        assert isinstance(granted, Granted)
        self.instance().adopt(granted)
        return granted.access_token

    def works(self, access_token: str) -> bool:
        return self.sim.tokens.find_valid(access_token) is not None

    def state(self) -> Data:
        data = self.documents.get(STATE)
        assert data is not None
        return data

    def edit(self, **fields: Any) -> None:
        self.documents.transact(lambda transaction: transaction.update(STATE, fields))

    def count(self, name: str) -> int:
        return int(self.sim.stats()["tokens"][name])

    def readable(self) -> list[int]:
        """Return the numbers of the versions that hold a payload."""
        return sorted(number for number, version in self.stand_in.secrets.shown(SECRET) if version.payload is not None)

    def fail_tokens(self, *faults: str) -> None:
        self.sim.faults.set(
            [{"match": {"path": "/o/token"}, "fault": fault, "times": 1} for fault in faults], replace=True
        )


@contextmanager
def practice(documents: Documents, grace_seconds: float = 0) -> Iterator[World]:
    config = Config(patients=0, form="live", clock="virtual", grace_seconds=grace_seconds)
    with Simulator(config) as sim, SecretManagerStandIn() as stand_in:
        stand_in.secrets.create(SECRET)
        yield World(sim, stand_in, documents)


@pytest.fixture
def world(documents: Documents) -> Iterator[World]:
    with practice(documents) as made:
        yield made


@pytest.fixture
def lenient(documents: Documents) -> Iterator[World]:
    """A DrChrono with a grace period, in which it accepts a spent refresh token again."""
    with practice(documents, grace_seconds=600) as made:
        yield made


HALF = 86_400 + 1  # of a live token's two days


class TestServing:
    def test_without_an_authorization_the_error_names_the_command(self, world: World) -> None:
        with pytest.raises(TokenMissing, match="python -m ops authorize"):
            world.instance().current()
        assert world.documents.get(STATE) is None

    def test_an_authorized_token_is_served_to_every_instance(self, world: World) -> None:
        access_token = world.authorize()
        assert world.instance().current() == access_token
        assert world.works(access_token)

    def test_a_cached_token_is_served_without_reading_anything(self, world: World) -> None:
        access_token = world.authorize()
        counting = Counting(world.documents)
        token_refresher = world.instance(documents=counting)
        token_refresher.current()
        before = counting.calls
        world.stand_in.secrets.denied.add("secretmanager.versions.access")
        assert {token_refresher.current() for _ in range(100)} == {access_token}
        assert counting.calls == before == 1

    def test_an_expired_token_is_refreshed_before_it_is_served(self, world: World) -> None:
        before = world.authorize()
        token_refresher = world.instance()
        assert token_refresher.current() == before
        world.advance(172_800 - 299)
        after = token_refresher.current()
        assert after != before
        assert world.works(after)
        assert not world.works(before)
        assert world.steps == ["leased", "checked", "sent", "answered", "stored", "recorded", "destroyed"]

    def test_the_old_version_is_destroyed_and_the_state_names_the_new(self, world: World) -> None:
        world.authorize()
        assert world.instance().refresh_if_due(force=True).generation == 2
        assert world.readable() == [2]
        assert world.state()["version"] == 2
        assert world.state()["state"] == "ok"

    def test_the_pair_is_stored_as_one_json_value(self, world: World) -> None:
        world.authorize()
        stored = json.loads(world.stand_in.secrets.access(SECRET, "1")[1])
        assert sorted(stored) == [
            "access_token",
            "expires_at",
            "generation",
            "obtained_at",
            "refresh_token",
            "scope",
        ]

    def test_no_secret_is_in_the_document_or_the_report(self, world: World) -> None:
        world.authorize()
        stored = json.loads(world.stand_in.secrets.access(SECRET, "1")[1])
        shown = repr(world.state()) + repr(world.instance().report())
        assert stored["access_token"] not in shown
        assert stored["refresh_token"] not in shown


class Counting:
    """Counts the calls of documents."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        self.calls += 1
        return getattr(self._documents, name)


class TestRejected:
    def test_a_pair_that_another_instance_replaced_is_read_again_without_a_refresh(self, world: World) -> None:
        first = world.authorize()
        token_refresher = world.instance()
        token_refresher.current()
        world.instance().refresh_if_due(force=True)
        after = token_refresher.rejected(first)
        assert world.works(after)
        assert world.count("refreshed") == 1

    def test_a_pair_that_nobody_replaced_is_refreshed(self, world: World) -> None:
        first = world.authorize()
        token_refresher = world.instance()
        token_refresher.current()
        world.sim.tokens.expire_access()
        after = token_refresher.rejected(first)
        assert world.works(after)
        assert token_refresher.current() == after

    def test_a_401_for_an_older_token_returns_the_cached_one(self, world: World) -> None:
        first = world.authorize()
        token_refresher = world.instance()
        second = token_refresher.rejected(first)
        assert token_refresher.rejected(first) == second
        assert world.count("refreshed") == 1

    def test_a_token_rejected_right_after_its_refresh_is_not_refreshed_at_once(self, world: World) -> None:
        token_refresher = world.instance()
        second = world.instance().rejected(world.authorize())
        with pytest.raises(TokenUnavailable, match="also rejects the access token"):
            token_refresher.rejected(second)
        with pytest.raises(TokenUnavailable):
            token_refresher.current()
        world.advance(30)
        assert world.works(token_refresher.current())
        assert world.count("refreshed") == 2


class TestAuthorizedElsewhere:
    def test_the_refusal_is_final_and_all_instances_together_send_one_request(self, world: World) -> None:
        first = world.authorize()
        instances = [world.instance() for _ in range(3)]
        for token_refresher in instances:
            token_refresher.current()
        world.sim.tokens.revoke_all()
        for token_refresher in instances:
            with pytest.raises(TokenRevoked, match="python -m ops authorize"):
                token_refresher.rejected(first)
        for token_refresher in [*instances, world.instance()]:
            with pytest.raises(TokenRevoked):
                token_refresher.rejected(first)
            with pytest.raises(TokenRevoked):
                token_refresher.refresh_if_due(force=True)
        assert world.count("dead_refresh_used") == 1
        assert world.state()["state"] == "revoked"

    def test_a_revoked_token_is_not_served_again_while_there_is_no_other(self, world: World) -> None:
        first = world.authorize()
        token_refresher = world.instance()
        token_refresher.current()
        world.sim.tokens.revoke_all()
        with pytest.raises(TokenRevoked):
            token_refresher.rejected(first)
        with pytest.raises(TokenRevoked):
            token_refresher.current()

    def test_instances_resume_by_themselves_after_a_new_authorization(self, world: World) -> None:
        first = world.authorize()
        token_refresher = world.instance()
        token_refresher.current()
        world.sim.tokens.revoke_all()
        with pytest.raises(TokenRevoked):
            token_refresher.rejected(first)
        again = world.authorize()
        assert token_refresher.rejected(first) == again
        assert token_refresher.current() == again
        assert world.state()["generation"] == 2
        assert world.readable() == [2]

    def test_an_authorization_fences_off_a_running_refresh(self, world: World) -> None:
        world.authorize()
        authorized: list[str] = []

        def meanwhile(refresh_token: str) -> Answer:
            answer = world.endpoint().refresh(refresh_token)
            authorized.append(world.authorize())
            return answer

        token_refresher = world.instance(refresh=meanwhile)
        world.advance(172_800)
        assert token_refresher.current() == authorized[0]
        assert world.works(authorized[0])
        assert world.state()["state"] == "ok"

    def test_a_refusal_after_losing_the_lease_is_no_revocation(self, world: World) -> None:
        world.authorize()
        authorized: list[str] = []

        def lose_lease(refresh_token: str) -> Answer:
            authorized.append(world.authorize())
            return world.endpoint().refresh(refresh_token)

        token_refresher = world.instance(refresh=lose_lease)
        world.advance(172_800)
        assert token_refresher.current() == authorized[0]
        assert world.state()["state"] == "ok"


class TestEndpointFailures:
    def test_during_an_outage_requests_are_spaced_and_afterwards_refreshing_resumes(self, world: World) -> None:
        world.authorize()
        world.advance(172_800)
        world.fail_tokens("503", "503")
        token_refresher = world.instance()
        for _ in range(5):
            with pytest.raises(TokenUnavailable, match="status_503"):
                token_refresher.current()
        assert world.sim.stats()["by_status"] == {"200": 1, "503": 1}
        world.advance(5)
        with pytest.raises(TokenUnavailable, match="status_503"):
            world.instance().current()
        world.advance(10)
        assert world.works(world.instance().current())
        assert world.count("dead_refresh_used") == 0

    def test_after_a_429_no_instance_sends_a_request_until_the_stated_time(self, world: World) -> None:
        world.authorize()
        world.advance(172_800)
        world.sim.faults.set([{"match": {"path": "/o/token"}, "fault": "429", "retry_after": 600}], replace=True)
        for _ in range(3):
            with pytest.raises(TokenUnavailable, match="throttled"):
                world.instance().current()
        assert world.sim.stats()["by_status"] == {"200": 1, "429": 1}
        world.sim.faults.set([], replace=True)
        world.advance(602)
        assert world.works(world.instance().current())

    def test_a_failure_long_before_expiry_leaves_the_token_in_use(self, world: World) -> None:
        first = world.authorize()
        world.advance(HALF)
        world.fail_tokens("503")
        token_refresher = world.instance()
        with pytest.raises(TokenUnavailable):
            token_refresher.refresh_if_due()
        assert token_refresher.current() == first
        world.advance(300)
        assert token_refresher.refresh_if_due().refreshed

    def test_a_request_without_an_answer_is_repeated_once_immediately(self, world: World) -> None:
        """Here the request itself was lost: the repeat is the first that arrives."""
        world.authorize()
        world.fail_tokens("reset")
        assert world.instance().refresh_if_due(force=True).refreshed
        assert world.count("dead_refresh_used") == 0

    def test_an_answer_lost_after_the_rotation_is_reported_with_the_remedy(self, world: World) -> None:
        world.authorize()
        world.fail_tokens("drop_after_write")
        with pytest.raises(TokenRevoked, match=r"answer to a token refresh was lost.*python -m ops authorize"):
            world.instance().refresh_if_due(force=True)
        assert world.state()["state"] == "lost"
        assert world.count("dead_refresh_used") == 1

    def test_an_hour_without_answers_needs_no_person(self, world: World) -> None:
        world.authorize()
        token_refresher = world.instance(refresh=lambda _: Unknown("no_answer"))
        world.advance(172_800)
        for _ in range(12):
            with pytest.raises(TokenUnavailable):
                token_refresher.current()
            world.advance(300)
        assert world.works(world.instance().current())
        assert world.count("dead_refresh_used") == 0

    def test_a_wrong_client_secret_names_the_settings_and_recovers_with_correct_ones(self, world: World) -> None:
        first = world.authorize()
        wrong = TokenEndpoint(url=world.sim.url, client_id="simulator-client", client_secret="x", now=world.now)
        token_refresher = world.instance(refresh=wrong.refresh)
        with pytest.raises(TokenRevoked, match="DRCHRONO_CLIENT_SECRET"):
            token_refresher.refresh_if_due(force=True)
        assert token_refresher.current() == first
        world.advance(172_800)
        assert world.works(world.instance().current())


class TestSecretFailures:
    def test_the_refresh_token_is_not_sent_if_no_version_can_be_added(self, world: World) -> None:
        world.authorize()
        world.stand_in.secrets.denied.add("secretmanager.versions.add")
        with pytest.raises(TokenUnavailable, match="secretVersionManager"):
            world.instance().refresh_if_due(force=True)
        assert world.count("refreshed") == 0
        world.stand_in.secrets.denied.clear()
        assert world.instance().refresh_if_due(force=True).refreshed

    def test_one_failed_read_is_repeated_once(self, world: World) -> None:
        access_token = world.authorize()
        world.stand_in.secrets.fail("AccessSecretVersion", grpc.StatusCode.UNAVAILABLE)
        assert world.instance().current() == access_token
        world.stand_in.secrets.fail("AccessSecretVersion", grpc.StatusCode.UNAVAILABLE, times=2)
        with pytest.raises(TokenUnavailable, match="ServiceUnavailable"):
            world.instance().current()

    def test_storing_is_repeated_until_it_succeeds(self, world: World) -> None:
        world.authorize()
        world.stand_in.secrets.fail("AddSecretVersion", grpc.StatusCode.UNAVAILABLE, times=9)
        token_refresher = world.instance()
        assert token_refresher.refresh_if_due(force=True).refreshed
        assert world.works(token_refresher.current())

    def test_a_pair_that_cannot_be_stored_is_kept_and_stored_with_a_later_call(self, world: World) -> None:
        first = world.authorize()
        world.stand_in.secrets.fail("AddSecretVersion", grpc.StatusCode.UNAVAILABLE, times=10)
        token_refresher = world.instance()
        with pytest.raises(TokenUnavailable):
            token_refresher.refresh_if_due(force=True)
        world.advance(181)
        assert world.works(token_refresher.rejected(first))
        assert world.count("refreshed") == 1
        assert world.count("dead_refresh_used") == 0
        assert world.state()["state"] == "ok"

    def test_that_pair_ends_even_the_phase_lost_that_another_instance_recorded(self, world: World) -> None:
        first = world.authorize()
        world.stand_in.secrets.fail("AddSecretVersion", grpc.StatusCode.UNAVAILABLE, times=10)
        late = world.instance()
        with pytest.raises(TokenUnavailable):
            late.refresh_if_due(force=True)
        world.advance(181)
        other = world.instance()
        with pytest.raises(TokenRevoked, match="lost"):
            other.rejected(first)
        assert world.works(late.rejected(first))
        assert world.works(other.rejected(first))
        assert world.state()["state"] == "ok"
        assert world.count("dead_refresh_used") == 1

    def test_a_state_with_a_destroyed_version_recovers_to_the_newest(self, world: World) -> None:
        """As after restoring the database from a backup."""
        world.authorize()
        old = world.state()
        world.instance().refresh_if_due(force=True)
        world.instance().refresh_if_due(force=True)
        world.edit(**old)
        assert world.works(world.instance().current())
        assert world.state()["generation"] == 3
        assert world.count("dead_refresh_used") == 0

    def test_a_lost_state_is_rebuilt_from_the_secret(self, world: World) -> None:
        access_token = world.authorize()
        world.documents.transact(lambda transaction: transaction.delete(STATE))
        assert world.instance().current() == access_token

    def test_an_unreadable_version_without_a_newer_one_is_an_error_that_names_it(self, world: World) -> None:
        world.authorize()
        world.stand_in.secrets.change(SECRET, "1", State.DISABLED)
        with pytest.raises(TokenMissing, match="version 1"):
            world.instance().current()


class TestStoreFailures:
    def test_a_pair_that_cannot_be_recorded_is_usable_and_found_by_the_next_instance(self, world: World) -> None:
        world.authorize()
        flaky = Failing(world.documents)

        def fail_after_storing(step: str) -> None:
            flaky.failing = flaky.failing or step == "stored"

        token_refresher = world.instance(documents=flaky, step=fail_after_storing)
        world.advance(172_800)
        access_token = token_refresher.current()
        assert world.works(access_token)
        assert world.state()["state"] == "sent"
        world.advance(181)
        assert world.instance().refresh_if_due().generation == 2
        assert world.instance().current() == access_token
        assert world.count("refreshed") == 1

    def test_the_refresh_token_is_not_sent_if_the_store_is_unreachable(self, world: World) -> None:
        world.authorize()
        flaky = Failing(world.documents)

        def fail_before_sending(step: str) -> None:
            flaky.failing = flaky.failing or step == "checked"

        with pytest.raises(StoreUnavailable):
            world.instance(documents=flaky, step=fail_before_sending).refresh_if_due(force=True)
        assert world.count("refreshed") == 0


class Failing:
    """Documents with injected failures."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.failing = False

    def get(self, path: str) -> Data | None:
        return self._documents.get(path)

    def transact(self, work: Callable[[Transaction], Any]) -> Any:
        if self.failing:
            raise StoreUnavailable("injected failure")
        return self._documents.transact(work)


class TestExpiredLease:
    def test_with_too_little_of_the_lease_left_nothing_is_sent(self, world: World) -> None:
        world.authorize()

        def pause(step: str) -> None:
            if step == "checked":
                world.advance(40)

        with pytest.raises(TokenUnavailable, match="lease"):
            world.instance(step=pause).refresh_if_due(force=True)
        assert world.count("refreshed") == 0
        assert world.instance().refresh_if_due(force=True).refreshed

    def test_after_losing_the_lease_nothing_is_sent(self, world: World) -> None:
        world.authorize()
        reports = []

        def lose_lease(step: str) -> None:
            if step == "checked":
                world.edit(lease={**world.state()["lease"], "until": world.now() - timedelta(minutes=3)})
                reports.append(world.instance().refresh_if_due(force=True))

        assert not world.instance(step=lose_lease).refresh_if_due(force=True).refreshed
        assert reports[0].refreshed
        assert world.count("refreshed") == 1
        assert world.count("dead_refresh_used") == 0

    def test_after_losing_the_lease_during_the_request_nothing_is_overwritten(self, world: World) -> None:
        """The first instance pauses for four minutes after its answer; DrChrono refuses the repeat of the other."""
        first = world.authorize()
        seen: list[str] = []

        def pause(step: str) -> None:
            if step == "answered" and not seen:
                seen.append(step)
                world.advance(240)
                with pytest.raises(TokenRevoked, match="lost"):
                    world.instance().rejected(first)

        late = world.instance(step=pause)
        late.current()
        after = late.rejected(first)
        assert world.works(after)
        assert world.state()["state"] == "ok"
        assert world.instance().current() == after
        assert world.count("dead_refresh_used") == 1

    def test_within_a_grace_period_both_instances_end_with_the_same_pair(self, lenient: World) -> None:
        first = lenient.authorize()
        seen: list[str] = []

        def pause(step: str) -> None:
            if step == "answered" and not seen:
                lenient.advance(240)
                seen.append(lenient.instance().rejected(first))

        late = lenient.instance(step=pause)
        late.current()
        assert late.rejected(first) == seen[0]
        assert lenient.works(seen[0])
        assert lenient.state()["generation"] == 2
        assert lenient.count("dead_refresh_used") == 0


class TestLegacyTokens:
    def put(self, world: World) -> dict[str, Any]:
        issued = world.sim.issue_token()
        for name in ("access", "refresh"):
            secret = f"projects/p/secrets/drchrono-{name}-token"
            world.stand_in.secrets.create(secret)
            world.stand_in.secrets.add(secret, issued[f"{name}_token"].encode())
        return issued

    def test_the_guides_two_secrets_are_imported_without_a_new_authorization(self, world: World) -> None:
        issued = self.put(world)
        access_token = world.instance().current()
        assert world.works(access_token)
        assert access_token != issued["access_token"]
        assert world.state()["generation"] == 2
        assert world.count("dead_refresh_used") == 0

    def test_the_job_imports_them_and_refreshes_in_one_run(self, world: World) -> None:
        self.put(world)
        report = world.instance().refresh_if_due()
        assert (report.generation, report.refreshed) == (2, True)

    def test_they_are_ignored_if_a_pair_was_ever_stored(self, world: World) -> None:
        access_token = world.authorize()
        self.put(world)
        world.documents.transact(lambda transaction: transaction.delete(STATE))
        assert world.instance().current() == access_token
        assert world.works(access_token)


class TestJob:
    def test_before_half_of_the_lifetime_nothing_is_done(self, world: World) -> None:
        world.authorize()
        world.advance(HALF - 10)
        report = world.instance().refresh_if_due()
        assert (report.refreshed, report.generation, report.state) == (False, 1, "ok")
        assert report.age_seconds == pytest.approx(HALF - 10, abs=1)
        assert report.expires_in_seconds == pytest.approx(172_800 - HALF + 10, abs=1)
        assert json.loads(json.dumps(report.as_json()))["scope"] == "patients:read user:read"

    def test_after_half_of_the_lifetime_the_pair_is_refreshed(self, world: World) -> None:
        world.authorize()
        world.advance(HALF)
        report = world.instance().refresh_if_due()
        assert (report.refreshed, report.generation) == (True, 2)
        assert report.expires_in_seconds == pytest.approx(172_800, abs=5)
        assert not world.instance().refresh_if_due().refreshed

    def test_force_refreshes_once_at_any_age(self, world: World) -> None:
        world.authorize()
        assert world.instance().refresh_if_due(force=True).generation == 2

    def test_while_another_instance_refreshes_the_job_only_reports(self, world: World) -> None:
        world.authorize()
        world.advance(HALF)
        reports = []

        def meanwhile(step: str) -> None:
            if step == "sent":
                reports.append(world.instance().refresh_if_due(force=True))

        assert world.instance(step=meanwhile).refresh_if_due().refreshed
        assert [(report.refreshed, report.state) for report in reports] == [(False, "sent")]
        assert world.count("refreshed") == 1


class Unlimited:
    """A rate limiter without a limit."""

    def acquire(self, lane: Lane) -> None: ...

    def throttled(self, until: datetime) -> None: ...


class TestWithTheClient:
    def client(self, world: World, token_refresher: TokenRefresher) -> DrChrono:
        return DrChrono(
            url=world.sim.url,
            tokens=token_refresher,
            limiter=Unlimited(),
            now=world.now,
            sleep=world.advance,
            random=lambda: 0.5,
        )

    def test_a_request_continues_with_the_pair_that_another_instance_refreshed(self, world: World) -> None:
        world.authorize()
        client = self.client(world, world.instance())
        client.current_user()
        world.instance().refresh_if_due(force=True)
        assert client.current_user()
        assert world.count("refreshed") == 1

    def test_a_request_with_an_expired_token_refreshes_it(self, world: World) -> None:
        world.authorize()
        client = self.client(world, world.instance())
        client.current_user()
        world.sim.tokens.expire_access()
        assert client.current_user()
        assert world.count("refreshed") == 1

    def test_after_a_revocation_the_revoked_token_is_not_used_again(self, world: World) -> None:
        world.authorize()
        client = self.client(world, world.instance())
        client.current_user()
        world.sim.tokens.revoke_all()
        for _ in range(5):
            with pytest.raises(TokenRevoked):
                client.current_user()
        assert world.count("dead_access_used") == 1
        assert world.count("dead_refresh_used") == 1


def test_sixteen_threads_with_one_expired_token_refresh_once(world: World) -> None:
    first = world.authorize()
    token_refresher = world.instance()
    token_refresher.current()
    world.sim.tokens.expire_access()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(token_refresher.rejected(first))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 16
    assert len(set(got)) == 1
    assert world.works(got[0])
    assert world.count("refreshed") == 1


def test_clocks_two_minutes_apart_neither_steal_a_lease_nor_serve_an_expired_token(world: World) -> None:
    world.authorize()
    fast = world.instance(now=lambda: world.now() + timedelta(minutes=2))
    served: list[str] = []

    def pause(step: str) -> None:
        if step == "sent":
            with pytest.raises(TokenUnavailable, match="another instance"):
                fast.current()

    world.advance(172_800)
    served.append(world.instance(step=pause).current())
    assert world.works(served[0])
    assert fast.current() == served[0]
    assert world.count("refreshed") == 1
    # At the last moment at which the slow clock still serves it, DrChrono still accepts it.
    slow = world.instance(now=lambda: world.now() - timedelta(minutes=2))
    world.advance(172_800 - 181)
    assert slow.current() == served[0]
    assert world.works(served[0])


def test_logs_and_tracebacks_hold_no_token(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.authorize()
    secrets: list[str] = []

    def remember() -> None:
        for payload in (version.payload for _, version in world.stand_in.secrets.shown(SECRET)):
            if payload is not None:
                stored = json.loads(payload)
                secrets.extend((stored["access_token"], stored["refresh_token"]))

    remember()
    world.instance().refresh_if_due(force=True)
    remember()
    output = ""
    world.stand_in.secrets.fail("AddSecretVersion", grpc.StatusCode.PERMISSION_DENIED, times=10)
    token_refresher = world.instance()
    for call in (lambda: token_refresher.refresh_if_due(force=True), world.instance().current):
        try:
            call()
        except Exception as error:
            output += "".join(traceback.format_exception(error))
    world.sim.tokens.revoke_all()
    try:
        world.instance().rejected(secrets[2])
    except Exception as error:
        output += "".join(traceback.format_exception(error))
    output += "".join(capsys.readouterr())
    assert "token.refreshed" in output
    assert "TokenUnavailable" in output
    assert len(set(secrets)) == 4
    assert [secret for secret in secrets if secret in output] == []
