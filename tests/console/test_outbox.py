"""The outbox on the console: entries that need a person, by name, and what is done about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared.outbox.entries import COLLECTION
from tests.console.conftest import Console, up
from tests.console.test_pages import parts
from tests.ops.conftest import Practice

CANARY = "Planted-Canary"


@pytest.fixture
def writing(either: Practice) -> Iterator[Console]:
    """Where programs may write, on both stores."""
    either.write(DRCHRONO_WRITES="on")
    either.authorize()
    either.backfill()
    yield from up(either)


def add(console: Console, key: str, **given: Any) -> None:
    doctor = console.practice.simulator.clinic.doctors[0]["id"]
    fields = {"gender": "Female", "doctor": doctor, "first_name": CANARY, "last_name": key}
    document = {"kind": "patients", "action": "create", "fields": fields, "requested_by": "booking", **given}
    documents = console.practice.system.outbox_documents()
    documents.transact(lambda transaction: transaction.set(f"{COLLECTION}/{key}", document))


def spoil_guard(console: Console, key: str) -> None:
    documents = console.practice.system.outbox_documents()
    target = (documents.get(f"{COLLECTION}/{key}") or {})["target"]
    documents.transact(lambda transaction: transaction.set(f"outbox_targets/{target}", {"entry": 5}))


def state(console: Console, key: str) -> tuple[Any, Any]:
    found = console.practice.system.outbox_documents().get(f"{COLLECTION}/{key}") or {}
    return found.get("state"), found.get("reason")


def shown(console: Console) -> str:
    console.watch.refresh()
    return console.get("/")


def test_without_writers_the_page_says_nothing_of_an_outbox(console: Console) -> None:
    assert "Outbox" not in shown(console)
    assert "<dt>outbox</dt>" not in shown(console)


def test_an_entry_of_unknown_outcome_is_retried_only_after_a_look_into_drchrono(writing: Console) -> None:
    console = writing
    console.practice.simulator.faults.set([{"fault": "reset", "method": "POST", "times": 1}], replace=True)
    add(console, "lost")
    console.practice.work()
    assert state(console, "lost")[0] == "unknown"
    assert "<dt>outbox</dt>" in shown(console)
    assert "1 unknown" in shown(console)
    documents = console.practice.system.outbox_documents()
    documents.transact(lambda transaction: transaction.update(f"{COLLECTION}/lost", {"reason": "ambiguous"}))
    assert "/confirm/outbox-retry?entry=lost" in shown(console)
    asked = console.get("/confirm/outbox-retry", entry="lost")
    assert "I have looked into DrChrono" in asked
    assert "tick that you have looked" in console.post("/do/outbox-retry", entry="lost").text
    assert state(console, "lost")[0] == "unknown"
    done = console.post("/do/outbox-retry", entry="lost", ticked="yes").text
    assert "Entry lost is waiting. The next run of sync sends it." in done
    console.practice.work()
    assert state(console, "lost")[0] == "done"
    assert "/confirm/outbox-retry?entry=lost" not in shown(console)
    assert CANARY not in asked + done + shown(console) + parts(console, {"outbox", "facts"})["outbox"]


def test_a_malformed_guard_is_shown_and_the_entry_cancelled(writing: Console) -> None:
    console = writing
    add(console, "first")
    console.practice.work()
    spoil_guard(console, "first")
    add(console, "again", fields={**(_document(console, "first")["fields"])})
    console.practice.work()
    assert state(console, "again") == ("waiting", "malformed_guard")
    assert "what was sent for it cannot be read" in shown(console)
    assert "What DrChrono did already stays" in console.get("/confirm/outbox-cancel", entry="again")
    assert "It will not be sent" in console.post("/do/outbox-cancel", entry="again").text
    assert state(console, "again") == ("rejected", "cancelled")
    assert "there is no entry nothing" in console.post("/do/outbox-cancel", entry="nothing").text


def test_a_refused_entry_names_its_fields_and_no_value(writing: Console) -> None:
    console = writing
    add(console, "wrong", fields={"gender": CANARY})
    console.practice.work()
    page = shown(console)
    assert "nothing was written: doctor, gender" in page
    assert CANARY not in page
    assert "/confirm/outbox-cancel?entry=wrong" not in page


def _document(console: Console, key: str) -> dict[str, Any]:
    return console.practice.system.outbox_documents().get(f"{COLLECTION}/{key}") or {}
