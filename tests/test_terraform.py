"""Terraform: valid, its own tests pass, no grant that is not written here, and settings that the code accepts.

Where an offline check lies beside the checkout it is used, and elsewhere plain Terraform with the registry.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.package import ROOT
from shared.log import Fields
from shared.settings import api_settings, cloud_settings, job_settings, webhook_settings

OFFLINE_CHECK = ROOT.parent / "shared" / "tools" / "terraform-offline" / "check"
PROJECT = "my-practice"
DEPLOYER = f"drchrono-deployer@{PROJECT}.iam.gserviceaccount.com"
VARIABLES = {
    "project": PROJECT,
    "package": "tests/package.txt",
    "secret_versions": "{webhook=3,client_id=1,client_secret=2}",
    "alert_emails": '["it@practice.example"]',
    "deployer": DEPLOYER,
}


@dataclass(frozen=True)
class Checked:
    """`plan` is None where none could be made: a real provider asks Google for the project."""

    ended: subprocess.CompletedProcess[str]
    plan: dict[str, Any] | None = None


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )


def terraform() -> str:
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("terraform is not installed")
    return found


def checked(module: Path, folder: Path, variables: dict[str, str]) -> Checked:
    program = terraform()
    if OFFLINE_CHECK.is_file():
        plan = folder / "plan.json"
        given = [part for name, value in variables.items() for part in ("-var", f"{name}={value}")]
        ended = run(OFFLINE_CHECK, module, "plan", *given, PLAN_JSON=str(plan))
        return Checked(ended, json.loads(plan.read_text()) if ended.returncode == 0 else None)
    copy = folder / "module"
    shutil.copytree(module, copy, ignore=shutil.ignore_patterns(".terraform"))
    ended = run(program, "init", "-backend=false", "-input=false", "-no-color", cwd=copy)
    if ended.returncode:
        pytest.skip(f"the provider cannot be had here:\n{ended.stdout[-500:]}")
    for arguments in (("fmt", "-check", "-recursive"), ("validate", "-no-color"), ("test", "-no-color")):
        ended = run(program, *arguments, cwd=copy)
        if ended.returncode:
            break
    return Checked(ended)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    return checked(ROOT / "terraform", tmp_path_factory.mktemp("terraform"), VARIABLES)


@pytest.fixture(scope="session")
def plan(deployment: Checked) -> dict[str, Any]:
    if deployment.plan is None:
        pytest.skip("no plan without the offline provider: a real one asks Google for the project")
    return deployment.plan


def planned(plan: dict[str, Any], type_: str) -> dict[str, dict[str, Any]]:
    """The planned resources of a type, by address."""
    return {
        change["address"]: change["change"]["after"] for change in plan["resource_changes"] if change["type"] == type_
    }


def test_the_deployment_is_valid_and_its_own_tests_pass(deployment: Checked) -> None:
    assert deployment.ended.returncode == 0, deployment.ended.stdout
    assert "0 failed" in deployment.ended.stdout or deployment.plan is None


def test_the_bootstrap_is_valid_and_its_own_tests_pass(tmp_path: Path) -> None:
    bootstrap = checked(ROOT / "terraform" / "bootstrap", tmp_path, {"project": PROJECT})

    assert bootstrap.ended.returncode == 0, bootstrap.ended.stdout


RECEIVER, STORE, JOB, PUSH, SCHEDULE, BUILD = (
    f"serviceAccount:drchrono-{name}@{PROJECT}.iam.gserviceaccount.com"
    for name in ("receive-webhook", "store-record", "run-job", "push", "schedule", "build")
)
PUBSUB = "Pub/Sub's agent"

# Every grant there is. Who, what, on what.
GRANTS = {
    ("allUsers", "roles/run.invoker", "receive-webhook"),
    (PUSH, "roles/run.invoker", "store-record"),
    (SCHEDULE, "roles/run.invoker", "run-job"),
    (RECEIVER, "roles/pubsub.publisher", "drchrono-events"),
    (RECEIVER, "roles/secretmanager.secretAccessor", "drchrono-webhook-secret"),
    (RECEIVER, f"projects/{PROJECT}/roles/drchronoFallbackWriter", "database (default)"),
    *((who, "roles/datastore.user", "database (default)") for who in (STORE, JOB)),
    *((who, "roles/secretmanager.secretVersionManager", "drchrono-oauth-token") for who in (STORE, JOB)),
    *(
        (who, "roles/secretmanager.secretAccessor", secret)
        for who in (STORE, JOB)
        for secret in ("drchrono-client-id", "drchrono-client-secret", "drchrono-oauth-token")
    ),
    (PUBSUB, "roles/iam.serviceAccountOpenIdTokenCreator", "drchrono-push"),
    (PUBSUB, "roles/pubsub.publisher", "drchrono-events-dead"),
    (PUBSUB, "roles/pubsub.subscriber", "drchrono-events-store-record"),
    (BUILD, "roles/artifactregistry.writer", "drchrono-functions"),
    (BUILD, "roles/storage.objectViewer", f"{PROJECT}-drchrono-source"),
    (BUILD, "roles/storage.objectViewer", "buckets gcf-v2-sources"),
    (BUILD, "roles/logging.logWriter", "the project"),
    (f"serviceAccount:{DEPLOYER}", "roles/secretmanager.secretAccessor", "drchrono-webhook-secret"),
    *(
        (f"serviceAccount:{DEPLOYER}", "roles/iam.serviceAccountUser", f"drchrono-{account}")
        for account in ("receive-webhook", "store-record", "run-job", "push", "schedule", "build")
    ),
}


def resource_of(grant: dict[str, Any]) -> str:
    """What a grant is on, narrowed by its condition."""
    for condition in grant.get("condition") or []:
        if found := re.fullmatch(r'resource\.name == "projects/[^/]+/databases/(.+)"', condition["expression"]):
            return f"database {found[1]}"
        if "gcf-v2-sources-" in condition["expression"]:
            return "buckets gcf-v2-sources"
        raise AssertionError(f"an unknown condition: {condition['expression']}")
    for name in ("service", "topic", "subscription", "secret_id", "repository", "bucket"):
        if name in grant:
            return str(grant[name])
    if "service_account_id" in grant:
        return str(grant["service_account_id"]).rpartition("/")[2].partition("@")[0]
    return "the project"


def test_there_is_no_grant_that_is_not_written_here(plan: dict[str, Any]) -> None:
    types = {change["type"] for change in plan["resource_changes"] if "_iam_" in change["type"]}
    assert not [type_ for type_ in types if type_.endswith(("_iam_binding", "_iam_policy"))]
    grants = [grant for type_ in types if type_.endswith("_iam_member") for grant in planned(plan, type_).values()]

    assert {
        (re.sub(r".*@gcp-sa-pubsub\..*", PUBSUB, grant["member"]), grant["role"], resource_of(grant))
        for grant in grants
    } == GRANTS


def environment_of(plan: dict[str, Any], function: str) -> dict[str, str]:
    """The variables that a function will find, with made-up secrets."""
    planned_function = planned(plan, "google_cloudfunctions2_function")[
        f'google_cloudfunctions2_function.this["{function}"]'
    ]
    [config] = planned_function["service_config"]
    secret = {variable["key"]: "made-up" for variable in config["secret_environment_variables"]}
    return {**config["environment_variables"], **secret}


def test_the_code_accepts_the_settings_that_each_function_gets(plan: dict[str, Any]) -> None:
    receiver, store, job = (environment_of(plan, name) for name in ("receive_webhook", "store_record", "run_job"))

    assert webhook_settings(receiver).signature == "either"
    assert {cloud_settings(each).project for each in (receiver, store, job)} == {PROJECT}
    assert cloud_settings(receiver).topic == "drchrono-events"
    for each in (store, job):
        assert api_settings(each).url == "https://drchrono.com"
        assert cloud_settings(each).token_secret == "drchrono-oauth-token"
    assert job_settings(job).deadline_seconds == 840


def test_each_function_gets_only_its_own_secrets(plan: dict[str, Any]) -> None:
    secret = {"DRCHRONO_WEBHOOK_SECRET", "DRCHRONO_CLIENT_ID", "DRCHRONO_CLIENT_SECRET"}

    assert secret & environment_of(plan, "receive_webhook").keys() == {"DRCHRONO_WEBHOOK_SECRET"}
    for name in ("store_record", "run_job"):
        assert secret & environment_of(plan, name).keys() == {"DRCHRONO_CLIENT_ID", "DRCHRONO_CLIENT_SECRET"}


def test_no_secret_value_is_in_the_plan(plan: dict[str, Any]) -> None:
    assert not planned(plan, "google_secret_manager_secret_version")


def test_metrics_read_fields_that_a_log_line_may_have() -> None:
    metrics = json.loads((ROOT / "terraform" / "metrics.json").read_text())

    for name, metric in metrics.items():
        assert metric.keys() == {"says", "label", "value_field", "unit", "label_fields"}, name
        fields = {*metric["label_fields"], *filter(None, [metric["value_field"]])}
        assert fields <= Fields.__annotations__.keys(), f"{name} reads what no line has"


@pytest.fixture(scope="session")
def build() -> dict[str, Any]:
    """cloudbuild.yaml, read by Terraform's YAML parser: the project needs no other."""
    ended = subprocess.run(
        [terraform(), "console"],
        cwd=ROOT / "tests",  # a folder without configuration
        input='jsonencode(yamldecode(file("../cloudbuild.yaml")))',
        capture_output=True,
        text=True,
        check=True,
    )
    parsed: dict[str, Any] = json.loads(json.loads(ended.stdout))
    return parsed


