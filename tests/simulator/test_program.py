"""The command line program, and the independence of the package."""

from __future__ import annotations

import ast
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

PROGRAM = [sys.executable, "-m", "simulator"]
SOURCES = Path(__file__).parents[2] / "simulator"


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the program; yield it and its first line."""
    with subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_url_and_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with running("--patients", "3", "--form", "live", "--json-log", str(log)) as (process, line):
        assert line.startswith("DrChrono simulator ready at http://127.0.0.1:")
        assert "(seed 1, live form, 3 patients, 6 appointments, " in line
        url = line.split()[4]
        assert requests.get(f"{url}/control/health", timeout=5).json() == {"ok": True}
        assert requests.get(f"{url}/api/patients", timeout=5).status_code == 401
        process.send_signal(number)
        assert process.communicate(timeout=5) == ("", "")
        assert process.returncode == 0
    (entry,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert (entry["endpoint"], entry["status"]) == ("GET /api/patients", "401")


def test_the_ready_line_can_be_json() -> None:
    with running("--patients", "1", "--ready-json") as (_, line):
        assert requests.get(json.loads(line)["url"] + "/control/health", timeout=5).ok


def test_options_by_kind_are_read() -> None:
    options = ["--lag", "2", "--lag", "patients/list=5", "--ids", "problems=uuid", "--updated-at-shift", "-3"]
    more = ["--fault", '{"kind": "offices", "fault": "503"}', "--no-share-patients", "--paging", "offset"]
    more += ["--odd-appointments", "2", "--since-shift", "3"]
    with running("--patients", "2", "--ready-json", *options, *more) as (_, line):
        url = json.loads(line)["url"]
        config = requests.get(f"{url}/control/config", timeout=5).json()
        lag = requests.get(f"{url}/control/lag", timeout=5).json()
        assert requests.get(f"{url}/api/offices", timeout=5).status_code == 503
    assert lag["patients"] == {"single": 2, "list": 5, "bulk": 2}
    assert (config["id_style_of"], config["updated_at_shift_hours"]) == ({"problems": "uuid"}, -3)
    assert (config["share_patients"], config["paging"]) == (False, "offset")
    assert (config["odd_appointments"], config["since_shift_hours"]) == (2, 3)


def test_a_port_in_use_gives_one_line_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run([*PROGRAM, "--port", str(port)], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"simulator: port {port} is in use: choose another with --port, or --port 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quota", "lots"], "not a quota"),
        (["--timezone", "Mars/Olympus"], "unknown time zone"),
        (["--port", "70000"], "port must be from 0 to 65535"),
        (["--start", "2026-03-10"], "start needs an offset"),
        (["--lag", "shoes=5"], "unknown kind 'shoes'"),
        (["--ids", "roman"], "id_style must be one of"),
        (["--list-order", "newest"], "needs offset paging"),
        (["--fault", '{"fault": "meteor"}'], "unknown fault"),
    ],
)
def test_an_invalid_setting_gives_one_line(arguments: list[str], message: str) -> None:
    ended = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_it_shares_no_code_with_the_client_it_tests() -> None:
    sources = list(SOURCES.rglob("*.py"))
    assert sources
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"simulator"}


def test_its_modules_import_each_other_without_cycles() -> None:
    imports: dict[str, set[str]] = {}
    for source in SOURCES.rglob("*.py"):
        name = ".".join(source.relative_to(SOURCES.parent).with_suffix("").parts).removesuffix(".__init__")
        imports[name] = {
            str(node.module) for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.ImportFrom)
        }
    while leaves := {name for name, known in imports.items() if not known & set(imports)}:
        imports = {name: known for name, known in imports.items() if name not in leaves}
    assert imports == {}
