"""Links that DrChrono signs anew for each read: no pass writes or asks for anything because of them, and no new file is
missed.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from shared.documents import Data, Documents
from shared.jobs import backfill, reconcile
from shared.jobs.run import Run
from shared.jobs.sync import sync
from shared.records.storable import META
from simulator import Simulator
from simulator.practice.store import SIGNATURE_MARK
from tests.clinic import Clinic, simulator

FORMS = pytest.mark.parametrize("form", ["guide", "live"])
FILES = "https://files.drchrono.example"


def with_links(form: str) -> Simulator:
    """A practice of 30 patients with a photo, two pictures of an insurance card, and a link in a text."""
    running = simulator(form=form, token_seconds=10**8, patients=30)
    for key, patient in running.truth("patients").items():
        running.change("patients", key, links(patient, key, "a"), webhook=False)
    return running


def links(patient: Data, key: str, version: str) -> dict[str, Any]:
    card = f"{FILES}/{key}/card-{version}.png{SIGNATURE_MARK}"
    return {
        "patient_photo": f"{FILES}/{key}/photo-{version}.jpg{SIGNATURE_MARK}",
        "primary_insurance": {**(patient["primary_insurance"] or {}), "photo_front": card},
        "custom_demographics": [{"field_type": 1, "value": f"see {card}, please"}],
    }


def start(run: Run) -> None:
    backfill.start(run.parts, backfill.KIND_NAMES, date(2009, 1, 1))
    backfill.go_on(run)


def night(run: Run) -> None:
    reconcile.start(run.parts, ("patients",))
    reconcile.go_on(run)


def written(documents: Documents) -> dict[str, Any]:
    return {name: document[META]["stored_at"] for name, document in documents.query("patients")}


@FORMS
def test_a_nightly_pass_writes_nothing_and_asks_for_no_list_of_a_patient(documents: Documents, form: str) -> None:
    with with_links(form) as running:
        clinic = Clinic(running, documents)
        clinic.run(start)
        clinic.settle()
        clinic.settle()
        before, requests = written(documents), clinic.requests()
        clinic.later(hours=1)
        run = clinic.run(night)
        assert written(documents) == before
        assert (run.counts["seen"], run.counts["same"]) == (30, 30)
        assert clinic.requests() - requests <= 4
        assert clinic.queue.waiting() == 0


@FORMS
@pytest.mark.parametrize("field", ["patient_photo", "primary_insurance", "custom_demographics"])
def test_a_file_that_was_replaced_is_stored(embedded: Documents, form: str, field: str) -> None:
    with with_links(form) as running:
        clinic = Clinic(running, embedded)
        clinic.run(start)
        clinic.settle()
        before = written(embedded)
        key, patient = min(running.truth("patients").items())
        running.change("patients", key, {field: links(patient, key, "b")[field]}, webhook=False)
        clinic.later(hours=1)
        clinic.run(sync)
        after = written(embedded)
        assert {name for name in after if after[name] != before[name]} == {key}
        stored = clinic.stored("patients")[key]
        assert {name for name in links(patient, key, "a") if "-b." in repr(stored[name])} == {field}
