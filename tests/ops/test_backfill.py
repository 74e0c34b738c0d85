"""`backfill`, in a pipe and in a real terminal: start, watch, leave, watch again."""

from __future__ import annotations

import threading
from dataclasses import replace

import pexpect

from shared.jobs import backfill
from shared.jobs.checkpoints import Checkpoints
from tests.ops.conftest import Practice
from tests.ops.terminal import plain, start


def under_way(practice: Practice) -> set[str]:
    positions = Checkpoints(practice.system.documents())
    return {name for name in backfill.KIND_NAMES if positions.get(name).backfill is not None}


def test_it_starts_the_kinds_without_a_backfill_and_says_when_sync_continues(either: Practice) -> None:
    shown = either.ops("backfill")
    assert shown.exit_code == 0
    assert "Begun: patients, appointments, clinical_notes." in shown.output
    assert "To watch: python -m ops backfill --follow --local" in plain(shown.output)
    assert under_way(either) == {"patients", "appointments", "clinical_notes"}


def test_one_kind_from_one_day_on(practice: Practice) -> None:
    shown = practice.ops("backfill", "--kind", "appointments", "--since", "2026-01-01")
    assert "Begun: appointments." in shown.output
    assert under_way(practice) == {"appointments"}
    state = Checkpoints(practice.system.documents()).get("appointments").backfill
    assert state is not None
    assert state["since"] == "2026-01-01"


def test_starting_twice_loses_nothing(practice: Practice) -> None:
    practice.ops("backfill")
    before = Checkpoints(practice.system.documents()).get("patients")
    shown = practice.ops("backfill")
    assert "Already running: patients, appointments, clinical_notes." in shown.output
    assert Checkpoints(practice.system.documents()).get("patients") == before


def test_a_completed_backfill_is_repeated_only_for_a_date(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    shown = practice.ops("backfill", "--follow")
    assert "Done before: patients, appointments, clinical_notes." in shown.output
    assert "backfill --since 2009-01-01 --local" in shown.output
    assert under_way(practice) == set()
    assert "Begun" in practice.ops("backfill", "--kind", "patients", "--since", "2009-01-01").output


def test_in_a_pipe_its_progress_is_lines(practice: Practice) -> None:
    practice.authorize()
    practice.ops("backfill")
    working = threading.Timer(0.3, lambda: practice.work(backfill.go_on))
    working.start()
    shown = practice.ops("backfill", "--follow")
    working.join()
    assert shown.exit_code == 0
    assert "patients          0%  0 records, requests left: not known yet" in shown.output
    assert "appointments    100%" in shown.output
    assert "Done: 16 records of patients, appointments, clinical_notes." in shown.output
    children = "medications, problems, allergies"
    assert f"go on with {children}. To see it: python -m ops status --local" in plain(shown.output)
    assert "\x1b" not in shown.output


def test_a_kind_that_may_not_be_listed_is_named_with_exit_code_1(practice: Practice) -> None:
    practice.authorize()
    practice.simulator.faults.set([{"fault": "403", "path": "/api/appointments_list"}], replace=True)
    practice.ops("backfill")
    working = threading.Timer(0.3, lambda: practice.work(backfill.go_on))
    working.start()
    shown = practice.ops("backfill", "--follow")
    working.join()
    assert "appointments: cannot be listed (forbidden) and is tried again: run python -m ops doctor --local" in plain(
        shown.output
    )
    assert shown.exit_code == 1


def test_on_a_terminal_there_are_bars_until_it_is_done(practice: Practice) -> None:
    practice.authorize()
    child = start(practice.folder, "backfill", "--follow", "--local")
    child.expect("appointments .*not known yet")
    practice.work(backfill.go_on)
    child.expect("100%.*\x1b\\[2mdone")  # dim
    child.expect("Done: 16 records")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_the_cause_of_a_delay_is_shown_within_eighty_columns(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    documents = practice.system.documents()
    report = {"owner": None, "started": None, "until": None, "report": {"stopped": "revoked"}}
    documents.transact(lambda transaction: transaction.set("sync_state/job-sync", report))
    positions = Checkpoints(documents)
    practice.ops("backfill", "--since", "2009-01-01")
    positions.change("patients", lambda old: replace(old, backfill={**old.backfill, "done": 12_345, "total": 123_456}))  # type: ignore[dict-item]
    child = start(practice.folder, "backfill", "--kind", "patients", "--follow", "--local")
    child.expect("━.* 10%.*12,345 of 123,456, held up: revoked")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()


def test_what_is_left_is_shown_within_eighty_columns(practice: Practice) -> None:
    practice.authorize()
    practice.ops("backfill")
    # One list whose count DrChrono has told: 30 pages of 1,000 are left, of two requests each.
    Checkpoints(practice.system.documents()).change(
        "appointments",
        lambda old: replace(
            old,
            backfill={
                **(old.backfill or {}),
                "done": 58_120,
                "total": 88_120,
                "windows": [{"first": None, "last": None}],
                "reading": {"pages": 59},
            },
        ),
    )
    child = start(practice.folder, "backfill", "--kind", "appointments", "--follow", "--local")
    child.expect("58,120 of 88,120, about 60 requests, .* left")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()


def test_ctrl_c_leaves_it_running_and_names_the_command_to_watch_again(practice: Practice) -> None:
    practice.authorize()
    child = start(practice.folder, "backfill", "--kind", "patients", "--follow", "--local")
    child.expect("not known yet")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    said = plain(child.before or "")
    assert "continues. To watch it again: python -m ops backfill --kind patients --follow --local" in said
    assert child.exitstatus == 0
    assert under_way(practice) == {"patients"}


def test_colours_are_left_out_where_they_are_not_wanted(practice: Practice) -> None:
    child = start(practice.folder, "doctor", "--local", NO_COLOR="1")
    child.expect(pexpect.EOF)
    child.close()
    assert "passed  settings" in (child.before or "")
    assert "\x1b" not in (child.before or "")


def test_an_invalid_date_or_kind_is_refused_with_what_is_allowed(practice: Practice) -> None:
    shown = practice.ops("backfill", "--since", "yesterday")
    assert shown.exit_code == 2
    assert "write it like 2024-01-01" in plain(shown.stderr)
    shown = practice.ops("backfill", "--kind", "medications")
    assert "choose one of patients, appointments, clinical_notes" in plain(shown.stderr)


def test_a_day_in_the_future_is_refused_and_nothing_is_begun(practice: Practice) -> None:
    shown = practice.ops("backfill", "--since", "2199-01-01")
    assert shown.exit_code == 2
    assert "2199-01-01 is in the future" in plain(shown.stderr)
    assert under_way(practice) == set()


def test_an_unknown_kind_or_one_without_its_own_list_is_refused_with_the_reason(practice: Practice) -> None:
    said = plain(practice.ops("backfill", "--kind", "foo").stderr)
    assert "foo is not a kind of record: choose one of patients, appointments, clinical_notes;" in said
    assert "; medications, problems, allergies are fetched with their patients;" in said
    assert "; doctors, offices, users, appointment_profiles are listed whole once a day" in said
    said = plain(practice.ops("backfill", "--kind", "allergies").stderr)
    assert "allergies are fetched with their patients: choose one of patients" in said
    said = plain(practice.ops("backfill", "--kind", "doctors").stderr)
    assert "doctors are listed whole once a day: choose one of patients" in said