def test_the_builds_steps_are_checks_then_plan_then_apply_then_smoke_test(build: dict[str, Any]) -> None:
    ids = [
        "environment",
        "lint",
        "types",
        "tests",
        "terraform",
        "package",
        "settings",
        "plan",
        "keep",
        "apply",
        "smoke-test",
    ]
    assert [step["id"] for step in build["steps"]] == ids
    known: set[str] = {"-"}
    for step in build["steps"]:
        assert set(step.get("waitFor", ["-"])) <= known, f"{step['id']} waits for a later step"
        known.add(step["id"])


def test_a_pull_request_neither_keeps_a_plan_nor_applies_one(build: dict[str, Any]) -> None:
    scripts = {step["id"]: step["script"] for step in build["steps"]}

    assert "[[ $_STAGE == plan ]] || exit 0" in scripts["keep"]
    for step in ("apply", "smoke-test"):
        assert re.search(r'\[ "?\$_STAGE"? ==? apply \]\]? \|\| exit 0', scripts[step]), step
    for step in ("environment", "lint", "types", "tests", "terraform", "package"):
        assert re.search(r'\[ "?\$_STAGE"? ==? apply \]\]? && exit 0', scripts[step]), step


def test_images_are_pinned_and_builds_run_as_an_account_of_our_own(build: dict[str, Any]) -> None:
    for step in build["steps"]:
        assert re.search(r":\d+\.\d+\.\d+(-[a-z-]+)?$", step["name"]), f"{step['name']} is not pinned"
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"
    assert build["serviceAccount"].startswith("projects/$PROJECT_ID/serviceAccounts/$_ACCOUNT@")


def test_the_build_has_no_keys_and_its_scripts_are_shell_that_parses(build: dict[str, Any]) -> None:
    text = (ROOT / "cloudbuild.yaml").read_text()
    assert not re.search(r"secretEnv|availableSecrets|credentials|private_key|GOOGLE_APPLICATION", text)
    for step in build["steps"]:
        shell = "bash" if "bash" in step["script"].splitlines()[0] else "sh"
        parsed = subprocess.run([shell, "-n"], input=step["script"], capture_output=True, text=True, check=False)
        assert parsed.returncode == 0, f"{step['id']}: {parsed.stderr}"
