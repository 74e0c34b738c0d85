"""`examples/reminders`, as the functions-framework serves it: what it is told over HTTP, and the list that it keeps."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud import firestore

from drchrono_reader.ids import document_id
from examples.reminders import main as example
from local.emulators import Emulators
from local.package import ROOT
from shared.cloud.firestore import FirestoreDocuments
from tests.examples.feed import Feed, Message, attributes, filled, message, ordering_key
from tests.served import served

pytestmark = pytest.mark.emulator

DAY = timedelta(days=1)
# Of which `look_ahead` and `filled` see the appointments to come.
SOON = datetime.now(timezone.utc).replace(microsecond=0) + 10 * DAY


@dataclass
class Program:
    """The function and what it works with. ids: none is used by two tests, which share the function."""

    settings: dict[str, str]
    folder: Path
    feed: Feed
    kept: firestore.Client
    url: str = ""
    ids: int = 0

    def new_id(self) -> str:
        self.ids += 1
        return f"{self.ids}"

    def book(self, key: str, at: datetime | None = SOON, *, deleted: bool = False, **fields: Any) -> Message:
        visit = {"id": key, "patient": 5, "status": "Confirmed", "scheduled_time": "2026-03-11T09:00:00"} | fields
        return self.feed.change("appointments", key, visit, deleted=deleted, at=at)

    def push(self, data: bytes, told: Message) -> int:
        """Deliver as Pub/Sub's push does, and return the status."""
        body = {
            "message": {
                "data": base64.b64encode(data).decode(),
                "messageId": "1",
                "orderingKey": ordering_key(told),
                "attributes": attributes(told),
                "publishTime": "2026-03-10T12:00:00Z",
            },
            "subscription": "projects/p/subscriptions/reminders",
        }
        return requests.post(self.url, json=body, timeout=30).status_code

    def tell(self, *all_told: Message) -> None:
        for told in all_told:
            assert self.push(json.dumps(told).encode(), told) == 200

    def deliver(self, told: Message) -> None:
        """Until it is acknowledged, as Pub/Sub does: of several that write one document at once, one may be refused."""
        assert any(self.push(json.dumps(told).encode(), told) == 200 for _ in range(10))

    def snapshot(self, key: str) -> Any:
        return self.kept.collection("reminders").document(document_id(key)).get()

    def reminder(self, key: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.snapshot(key).to_dict()
        return found

    def expected(self, key: str) -> dict[str, Any]:
        """The reminder as it follows from the appointment of the copy, without what was sent."""
        found = self.feed.documents.get(f"appointments/{document_id(key)}") or {}
        meta = found["_sync"]
        calls_off = meta["deleted"] or found["status"] not in ("", "Confirmed", "Not Confirmed")
        at = None if calls_off or found["patient"] is None else meta["scheduled_at"]
        return {
            "appointment": key,
            "patient": found["patient"],
            "version": meta["version"],
            "at": at,
            "send_at": at and at - DAY,
            "sent_for": None,
        }


@pytest.fixture(scope="module")
def program(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    project = f"reminders-{random.randrange(10**9)}"
    settings = {"GCP_PROJECT": project, "PYTHONPATH": str(ROOT / "reader"), "THREADS": "8", **emulators.environment}
    folder = tmp_path_factory.mktemp("reminders")
    feed = Feed(FirestoreDocuments(firestore.Client(project=project)))
    made = Program(settings, folder, feed, firestore.Client(project=project, database="reminders"))
    with served("remind", settings, folder / "log", source=ROOT / "examples" / "reminders") as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


@pytest.fixture
def inside(program: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """The same program, called in this process: what a sender does."""
    monkeypatch.setenv("GCP_PROJECT", program.settings["GCP_PROJECT"])
    example.database.cache_clear()
    example.copy.cache_clear()
    yield program
    example.database.cache_clear()
    example.copy.cache_clear()


def test_a_reminder_is_made_moved_cancelled_and_made_again(program: Program) -> None:
    key = program.new_id()
    program.tell(program.book(key))
    assert program.reminder(key) == {
        "appointment": key,
        "patient": 5,
        "version": 1,
        "at": SOON,
        "send_at": SOON - DAY,
        "sent_for": None,
    }
    for at, fields in (
        (SOON + 2 * DAY, {}),
        (SOON + 2 * DAY, {"status": "Cancelled"}),
        (SOON, {}),
        (None, {}),
        (SOON, {"patient": None}),
    ):
        program.tell(program.book(key, at, **fields))
        assert program.reminder(key) == program.expected(key)
    program.tell(program.book(key, deleted=True))
    assert (program.reminder(key) or {})["send_at"] is None
    program.tell(program.book(key))
    assert (program.reminder(key) or {})["send_at"] == SOON - DAY


def test_what_comes_again_or_late_or_as_a_replay_writes_nothing(program: Program) -> None:
    key = program.new_id()
    history = [program.book(key, SOON + number * DAY) for number in range(4)]
    program.tell(*history)
    written = program.snapshot(key).update_time
    program.tell(*history, history[0], history[3], program.feed.replay("appointments", key), history[1])
    assert program.snapshot(key).update_time == written


def test_a_function_that_dies_between_effect_and_acknowledgement_does_nothing_twice(program: Program) -> None:
    key, url = program.new_id(), program.url
    told = program.book(key)
    source = ROOT / "examples" / "reminders"
    try:
        with served("remind", program.settings, program.folder / "dying", source=source) as port:
            program.url = f"http://127.0.0.1:{port}"
            program.tell(told)  # its answer is lost with it
        written = program.snapshot(key).update_time
        with served("remind", program.settings, program.folder / "next", source=source) as port:
            program.url = f"http://127.0.0.1:{port}"
            program.tell(told)
    finally:
        program.url = url
    assert program.snapshot(key).update_time == written


def test_in_whatever_order_and_however_often_messages_come_the_list_is_that_of_the_copy(program: Program) -> None:
    rng = random.Random(22)
    keys = [program.new_id() for _ in range(5)]
    told: list[Message] = []
    for _ in range(25):
        key = rng.choice(keys)
        fields = {"status": rng.choice(["", "Confirmed", "Cancelled"]), "patient": rng.choice([5, 6, None])}
        at = rng.choice([SOON, SOON + DAY, None])
        told.append(program.book(key, at, deleted=rng.random() < 0.2, **fields))
        if rng.random() < 0.5:  # while the copy is already further
            program.tell(rng.choice(told))
    told += [program.feed.replay("appointments", told[-1]["id"]), *rng.sample(told, 10)]
    rng.shuffle(told)
    by_key = [[one for one in told if one["id"] == key] for key in keys]
    with ThreadPoolExecutor(len(keys)) as pool:  # with ordering, one message of a record at a time
        list(pool.map(lambda some: program.tell(*some), by_key))
    with ThreadPoolExecutor(2) as pool:  # without
        list(pool.map(program.deliver, by_key[0][:6]))
    for key in {one["id"] for one in told}:
        assert program.reminder(key) == program.expected(key)


def test_when_a_kind_was_filled_the_list_holds_what_is_to_come(program: Program) -> None:
    keys = [program.new_id() for _ in range(3)]
    program.book(keys[0])
    program.book(keys[1], deleted=True)
    program.book(keys[2], SOON - 30 * DAY)
    program.tell(filled("appointments", 3), filled("doctors", 2))
    assert program.reminder(keys[0]) == program.expected(keys[0])
    assert (program.reminder(keys[1]) or {})["send_at"] is None
    assert program.reminder(keys[2]) is None


def test_other_kinds_are_acknowledged_and_what_is_no_message_of_the_feed_is_not(program: Program) -> None:
    key = program.new_id()
    program.tell(message("patients", key, 1, "created"))
    assert program.reminder(key) is None
    for data in (b"", b"{", b"[]", b"{}", b'{"kind": "appointments", "operation": "changed", "id": 5, "version": 1}'):
        assert program.push(data, message("appointments", key, 1, "created")) >= 400


def test_what_was_sent_is_not_due_again_until_the_appointment_moves(inside: Program) -> None:
    key = inside.new_id()
    inside.tell(inside.book(key))

    def due(now: datetime) -> list[dict[str, Any]]:
        return [one for one in example.due(now) if one["appointment"] == key]

    assert due(SOON - DAY - timedelta(seconds=1)) == []
    (found,) = due(SOON - DAY)
    example.sent(found)
    assert due(SOON - DAY) == []
    inside.tell(inside.book(key, reason="a note"), inside.feed.replay("appointments", key))
    assert due(SOON - DAY) == []
    inside.tell(inside.book(key, SOON + DAY))
    (moved,) = due(SOON)
    assert (moved["at"], moved["sent_for"]) == (SOON + DAY, SOON)
    assert due(SOON + DAY) == []  # it takes place


def test_while_the_feed_is_late_nothing_outdated_is_due_and_the_look_ahead_finds_what_no_message_said(
    inside: Program,
) -> None:
    key = inside.new_id()
    inside.tell(inside.book(key))
    inside.book(key, SOON + DAY)  # and its message does not come
    assert [one for one in example.due(SOON - DAY) if one["appointment"] == key] == []
    assert example.plan_all(SOON - DAY) >= 1
    assert inside.reminder(key) == inside.expected(key)


def test_a_reminder_that_was_sent_while_the_appointment_moved_does_not_hide_the_new_one(inside: Program) -> None:
    key = inside.new_id()
    inside.tell(inside.book(key))
    (found,) = [one for one in example.due(SOON - DAY) if one["appointment"] == key]
    inside.tell(inside.book(key, SOON + DAY))
    example.sent(found)
    assert inside.reminder(key) == inside.expected(key)


def test_an_instance_that_read_the_appointment_before_it_changed_overwrites_nothing(inside: Program) -> None:
    key = inside.new_id()
    inside.book(key)
    read_early = example.copy().appointments.get(key)
    assert read_early is not None
    inside.tell(inside.book(key, SOON + DAY))
    example.plan(read_early)
    assert inside.reminder(key) == inside.expected(key)
