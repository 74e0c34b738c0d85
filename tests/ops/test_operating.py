"""docs/operating.md compared with the system: alerts, commands, log lines, reasons."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from ops.cli import app
from ops.reasons import MEANINGS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "operating.md").read_text()
ALERT_TABLE = PAGE.partition("## The alerts")[2].partition("\n## ")[0]
ALERTS = (ROOT / "terraform" / "alerts.tf").read_text()
SOURCES = "\n".join(
    path.read_text() for folder in ("functions", "shared") for path in sorted((ROOT / folder).rglob("*.py"))
)


def test_every_alert_is_listed_with_the_command_of_its_e_mail() -> None:
    named = re.findall(r'^    (\w+) = \{\n      title +=.*?\n(?:.*\n)*?      run +=\s"([\w-]+)"', ALERTS, re.M)
    assert len(named) >= 13
    for alert, command in named:
        row = next(line for line in ALERT_TABLE.splitlines() if line.startswith(f"| `{alert}` "))
        assert f"`{command}`" in row, alert
    for alert in re.findall(r"^    (\w+_silent) +=", ALERTS, re.M):
        assert f"`{alert}`" in PAGE


def test_every_command_on_the_page_exists() -> None:
    commands = set(re.findall(r"python -m ops ([^`#\n;:)]+)", PAGE))
    assert len(commands) >= 12
    for command in commands:
        words = shlex.split(command.replace("…", ""))
        shown = CliRunner().invoke(app, [words[0], "--help"], prog_name="python -m ops")
        assert shown.exit_code == 0, command
        for option in (word for word in words if word.startswith("--")):
            assert option in shown.output, command


def test_every_log_line_that_the_page_queries_is_written() -> None:
    labels = set(re.findall(r'jsonPayload\.message="([\w.]+)"', PAGE))
    assert len(labels) >= 6
    assert {label for label in labels if not re.search(rf'log\(\s*"{label}"', SOURCES)} == set()


def test_every_reason_that_the_page_explains_exists() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    reasons = {reason for row in rows[:9] for reason in re.findall(r"`(\w+)`", row)}
    words = SOURCES + (ROOT / "ops" / "repair.py").read_text()
    assert {reason for reason in reasons if f'"{reason}"' not in words} == set()


def test_the_console_explains_the_reasons_that_the_page_explains() -> None:
    table = PAGE.partition("| pending because of |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    on_page = {reason: row[3].strip() == "nothing" for row in rows for reason in re.findall(r"`(\w+)`", row[1])}
    assert on_page == {reason: not meaning.remedy for reason, meaning in MEANINGS.items()}
