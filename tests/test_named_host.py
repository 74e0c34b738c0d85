"""DrChrono has two names; this project uses one."""

from __future__ import annotations

from tests.test_layers import ROOT

TOLD = (
    "README.md",
    ".env.example",
    "shared/settings.py",
    "terraform/variables.tf",
    "docs/tutorial.md",
    "docs/deploy.md",
)


def test_one_host_is_named_throughout() -> None:
    examples = [*TOLD, "terraform/environments/practice.tfvars.example"]
    lines = [line for name in examples for line in (ROOT / name).read_text().splitlines() if "drchrono.com" in line]
    other = [line for line in lines if "app.drchrono.com" in line or "www.drchrono.com" in line]
    assert len(lines) > 5
    assert [line for line in other if "is the same service" not in line] == []
