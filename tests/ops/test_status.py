"""`status` on both forms of the local system: the screen that a person sees."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from shared.drchrono.kinds import KINDS
from shared.jobs.checkpoint import Checkpoint
from shared.queue.entries import Entry, Priority, Target
from shared.records.ordering import Verdict
from shared.records.store import Records, Source
from tests.ops.conftest import Practice


def now() -> datetime:
    return datetime.now(timezone.utc)


def row(output: str, name: str) -> str:
    """Return the line that begins with `name`, with single blanks."""
    return next(" ".join(line.split()) for line in output.splitlines() if line.startswith(f"{name} "))


def test_a_system_that_was_never_authorized_says_what_to_run_first(either: Practice) -> None:
    shown = either.ops("status")
    assert shown.exit_code == 0
    assert row(shown.output, "patients") == "patients 0 0 no backfill yet 0 - -"
    assert "never authorized: run `python -m ops authorize`" in shown.output
    assert row(shown.output, "sync") == "sync has not run"
    assert row(shown.output, "dead letters") == "dead letters none"
    assert "the copy is complete" not in shown.output


def ended_a_minute_ago(checkpoint: Checkpoint) -> Checkpoint:
    filled_at = checkpoint.filled_at
    return replace(checkpoint, filled_at=filled_at - timedelta(minutes=1)) if filled_at else checkpoint


def test_a_complete_copy_says_so(either: Practice) -> None:
    either.authorize()
    either.backfill()
    assert row(either.ops("status").output, "patients").startswith("patients 5 0 after next sync 0 - -")
    for name in KINDS:  # as if it had ended a minute ago: the sync's lists show what changed until then
        either.system.parts().checkpoints.change(name, ended_a_minute_ago)
    either.work()
    shown = either.ops("status").output
    for kind in KINDS.values():
        count = len(either.simulator.truth(kind.name))
        assert row(shown, kind.name).startswith(f"{kind.name} {count} 0 ")
    for name in ("appointments", "medications"):
        assert " ago 0 " in row(shown, name)
    assert row(shown, "pending") == "pending nothing: the copy is complete, of what the user may see"
    assert row(shown, "token").startswith("token good for 60 min (until ")
    assert "of 6,000 in a minute; no cooldown" in row(shown, "quota")
    assert "finished after 1.5 s" in row(shown, "sync")


def test_it_fits_eighty_columns_and_thirty_lines_without_colours(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    pending = [
        Entry(Target("patients", str(number)), reason, Priority.EVENT, now(), now(), due=now())
        for number, reason in enumerate(("quota", "forbidden", "server_error", "too_large"))
    ]
    practice.system.queue().enqueue(pending)
    shown = practice.ops("status").output
    assert max(map(len, shown.splitlines())) <= 80
    assert len(shown.splitlines()) <= 30
    assert "\x1b" not in shown
    assert not any(line.endswith(" ") for line in shown.splitlines())


def test_pending_entries_are_shown_by_reason_with_the_oldest(either: Practice) -> None:
    for number, reason, hours in ((1, "quota", 1), (2, "quota", 5), (3, "forbidden", 80)):
        seen = now() - timedelta(hours=hours)
        entry = Entry(Target("appointments", str(number)), reason, Priority.EVENT, seen, seen, due=seen)
        either.system.queue().enqueue([entry])
    shown = either.ops("status").output
    assert row(shown, "quota").startswith("quota 2 5 h ago")
    assert row(shown, "forbidden").startswith("forbidden 1 3 days ago")
    assert row(shown, "appointments").split()[-3] == "3"


def test_tombstones_are_counted_apart(either: Practice) -> None:
    records = Records(either.system.documents(), now)
    kind = KINDS["patients"]
    for key in ("1", "2", "3"):
        assert records.store(kind, key, {"id": int(key)}, now(), Source("sync")).verdict is Verdict.STORE
    assert (
        records.mark_deleted(kind, "2", now(), Source("sync"), "deleted_flag", stated=True).verdict is Verdict.TOMBSTONE
    )
    assert row(either.ops("status").output, "patients").startswith("patients 2 1 ")


def test_the_lag_is_that_of_records_that_came_by_webhook(either: Practice) -> None:
    records = Records(either.system.documents(), now)
    received = now() - timedelta(seconds=30)
    records.store(KINDS["patients"], "1", {"id": 1}, received, Source("webhook", received))
    records.store(KINDS["patients"], "2", {"id": 2}, now(), Source("backfill"))
    found = json.loads(either.ops("status", "--json").output)
    lag = found["kinds"][0]["lag"]
    assert 30 <= lag["p50"] == lag["p95"] < 40
    assert lag["records"] == 1


def test_a_dead_token_says_what_to_run(practice: Practice) -> None:
    practice.authorize()
    practice.simulator.tokens.revoke_all()
    shown = practice.ops("doctor")
    assert "failed  token" in shown.output
    shown = practice.ops("status")
    assert "cannot be refreshed: python -m ops authorize --local" in " ".join(shown.output.split())


def test_a_cooldown_is_shown_with_its_end(practice: Practice) -> None:
    practice.system.rate_limiter().throttled(now() + timedelta(minutes=20))
    assert "DrChrono refuses all requests for 20 min more" in " ".join(practice.ops("status").output.split())


def test_a_backfill_under_way_shows_how_far_it_is(practice: Practice) -> None:
    practice.ops("backfill")
    shown = practice.ops("status").output
    assert "backfill 0%" in row(shown, "appointments")


def test_without_credentials_the_rest_is_still_shown(practice: Practice) -> None:
    practice.write(DRCHRONO_CLIENT_SECRET="")
    shown = practice.ops("status")
    assert shown.exit_code == 0
    assert "DRCHRONO_CLIENT_SECRET is not set" in " ".join(shown.output.split())


def test_json_holds_the_same_and_nothing_else(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    found = json.loads(practice.ops("status", "--json").output)
    assert [kind["name"] for kind in found["kinds"]] == list(KINDS)
    assert found["kinds"][0]["records"] == 5
    assert found["token"]["state"] == "ok"
    assert found["quota"]["windows"][0]["limit"] == 6000
    assert found["dead_letters"] == 0
    assert {job["name"] for job in found["jobs"]} == {"sync", "backfill", "reconcile"}
