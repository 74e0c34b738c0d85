"""`doctor`: a healthy system passes every check, and each check names its remedy if one thing is broken."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
import requests

from local.emulators import free_port
from ops import doctor
from ops.deployment import Deployment, Function, Google
from ops.doctor import Result, examine
from ops.target_system import TargetSystem, local_target
from shared.tokens.token import Granted
from tests.drchrono.conftest import Scripted
from tests.ops.conftest import WEBHOOK_SECRET, Practice, receiver
from tests.ops.terminal import plain


def now() -> datetime:
    return datetime.now(timezone.utc)


def found(practice: Practice, check: str, *options: str) -> Result:
    """Return the result of one check, as a program reads it."""
    results = json.loads(practice.ops("doctor", "--json", *options).output)
    return next(Result(**result) for result in results if result["check"] == check)


def of_place(target: TargetSystem, check: str) -> Result:
    return next(result for result in examine(target, now) if result.check == check)


def test_a_healthy_system_fails_no_check(either: Practice) -> None:
    either.authorize()
    either.work()
    shown = either.ops("doctor")
    assert shown.exit_code == 0, shown.output
    verdicts = [line.split()[0] for line in shown.output.splitlines() if not line.startswith(" ")]
    assert len(verdicts) == len(doctor.CHECKS)
    assert set(verdicts) == {"passed", "skipped"}
    assert max(map(len, shown.output.splitlines())) <= 80


def test_one_failure_is_exit_code_1_and_says_what_to_do(practice: Practice) -> None:
    shown = practice.ops("doctor")
    assert shown.exit_code == 1
    assert "failed token DrChrono was never authorized → run `python -m ops authorize`" in plain(shown.output)


def test_wrong_settings_are_named(practice: Practice) -> None:
    practice.write(DRCHRONO_QUOTA="many")
    result = found(practice, "settings")
    assert (result.verdict, result.found.split()[0]) == ("failed", "DRCHRONO_QUOTA")


def test_a_token_secret_that_cannot_be_written_is_named(practice: Practice) -> None:
    practice.secrets.secrets.denied.add("secretmanager.versions.add")
    result = found(practice, "token's secret")
    assert result.verdict == "failed"
    assert "roles/secretmanager.secretVersionManager" in result.remedy


def test_a_token_that_drchrono_refuses_is_named(practice: Practice) -> None:
    practice.authorize()
    practice.simulator.tokens.revoke_all()
    result = found(practice, "token")
    assert result.verdict == "failed"
    assert "run `python -m ops authorize`" in result.remedy


def test_a_missing_scope_is_named(practice: Practice) -> None:
    issued = practice.simulator.issue_token("patients:read user:read")
    practice.system.token_refresher().adopt(
        Granted(issued["access_token"], issued["refresh_token"], 3600, issued["scope"])
    )
    result = found(practice, "token")
    assert result.found == "it lacks clinical:read, calendar:read"
    assert result.remedy.startswith("python -m ops authorize --local")


def test_a_cooldown_fails_the_quota_and_skips_the_call(practice: Practice) -> None:
    practice.authorize()
    practice.system.rate_limiter().throttled(now() + timedelta(minutes=5))
    assert found(practice, "quota").verdict == "failed"
    assert found(practice, "token").verdict == "skipped"


def test_a_clock_that_is_wrong_is_named(practice: Practice) -> None:
    late = next(
        result for result in examine(local_target(), lambda: now() + timedelta(minutes=10)) if result.check == "clock"
    )
    assert late.verdict == "failed"
    assert late.found.startswith("this machine's differs from DrChrono's by 60")


def test_a_drchrono_that_does_not_answer_is_named(practice: Practice) -> None:
    practice.write(DRCHRONO_URL="http://127.0.0.1:9")
    result = found(practice, "clock")
    assert (result.verdict, result.remedy) == ("failed", "check DRCHRONO_URL and the network")


def test_another_secret_than_the_receivers_is_told_from_the_handshake_and_the_ping(practice: Practice) -> None:
    practice.write(DRCHRONO_WEBHOOK_SECRET="another-secret")
    assert found(practice, "receiver").verdict == "passed"
    assert found(practice, "handshake").found == "it answers with another secret than this"
    assert found(practice, "signature").found.startswith("a signed PING was refused (as HMAC 401,")


@pytest.mark.parametrize(("form", "said"), [("hmac", "as HMAC"), ("token", "with the secret itself")])
def test_a_receiver_of_one_form_passes_and_says_which(practice: Practice, form: str, said: str) -> None:
    with receiver(signature=form) as url:
        assert found(practice, "signature", "--url", url).found == f"it takes a PING signed {said}"


def test_an_address_that_is_not_the_receiver_is_named(practice: Practice) -> None:
    with Scripted(lambda target, headers: (200, {}, b"hello")) as other:
        assert found(practice, "receiver", "--url", other.url).found == "a forged PING was answered 200, not 401"
        assert found(practice, "handshake", "--url", other.url).found == "it answered 200 without secret_token"
    assert "does not answer" in found(practice, "receiver", "--url", "http://127.0.0.1:9/").found


def test_no_output_contains_a_secret(practice: Practice) -> None:
    practice.authorize()
    token = practice.system.token_refresher().current()
    for arguments in (("doctor",), ("status",), ("doctor", "--json"), ("status", "--json")):
        shown = practice.ops(*arguments).output
        for secret in (token, WEBHOOK_SECRET, "simulator-secret"):
            assert secret not in shown


def test_a_sync_that_has_not_run_is_named(practice: Practice) -> None:
    assert found(practice, "jobs").found == "no sync has ever ended"
    practice.authorize()
    practice.work()
    late = of_place(local_target(), "jobs")
    assert late.verdict == "passed"
    later = next(
        result for result in examine(local_target(), lambda: now() + timedelta(hours=2)) if result.check == "jobs"
    )
    assert later.found.startswith("sync last ended at ")


def test_a_function_that_is_missing_or_broken_is_named(practice: Practice) -> None:
    functions = {
        name: Function(name, "us-central1", "ACTIVE", "https://x.example", {}, {})
        for name in ("receive_webhook", "store_record")
    }
    target = replace(local_target(), deployment=Deployment(functions))
    assert of_place(target, "functions").found == "not deployed: run_job"
    functions["run_job"] = Function("run_job", "us-central1", "FAILED", "https://x.example", {}, {})
    assert of_place(target, "functions").found == "not active: run_job"


@pytest.mark.emulator
def test_a_subscription_without_its_dead_letters_is_named(emulated: Practice) -> None:
    from google.pubsub_v1 import SubscriberClient
    from google.pubsub_v1.types import PushConfig, Subscription

    project = emulated.environment["GCP_PROJECT"]
    assert found(emulated, "subscription").verdict == "passed"
    client = SubscriberClient()
    name = f"projects/{project}/subscriptions/drchrono-events-store-record"
    client.delete_subscription(subscription=name)
    assert found(emulated, "subscription") == Result("subscription", "failed", "it does not exist", "`terraform apply`")
    client.create_subscription(
        request=Subscription(
            name=name,
            topic=f"projects/{project}/topics/drchrono-events",
            push_config=PushConfig(push_endpoint="http://127.0.0.1:9/"),
            ack_deadline_seconds=10,
        )
    )
    result = found(emulated, "subscription")
    assert "its ack deadline is 10 s, it has no dead-letter topic" in result.found


def test_a_job_that_is_paused_or_failing_is_named(practice: Practice) -> None:
    practice.authorize()
    practice.work()
    jobs = {
        "jobs": [
            {"name": "projects/p/locations/r/jobs/drchrono-sync", "state": "PAUSED"},
            {"name": "projects/p/locations/r/jobs/drchrono-reconcile", "state": "ENABLED", "status": {"code": 13}},
        ]
    }
    function = Function("run_job", "r", "ACTIVE", "https://run-job.example", {}, {})
    with Scripted(lambda target, headers: (200, {}, json.dumps(jobs).encode())) as server:
        google = Google(requests.Session(), "p", scheduler=server.url)
        target = replace(local_target(), google=google, deployment=Deployment({"run_job": function}))
        found = of_place(target, "jobs").found
    assert "drchrono-sync is paused (`gcloud scheduler jobs resume drchrono-sync`)" in found
    assert "the last call of drchrono-reconcile failed (code 13)" in found


def test_a_missing_permission_to_see_the_jobs_names_the_role(practice: Practice) -> None:
    practice.authorize()
    practice.work()
    function = Function("run_job", "r", "ACTIVE", "https://run-job.example", {}, {})
    with Scripted(lambda target, headers: (403, {}, b"{}")) as server:
        google = Google(requests.Session(), "p", scheduler=server.url)
        target = replace(local_target(), google=google, deployment=Deployment({"run_job": function}))
        result = of_place(target, "jobs")
    assert (result.verdict, result.remedy) == ("skipped", "ask for roles/cloudscheduler.viewer on p")


def test_the_deployed_secret_is_used_if_none_is_given(practice: Practice) -> None:
    name = "projects/practice/secrets/drchrono-webhook-secret"
    practice.secrets.secrets.create(name)
    practice.secrets.secrets.add(name, f"{WEBHOOK_SECRET},older".encode())
    function = Function(
        "receive_webhook", "r", "ACTIVE", practice.environment["WEBHOOK_URL"], {},
        {"DRCHRONO_WEBHOOK_SECRET": f"{name}/versions/1"},
    )  # fmt: skip
    practice.write(DRCHRONO_WEBHOOK_SECRET="")
    target = replace(local_target(), deployment=Deployment({"receive_webhook": function}))
    assert of_place(target, "handshake").verdict == "passed"
    practice.secrets.secrets.denied.add("secretmanager.versions.access")
    assert of_place(target, "handshake").found == "you may not read the webhook's secret"


def test_without_a_store_the_checks_that_need_it_are_skipped(practice: Practice) -> None:
    (practice.folder / "documents.sqlite3").write_text("this is no database")
    results = {result["check"]: result for result in json.loads(practice.ops("doctor", "--json").output)}
    assert results["store"]["verdict"] == "failed"
    assert results["store"]["remedy"].startswith("check the project, your grants")
    assert [results[name]["found"] for name in ("token", "quota", "jobs")] == ["the store does not answer"] * 3
    shown = practice.ops("status")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: embedded store: ")
    assert shown.output == shown.stderr


def test_documents_of_another_program_are_named_with_what_to_do(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    practice.work()
    assert found(practice, "documents").verdict == "passed"
    documents = practice.system.documents()
    for path in ("patients/of-another-program", "allergies/9", "sync_pending/no-target"):
        documents.transact(lambda transaction, path=path: transaction.set(path, {"name": "Zebra"}))  # type: ignore[misc]
    result = found(practice, "documents")
    assert result.verdict == "failed"
    assert result.found.endswith("skipped: patients/of-another-program, allergies/9, sync_pending/no-target")
    assert "Zebra" not in json.dumps([result.found, result.remedy])
    for number in range(9):
        documents.transact(lambda transaction, path=f"allergies/x{number}": transaction.set(path, {}))  # type: ignore[misc]
    assert found(practice, "documents").found.endswith("and others")


def test_a_given_address_that_does_not_answer_is_named_as_the_likely_cause(practice: Practice) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    shown = " ".join(practice.ops("doctor", "--url", url).output.split())
    assert f"{url} does not answer (ConnectionError) → is --url the output webhook_url?" in shown
    assert "is the function deployed" not in shown
