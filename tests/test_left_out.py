"""What is said of tests that this machine cannot run."""

from __future__ import annotations

import os
import subprocess
import sys

from local.package import ROOT


def test_one_line_tells_each_reason_how_often_and_the_remedy() -> None:
    """Without Java, Terraform and Chromium, as on a bare machine."""
    tests = ["tests/test_documents.py", "tests/cloud/test_firestore.py", "tests/test_terraform.py"]
    environment = {name: value for name, value in os.environ.items() if name != "REQUIRE_EMULATORS"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**environment, "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if "left out" in line or "SKIPPED" in line]
    assert done.returncode == 0
    assert len(lines) == 2
    assert all(line.split()[0].isdecimal() and int(line.split()[0]) > 1 for line in lines)
    assert "Java is not installed: install a JRE of version 17 or later" in done.stdout
    assert "terraform is not installed: see developer.hashicorp.com/terraform/install" in done.stdout
