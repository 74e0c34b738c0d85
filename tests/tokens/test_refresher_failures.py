"""The token refresher while the token endpoint, the secret or the store fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from local.secret_manager.secrets import State
from shared.documents import Data, Documents, Transaction
from shared.errors import StoreUnavailable, TokenMissing, TokenRevoked, TokenUnavailable
from shared.tokens.endpoint import TokenEndpoint
from shared.tokens.token import Unknown
from tests.tokens.conftest import HALF, SECRET, STATE, World


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
