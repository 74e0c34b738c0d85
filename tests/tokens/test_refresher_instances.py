"""Several instances of the token refresher share one pair: leases, authorizations elsewhere, threads, skewed clocks."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from shared.errors import TokenRevoked, TokenUnavailable
from shared.tokens.state import TokenState
from shared.tokens.token import Answer
from tests.tokens.conftest import World


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


def test_an_instance_that_saw_the_token_before_another_refreshed_it_sends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.authorize()
    world.advance(172_800)
    late, other = world.instance(), world.instance()
    read = late._storage.state

    def read_and_pause() -> TokenState:
        seen = read()
        monkeypatch.undo()
        other.current()
        return seen

    monkeypatch.setattr(late._storage, "state", read_and_pause)
    assert late.current() == other.current()
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
