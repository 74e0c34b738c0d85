"""Terraform: valid, its own tests pass, no grant that is not written here, and settings that the code accepts."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from local.package import ROOT
from shared.log import Fields
from shared.settings import api_settings, cloud_settings, job_settings, webhook_settings
from tests.planned import DEPLOYER, OPERATORS, PROJECT, Checked, checked, environment_of, planned, terraform

SECRETS = dict.fromkeys(("drchrono-webhook-secret", "drchrono-client-id", "drchrono-client-secret"), "made-up")


def test_the_deployment_is_valid_and_its_own_tests_pass(deployment: Checked) -> None:
    assert deployment.ended.returncode == 0, deployment.ended.stdout
    assert "0 failed" in deployment.ended.stdout


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    return checked(
        ROOT / "terraform" / "bootstrap",
        tmp_path_factory.mktemp("bootstrap"),
        {"project": PROJECT, "repository": f"projects/{PROJECT}/locations/us-central1/connections/c/repositories/r"},
        "tests/privilege.tftest.hcl run what_is_applied_was_approved",
    )


def test_the_bootstrap_is_valid_and_its_own_tests_pass(bootstrap: Checked) -> None:
    assert bootstrap.ended.returncode == 0, bootstrap.ended.stdout
    assert "0 failed" in bootstrap.ended.stdout


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
    (OPERATORS, f"projects/{PROJECT}/roles/drchronoOperator", "the project"),
    (OPERATORS, "roles/datastore.user", "database (default)"),
    (OPERATORS, "roles/pubsub.publisher", "drchrono-events"),
    (OPERATORS, "roles/pubsub.subscriber", "drchrono-events-dead-hold"),
    (OPERATORS, "roles/secretmanager.secretVersionManager", "drchrono-oauth-token"),
    *(
        (OPERATORS, "roles/secretmanager.secretAccessor", secret)
        for secret in (
            "drchrono-client-id",
            "drchrono-client-secret",
            "drchrono-oauth-token",
            "drchrono-webhook-secret",
        )
    ),
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


# What the commands of `ops` and of docs/operating.md ask Google for, by the call, and the permission that it takes
# (the reference page of each call names it). Empty: granted on the resource, in GRANTS.
ASKED_BY_OPERATORS = {
    "ops/deployment.py": {
        "/functions": "cloudfunctions.functions.list",
        "/jobs": "cloudscheduler.jobs.list",
    },
    "ops/grants.py": {
        "get_subscription(": "pubsub.subscriptions.get",
        "topics/{DEAD_LETTERS}": "pubsub.topics.getIamPolicy",
        "subscriptions/{SUBSCRIPTION}": "pubsub.subscriptions.getIamPolicy",
    },
    "docs/operating.md": {
        "gcloud scheduler jobs run": "cloudscheduler.jobs.run",
        "gcloud scheduler jobs pause": "cloudscheduler.jobs.pause",
        "gcloud scheduler jobs resume": "cloudscheduler.jobs.enable",
        "gcloud logging read": "logging.logEntries.list",
    },
}


def test_operators_are_granted_what_ops_and_its_page_ask_for(bootstrap: Checked) -> None:
    role = planned(bootstrap.plan, "google_project_iam_custom_role")["google_project_iam_custom_role.operator"]

    for file, calls in ASKED_BY_OPERATORS.items():
        text = (ROOT / file).read_text()
        for call, permission in calls.items():
            assert call in text, f"{file} no longer asks for {call}: take its permission from the role"
            assert permission in role["permissions"], f"{file} asks for {call}"


def test_each_remedy_of_doctor_that_names_a_role_names_one_that_operators_need_not_ask_for(
    bootstrap: Checked, plan: dict[str, Any]
) -> None:
    """`doctor` says which role is missing. Whoever is in `operators` has it, or its permissions that are asked for."""
    role = planned(bootstrap.plan, "google_project_iam_custom_role")["google_project_iam_custom_role.operator"]
    granted = {role for who, role, _ in GRANTS if who == OPERATORS}
    # By the role that is named, what of it is asked for.
    replaced = {
        "roles/cloudfunctions.viewer": "cloudfunctions.functions.list",
        "roles/cloudscheduler.viewer": "cloudscheduler.jobs.list",
        "roles/pubsub.viewer": "pubsub.subscriptions.get",
        "roles/iam.securityReviewer": "pubsub.topics.getIamPolicy",
    }
    named = {
        found
        for path in (ROOT / "ops").glob("*.py")
        for found in re.findall(r"roles/[A-Za-z.]+[A-Za-z]", path.read_text())
    }

    assert named >= {"roles/cloudfunctions.viewer", "roles/datastore.user"}
    for name in named - granted:
        assert replaced[name] in role["permissions"], name


def test_the_restore_procedure_imports_each_composite_index(plan: dict[str, Any]) -> None:
    """A backup brings them along, and to make one that exists fails with 409."""
    page = (ROOT / "docs" / "operating.md").read_text()

    indexes = planned(plan, "google_firestore_index")
    assert indexes
    for address, index in indexes.items():
        # The command finds a restored index by a field that no other has.
        [field] = [
            field["field_path"]
            for field in index["fields"]
            if sum(field in other["fields"] for other in indexes.values()) == 1
            and f"adopt '{address}' \"$(index {field['field_path']})\"" in page
        ]
        assert field


def test_the_code_accepts_the_settings_that_each_function_gets(plan: dict[str, Any]) -> None:
    receiver, store, job = (
        environment_of(plan, name, SECRETS) for name in ("receive_webhook", "store_record", "run_job")
    )

    assert webhook_settings(receiver).signature == "either"
    assert {cloud_settings(each).project for each in (receiver, store, job)} == {PROJECT}
    assert cloud_settings(receiver).topic == "drchrono-events"
    for each in (store, job):
        assert api_settings(each).url == "https://drchrono.com"
        assert cloud_settings(each).token_secret == "drchrono-oauth-token"
    assert job_settings(job).deadline_seconds == 840


def test_each_function_gets_only_its_own_secrets(plan: dict[str, Any]) -> None:
    secret = {"DRCHRONO_WEBHOOK_SECRET", "DRCHRONO_CLIENT_ID", "DRCHRONO_CLIENT_SECRET"}

    assert secret & environment_of(plan, "receive_webhook", SECRETS).keys() == {"DRCHRONO_WEBHOOK_SECRET"}
    for name in ("store_record", "run_job"):
        assert secret & environment_of(plan, name, SECRETS).keys() == {"DRCHRONO_CLIENT_ID", "DRCHRONO_CLIENT_SECRET"}


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


def test_the_builds_steps_are_checks_then_package_then_plan(build: dict[str, Any]) -> None:
    ids = ["environment", "lint", "types", "terraform", "tests", "package", "settings", "plan", "keep"]
    assert [step["id"] for step in build["steps"]] == ids
    known: set[str] = {"-"}
    for step in build["steps"]:
        assert set(step.get("waitFor", ["-"])) <= known, f"{step['id']} waits for a later step"
        known.add(step["id"])


def apply_steps(bootstrap: Checked) -> list[dict[str, Any]]:
    trigger = planned(bootstrap.plan, "google_cloudbuild_trigger")["google_cloudbuild_trigger.apply[0]"]
    return list(trigger["build"][0]["step"])


def test_a_pull_request_keeps_no_plan_and_no_build_of_the_repository_applies_one(build: dict[str, Any]) -> None:
    scripts = {step["id"]: step["script"] for step in build["steps"]}

    assert "[[ $_STAGE == plan ]] || exit 0" in scripts["keep"]
    assert not [step for step, script in scripts.items() if "terraform apply" in script or "triggers run" in script]


def test_the_apply_runs_the_kept_plan_and_then_the_smoke_test(build: dict[str, Any], bootstrap: Checked) -> None:
    fetch, apply, smoke_test = (step["script"] for step in apply_steps(bootstrap))
    [keep] = [step["script"] for step in build["steps"] if step["id"] == "keep"]

    for file in ("functions.zip", "plan.bin", "terraform.tgz"):
        assert file in fetch
        assert file in keep
    assert "terraform apply -input=false -no-color -lock-timeout=10m plan.bin" in apply
    assert "terraform plan" not in apply
    assert "terraform/smoke_test.py" in smoke_test
    assert all(step["env"][0] == "PLAN=$_PLAN" for step in apply_steps(bootstrap))


PINNED = re.compile(
    r"(hashicorp/terraform:1\.\d+\.\d+@sha256:[0-9a-f]{64}"
    r"|python:3\.13\.\d+-slim-bookworm@sha256:[0-9a-f]{64}"
    # No digest could be known when this was written: docs/first-deploy.md says how to add it.
    r"|gcr\.io/google\.com/cloudsdktool/google-cloud-cli:\d+\.0\.0(@sha256:[0-9a-f]{64})?)"
)


def test_images_are_pinned_and_the_apply_uses_those_of_the_plan(build: dict[str, Any], bootstrap: Checked) -> None:
    images = {step["name"] for step in build["steps"]}

    assert not [image for image in images if not PINNED.fullmatch(image)]
    assert {step["name"] for step in apply_steps(bootstrap)} <= images


def test_builds_run_as_an_account_of_our_own(build: dict[str, Any]) -> None:
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"
    assert build["serviceAccount"].startswith("projects/$PROJECT_ID/serviceAccounts/$_ACCOUNT@")


def test_the_build_demands_the_lock_files(build: dict[str, Any]) -> None:
    """Every `init` of a build, too, takes the providers of the lock file and no others."""
    scripts = {step["id"]: step["script"] for step in build["steps"]}

    assert '[ ! -f "$module/.terraform.lock.hcl" ]' in scripts["terraform"]
    for script in scripts.values():
        for command in re.findall(r"^.*terraform\b.* init .*$", script, re.MULTILINE):
            assert "-lockfile=readonly" in command


def test_the_build_has_no_keys_and_its_scripts_are_shell_that_parses(build: dict[str, Any], bootstrap: Checked) -> None:
    text = (ROOT / "cloudbuild.yaml").read_text()
    assert not re.search(r"secretEnv|availableSecrets|credentials|private_key|GOOGLE_APPLICATION", text)
    for step in [*build["steps"], *apply_steps(bootstrap)]:
        shell = "bash" if "bash" in step["script"].splitlines()[0] else "sh"
        parsed = subprocess.run([shell, "-n"], input=step["script"], capture_output=True, text=True, check=False)
        assert parsed.returncode == 0, f"{step['id']}: {parsed.stderr}"
