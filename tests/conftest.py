"""The parts that tests share: both stores, the emulators (started once, on free ports, always stopped)."""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from local.emulators import Emulators, EmulatorsMissing, find, required
from local.package import ROOT
from shared.documents import Documents
from tests.planned import PROJECT, VARIABLES, Checked, checked
from workstation.embedded_documents import EmbeddedDocuments

# gRPC would start its threads anew in a child that is about to become another program, and abort it when pexpect has
# closed their files. Read when gRPC is loaded.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

# Programs that the tests start inherit it: a shell that starts the tests in the background has it ignored, and Ctrl-C
# would reach none of them.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def emulators() -> Iterator[Emulators]:
    """Both emulators, and the variables by which Google's clients find them."""
    try:
        find()
    except EmulatorsMissing as missing:
        if required(os.environ):
            pytest.fail(f"REQUIRE_EMULATORS=1, but {missing}")
        pytest.skip(str(missing).removesuffix(", or use BACKEND=embedded"))
    with Emulators() as running:
        os.environ.update(running.environment)
        yield running
        for name in running.environment:
            del os.environ[name]


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """The check and the plan of terraform/."""
    folder = tmp_path_factory.mktemp("terraform")
    run = "tests/first_apply.tftest.hcl run with_them_everything_is_there"
    return checked(ROOT / "terraform", folder, VARIABLES, run)


@pytest.fixture(scope="session")
def plan(deployment: Checked) -> dict[str, Any]:
    assert deployment.plan, deployment.ended.stdout
    return deployment.plan


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """The check and the plan of terraform/bootstrap, with the triggers."""
    repository = f"projects/{PROJECT}/locations/us-central1/connections/github/repositories/drchrono"
    return checked(
        ROOT / "terraform" / "bootstrap",
        tmp_path_factory.mktemp("bootstrap"),
        {"project": PROJECT, "repository": repository},
        "tests/privilege.tftest.hcl run no_account_may_do_more_than_its_part",
    )


@pytest.fixture
def project() -> str:
    """A project id of its own for each test: the emulators keep projects apart, so tests cannot meet."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def embedded(tmp_path: Path) -> Documents:
    return EmbeddedDocuments(tmp_path / "store.sqlite3")


@pytest.fixture
def firestore_documents(emulators: Emulators, project: str) -> Documents:
    from google.cloud import firestore

    from shared.cloud.firestore import FirestoreDocuments

    return FirestoreDocuments(firestore.Client(project=project))


@pytest.fixture(params=["embedded", pytest.param("firestore", marks=pytest.mark.emulator)])
def documents(request: pytest.FixtureRequest) -> Documents:
    """Each test that takes this runs on both stores."""
    name = {"embedded": "embedded", "firestore": "firestore_documents"}[request.param]
    return request.getfixturevalue(name)  # type: ignore[no-any-return]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Why tests were left out: a line for each reason, with how many and the remedy, not one for each test."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} tests were left out: {reason}", yellow=True)
