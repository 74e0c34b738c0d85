"""What a local run is asked for, and what is told where that cannot be."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local import options
from local.options import Options, Unusable
from local.processes import ROOT
from shared.errors import SettingsError
from workstation import dotenv


def asked(*arguments: str, environ: dict[str, str] | None = None) -> Options:
    return options.read(options.parser().parse_args(arguments), environ or {})


def test_the_command_line_goes_before_the_environment() -> None:
    assert asked("run", "--backend", "embedded", environ={"BACKEND": "emulators"}).installed is None


def test_an_unknown_backend_is_told_with_the_known_ones() -> None:
    with pytest.raises(Unusable, match="BACKEND is one of emulators, embedded"):
        asked("run", environ={"BACKEND": "postgres"})


def test_without_java_the_embedded_form_is_used_and_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    chosen = asked("run")
    assert chosen.installed is None
    assert chosen.because.startswith("Java is not installed")
    with pytest.raises(Unusable, match=r"Java is not installed: .*BACKEND=embedded"):
        asked("run", environ={"BACKEND": "emulators"})


def test_a_misspelt_setting_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(SettingsError, match="DRCHRONO_QOUTA is not a setting: did you mean DRCHRONO_QUOTA"):
        asked("run", environ={"BACKEND": "embedded", "DRCHRONO_QOUTA": "5/minute"})


def test_against_the_simulator_nobodys_own_credentials_are_used() -> None:
    environ = {"BACKEND": "embedded", "DRCHRONO_CLIENT_SECRET": "real", "DRCHRONO_WEBHOOK_SECRET": "real"}
    assert "real" not in asked("run", environ=environ).settings.values()


def test_another_drchrono_needs_what_its_console_shows_all_told_at_once() -> None:
    with pytest.raises(SettingsError) as told:
        asked("run", environ={"BACKEND": "embedded", "DRCHRONO_URL": "https://app.drchrono.com"})
    assert [problem.split()[0] for problem in told.value.problems] == [
        "DRCHRONO_REDIRECT_URI",
        "DRCHRONO_CLIENT_ID",
        "DRCHRONO_CLIENT_SECRET",
    ]


def test_demo_needs_the_simulator() -> None:
    with pytest.raises(Unusable, match="unset DRCHRONO_URL"):
        asked("demo", environ={"BACKEND": "embedded", "DRCHRONO_URL": "https://app.drchrono.com"})


def test_a_port_in_use_is_one_line_that_names_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "local", "run", "--backend", "embedded", "--webhook-port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {port} is in use" in done.stderr
    assert "--webhook-port" in done.stderr


def test_dotenv_reads_names_and_values_and_expands_nothing(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# a comment\n\nDRCHRONO_QUOTA=100/minute\nexport A = 'b c'\nB=\"$A#1\"\nC=\n")
    assert dotenv.read(file) == {"DRCHRONO_QUOTA": "100/minute", "A": "b c", "B": "$A#1", "C": ""}


def test_a_line_that_is_none_is_told_by_its_number_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=b\nsecret without a name\n")
    with pytest.raises(dotenv.DotenvError, match=r"line 2 of .* is not NAME=VALUE") as told:
        dotenv.read(file)
    assert "secret" not in str(told.value)


def test_no_dotenv_is_no_setting(tmp_path: Path) -> None:
    assert dotenv.read(tmp_path / ".env") == {}


def test_the_example_of_a_dotenv_names_settings_only() -> None:
    from shared.environment import DRCHRONO_NAMES

    names = [
        line.lstrip("# ").split("=")[0] for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line
    ]
    assert {name for name in names if name.startswith("DRCHRONO_")} <= set(DRCHRONO_NAMES)
    assert len(names) == len(set(names)) > 5
