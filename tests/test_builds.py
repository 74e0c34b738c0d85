"""Cloud Build: the steps of cloudbuild.yaml, and those of the trigger that applies."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.package import ROOT
from tests.planned import PROJECT, Checked, planned, run, terraform


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


# Stands in for the two commands of gcloud that the builds use: copies to and from a folder, notes what is published.
GCLOUD = """#!/bin/sh
set -eu
case "$1 $2" in
  "storage cp")
    shift 2
    for last; do :; done
    mkdir -p "$BUCKETS/$(dirname "${last#gs://}")"
    while [ $# -gt 1 ]; do
      from=$1; to=$last
      case $from in gs://*) from=$BUCKETS/${from#gs://} ;; esac
      case $to in gs://*) to=$BUCKETS/${to#gs://} ;; esac
      case $to in */) mkdir -p "$to" ;; esac
      cp "$from" "$to"
      shift
    done ;;
  "pubsub topics") echo "$@" >"$BUCKETS/published" ;;
  *) exit 64 ;;
esac
"""


def test_the_apply_fetches_what_the_plan_kept(build: dict[str, Any], bootstrap: Checked, tmp_path: Path) -> None:
    """Both scripts are run, with a folder in the place of the bucket: the names and the layout must agree."""
    planning, applying, buckets, programs = (tmp_path / name for name in ("planning", "applying", "buckets", "bin"))
    for folder in (planning / "build", applying, buckets, programs):
        folder.mkdir(parents=True)
    (programs / "gcloud").write_text(GCLOUD)
    (programs / "gcloud").chmod(0o755)
    shutil.copytree(ROOT / "terraform", planning / "terraform", ignore=shutil.ignore_patterns(".terraform"))
    for file, content in {
        "terraform/.terraform.lock.hcl": "the lock",
        "terraform/.terraform/providers": "hundreds of megabytes",
        "terraform/plan.bin": "the plan",
        "terraform/settings.auto.tfvars": "the settings",
        "build/functions.zip": "the package",
    }.items():
        (planning / file).parent.mkdir(exist_ok=True)
        (planning / file).write_text(content)
    identity = "3f2b9c1e-0000-4000-8000-000000000001"
    path = f"{programs}:{os.environ['PATH']}"
    [keep] = [step["script"] for step in build["steps"] if step["id"] == "keep"]
    fetch = apply_steps(bootstrap)[0]["script"]

    def bash(script: str, cwd: Path, **variables: str) -> None:
        ended = run("bash", "-c", script, cwd=cwd, PATH=path, BUCKETS=str(buckets), **variables)
        assert ended.returncode == 0, ended.stdout

    bash(keep, planning, _STAGE="plan", _STATE_BUCKET="state", BUILD_ID=identity, PROJECT_ID=PROJECT)
    bash(fetch, applying, PLAN=identity, STATE_BUCKET="state")

    assert (
        f"publish drchrono-apply --project={PROJECT} --attribute=plan={identity}" in (buckets / "published").read_text()
    )
    assert (applying / "terraform" / "plan.bin").read_text() == "the plan"
    assert (applying / "terraform" / ".terraform.lock.hcl").read_text() == "the lock"
    assert (applying / "build" / "functions.zip").read_text() == "the package"
    assert (applying / "terraform" / "smoke_test.py").read_bytes() == (
        ROOT / "terraform" / "smoke_test.py"
    ).read_bytes()
    assert not (applying / "terraform" / ".terraform").exists()
    assert not (applying / "terraform" / "settings.auto.tfvars").exists()


@pytest.mark.parametrize(
    ("stage", "steps"),
    [
        ("check", {"keep"}),
        ("test", {"package", "settings", "plan", "keep"}),
        # No development dependency is installed or run where the plan is made.
        ("plan", {"environment", "lint", "types", "tests"}),
    ],
)
def test_a_step_that_is_not_of_the_stage_does_nothing(
    build: dict[str, Any], stage: str, steps: set[str], tmp_path: Path
) -> None:
    for step in build["steps"]:
        if step["id"] in steps:
            shell = "bash" if "bash" in step["script"].splitlines()[0] else "sh"
            ended = run(shell, "-xc", step["script"], cwd=tmp_path, _STAGE=stage)
            said = [line for line in ended.stdout.splitlines() if not line.startswith(("+ set ", "+ exit 0", "+ ["))]
            assert (ended.returncode, said) == (0, []), step["id"]
    assert not list(tmp_path.iterdir())


def test_what_makes_the_plan_uses_no_development_dependency(build: dict[str, Any]) -> None:
    for step in build["steps"]:
        if step["id"] in ("terraform", "package", "settings", "plan", "keep"):
            assert not re.search(r"\.venv|pip |requirements", step["script"]), step["id"]


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
