"""What a run prints of the functions' log lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.arrivals import Tail, event_text, row
from local.feed import change_text
from shared.records.ordering import Outcome
from shared.webhooks.events import EVENTS

DONE = {
    "message": "event.done",
    "event": "PATIENT_MODIFY",
    "kind": "patients",
    "id": "7",
    "seconds": 0.084,
    "reason": "",
}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({**DONE, "outcome": "stored"}, "PATIENT_MODIFY            patients/7               stored, 84 ms"),
        ({**DONE, "outcome": "unchanged"}, "unchanged, 84 ms"),
        ({**DONE, "outcome": "deferred", "reason": "quota"}, "deferred: quota"),
        ({"message": "webhook.rejected", "status": 401, "reason": "bad_signature"}, "refused with 401: bad_signature"),
        ({"message": "webhook.ignored", "event": "PING"}, "a PING was acknowledged"),
        ({"message": "webhook.ignored", "event": "LAB_ORDER_CREATE"}, "LAB_ORDER_CREATE is not of a kind that is kept"),
    ],
)
def test_what_became_of_a_webhook_is_one_line(line: dict[str, object], words: str) -> None:
    assert words in str(event_text(line))


def test_other_lines_are_left_out() -> None:
    assert event_text({"message": "api.request", "kind": "patients"}) is None
    assert event_text({}) is None


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_line_fits_eighty_columns_with_its_time(outcome: Outcome) -> None:
    longest = max((event for event, kind in EVENTS.items() if kind), key=len)
    line = {**DONE, "event": longest, "kind": "clinical_notes", "id": "90000123", "outcome": outcome, "reason": "quota"}
    assert len(f"12:34:56 {event_text({**line, 'seconds': 12.345})}") <= 80
    assert len(f"  {row(longest, 'clinical_notes/90000123', 'deferred to the next sync')}") <= 80


CHANGE = {"kind": "clinical_notes", "id": "90000123", "version": 12345, "operation": "returned", "replay": False}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({**CHANGE, "fields": ["a", "b"]}, "feed: returned v12345     clinical_notes/90000123  a, b"),
        ({**CHANGE, "fields": [f"a_long_name_{n}" for n in range(9)]}, "a_long_name_0, a_lo…"),
        ({**CHANGE, "operation": "present", "fields": [], "replay": True}, "sent again"),
        ({**CHANGE, "operation": "deleted", "fields": []}, "feed: deleted v12345      clinical_notes/90000123"),
        ({"kind": "patients", "operation": "filled", "count": 12, "replay": False}, "12 records"),
    ],
)
def test_what_the_feed_says_is_one_line_of_eighty_columns(change: dict[str, object], words: str) -> None:
    line = change_text(json.dumps(change).encode())
    assert line.endswith(words)
    assert len(f"12:34:56 {line}") <= 80


def test_lines_are_read_once_and_whole(tmp_path: Path) -> None:
    log = tmp_path / "store_record.log"
    log.write_text(json.dumps({"n": 0}) + "\n")
    tail = Tail(log)
    with log.open("a") as out:
        out.write('plain text\n[1]\n{"n": 1}\n{"n":')
        out.flush()
        assert list(tail.lines()) == [{"n": 1}]
        out.write(" 2}\n")
    assert list(tail.lines()) == [{"n": 2}]
    assert list(tail.lines()) == []


def test_a_log_may_come_later(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "late.log")
    assert list(tail.lines()) == []
    (tmp_path / "late.log").write_text('{"n": 1}\n')
    assert list(tail.lines()) == [{"n": 1}]
