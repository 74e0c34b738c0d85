"""The parts of the soak that decide: the plan, what counts as going back in time, and the balancer."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.soak.balancer import Balancer
from benchmarks.soak.consumer import Followed, Known
from benchmarks.soak.plan import LAST_DEATH, LAST_DEATH_OF_A_JOB, LINKED_FIELDS, ONCE, clocks, links, plan
from benchmarks.soak.watch import LogLines, Times, Tombstones, simulator_failures
from benchmarks.soak.writers import wrong
from local.emulators import free_port
from shared.documents import Documents
from shared.drchrono.lag import CLOCK_SKEW

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
FUNCTIONS = ["receive_webhook 1", "store_record 1", "run_job 1"]


@given(seed=st.integers(0, 10**6), seconds=st.floats(30, 3600))
def test_every_plan_has_all_that_goes_wrong_once_and_ends_within_the_run(seed: int, seconds: float) -> None:
    acts = plan(seed, seconds, FUNCTIONS)
    assert {(what, whom) for what, whom, _ in ONCE} <= {(act.what, act.whom) for act in acts}
    assert acts == sorted(acts, key=lambda act: act.at)
    assert all(0 <= act.at <= seconds for act in acts)
    deaths = [act for act in acts if act.whom in FUNCTIONS]
    assert all(act.at <= seconds * LAST_DEATH + 0.1 for act in deaths)
    assert all(act.at <= seconds * LAST_DEATH_OF_A_JOB + 0.1 for act in deaths if act.whom == "run_job 1")


def test_the_seed_repeats_the_plan() -> None:
    assert plan(5, 180, FUNCTIONS) == plan(5, 180, FUNCTIONS)
    assert plan(5, 180, FUNCTIONS) != plan(6, 180, FUNCTIONS)


@given(seed=st.integers(0, 10**6))
def test_clocks_are_apart_but_no_further_than_the_system_allows_for(seed: int) -> None:
    names = [f"{function} {number}" for function in ("receive_webhook", "store_record", "run_job") for number in (1, 2)]
    ahead = clocks(seed, names)
    most = CLOCK_SKEW.total_seconds()
    assert max(ahead.values()) - min(ahead.values()) <= most
    for function in ("receive_webhook", "store_record", "run_job"):
        assert abs(ahead[f"{function} 1"] - ahead[f"{function} 2"]) >= 0.8 * most


def test_a_patient_has_a_signed_link_in_each_of_the_named_fields() -> None:
    made = links("7", {"primary_insurance": {"insurance_company": "X"}})
    assert made.keys() == LINKED_FIELDS
    assert all("?Signature=" in json.dumps(value) for value in made.values())
    assert made["primary_insurance"]["insurance_company"] == "X"


def change(
    version: int, operation: str = "changed", fields: tuple[str, ...] = ("city", "updated_at")
) -> dict[str, object]:
    return {
        "kind": "patients",
        "id": "1",
        "version": version,
        "operation": operation,
        "fields": list(fields),
        "stored_at": "2026-03-10T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("told", "wrong", "duplicates"),
    [
        ([change(3), change(4)], 0, 0),
        ([change(3), change(3), change(4)], 0, 1),
        ([change(2), change(3)], 0, 0),  # the program had read version 2
        ([change(4)], 1, 0),  # 3 is lost
        ([change(3), change(4), change(3)], 1, 0),
        ([change(3), change(3, fields=("email",))], 1, 1),
    ],
)
def test_a_consumer_sees_what_is_late_left_out_or_told_in_two_ways(
    told: list[dict[str, object]], wrong: int, duplicates: int
) -> None:
    followed = Followed()
    followed.read({"patients/1": Known(2, deleted=False)})
    for number, one in enumerate(told):
        followed.see(f"{number}", one, NOON)
    assert (len(followed.wrong), followed.duplicates) == (wrong, duplicates)


def test_what_the_broker_delivers_again_is_neither_late_nor_a_duplicate() -> None:
    followed = Followed()
    for name, version in (("a", 1), ("b", 2), ("a", 1)):
        followed.see(name, change(version), NOON)
    assert (followed.wrong, followed.duplicates) == ([], 0)


def test_a_consumers_state_is_the_last_version_and_whether_it_is_deleted() -> None:
    followed = Followed()
    followed.see("a", change(1, "created"), NOON)
    followed.see("b", change(2, "deleted", ()), NOON)
    assert followed.differing({"patients/1": Known(2, deleted=True)}) == []
    assert len(followed.differing({"patients/1": Known(2, deleted=False), "patients/2": Known(1, deleted=False)})) == 2
    assert followed.signed == []


def test_a_change_of_nothing_but_links_is_told_for_their_signatures() -> None:
    followed = Followed()
    followed.see("a", change(1, "created"), NOON)
    followed.see("b", change(2, fields=("patient_photo",)), NOON)
    followed.see("c", change(3, fields=("patient_photo", "updated_at")), NOON)
    assert followed.signed == ["patients/1: version 2"]


@pytest.mark.parametrize(
    ("fetched", "updated_at", "backward"),
    [
        (1, "2026-03-10T12:00:01", []),
        (-1, "2026-03-10T12:00:01", ["patients/1"]),
        (1, "2026-03-10T11:59:59", ["patients/1"]),
    ],
)
def test_an_older_fetch_or_version_is_a_step_back(fetched: int, updated_at: str, backward: list[str]) -> None:
    times = Times()
    times.see("patients/1", NOON, "2026-03-10T12:00:00")
    times.see("patients/1", NOON + timedelta(seconds=fetched), updated_at)
    assert times.backward == backward


@pytest.mark.parametrize(
    ("living", "fetched", "problem", "found"),
    [
        ({"1"}, 40, None, ["patients/1"]),
        ({"1"}, 31, None, []),  # the answer may be older than the record
        ({"1"}, 40, {"reason": "deletions_held"}, []),
        ({"2"}, 40, None, []),
    ],
)
def test_a_tombstone_is_wrong_if_the_record_was_there_all_the_time(
    living: set[str], fetched: int, problem: object, found: list[str]
) -> None:
    tombstones = Tombstones(lambda kind: {})
    status = {"complete_until": NOON, "problem": problem}
    tombstones.see("patients", {}, living, status, NOON)
    deleted = {"1": {"_sync": {"fetched_at": NOON + timedelta(seconds=fetched)}}}
    tombstones.see("patients", deleted, living, status, NOON + timedelta(seconds=60))
    assert sorted(tombstones.wrong) == found


def test_a_record_that_returned_was_not_there_all_the_time() -> None:
    tombstones = Tombstones(lambda kind: {})
    status = {"complete_until": NOON, "problem": None}
    for seconds, living in ((0, {"1"}), (50, set()), (100, {"1"})):
        deleted = {"1": {"_sync": {"fetched_at": NOON + timedelta(seconds=60)}}}
        tombstones.see("patients", deleted if seconds else {}, living, status, NOON + timedelta(seconds=seconds))
    assert tombstones.wrong == set()


@pytest.mark.parametrize(
    ("state", "records", "created", "writes", "faults"),
    [
        ("done", 1, 1, 1, 0),
        ("rejected", 0, 0, 0, 0),
        ("done", 2, 2, 2, 3),  # twice: seen by the name, and by both counts
        ("done", 0, 0, 0, 3),  # lost
        ("rejected", 1, 1, 1, 3),
        ("unknown", 1, 1, 1, 3),
    ],
)
def test_a_write_is_done_exactly_once(
    embedded: Documents, state: str, records: int, created: int, writes: int, faults: int
) -> None:
    entry = {"action": "create", "state": state, "fields": {"last_name": "Soakwriter-1"}}
    embedded.transact(lambda transaction: transaction.set("outbox/soak-1", entry))
    patients = {str(number): {"last_name": "Soakwriter-1"} for number in range(records)}
    assert len(wrong(embedded, patients, created, writes)) == faults


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    logs, file = LogLines(tmp_path), tmp_path / "store_record-1.log"
    file.write_text('{"message": "event.done"}\n{"message": "eve')
    logs.look()
    assert len(logs.of("event.done")) == 1
    with file.open("a") as more:
        more.write('nt.done"}\nTraceback (most recent call last):\n')
    logs.look()
    assert len(logs.of("event.done")) == 2
    assert dict(logs.foreign) == {"Traceback (most recent call last):": 1}


@contextmanager
def served(name: str) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps the connection

        def do_GET(self) -> None:
            body = json.dumps(name).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def asked(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    answer = str(json.loads(connection.getresponse().read()))
    connection.close()
    return answer


def test_connections_go_to_the_instances_in_turn_and_past_a_dead_one() -> None:
    with served("one") as one, served("two") as two, Balancer(port := free_port(), [one, free_port(), two], 1):
        answers = [asked(port) for _ in range(6)]
    assert set(answers) == {"one", "two"}


def test_an_instance_without_a_free_slot_gets_no_connection() -> None:
    with served("one") as one, served("two") as two, Balancer(port := free_port(), [one, two], 1):
        busy = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        busy.request("GET", "/")
        first = json.loads(busy.getresponse().read())
        others = {asked(port) for _ in range(4)}
        busy.close()
        later = {asked(port) for _ in range(4)}
    assert others == {"one", "two"} - {first}
    assert later == {"one", "two"}


def test_a_simulator_that_failed_is_seen(tmp_path: Path) -> None:
    log = tmp_path / "drchrono-simulator.log"
    log.write_text("DrChrono simulator ready at http://127.0.0.1:1 (seed 1)\n")
    assert simulator_failures(tmp_path) == []
    with log.open("a") as file:
        file.write("a timer of the simulator failed\nTraceback (most recent call last):\n")
    assert simulator_failures(tmp_path) == ["a timer of the simulator failed"]
