"""The zip: the same for the same tree, nothing in it that is not deployed, and enough in it to start each function."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local.package import ROOT, PackageError, deployed_files, write_package
from tests.served import served

SECRET = "made-up-webhook-secret"

# What terraform/functions.tf gives each function.
ENVIRONMENT = {
    "GCP_PROJECT": "made-up-project",
    "FIRESTORE_DATABASE": "(default)",
    "LOG_LEVEL": "INFO",
    "THREADS": "4",
}
API = {
    "DRCHRONO_CLIENT_ID": "made-up-client",
    "DRCHRONO_CLIENT_SECRET": "made-up-client-secret",
    "DRCHRONO_URL": "https://drchrono.com",
    "DRCHRONO_QUOTA": "100/minute",
    "TOKEN_SECRET": "drchrono-oauth-token",
}
# The clients are built, and never used: nothing listens there. In the cloud these are not set.
NOWHERE = dict.fromkeys(
    ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST"), "127.0.0.1:9"
)
OWN = {
    "receive_webhook": {
        "EVENTS_TOPIC": "drchrono-events",
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
        "DRCHRONO_WEBHOOK_SIGNATURE": "either",
        "DRCHRONO_WEBHOOK_HANDSHAKE": "on",
    },
    "store_record": API,
    "run_job": API | {"JOB_DEADLINE_SECONDS": "840"},
}


def a_tree(root: Path) -> Path:
    for name, content in {
        "main.py": "import shared.one\n",
        "requirements.txt": "flask\n",
        "functions/__init__.py": "",
        "shared/one.py": "ONE = 1\n",
        "shared/deep/two.py": "TWO = 2\n",
        "local/package.py": "not deployed\n",
        "tests/test_one.py": "not deployed\n",
        ".env": "not deployed\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = a_tree(tmp_path / "one"), a_tree(tmp_path / "two")
    for path in (two / "main.py", two / "shared" / "one.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    (two / "shared" / "__pycache__").mkdir()
    (two / "shared" / "__pycache__" / "one.cpython-313.pyc").write_bytes(b"byte code")
    (two / "functions" / ".DS_Store").write_bytes(b"a desktop's")

    first, second = write_package(one, tmp_path / "one.zip"), write_package(two, tmp_path / "two.zip")

    assert first == second
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert first == hashlib.sha256((tmp_path / "one.zip").read_bytes()).hexdigest()


def test_one_changed_byte_gives_another_hash(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree")
    before = write_package(tree, tmp_path / "before.zip")
    (tree / "shared" / "one.py").write_text("ONE = 2\n")

    assert write_package(tree, tmp_path / "after.zip") != before


def test_only_what_is_deployed_is_in_it(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree")
    write_package(tree, tmp_path / "functions.zip")

    with zipfile.ZipFile(tmp_path / "functions.zip") as archive:
        assert archive.namelist() == [
            "functions/__init__.py",
            "main.py",
            "requirements.txt",
            "shared/deep/two.py",
            "shared/one.py",
        ]


def test_the_real_tree_deploys_the_code_and_its_pins_and_nothing_else() -> None:
    files = deployed_files(ROOT)

    assert {path.split("/")[0] for path in files} == {"main.py", "requirements.txt", "functions", "shared"}
    assert {"functions/receive_webhook.py", "functions/store_record.py", "functions/run_job.py"} <= set(files)


def test_a_file_of_unknown_kind_is_refused_rather_than_left_out(tmp_path: Path) -> None:
    tree = a_tree(tmp_path / "tree")
    (tree / "shared" / "one.py~").write_text("an editor's copy")

    with pytest.raises(PackageError, match=r"shared/one\.py~"):
        deployed_files(tree)


def test_an_incomplete_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")

    with pytest.raises(PackageError, match=r"requirements\.txt, functions/, shared/ is missing"):
        deployed_files(tmp_path)


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    write_package(ROOT, folder / "functions.zip")
    with zipfile.ZipFile(folder / "functions.zip") as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="session")
def python(unpacked: Path, pytestconfig: pytest.Config) -> Path:
    """An interpreter that has the package's own requirements.txt and nothing else, kept between runs by their hash."""
    requirements = unpacked / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("package-venv") / digest
    interpreter = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "-r", str(requirements)], check=True, timeout=600)
        (folder / "complete").touch()
    return interpreter


def serve(python: Path, unpacked: Path, target: str) -> AbstractContextManager[int]:
    environment = ENVIRONMENT | NOWHERE | OWN[target]
    return served(target, environment, unpacked.parent / f"{target}.log", python=python, source=unpacked)


def status(port: int, method: str, body: bytes = b"") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, "/", body, {"Content-Type": "application/json"} if body else {})
        return connection.getresponse().status
    finally:
        connection.close()


def test_receive_webhook_starts_from_the_package_alone_and_passes_the_smoke_test(python: Path, unpacked: Path) -> None:
    with serve(python, unpacked, "receive_webhook") as port:
        assert status(port, "POST", b'{"event": "PATIENT_MODIFY", "object_id": 1}') == 401

        # What runs after each deploy: the ownership check, a signed PING, a forged one.
        def smoke_test(secret: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, ROOT / "terraform" / "smoke_test.py", f"http://127.0.0.1:{port}/"],
                env={"SECONDS_BETWEEN_ATTEMPTS": "0"},
                input=secret,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        right, wrong = smoke_test(f"{SECRET}\n"), smoke_test("another")
        assert (right.returncode, right.stderr) == (0, "")
        assert wrong.returncode == 1
        assert "another secret" in wrong.stderr


def test_store_record_starts_from_the_package_alone(python: Path, unpacked: Path) -> None:
    with serve(python, unpacked, "store_record") as port:
        assert status(port, "POST", b"{}") == 400


def test_run_job_starts_from_the_package_alone(python: Path, unpacked: Path) -> None:
    with serve(python, unpacked, "run_job") as port:
        assert status(port, "GET") == 405
