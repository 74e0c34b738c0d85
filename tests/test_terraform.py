"""Terraform: valid, its own tests pass, no grant that is not written here, and settings that the code accepts."""

from __future__ import annotations

import json
import re
from typing import Any

from local.package import ROOT
from shared.drchrono.kinds import KINDS
from shared.log import Fields
from shared.settings import api_settings, cloud_settings, job_settings, webhook_settings
from tests.planned import DEPLOYER, OPERATORS, PROJECT, WRITER, Checked, environment_of, planned

SECRETS = dict.fromkeys(("drchrono-webhook-secret", "drchrono-client-id", "drchrono-client-secret"), "made-up")


def test_the_deployment_is_valid_and_its_own_tests_pass(deployment: Checked) -> None:
    assert deployment.ended.returncode == 0, deployment.ended.stdout
    assert "0 failed" in deployment.ended.stdout


def test_the_bootstrap_is_valid_and_its_own_tests_pass(bootstrap: Checked) -> None:
    assert bootstrap.ended.returncode == 0, bootstrap.ended.stdout
    assert "0 failed" in bootstrap.ended.stdout


RECEIVER, STORE, JOB, SEND, PUSH, SCHEDULE, TRIGGER, BUILD = (
    f"serviceAccount:drchrono-{name}@{PROJECT}.iam.gserviceaccount.com"
    for name in (
        "receive-webhook",
        "store-record",
        "run-job",
        "send-writes",
        "push",
        "schedule",
        "outbox-trigger",
        "build",
    )
)
PUBSUB = "Pub/Sub's agent"

