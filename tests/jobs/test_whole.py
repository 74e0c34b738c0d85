"""Doctors, offices, users and appointment profiles: listed whole once a day, and never deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import listed_until
from shared.jobs.report import report
from shared.jobs.run import Run
from shared.jobs.status import publish_all
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.queue.entries import Entry, Priority, Target
from simulator import Simulator
from tests.clinic import Clinic, simulator

WHOLE = [name for name, kind in KINDS.items() if kind.whole]


def practice(**settings: Any) -> Simulator:
    """Its token lasts, so that no list is asked for twice for that."""
    return simulator(token_seconds=10**8, **settings)


def listed(clinic: Clinic, name: str) -> int:
    """How many requests for the list of the kind the simulator has answered."""
    return int(clinic.simulator.stats()["by_endpoint"].get(f"GET /api/{name}", 0))


@pytest.mark.parametrize("form", ["guide", "live"])
def test_they_are_listed_with_the_first_sync_and_then_once_a_day(documents: Documents, form: str) -> None:
    with practice(form=form, patients=2) as running:
        clinic = Clinic(running, documents)
        clinic.run(sync)
        for name in WHOLE:
            assert set(clinic.stored(name)) == set(running.truth(name))
            assert clinic.positions.get(name).complete_at is not None
        assert [one for one in clinic.differences() if one.split(":")[0] in WHOLE] == []
        clinic.later(hours=23)
        clinic.run(sync)
        assert [listed(clinic, name) for name in WHOLE] == [1, 1, 1, 1]
        for name in WHOLE:
            running.change(name, webhook=False)
        made = running.create("doctors", webhook=False)["id"]
        clinic.later(hours=2)
        clinic.run(sync)
        assert [listed(clinic, name) for name in WHOLE] == [2, 2, 2, 2]
        assert str(made) in clinic.stored("doctors")
        assert [one for one in clinic.differences() if one.split(":")[0] in WHOLE] == []


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("name", WHOLE)
def test_what_is_no_longer_listed_is_kept_and_nothing_waits_for_it(embedded: Documents, form: str, name: str) -> None:
    with practice(form=form, patients=1) as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        gone = next(iter(running.truth(name)))
        running.delete(name, gone, webhook=False)
        for _ in range(3):
            clinic.later(hours=25)
            clinic.run(sync)
        assert gone in clinic.stored(name)
        assert clinic.absences.held_since(KINDS[name]) is None
        assert [key for key, _ in embedded.query("sync_pending") if key.startswith(name)] == []


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("name", WHOLE)
def test_a_kind_that_is_refused_is_that_kinds_problem_only(
    embedded: Documents, form: str, status: int, name: str
) -> None:
    with practice(form=form, patients=2) as running:
        clinic = Clinic(running, embedded)
        rule = {"match": {"kind": name, "read": "list"}, "fault": "answer", "status": status, "body": {"detail": "no"}}
        running.faults.set([rule], replace=True)
        run = clinic.run(sync)
        assert run.unfinished == {("sync", name): "forbidden" if status == 403 else "not_found"}
        assert clinic.positions.get(name).complete_at is None
        for other in WHOLE:
            assert (clinic.positions.get(other).complete_at is None) is (other == name)
        for other in ("patients", "appointments", "clinical_notes"):
            assert clinic.positions.get(other).problem is None
            assert clinic.positions.get(other).synced_at is not None
        running.faults.set([], replace=True)
        clinic.later(hours=2)
        assert clinic.run(sync).unfinished == {}
        assert set(clinic.stored(name)) == set(running.truth(name))


def test_a_service_that_refuses_all_four_does_not_stop_the_rest(embedded: Documents) -> None:
    with practice(patients=2) as running:
        clinic = Clinic(running, embedded)
        rules = [{"match": {"kind": name, "read": "list"}, "fault": "answer", "status": 404} for name in WHOLE]
        running.faults.set(rules, replace=True)
        assert set(clinic.run(sync).unfinished) == {("sync", name) for name in WHOLE}
        assert clinic.positions.get("clinical_notes").synced_at is not None
        assert listed(clinic, "doctors") == 1
        clinic.later(minutes=1)
        clinic.run(sync)
        assert listed(clinic, "doctors") == 1  # the pauses grow; a forced run does not wait
        clinic.run(lambda run: sync(run, force=True))
        assert listed(clinic, "doctors") == 2


@pytest.mark.parametrize("form", ["guide", "live"])
def test_an_empty_list_where_some_are_kept_is_no_complete_list(embedded: Documents, form: str) -> None:
    with practice(form=form, patients=1) as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        before = clinic.positions.get("doctors").complete_at
        running.visibility.set([{"kind": "doctors"}])
        clinic.later(hours=25)
        assert clinic.run(sync).unfinished == {("sync", "doctors"): "list_empty"}
        assert clinic.positions.get("doctors").complete_at == before
        assert set(clinic.stored("doctors")) == set(running.truth("doctors"))
        running.visibility.set([])
        clinic.later(hours=1)
        assert clinic.run(sync).unfinished == {}


@pytest.mark.parametrize("form", ["guide", "live"])
def test_a_list_that_is_cut_short_goes_on_at_the_next_page(
    embedded: Documents, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "doctors", replace(KINDS["doctors"], page_size=2))
    with practice(form=form, patients=1) as running:
        for _ in range(4):
            running.create("doctors", webhook=False)
        clinic = Clinic(running, embedded)
        total = len(running.truth("doctors"))
        stopping = _after(2, clinic)
        with pytest.raises(Stopped, match="quota"):
            clinic.run(stopping)
        state = clinic.positions.get("doctors")
        assert state.complete_at is None
        assert state.sync is not None
        assert state.sync["shown"] == len(clinic.stored("doctors")) == 4
        clinic.allowance.left = 10**9
        clinic.run(sync)
        assert len(clinic.stored("doctors")) == total == 7
        assert listed(clinic, "doctors") == 4
        # What was read before the stop counts, so the list is as old as its first page. The next one proves it.
        assert clinic.positions.get("doctors").complete_at is None
        clinic.later(minutes=5)
        clinic.run(sync)
        assert clinic.positions.get("doctors").complete_at == listed_until(state.sync["began"])


def test_a_position_that_drchrono_refuses_begins_the_list_anew(
    embedded: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "doctors", replace(KINDS["doctors"], page_size=2))
    with practice(form="live", patients=1) as running:
        clinic = Clinic(running, embedded)
        with pytest.raises(Stopped, match="quota"):
            clinic.run(_after(1, clinic))
        assert clinic.positions.get("doctors").sync is not None
        clinic.allowance.left = 10**9
        refused = {"match": {"kind": "doctors", "page": 2}, "fault": "answer", "status": 404, "times": 1}
        running.faults.set([refused], replace=True)
        assert clinic.run(sync).unfinished == {("sync", "doctors"): "not_found"}
        clinic.later(minutes=5)
        assert clinic.run(sync).unfinished == {}
        assert set(clinic.stored("doctors")) == set(running.truth("doctors"))


@pytest.mark.parametrize("name", WHOLE)
def test_a_person_who_has_an_archived_one_looked_at_deletes_nothing(embedded: Documents, name: str) -> None:
    with practice(patients=1) as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        gone = next(iter(running.truth(name)))
        running.delete(name, gone, webhook=False)
        clinic.later(hours=1)
        now = clinic.now()
        clinic.queue.enqueue(Entry(Target(name, key), "asked", Priority.EVENT, now, now, now) for key in (gone, "999"))
        for _ in range(4):
            clinic.settle()
        assert gone in clinic.stored(name)
        assert embedded.get(f"{name}/999") is None
        assert clinic.queue.waiting() == 0


def test_the_day_between_two_lists_is_no_lag_and_what_exceeds_it_is(
    embedded: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    with practice(patients=1) as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        clinic.later(hours=23)

        def lag() -> float:
            capsys.readouterr()
            report(clinic.parts(), publish_all(clinic.parts()))
            lines = map(json.loads, capsys.readouterr().out.splitlines())
            positions = [line for line in lines if line["message"] == "kind.position"]
            return next(float(line["lag_seconds"]) for line in positions if line["kind"] == "doctors")

        assert lag() == 0
        clinic.later(hours=5)
        assert lag() == pytest.approx(4 * 3600, abs=120)


def _after(requests: int, clinic: Clinic) -> Callable[[Run], Any]:
    def work(run: Run) -> None:
        clinic.allowance.left = requests
        sync(run)

    return work


def test_what_moved_to_a_page_that_was_read_is_not_claimed_before_the_next_list_has_shown_it(
    embedded: Documents,
) -> None:
    with practice(patients=1, paging="offset") as running:
        for _ in range(260):  # two pages
            running.create("offices", webhook=False)
        clinic = Clinic(running, embedded)
        gone = next(iter(running.truth("offices")))
        act = {"action": "delete", "kind": "offices", "id": gone, "webhook": False}
        match = {"kind": "offices", "read": "list", "page": 1}
        running.faults.set([{"match": match, "fault": "then", "acts": [act], "times": 1}], replace=True)
        clinic.run(sync)
        missed = running.truth("offices").keys() - clinic.stored("offices").keys()
        assert len(missed) == 1
        first = clinic.positions.get("offices")
        assert (first.synced_at is not None, first.complete_at) == (True, None)
        assert clinic.positions.get("doctors").complete_at is not None  # one page
        clinic.later(minutes=5)
        clinic.run(sync)
        assert missed <= clinic.stored("offices").keys()
        assert first.synced_at is not None
        assert clinic.positions.get("offices").complete_at == listed_until(first.synced_at)
        asked = listed(clinic, "offices")
        clinic.later(minutes=5)
        clinic.run(sync)
        assert listed(clinic, "offices") == asked  # from now on once a day
