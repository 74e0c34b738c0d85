"""The system that a command works on, and the messages if there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.secret_manager import SecretManagerStandIn
from ops.cli import app
from ops.deployment import Deployment, Function
from ops.target_system import LOCAL_ENVIRONMENT, TargetSystem, deployed_target, project_target
from shared.errors import SettingsError


def ops(*arguments: str, **environment: str | None) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env=environment, prog_name="python -m ops")
    return result.exit_code, " ".join(result.stderr.split())


def test_local_without_a_running_system_names_the_command_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ops("status", "--local") == (
        1,
        "error: nothing runs on this machine: start it with `make run`, and leave it running",
    )


def test_an_invalid_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LOCAL_ENVIRONMENT.parent.mkdir()
    LOCAL_ENVIRONMENT.write_text("what is this\n")
    code, said = ops("status", "--local")
    assert code == 1
    assert "line 1 of .local/environment" in said


def test_without_credentials_the_login_is_named(tmp_path: Path) -> None:
    code, said = ops(
        "status",
        "--project=p",
        GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "none.json"),
        FIRESTORE_EMULATOR_HOST=None,
        PUBSUB_EMULATOR_HOST=None,
        SECRET_MANAGER_EMULATOR_HOST=None,
    )
    assert code == 1
    assert said.endswith("run `gcloud auth application-default login`")


def test_both_places_at_once_are_refused() -> None:
    assert ops("status", "--local", "--project", "p")[0] == 2


def test_the_project_is_the_named_one_before_that_of_the_environment() -> None:
    stand_in = {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:9"}
    assert project_target("named", {**stand_in, "GCP_PROJECT": "other"}).name == "named"
    assert project_target("named", stand_in).command("status") == "python -m ops status --project named"
    target = project_target(None, {**stand_in, "GOOGLE_CLOUD_PROJECT": "other"})
    assert (target.name, target.command("status")) == ("other", "python -m ops status")


def deployed(secrets: SecretManagerStandIn) -> TargetSystem:
    function = Function(
        "run_job",
        "us-central1",
        "ACTIVE",
        "https://run-job.example",
        {"DRCHRONO_QUOTA": "500/hour", "DRCHRONO_URL": "https://app.drchrono.com"},
        {
            "DRCHRONO_CLIENT_ID": "projects/p/secrets/drchrono-client-id/versions/1",
            "DRCHRONO_CLIENT_SECRET": "projects/p/secrets/drchrono-client-secret/versions/2",
        },
    )
    return deployed_target(
        "p", {"SECRET_MANAGER_EMULATOR_HOST": secrets.address}, deployment=Deployment({"run_job": function})
    )


def test_settings_and_secrets_are_those_that_are_deployed() -> None:
    with SecretManagerStandIn() as stand_in:
        for name, values in {"client-id": [b"the-id", b"newer"], "client-secret": [b"old", b"the-secret\n"]}.items():
            stand_in.secrets.create(f"projects/p/secrets/drchrono-{name}")
            for value in values:
                stand_in.secrets.add(f"projects/p/secrets/drchrono-{name}", value)
        api = deployed(stand_in).system.api()
    assert (api.client_id, api.client_secret) == ("the-id", "the-secret")
    assert api.url == "https://app.drchrono.com"
    assert [(window.limit, window.seconds) for window in api.quota] == [(500, 3600)]


def test_a_quota_that_is_not_known_is_not_guessed() -> None:
    target = deployed_target("p", {"DRCHRONO_CLIENT_ID": "i", "DRCHRONO_CLIENT_SECRET": "s"}, unseen="you may not")
    with pytest.raises(SettingsError, match="ops_environment"):
        target.system.api()
    given = {"DRCHRONO_CLIENT_ID": "i", "DRCHRONO_CLIENT_SECRET": "s", "DRCHRONO_QUOTA": "500/hour"}
    assert deployed_target("p", given, unseen="you may not").system.api().client_id == "i"


@pytest.mark.parametrize("command", ["", "authorize", "status", "doctor", "backfill", "retry", "dead-letters", "show"])
def test_help_reads_well_in_eighty_columns(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"] if command else ["--help"], prog_name="python -m ops")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    summaries = [line for line in result.output.splitlines() if line.endswith("...") and "Usage" not in line]
    assert summaries == []  # none was cut off
    assert not command or "--local" in result.output


def test_an_unknown_command_is_refused_without_a_traceback() -> None:
    code, said = ops("sttaus")
    assert code == 2
    assert "status" in said


def test_an_unknown_action_is_refused_in_plain_words() -> None:
    code, said = ops("dead-letters", "foo", "--local")
    assert code == 2
    assert said.endswith("Error: Invalid value for ACTION: choose one of list, replay, discard")


@pytest.mark.parametrize("url", ["nonsense", "ftp://x/", "https://", "https://host:port/", "http://[::1"])
def test_an_invalid_address_is_refused_before_any_request(url: str) -> None:
    code, said = ops("doctor", "--url", url, "--local")
    assert code == 2
    assert "it is not an address: write it like https://receive-webhook-" in said
