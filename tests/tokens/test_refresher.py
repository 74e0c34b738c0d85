"""The token refresher on both stores: which token it serves, and when it refreshes."""

from __future__ import annotations

import json
import traceback
from datetime import datetime
from typing import Any

import grpc
import pytest

from shared.documents import Documents
from shared.drchrono.client import DrChrono
from shared.errors import TokenMissing, TokenRevoked, TokenUnavailable
from shared.rate_limit.ledger import Lane
from shared.tokens.refresher import TokenRefresher
from tests.tokens.conftest import HALF, SECRET, STATE, World


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
