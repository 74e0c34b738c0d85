"""The versions of a secret through the official client against the stand-in, and the rules of the stand-in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.api_core.exceptions import FailedPrecondition, NotFound
from google.cloud.secretmanager_v1 import Secret, SecretManagerServiceClient

from local.secret_manager import SecretManagerStandIn
from local.secret_manager.secrets import State
from shared.cloud.secret_manager import PAGE_SIZE, SecretVersions, connect, legacy_tokens
from shared.errors import TokenUnavailable
from shared.settings import cloud_settings

SECRET = "projects/p/secrets/drchrono-oauth-token"


@pytest.fixture
def stand_in() -> Iterator[SecretManagerStandIn]:
    with SecretManagerStandIn() as running:
        yield running


def client_of(stand_in: SecretManagerStandIn) -> SecretManagerServiceClient:
    return connect(cloud_settings({"GCP_PROJECT": "p", "SECRET_MANAGER_EMULATOR_HOST": stand_in.address}))


@pytest.fixture
def versions(stand_in: SecretManagerStandIn) -> SecretVersions:
    stand_in.secrets.create(SECRET)
    return SecretVersions(client_of(stand_in), project="p", secret="drchrono-oauth-token")


def test_versions_are_numbered_from_one_and_read_by_number(versions: SecretVersions) -> None:
    assert [versions.add("one"), versions.add("zwei ß")] == [1, 2]
    assert [versions.read(1), versions.read(2), versions.read(3)] == ["one", "zwei ß", None]


def test_a_destroyed_version_cannot_be_read_again(versions: SecretVersions, stand_in: SecretManagerStandIn) -> None:
    for payload in ("one", "two", "three"):
        versions.add(payload)
    versions.destroy_before(3)
    assert [versions.read(1), versions.read(2), versions.read(3)] == [None, None, "three"]
    client = client_of(stand_in)
    with pytest.raises(FailedPrecondition, match="DESTROYED"):
        client.access_secret_version(name=f"{SECRET}/versions/1")
    with pytest.raises(FailedPrecondition, match="DESTROYED"):
        client.enable_secret_version(name=f"{SECRET}/versions/1")
    with pytest.raises(NotFound):
        client.get_secret_version(name=f"{SECRET}/versions/4")


def test_newer_versions_are_found_while_the_list_and_latest_lag(
    versions: SecretVersions, stand_in: SecretManagerStandIn
) -> None:
    versions.add("one")
    stand_in.secrets.lag_seconds = 3600
    versions.add("two")
    versions.add("three")
    assert versions.latest() is None
    assert list(versions.newer(1)) == [(2, "two"), (3, "three")]
    assert list(versions.newer(0)) == [(1, "one"), (2, "two"), (3, "three")]


def test_newer_versions_are_found_after_a_disabled_one(
    versions: SecretVersions, stand_in: SecretManagerStandIn
) -> None:
    for payload in ("one", "two", "three"):
        versions.add(payload)
    client_of(stand_in).disable_secret_version(name=f"{SECRET}/versions/2")
    assert list(versions.newer(1)) == [(3, "three")]
    assert list(versions.newer(3)) == []


def destroyed(versions: SecretVersions, stand_in: SecretManagerStandIn, count: int) -> None:
    """Add `count` versions and destroy them, as years of refreshes do."""
    for _ in range(count):
        number = stand_in.secrets.add(SECRET, b"old")
        stand_in.secrets.change(SECRET, str(number), State.DESTROYED)


@pytest.fixture
def calls(stand_in: SecretManagerStandIn, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls of the stand-in by method; each page of a list is one."""
    counts: Counter[str] = Counter()
    check = stand_in.secrets.check

    def counted(method: str, permission: str) -> None:
        counts[method] += 1
        check(method, permission)

    monkeypatch.setattr(stand_in.secrets, "check", counted)
    return counts


def test_the_cost_of_a_refresh_does_not_grow_with_the_destroyed_versions(
    versions: SecretVersions, stand_in: SecretManagerStandIn, calls: Counter[str]
) -> None:
    destroyed(versions, stand_in, 20 * PAGE_SIZE)
    current, newer = versions.add("current"), versions.add("newer")
    calls.clear()
    assert list(versions.newer(current)) == [(newer, "newer")]
    versions.destroy_before(newer)
    assert versions.read(current) is None
    # One page for the search and one for the destruction. The search reads the newer version and one past the end.
    assert calls == {"ListSecretVersions": 2, "DestroySecretVersion": 1, "AccessSecretVersion": 3}


def test_without_a_known_version_the_search_ends_after_a_row_of_destroyed_ones(
    versions: SecretVersions, stand_in: SecretManagerStandIn, calls: Counter[str]
) -> None:
    destroyed(versions, stand_in, 20 * PAGE_SIZE)
    current = versions.add("current")
    calls.clear()
    assert list(versions.newer(0)) == [(current, "current")]
    assert calls["ListSecretVersions"] == 1


