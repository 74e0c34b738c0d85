"""Terraform's checks and plans, for the tests that hold the code against what is deployed.

Where an offline check lies beside the checkout it is used, and elsewhere plain Terraform with the registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.emulators import required
from local.package import ROOT

OFFLINE_CHECK = ROOT.parent / "shared" / "tools" / "terraform-offline" / "check"
PROJECT = "my-practice"
DEPLOYER = f"drchrono-deployer@{PROJECT}.iam.gserviceaccount.com"
OPERATORS = f"group:drchrono-operators@{PROJECT}.example"
WRITER = f"serviceAccount:booking@{PROJECT}.iam.gserviceaccount.com"
VARIABLES = {
    "project": PROJECT,
    "package": "tests/package.txt",
    "secret_versions": "{webhook=3,client_id=1,client_secret=2}",
    "alert_emails": '["it@practice.example"]',
    "deployer": DEPLOYER,
    "operators": f'["{OPERATORS}"]',
    "writers": f'["{WRITER}"]',
}


@dataclass(frozen=True)
class Checked:
    """How the check ended, and the plan in Terraform's JSON form; it is empty if the check failed."""

    ended: subprocess.CompletedProcess[str]
    plan: dict[str, Any]


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
        unavailable("terraform is not installed: see developer.hashicorp.com/terraform/install")
    return str(found)


def unavailable(because: str) -> None:
    """Leave the test out, except where nothing may be left out."""
    if required(os.environ):
        pytest.fail(f"REQUIRE_EMULATORS=1, but {because}")
    pytest.skip(because)


def checked(module: Path, folder: Path, variables: dict[str, str], planned_by: str) -> Checked:
    """Check a root module, and plan it with these variables.

    planned_by: `tests/FILE run NAME` of the module, whose plan is taken where no plan can be made offline: a plan with
    the real provider asks Google for the project, and a test's plan does not.
    """
    program = terraform()
    given = [part for name, value in variables.items() for part in ("-var", f"{name}={value}")]
    if OFFLINE_CHECK.is_file():
        plan = folder / "plan.json"
        ended = run(OFFLINE_CHECK, module, "plan", *given, PLAN_JSON=str(plan))
        return Checked(ended, json.loads(plan.read_text()) if ended.returncode == 0 else {})
    copy = folder / "module"
    shutil.copytree(module, copy, ignore=shutil.ignore_patterns(".terraform"))
    ended = run(program, "init", "-backend=false", "-input=false", "-no-color", cwd=copy)
    if ended.returncode:
        unavailable(f"the provider cannot be had here:\n{ended.stdout[-500:]}")
    for arguments in (("fmt", "-check", "-recursive"), ("validate", "-no-color"), ("test", "-no-color")):
        ended = run(program, *arguments, cwd=copy)
        if ended.returncode:
            return Checked(ended, {})
    return Checked(ended, plan_of_test(program, copy, given, planned_by))


def plan_of_test(program: str, module: Path, given: list[str], planned_by: str) -> dict[str, Any]:
    """The plan that `terraform test` made for one of its runs."""
    file, _, name = planned_by.partition(" run ")
    ended = run(program, "test", "-json", "-verbose", f"-filter={file}", *given, cwd=module)
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    [plan] = [each["test_plan"] for each in said if each["type"] == "test_plan" and each["@testrun"] == name]
    return dict(plan)


def planned(plan: dict[str, Any], type_: str) -> dict[str, dict[str, Any]]:
    """The planned resources of a type, by address."""
    return {
        change["address"]: change["change"]["after"] for change in plan["resource_changes"] if change["type"] == type_
    }


def environment_of(plan: dict[str, Any], function: str, secrets: dict[str, str]) -> dict[str, str]:
    """The variables that a function finds: those of the plan, and for each of its secrets the value of the same name.

    secrets: value by the secret's name.
    """
    address = f'google_cloudfunctions2_function.this["{function}"]'
    [config] = planned(plan, "google_cloudfunctions2_function")[address]["service_config"]
    secret = {each["key"]: secrets[each["secret"]] for each in config["secret_environment_variables"]}
    return {**config["environment_variables"], **secret}
