"""What the pages show and do, on both stores; and that no page but a record's own holds anything of a record."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ops.dead_letters import dead_letters
from ops.target_system import local_target
from shared.drchrono.kinds import KINDS
from shared.errors import StoreUnavailable
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.windowed import KIND_NAMES
from shared.queue.entries import Entry, Priority, Target
from shared.records.store import Source
from tests.console.conftest import Console, now
from workstation.embedded_queue import EmbeddedQueue

NAME = "Quillfeather"  # planted wherever a record has a text


def filled(console: Console) -> None:
    practice = console.practice
    for kind, name in (("patients", "last_name"), ("appointments", "reason"), ("medications", "notes")):
        for key in sorted(practice.simulator.truth(kind)):
            practice.simulator.change(kind, key, {name: NAME}, webhook=False)
    practice.authorize()
    practice.backfill()
    practice.work()
    # A sync half a minute later would make the kinds complete.
    checkpoints = Checkpoints(practice.system.documents())
    for kind in KIND_NAMES:
        checkpoints.change(kind, lambda old: replace(old, complete_at=now()))


def first(console: Console, kind: str = "patients") -> str:
    return next(iter(sorted(console.practice.simulator.truth(kind))))


def waits(console: Console, reason: str, key: str = "1", kind: str = "patients") -> Target:
    entry = Entry(Target(kind, key), reason, Priority.EVENT, now(), now(), due=now() + timedelta(days=1))
    console.practice.system.queue().enqueue([entry])
    console.watch.refresh()
    return entry.target


def parts(console: Console, wanted: set[str]) -> dict[str, str]:
    """The first of each that the stream sends."""
    found: dict[str, str] = {}
    with console.web.get(f"{console.url}/stream", stream=True, timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines(decode_unicode=True):
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                found.setdefault(event["part"], event["html"])
            if wanted <= found.keys():
                break
    return found


def test_the_overview_says_what_status_says(either_console: Console) -> None:
    console = either_console
    filled(console)
    shown = console.get("/")
    told = json.loads(console.practice.ops("status", "--json").output)
    for kind in told["kinds"]:
        assert re.search(rf'<th scope="row">{kind["name"]}</th>\s*<td class="number">{kind["records"]}</td>', shown), (
            kind
        )
    assert "<strong>Complete</strong>" in shown
    assert "good for 60 min" in shown
    assert "of 6,000 in a minute; no cooldown" in shown


def test_an_arrival_is_shown_with_its_delay_and_nothing_of_the_record(either_console: Console) -> None:
    console = either_console
    filled(console)
    key, system = first(console), console.practice.system
    received = now() - timedelta(seconds=2)
    record = {**console.practice.simulator.truth("patients")[key], "city": NAME}
    system.records().store(KINDS["patients"], key, record, now(), Source("webhook", received))
    console.watch.refresh()
    shown = parts(console, {"arrivals", "charts"})
    row = re.search(rf"patients/<wbr>{key}.*?</tr>", shown["arrivals"], re.DOTALL)
    assert row
    assert re.search(r">2\.\d s<", row[0])
    assert re.search(r"p50 2\.\d s, p95 2\.\d s of 1 record<", shown["charts"])
    assert "<circle" in shown["charts"]


def test_what_waits_is_explained_and_retried_only_after_it_was_confirmed(either_console: Console) -> None:
    console = either_console
    target = waits(console, "forbidden")
    shown = console.get("/")
    assert "give it, then try these again" in shown
    link = re.search(r'href="(/confirm/retry\?reason=forbidden)"', shown)
    assert link
    asked = console.get(link[1])
    assert "Try 1 entry again that wait" in asked
    assert console.practice.system.queue().get(target).due > now()  # type: ignore[union-attr]
    done = console.post("/do/retry", reason="forbidden")
    assert done.url.endswith("/#done")
    assert "1 entry that waited because of “forbidden” is due now." in done.text
    assert console.practice.system.queue().get(target).due <= now()  # type: ignore[union-attr]


def test_dead_letters_are_chosen_sent_again_and_gone(console: Console) -> None:
    queue = EmbeddedQueue(console.practice.folder / "queue.sqlite3")
    for data in (b"readable?", NAME.encode()):
        queue.publish(data, {"event": "PATIENT_MODIFY", "kind": NAME})
    for message in queue.take(2):
        queue._move_to_dead_letters(message)
    console.watch.refresh()
    assert "dead letters: at least 2 messages" in console.get("/")
    page = console.get("/dead-letters")
    numbers = re.findall(r'name="number" value="(\d+)"', page)
    assert len(numbers) == 2
    assert NAME not in page
    asked = console.get("/confirm/replay", number=numbers[0])
    assert "Send 1 message again?" in asked
    assert queue.dead() == 2
    assert "1 message sent again." in console.post("/do/replay", number=numbers[0]).text
    assert [letter.number for letter in dead_letters(local_target()).look(9)] == numbers[1:]
    assert "Not done: none of these messages is there any more" in console.post("/do/replay", number=numbers[0]).text
    assert "Not done: no message was chosen" in console.post("/do/replay").text


def test_deletions_are_accepted_only_by_who_says_that_he_looked(console: Console) -> None:
    filled(console)
    key = first(console)
    waits(console, "deletions_held", key)
    asked = console.get("/confirm/accept-deletions", kind="patients")
    assert f"<code>{key}</code>" in asked
    assert "required" in asked
    assert "Not done: tick that you have looked" in console.post("/do/accept-deletions", kind="patients").text
    documents = console.practice.system.documents()
    assert documents.get("sync_state/deletions-patients") is None
    said = console.post("/do/accept-deletions", kind="patients", ticked="yes").text
    assert "The deletions of patients are accepted for 24 hours." in said
    accepted = documents.get("sync_state/deletions-patients")
    assert accepted is not None
    assert accepted["accepted_until"] > now() + timedelta(hours=23)


def test_what_cannot_be_done_says_why_and_changes_nothing(console: Console) -> None:
    console.practice.authorize()
    assert "nothing waits for this reason any more" in console.get("/confirm/retry", reason="quota")
    assert "no deletions of patients are held any more" in console.get("/confirm/accept-deletions", kind="patients")
    assert "persons is not a kind of record" in console.get("/record", kind="persons", id="1")
    assert "neither the copy nor DrChrono has patients/1" in console.post("/do/fetch", kind="patients", id="1").text
    assert "nosuch is not a reason" in console.post("/do/retry", reason="nosuch").text
    assert "There is no such page" in console.get("/confirm/nothing")
    assert console.practice.system.queue().waiting() == 0


def test_the_status_tells_a_wrong_request_from_a_broken_dependency(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.practice.authorize()

    def status(path: str) -> int:
        return console.web.get(f"{console.url}{path}", timeout=10).status_code

    assert status("/record?kind=persons&id=1") == 404
    assert status("/confirm/retry?reason=quota") == 409

    def away(*_: object) -> Any:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(type(local_target().system.documents()), "get", away)
    assert status("/record?kind=patients&id=1") == 502


def test_a_records_own_page_shows_it_says_so_and_compares_it(either_console: Console) -> None:
    console = either_console
    filled(console)
    key = first(console)
    page = console.get("/record", kind="patients", id=key)
    assert "This page shows patient data." in page
    assert NAME in page
    assert "Compared with DrChrono" not in page
    assert "Equal to DrChrono" in console.post("/record", kind="patients", id=key).text
    console.practice.simulator.change("patients", key, {"city": "<b>Springfield</b>"}, webhook=False)
    compared = console.post("/record", kind="patients", id=key).text
    assert "&lt;b&gt;Springfield&lt;/b&gt;" in compared
    assert "patients/12 is not stored" in console.get("/record", kind="patients", id="12")
    assert "DrChrono has no such record either" in console.post("/record", kind="patients", id="12").text


def test_ids_of_any_characters_stay_text(console: Console) -> None:
    hostile = '"><script>alert(1)</script>&kind=x'
    waits(console, "quota", hostile)
    for page in (
        console.get("/record", kind="patients", id=hostile),
        console.get("/confirm/fetch", kind="patients", id=hostile),
    ):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
    done = console.post("/do/fetch", kind="patients", id=hostile)
    assert "<script>alert" not in done.text
    assert "is due now." in done.text


def test_the_planted_name_is_on_no_page_but_a_records(either_console: Console) -> None:
    """Everything that a page can show, with the name in every record, dead letter and error."""
    console = either_console
    filled(console)
    system, key = console.practice.system, first(console)
    record = {**console.practice.simulator.truth("patients")[key], "odd": [[NAME, 2**70]], "city": NAME}
    system.records().store(KINDS["patients"], key, record, now(), Source("webhook", now()))
    waits(console, "forbidden", key)
    stored = system.documents().get(f"patients/{key}")
    assert NAME in stored["_sync"]["json"]  # type: ignore[index]  # else the search would prove less
    console.watch.refresh()
    seen = {
        path: console.get(path)
        for path in (
            "/", "/dead-letters", "/confirm/retry?reason=forbidden", f"/confirm/fetch?kind=patients&id={key}",
            "/confirm/accept-deletions?kind=patients", "/nothing",
        )
    }  # fmt: skip
    seen |= parts(console, {"verdict", "kinds", "charts", "arrivals", "pending", "facts"})
    seen["retried"] = console.post("/do/retry", reason="forbidden").text
    seen["fetched"] = console.post("/do/fetch", kind="patients", id=key).text
    assert {place: text for place, text in seen.items() if NAME in text} == {}
    assert NAME in console.get("/record", kind="patients", id=key)


def test_an_error_shows_its_type_and_place_and_no_text(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise ValueError(NAME)

    filled(console)
    documents = local_target().system.documents()
    monkeypatch.setattr(type(documents), "get", broken)
    page = console.web.get(f"{console.url}/record", params={"kind": "patients", "id": first(console)}, timeout=10)
    assert page.status_code == 500
    assert "ValueError in test_pages.py:" in page.text
    assert NAME not in page.text


def test_a_store_that_is_away_is_said_and_what_was_seen_stays(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(console)
    console.watch.refresh()
    documents = local_target().system.documents()

    def away(*_: object, **__: object) -> Any:
        raise StoreUnavailable("embedded store: OperationalError")

    with monkeypatch.context() as patched:
        patched.setattr(type(documents), "query", away)
        console.watch.refresh()
        shown = console.get("/")
        assert "Not up to date" in shown
        assert "embedded store: OperationalError: check the project" in shown
        assert "patients" in shown
    console.watch.refresh()
    assert "Not up to date" not in console.get("/")


def test_the_status_is_not_read_while_nobody_looks(console: Console) -> None:
    later = now()
    watch = console.watch
    watch._now = lambda: later
    console.get("/")
    read = watch._status_at
    later += timedelta(seconds=30)
    watch.look()
    assert watch._status_at != read  # a page was loaded within the minute
    read = watch._status_at
    later += timedelta(minutes=5)
    watch.look()
    assert watch._status_at == read
    assert f"as of <time>{later:%H:%M:%S}" in console.get("/")  # who comes back sees what is true now


def test_a_stream_that_was_left_ends_and_no_more_than_some_are_open(console: Console) -> None:
    open_streams = [console.web.get(f"{console.url}/stream", stream=True, timeout=10) for _ in range(20)]
    for stream in open_streams:
        next(stream.iter_content(1))
    assert console.web.get(f"{console.url}/stream", timeout=10).status_code == 503
    for stream in open_streams:
        stream.close()
    deadline = time.monotonic() + 20
    while console.web.get(f"{console.url}/stream", stream=True, timeout=10).status_code == 503:
        console.watch.refresh()  # they notice at the next change
        assert time.monotonic() < deadline
