"""What holds at the end of a run is logged in every run, for as long as it holds: alerts follow these lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.report import report
from shared.jobs.status import KindState, publish_all
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.queue.entries import Entry, Priority, Target
from shared.records.coverage import Coverage
from tests.clinic import Clinic, simulator
from tests.jobs.test_coverage import allow, clinic_of, start
from tests.jobs.test_reconcile import reconciled
from tests.jobs.test_sync import filled

NOTHING = Coverage(None, None, {}, None, None)

Lines = Callable[[Clinic, str], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What a run with nothing to do reports under a label, without the fields that every line has."""

    def told(clinic: Clinic, label: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        report(clinic.parts(), publish_all(clinic.parts()))
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [
            {name: value for name, value in line.items() if name not in ("severity", "message")}
            for line in found
            if line["message"] == label
        ]

    return told


def test_a_kind_that_cannot_be_listed_is_reported_with_since_when_until_it_can(
    embedded: Documents, lines: Lines
) -> None:
    with simulator(patients=2, token_seconds=10**8) as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        assert lines(clinic, "kind.problem") == []
        refused = {"match": {"path": "/api/clinical_notes"}, "fault": "answer", "status": 403}
        running.faults.set([refused], replace=True)
        clinic.later(hours=1)
        began = clinic.now()
        for _ in range(3):
            clinic.run(sync)
            clinic.later(hours=2)
        [problem] = lines(clinic, "kind.problem")
        age = (clinic.now() - began).total_seconds()
        assert problem.pop("oldest_seconds") == pytest.approx(age, abs=120)
        assert problem == {"job": "sync", "kind": "clinical_notes", "reason": "forbidden", "attempt": 3}
        assert lines(clinic, "kind.problem") != []  # once more, though nothing was tried

        running.faults.set([], replace=True)
        clinic.run(sync)
        assert lines(clinic, "kind.problem") == []


def test_an_outage_is_reported_of_the_kinds_that_were_tried(embedded: Documents, lines: Lines) -> None:
    with simulator(patients=2, token_seconds=10**8) as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        running.faults.set([{"match": {"path": "/api/"}, "fault": "500"}], replace=True)
        clinic.later(hours=1)
        with pytest.raises(Stopped, match="unavailable"):
            clinic.run(sync)
        assert {line["reason"] for line in lines(clinic, "kind.problem")} == {"server_error"}


def test_held_deletions_are_reported_until_a_person_accepts_them(embedded: Documents, lines: Lines) -> None:
    with simulator(form="guide", patients=60, appointments=0, notes=0, children=0, token_seconds=10**8) as running:
        clinic = filled(Clinic(running, embedded))
        assert lines(clinic, "deletions.waiting") == []
        for key in sorted(running.truth("patients"))[:31]:
            running.delete("patients", key, webhook=False)
        reconciled(clinic)
        clinic.later(days=2)
        [held] = lines(clinic, "deletions.waiting")
        assert (held["kind"], held["oldest_seconds"]) == ("patients", pytest.approx(2 * 86400, abs=120))
        # The same fact is not reported twice, as a problem of the reconciliation besides.
        assert [line for line in lines(clinic, "kind.problem") if line["reason"] == "deletions_held"] == []

        clinic.absences.accept(KINDS["patients"])
        assert lines(clinic, "deletions.waiting") == []


def test_how_far_each_kind_is_behind_is_reported_and_the_time_between_two_whole_lists_is_not_lag(
    embedded: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulator(patients=2, token_seconds=10**8) as running:
        clinic = Clinic(running, embedded)
        now = clinic.now()
        whole = timedelta(days=1)
        behind = {"patients": timedelta(seconds=90), "doctors": whole + timedelta(seconds=90), "users": whole}
        behind |= {"medications": timedelta(hours=1), "appointments": timedelta(seconds=-5)}
        capsys.readouterr()
        checkpoints = {name: Checkpoint(complete_at=now - lag) for name, lag in behind.items()}
        states = [KindState(kind, checkpoints.get(name, Checkpoint()), None, NOTHING) for name, kind in KINDS.items()]
        report(replace(clinic.parts(), now=lambda: now), states)
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        positions = {line["kind"]: line["lag_seconds"] for line in found if line["message"] == "kind.position"}
        # Medications have no position of their own, and the clock of another instance may be ahead.
        assert positions == {"patients": 90, "doctors": 90, "users": 0, "appointments": 0}


def test_what_waits_is_reported_by_reason(embedded: Documents, lines: Lines) -> None:
    with simulator(patients=2, token_seconds=10**8) as running:
        clinic = Clinic(running, embedded)
        now = clinic.now()
        for key, reason, age in (("1", "quota", 30), ("2", "quota", 90), ("3", "forbidden", 0)):
            seen = now - timedelta(seconds=age)
            clinic.queue.enqueue([Entry(Target("patients", key), reason, Priority.EVENT, seen, now, now)])
        quota, forbidden = lines(clinic, "pending.state")
        assert (quota["reason"], quota["count"], forbidden["reason"], forbidden["count"]) == (
            "quota",
            2,
            "forbidden",
            1,
        )
        assert quota["oldest_seconds"] == pytest.approx(90, abs=20)


def test_a_missing_permission_is_reported_once_a_run_until_it_is_given_back(embedded: Documents, lines: Lines) -> None:
    with simulator(patients=2, token_seconds=10**8) as running:
        clinic = clinic_of(running, embedded)
        clinic.run(sync)
        assert lines(clinic, "coverage.missing") == []
        allow(running, clinical_notes=False)
        clinic.later(hours=25)
        clinic.run(sync)
        # Five kinds need it.
        assert lines(clinic, "coverage.missing") == [{"reason": "clinical-notes"}]
        allow(running, clinical_notes=True)
        clinic.later(hours=25)
        clinic.run(sync)
        assert lines(clinic, "coverage.missing") == []


def test_a_doctor_whose_records_are_no_longer_in_the_copy_is_reported_once(
    embedded: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    def less() -> list[tuple[str, int]]:
        found = map(json.loads, capsys.readouterr().out.splitlines())
        return [(line["kind"], line["count"]) for line in found if line["message"] == "coverage.less"]

    with simulator(patients=30, appointments=0, notes=0, children=0, token_seconds=10**8) as running:
        clinic = clinic_of(running, embedded)
        clinic.run(start)
        clinic.run(sync)
        assert less() == []
        first, second, *_ = sorted(running.truth("doctors"))
        for key, record in running.truth("patients").items():
            if str(record["doctor"]) == second:
                running.change("patients", key, {"doctor": int(first)}, webhook=False)
        clinic.later(hours=1)
        clinic.run(sync)
        clinic.later(hours=25)
        clinic.run(sync)
        assert less() == [("patients", 2)]
        clinic.later(hours=25)
        clinic.run(sync)
        assert less() == []


def test_a_count_that_cannot_be_read_is_not_less_than_any(
    embedded: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulator(patients=3, token_seconds=10**8) as running:
        clinic = clinic_of(running, embedded)
        clinic.run(sync)
        embedded.transact(lambda transaction: transaction.set("sync_state/coverage", {"seen": "all", "doctors": 3}))
        clinic.run(start)
        clinic.later(hours=25)
        clinic.run(sync)
        assert "coverage.less" not in capsys.readouterr().out