# Every grant there is, where a program may write. Who, what, on what.
GRANTS = {
    ("allUsers", "roles/run.invoker", "receive-webhook"),
    (PUSH, "roles/run.invoker", "store-record"),
    (SCHEDULE, "roles/run.invoker", "run-job"),
    (TRIGGER, "roles/run.invoker", "send-writes"),
    (TRIGGER, "roles/eventarc.eventReceiver", "the project"),
    (RECEIVER, "roles/pubsub.publisher", "drchrono-events"),
    (RECEIVER, "roles/secretmanager.secretAccessor", "drchrono-webhook-secret"),
    *((who, "roles/datastore.user", "database (default)") for who in (STORE, JOB, SEND)),
    *((who, "roles/datastore.user", "database drchrono-outbox") for who in (JOB, SEND, OPERATORS, WRITER)),
    *((who, "roles/secretmanager.secretVersionManager", "drchrono-oauth-token") for who in (STORE, JOB, SEND)),
    *(
        (who, "roles/secretmanager.secretAccessor", secret)
        for who in (STORE, JOB, SEND)
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
        for account in (
            "receive-webhook",
            "store-record",
            "run-job",
            "send-writes",
            "push",
            "schedule",
            "outbox-trigger",
            "build",
        )
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
    "ops/dead_letters_pubsub.py": {},
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


def test_every_program_that_asks_google_for_something_is_in_the_table() -> None:
    """But for the system's own clients (Firestore, Secret Manager, the feed): they are granted as to the functions."""
    asking = {
        f"{path.parent.name}/{path.name}"
        for folder in ("ops", "console")
        for path in (ROOT / folder).glob("*.py")
        if re.search(r"google\.pubsub_v1|https://(?!www\.)[a-z]+\.googleapis\.com", path.read_text())
    }
    assert asking == {file for file in ASKED_BY_OPERATORS if not file.startswith("docs/")}


# What docs/operating.md leaves to a person who deploys, or what nobody needs a permission for.
NOT_OF_OPERATORS = ("secrets versions", "firestore", "storage cp", "auth", "version", "components update")


def test_every_gcloud_command_of_the_page_is_granted_or_left_to_a_person_who_deploys() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    granted = [call.removeprefix("gcloud ") for call in ASKED_BY_OPERATORS["docs/operating.md"]]
    used = re.findall(r"gcloud ([a-z][a-z -]+[a-z])", page)

    assert len(used) > 10
    assert [command for command in used if not command.startswith((*granted, *NOT_OF_OPERATORS))] == []


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


def test_the_deployer_may_give_each_role_on_the_project_that_is_given(bootstrap: Checked) -> None:
    """Also those that only some settings give, which are not in the plan: so they are read from the text."""
    [condition] = planned(bootstrap.plan, "google_project_iam_member")["google_project_iam_member.deployer_grants"][
        "condition"
    ]
    grantable = set(re.findall(r"'([^']+)'", condition["expression"].partition("hasOnly")[2]))
    text = "\n".join(path.read_text() for path in (ROOT / "terraform").glob("*.tf"))
    operator = re.findall(r'operator_role = "(.+)"', text)
    grants = re.findall(r'^resource "google_project_iam_member" "\w+" \{$(.*?)^\}$', text, re.MULTILINE | re.DOTALL)
    given = [re.findall(r"^  role\s+= (\S+)", grant, re.MULTILINE)[0].strip('"') for grant in grants]

    assert len(given) >= 5
    assert {role.replace("local.operator_role", operator[0]).replace("${var.project}", PROJECT) for role in given} == (
        grantable
    )


# What the provider reads of each type while it refreshes (its source, the Read function of each resource), as the
# permissions that the API's reference page names for the call.
READ_BY_PLANS = {
    "google_artifact_registry_repository": {"artifactregistry.repositories.get"},
    "google_artifact_registry_repository_iam_member": {"artifactregistry.repositories.getIamPolicy"},
    "google_cloud_run_service_iam_member": {"run.services.getIamPolicy"},
    "google_cloud_scheduler_job": {"cloudscheduler.jobs.get", "cloudscheduler.jobs.fullView"},
    "google_cloudfunctions2_function": {"cloudfunctions.functions.get"},
    "google_firebaserules_release": {"firebaserules.releases.get"},
    "google_firebaserules_ruleset": {"firebaserules.rulesets.get"},
    "google_firestore_backup_schedule": {"datastore.backupSchedules.get"},
    "google_firestore_database": {"datastore.databases.getMetadata"},
    "google_firestore_field": {"datastore.schemas.get"},
    "google_firestore_index": {"datastore.schemas.get"},
    "google_logging_metric": {"logging.logMetrics.get"},
    "google_logging_project_bucket_config": {"logging.buckets.get"},
    "google_monitoring_alert_policy": {"monitoring.alertPolicies.get"},
    "google_monitoring_dashboard": {"monitoring.dashboards.get"},
    "google_monitoring_notification_channel": {"monitoring.notificationChannels.get"},
    "google_project": {"resourcemanager.projects.get"},
    "google_project_iam_audit_config": {"resourcemanager.projects.getIamPolicy"},
    "google_project_iam_member": {"resourcemanager.projects.getIamPolicy"},
    "google_project_service": {"serviceusage.services.list"},
    "google_pubsub_subscription": {"pubsub.subscriptions.get"},
    "google_pubsub_subscription_iam_member": {"pubsub.subscriptions.getIamPolicy"},
    "google_pubsub_topic": {"pubsub.topics.get"},
    "google_pubsub_topic_iam_member": {"pubsub.topics.getIamPolicy"},
    "google_secret_manager_secret": {"secretmanager.secrets.get"},
    "google_secret_manager_secret_iam_member": {"secretmanager.secrets.getIamPolicy"},
    "google_service_account": {"iam.serviceAccounts.get"},
    "google_service_account_iam_member": {"iam.serviceAccounts.getIamPolicy"},
    "google_storage_bucket": {"storage.buckets.get"},
    "google_storage_bucket_iam_member": {"storage.buckets.getIamPolicy"},
    "google_storage_bucket_object": {"storage.objects.get"},
    "terraform_data": set(),
}


def test_the_planner_may_read_every_type_that_is_planned(bootstrap: Checked, plan: dict[str, Any]) -> None:
    role = planned(bootstrap.plan, "google_project_iam_custom_role")["google_project_iam_custom_role.planner"]
    types = {change["type"] for change in plan["resource_changes"]}

    assert types - READ_BY_PLANS.keys() == set(), "say what a plan reads of it, and grant that to the planner"
    needed = set().union(*(READ_BY_PLANS[type_] for type_ in types))
    assert needed - set(role["permissions"]) == set()


def test_the_restore_procedure_lets_go_of_all_that_belongs_to_the_database() -> None:
    """Also of what only some settings make, which is not in the plan: so it is read from the text."""
    page = (ROOT / "docs" / "operating.md").read_text()
    [forgotten] = re.findall(r"state list \|\n  grep -E '(.+)' \|\n", page)
    text = "\n".join(path.read_text() for path in (ROOT / "terraform").glob("*.tf"))
    blocks = re.findall(r'^resource "(google_fire\w+)" "(\w+)" \{$(.*?)^\}$', text, re.MULTILINE | re.DOTALL)
    of_the_copy = re.compile(
        r"^  (database|name) +=.*(google_firestore_database\.this\.name|var\.firestore_database)", re.M
    )
    belonging = {f"{type_}.{name}" for type_, name, block in blocks if of_the_copy.search(block)}

    assert len(belonging) >= 8
    assert {f"{type_}.{name}" for type_, name, _ in blocks if re.search(forgotten, f"{type_}.{name}")} == belonging


def test_the_restore_procedure_imports_each_composite_index(plan: dict[str, Any]) -> None:
    """A backup brings them along, and to make one that exists fails with 409."""
    page = (ROOT / "docs" / "operating.md").read_text()

    indexes = {
        address: index
        for address, index in planned(plan, "google_firestore_index").items()
        if index["database"] == "(default)"  # the database that the procedure restores
    }
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


def test_every_kind_has_its_fields_that_are_not_indexed(plan: dict[str, Any]) -> None:
    fields = planned(plan, "google_firestore_field").values()
    for name in ("_sync.json", "_sync.digest"):
        assert {field["collection"] for field in fields if field["field"] == name} == set(KINDS)


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
