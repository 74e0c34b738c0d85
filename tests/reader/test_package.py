"""The reader needs no other package of the project, and agrees with the system on the rules it repeats."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drchrono_reader import Copy, exact_json, ids
from drchrono_reader.record import record_of
from local.emulators import Emulators
from shared import exact_json as written
from shared.documents import Documents
from shared.drchrono import ids as named
from shared.records.storable import META, join, split
from tests.reader.test_completeness import chart, tell
from tests.records.test_ordering import NOON
from tests.records.test_storable import exactly, records
from tests.test_layers import ROOT, imports
from workstation.embedded_documents import EmbeddedDocuments

PACKAGE = ROOT / "reader" / "drchrono_reader"
EXAMPLE = ROOT / "examples" / "chart.py"


def test_it_needs_firestore_and_nothing_else() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    assert [one.partition(">")[0] for one in project["project"]["dependencies"]] == ["google-cloud-firestore"]
    used = {
        (path.name, name)
        for path in PACKAGE.glob("*.py")
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("drchrono_reader")
    }
    assert used == {(f"{name}.py", "google.cloud") for name in ("copy", "firestore", "outbox")}
    assert (PACKAGE / "py.typed").is_file()


@given(st.text(min_size=1, max_size=30) | st.sampled_from([".", "..", "__a__", "____", "__", "%2E", "a/b", "1_2026"]))
def test_ids_are_encoded_as_the_system_does(text: str) -> None:
    try:
        name = named.document_id(text)
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="surrogates"):
            ids.document_id(text)
        return
    assert ids.document_id(text) == name
    assert ids.id_of_document(name) == named.id_of_document(name) == text


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_the_system_does(number: Any) -> None:
    text = written.dumps([number])
    (ours,), (theirs,) = exact_json.loads(text), written.loads(text)
    assert (type(ours), str(ours)) == (type(theirs), str(theirs))


@given(records)
def test_records_are_joined_as_the_system_does(record: dict[str, Any]) -> None:
    parts = split(record)
    document = {**parts.native, META: {"json": parts.json, "fetched_at": NOON, "deleted": False}}
    found = record_of("patients", "1", document)
    assert found is not None
    assert exactly(dict(found)) == exactly(join(document)) == exactly(record)


def example(settings: dict[str, str], patient: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE), patient],
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(params=["embedded", pytest.param("firestore", marks=pytest.mark.emulator)])
def kept(request: pytest.FixtureRequest, tmp_path: Path, project: str) -> tuple[Documents, dict[str, str]]:
    """Return a store and the settings by which a program finds it, as in the `.local/environment` of `make run`."""
    if request.param == "embedded":
        return EmbeddedDocuments(tmp_path / "documents.sqlite3"), {"EMBEDDED_FOLDER": str(tmp_path)}
    emulators: Emulators = request.getfixturevalue("emulators")
    return request.getfixturevalue("firestore_documents"), {"GCP_PROJECT": project, **emulators.environment}


def test_the_example_shows_a_chart_and_says_when_it_may_not_be_complete(
    kept: tuple[Documents, dict[str, str]],
) -> None:
    documents, settings = kept
    chart(documents)
    shown = example(settings, "5")
    assert shown.returncode == 3, shown.stderr
    assert "Not known to be complete: patients, appointments" in shown.stdout
    for kind in ("patients", "appointments", "clinical_notes", "medications", "problems", "allergies"):
        tell(documents, kind, complete_until=NOON.replace(year=NOON.year + 50))
    shown = example(settings, "5")
    assert shown.returncode == 0, shown.stderr
    assert "Complete up to " in shown.stdout
    assert example(settings, "12").returncode == 1


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make run"):
        Copy.from_environment({"EMBEDDED_FOLDER": str(tmp_path)})