def test_the_search_reads_every_page_down_to_the_known_version(
    versions: SecretVersions, stand_in: SecretManagerStandIn
) -> None:
    known = versions.add("known")
    for _ in range(2 * PAGE_SIZE):
        stand_in.secrets.add(SECRET, b"x")
    assert len(list(versions.newer(known))) == 2 * PAGE_SIZE


def test_versions_that_could_not_be_destroyed_are_destroyed_later(
    versions: SecretVersions, stand_in: SecretManagerStandIn
) -> None:
    for _ in range(PAGE_SIZE + 10):
        versions.add("old")
    current = versions.add("current")
    stand_in.secrets.denied.add("secretmanager.versions.destroy")
    with pytest.raises(TokenUnavailable):
        versions.destroy_before(current)
    stand_in.secrets.denied.clear()
    versions.destroy_before(current)
    assert [number for number, version in stand_in.secrets.shown(SECRET) if version.payload is not None] == [current]


def test_writable_tells_whether_a_version_can_be_added_without_adding_one(
    versions: SecretVersions, stand_in: SecretManagerStandIn
) -> None:
    assert versions.writable()
    stand_in.secrets.denied.add("secretmanager.versions.add")
    assert not versions.writable()
    assert list(versions.newer(0)) == []
    missing = SecretVersions(client_of(stand_in), project="p", secret="other")
    assert not missing.writable()


def test_a_denied_permission_names_the_role_to_grant(versions: SecretVersions, stand_in: SecretManagerStandIn) -> None:
    stand_in.secrets.denied.add("secretmanager.versions.access")
    with pytest.raises(TokenUnavailable, match=r"drchrono-oauth-token.*secretVersionManager"):
        versions.read(1)


def test_a_missing_secret_is_an_error_that_names_it(stand_in: SecretManagerStandIn) -> None:
    missing = SecretVersions(client_of(stand_in), project="p", secret="other")
    with pytest.raises(TokenUnavailable, match="no secret other"):
        missing.add("one")


def test_an_error_does_not_contain_the_payload(versions: SecretVersions, stand_in: SecretManagerStandIn) -> None:
    stand_in.secrets.fail("AddSecretVersion", grpc.StatusCode.UNAVAILABLE)
    canary = "".join(["a", "secret", "payload"])
    with pytest.raises(TokenUnavailable) as caught:
        versions.add(canary)
    assert canary not in "".join(traceback.format_exception(caught.value))
    assert "ServiceUnavailable" in str(caught.value)


def test_no_failed_call_is_repeated(versions: SecretVersions, stand_in: SecretManagerStandIn) -> None:
    versions.add("one")
    stand_in.secrets.fail("AccessSecretVersion", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(TokenUnavailable):
        versions.read(1)
    assert versions.read(1) == "one"


def test_the_pair_of_the_guides_two_secrets_is_read(stand_in: SecretManagerStandIn) -> None:
    client = client_of(stand_in)
    assert legacy_tokens(client, "p") is None
    for secret, payload in (("drchrono-access-token", b"old-access"), ("drchrono-refresh-token", b"old-refresh\n")):
        stand_in.secrets.create(f"projects/p/secrets/{secret}")
        stand_in.secrets.add(f"projects/p/secrets/{secret}", payload)
    assert legacy_tokens(client, "p") == ("old-access", "old-refresh")


def test_without_access_to_the_guides_secrets_there_is_no_pair(stand_in: SecretManagerStandIn) -> None:
    """The service answers "denied" for missing secrets if the caller may not see the project."""
    stand_in.secrets.denied.add("secretmanager.versions.access")
    assert legacy_tokens(client_of(stand_in), "p") is None


def test_the_stand_in_keeps_its_secrets_in_a_file_and_exits_cleanly(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    for expected in (1, 2):
        command = [sys.executable, "-m", "local.secret_manager", "--port", "0", "--file", str(file)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            assert ready.startswith("secret manager ready on 127.0.0.1:")
            address = ready.split()[-1]
            client = connect(cloud_settings({"GCP_PROJECT": "p", "SECRET_MANAGER_EMULATOR_HOST": address}))
            if expected == 1:
                client.create_secret(parent="projects/p", secret_id="s", secret=Secret(replication={"automatic": {}}))
            assert SecretVersions(client, project="p", secret="s").add("a payload") == expected
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            process.stdout.close()
    assert os.stat(file).st_mode & 0o077 == 0


def test_a_port_in_use_is_reported_in_one_line(stand_in: SecretManagerStandIn) -> None:
    port = stand_in.address.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "local.secret_manager", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"secret manager: port {port} is in use: choose another with --port"
