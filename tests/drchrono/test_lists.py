"""Lists in all forms of answers: complete, resumable at each page, bounded in memory and waiting."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from shared.drchrono.client import DrChrono, Page
from shared.drchrono.kinds import KINDS, key_of
from shared.drchrono.windows import date_windows
from shared.errors import (
    BadRequest,
    BulkExpired,
    BulkFailed,
    BulkNotReady,
    ForeignHost,
    MalformedAnswer,
    ServerError,
)
from simulator import Simulator
from tests.drchrono.conftest import FORMS, Harness, Scripted, client_of, harness_of

PATIENTS, APPOINTMENTS, NOTES = KINDS["patients"], KINDS["appointments"], KINDS["clinical_notes"]


def keys(kind: str, pages: Iterator[Page] | list[Page]) -> list[str]:
    return [str(key_of(KINDS[kind], record)) for page in pages for record in page.records]


def small_pages(monkeypatch: pytest.MonkeyPatch, size: int = 5) -> None:
    """Make the simulator use small pages. It decides the size of a page itself, as DrChrono does."""
    monkeypatch.setattr("simulator.api.lists.PAGE_SIZE", size)
    monkeypatch.setattr("simulator.api.bulk.PAGE_SIZE", size)


@pytest.mark.parametrize("bulk", [True, False])
def test_a_list_holds_every_record_once_as_it_is(harness: Harness, bulk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)
    truth = harness.simulator.truth("patients")
    pages = list(harness.client.list_changed(PATIENTS, since=None, bulk=bulk))
    assert sorted(keys("patients", pages)) == sorted(truth)
    assert all(record == truth[str(record["id"])] for page in pages for record in page.records)
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert {page.total for page in pages} <= {12, None}


def test_appointments_are_listed_in_windows_deleted_ones_only_if_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)
    for form in FORMS:
        with harness_of(form=form) as harness:
            everything = set(harness.simulator.truth("appointments"))
            gone = str(harness.simulator.delete("appointments")["id"])

            def listed(harness: Harness = harness, **wanted: Any) -> list[str]:
                windows = date_windows(date(2023, 1, 1), date(2028, 1, 1), 180)
                found = [harness.client.list_changed(APPOINTMENTS, since=None, window=w, **wanted) for w in windows]
                return [key for pages in found for key in keys("appointments", pages)]

            assert sorted(listed()) == sorted(everything - {gone})
            assert sorted(listed(archived=True)) == sorted(everything)


def test_pages_of_notes_have_twenty_records(harness: Harness) -> None:
    pages = list(harness.client.list_changed(NOTES, since="2020-01-01"))
    assert sorted(keys("clinical_notes", pages)) == sorted(harness.simulator.truth("clinical_notes"))
    assert all(len(page.records) <= 20 for page in pages)


REFUSED = {"fault": "answer", "status": 404, "body": {"detail": "Not found."}}


def endpoints(harness: Harness) -> dict[str, int]:
    return dict(harness.simulator.stats()["by_endpoint"])


def notes_of(harness: Harness, **wanted: Any) -> list[str]:
    return sorted(keys("clinical_notes", harness.client.list_changed(NOTES, since="2020-01-01T00:00:00", **wanted)))


def test_notes_come_in_bulk_from_a_service_that_other_lists_have_shown_to_be_the_live_one() -> None:
    with harness_of(form="live", patients=60) as harness:
        truth = sorted(harness.simulator.truth("clinical_notes"))
        assert notes_of(harness) == truth
        assert endpoints(harness) == {"GET /api/clinical_notes": -(-len(truth) // 20)}
        assert harness.client.list_protocol is None
        list(harness.client.list_changed(PATIENTS, since="2020-01-01"))
        before = endpoints(harness)
        assert notes_of(harness) == truth
        assert endpoints(harness) == {
            **before,
            "POST /api/clinical_notes_list": 1,
            "GET /api/clinical_notes_list": 2,
        }
        # Few changes cost one request of a plain list.
        assert notes_of(harness, bulk=False) == truth
        assert endpoints(harness)["GET /api/clinical_notes"] == before["GET /api/clinical_notes"] + 1


@pytest.mark.parametrize("status", ["400", "404", "403", "500", "504", "garbage", "reset"])
def test_where_the_bulk_list_of_notes_is_not_answered_the_plain_one_is_and_other_kinds_stay_as_they_are(
    status: str,
) -> None:
    with harness_of(form="live", patients=60) as harness:
        list(harness.client.list_changed(PATIENTS, since="2020-01-01"))
        refusal = {**REFUSED, "status": int(status)} if status in ("400", "404") else {"fault": status}
        harness.fault(**refusal, path="/api/clinical_notes_list")
        before = endpoints(harness)
        for _ in range(2):
            assert notes_of(harness) == sorted(harness.simulator.truth("clinical_notes"))
        after = endpoints(harness)
        refused = status in ("400", "404", "garbage")
        # What may pass is tried again with the next list; a refusal is remembered, and costs one attempt.
        protocol = {"lists": "live", "clinical_notes": "plain"} if refused else {"lists": "live"}
        assert harness.client.list_protocol == protocol
        assert after["GET /api/clinical_notes"] == 2
        assert (after["POST /api/clinical_notes_list"] > 1) != (status in ("400", "404"))
        list(harness.client.list_changed(PATIENTS, since="2020-01-01"))
        assert endpoints(harness)["GET /api/patients_list"] == before["GET /api/patients_list"] + 2  # polls
        second = Harness(harness.simulator, list_protocol=json.loads(json.dumps(protocol)))
        assert notes_of(second) == sorted(harness.simulator.truth("clinical_notes"))


def test_a_live_list_of_many_pages_waits_about_as_long_as_one_of_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch, 2)
    with harness_of(form="live", polls_until_complete=0, bulk_seconds=4) as harness:
        list(harness.client.list_changed(PATIENTS, since="2020-01-01"))  # six pages
        assert sum(harness.slept) <= 5 + 2 * 5
        # A POST and a poll for each page, and one question to find out how it is asked.
        assert harness.requests() == 1 + 6 * 2


@pytest.mark.parametrize("lost", range(3, 14, 2))
def test_whatever_request_for_a_page_ahead_fails_the_list_is_whole(lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch, 2)
    with harness_of(form="live") as running:
        harness = Harness(running.simulator, list_protocol={"lists": "live"})
        rule = {"match": {"path": "/api/patients_list"}, **REFUSED, "after": lost, "times": 1}
        harness.simulator.faults.set([rule], replace=True)
        found = keys("patients", harness.client.list_changed(PATIENTS, since="2020-01-01"))
        assert set(found) == set(harness.simulator.truth("patients"))


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_only_what_changed_since_is_listed(form: str, bulk: bool) -> None:
    with harness_of(form=form) as harness:
        harness.simulator.clock.advance(timedelta(days=2).total_seconds())
        changed = str(harness.simulator.change("patients")["id"])
        assert keys("patients", harness.client.list_changed(PATIENTS, since="2026-03-12T10:00:00", bulk=bulk)) == [
            changed
        ]


@pytest.mark.parametrize("name", ["patients", "appointments", "clinical_notes"])
@pytest.mark.parametrize("form", FORMS)
def test_a_list_without_changes_costs_one_request_once_the_protocol_is_known(form: str, name: str) -> None:
    with harness_of(form=form, polls_until_complete=0) as harness:
        list(harness.client.list_changed(PATIENTS, since="2026-04-01", bulk=False))
        before = harness.requests()
        assert keys(name, harness.client.list_changed(KINDS[name], since="2026-04-01T00:00:00", bulk=False)) == []
        assert harness.requests() - before == (2 if form == "guide-uuid" and name != "clinical_notes" else 1)


def test_the_list_protocol_is_detected_once_and_can_be_passed_to_another_client(practice: Simulator) -> None:
    first = Harness(practice)
    assert first.client.list_protocol is None
    list(first.client.list_changed(PATIENTS, since=None))
    protocol = first.client.list_protocol
    assert protocol == {"lists": "live" if practice.config.live else "guide"}
    second = Harness(practice, list_protocol=json.loads(json.dumps(protocol)))
    list(second.client.list_changed(PATIENTS, since=None))
    assert len(first.limiter.taken) - len(second.limiter.taken) == (1 if practice.config.live else 0)


@pytest.mark.parametrize("wrong", ["guide", "live"])
def test_a_list_protocol_that_stops_working_is_detected_anew(wrong: str) -> None:
    """A server that knows one method only, whatever is remembered of it."""
    right = "POST" if wrong == "guide" else "GET"
    pages = json.dumps({"results": [{"id": 1}], "next": None}).encode()
    with Scripted(lambda target, headers: (200, {}, pages)) as server:
        server.script = lambda target, headers: (
            (200, {}, pages) if server.seen[-1][0].startswith(right) else (405, {}, b"")
        )
        client = client_of(server.url, list_protocol={"lists": wrong})
        assert keys("patients", client.list_changed(PATIENTS, since=None)) == ["1"]
        assert client.list_protocol == {"lists": "live" if wrong == "guide" else "guide"}


def test_the_other_list_protocol_is_tried_if_a_plain_get_fails() -> None:
    pages = json.dumps({"results": [], "next": None}).encode()
    with Scripted(lambda target, headers: (500, {}, b"")) as server:
        server.script = lambda target, headers: (
            (200, {}, pages) if server.seen[-1][0].startswith("POST") else (500, {}, b"")
        )
        client = client_of(server.url)
        assert keys("patients", client.list_changed(PATIENTS, since=None)) == []
        assert client.list_protocol == {"lists": "live"}


@pytest.mark.parametrize(
    ("get", "post", "expected"), [(400, 405, 400), (405, 400, 400), (500, 405, 500), (404, 405, 405)]
)
def test_of_two_refusals_the_more_specific_one_is_raised(get: int, post: int, expected: int) -> None:
    with Scripted(lambda target, headers: (200, {}, b"")) as server:
        server.script = lambda target, headers: (post if server.seen[-1][0].startswith("POST") else get, {}, b"")
        client = client_of(server.url)
        with pytest.raises((BadRequest, ServerError), match=f"answered {expected}"):
            next(client.list_changed(PATIENTS, since=None))
        assert client.list_protocol is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bulk", [True, False])
def test_a_list_can_be_resumed_in_another_process_at_every_page(
    form: str, bulk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    monkeypatch.setattr("shared.drchrono.calls.PLAIN_PAGE_SIZE", 5)
    with harness_of(form=form) as harness:
        whole = keys("patients", harness.client.list_changed(PATIENTS, since="2020-01-01", bulk=bulk))
        pages = list(harness.client.list_changed(PATIENTS, since="2020-01-01", bulk=bulk))
        assert len(pages) == 3
        for number, page in enumerate(pages[:-1], start=1):
            position = json.loads(json.dumps(page.resume))
            rest = Harness(harness.simulator).client.list_changed(
                PATIENTS, since="2020-01-01", bulk=bulk, resume=position
            )
            assert keys("patients", pages[:number]) + keys("patients", rest) == whole


@pytest.mark.parametrize("form", ["guide-uuid", "live"])
def test_a_slow_bulk_list_is_left_and_resumed_later(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)
    with harness_of(form=form, polls_until_complete=5) as harness:
        found: list[str] = []
        position: Mapping[str, Any] | None = None
        left = 0
        while True:
            client = Harness(harness.simulator).client
            try:
                for page in client.list_changed(PATIENTS, since="2020-01-01", resume=position):
                    found += keys("patients", [page])
                    position = page.resume
                break
            except BulkNotReady as not_ready:
                assert client.list_protocol is not None or position is not None
                position = json.loads(json.dumps(not_ready.position))
                left += 1
                harness.simulator.clock.advance(60)
        assert left >= 1
        assert sorted(found) == sorted(harness.simulator.truth("patients"))
        # No list is begun twice: a POST and six polls for each of three pages; in the guide's prose there is one list.
        assert harness.requests() <= (1 + 1 + 3 * 7 if form == "live" else 1 + 6 + 2)


def test_waiting_for_a_list_is_bounded() -> None:
    with harness_of(form="live", polls_until_complete=10**6) as harness:
        with pytest.raises(BulkNotReady):
            next(harness.client.list_changed(PATIENTS, since=None))
        assert sum(harness.slept) <= 20
        assert len(harness.limiter.taken) <= 6


@pytest.mark.parametrize("form", ["guide-uuid", "live"])
def test_an_expired_list_is_requested_again_at_the_same_page(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)
    with harness_of(form=form, polls_until_complete=2) as harness:
        truth = harness.simulator.truth("patients")
        found: list[str] = []
        for page in harness.client.list_changed(PATIENTS, since="2020-01-01"):
            found += keys("patients", [page])
            harness.simulator.clock.advance(2 * 3600)
        assert sorted(found) == sorted(truth)


@pytest.mark.parametrize("form", ["guide-uuid", "live"])
def test_a_list_that_expired_in_unknown_words_is_requested_again_at_the_same_page(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    with harness_of(form=form) as harness:
        match = {"kind": "patients", "page": 3, "method": "GET"}
        gone = {"fault": "answer", "status": 404, "body": {"detail": "This list is gone."}, "times": 1}
        harness.simulator.faults.set([{"match": match, **gone}], replace=True)
        found = keys("patients", harness.client.list_changed(PATIENTS, since="2020-01-01"))
        assert harness.simulator.faults.as_json()[0]["applied"] == 1
        assert sorted(found) == sorted(harness.simulator.truth("patients"))  # none twice: no page was read again


@pytest.mark.parametrize("minutes", [1, 57, 180])
def test_an_unfinished_list_can_be_resumed_at_any_age(minutes: int) -> None:
    with harness_of(form="live", polls_until_complete=4) as harness:
        with pytest.raises(BulkNotReady) as not_ready:
            next(harness.client.list_changed(PATIENTS, since=None))
        began = harness.now() - timedelta(seconds=20)
        harness.simulator.clock.advance(minutes * 60)
        harness.simulator.lists._bulk._config.__dict__["polls_until_complete"] = 1
        page = next(harness.client.list_changed(PATIENTS, since=None, resume=not_ready.value.position))
        assert len(page.records) == 12
        # A list is as old as its beginning, not as the poll that found it finished.
        assert page.began == began if minutes == 1 else page.began > began


def test_a_list_that_drchrono_lost_is_begun_again_once() -> None:
    with harness_of(form="live") as harness:
        harness.fault(fault="error_status", path="uuid=", times=1)
        assert len(next(harness.client.list_changed(PATIENTS, since=None)).records) == 12
        harness.fault(fault="error_status", path="uuid=", status="Failed")
        with pytest.raises(BulkFailed, match="gave up"):
            next(harness.client.list_changed(PATIENTS, since=None))


def test_a_failed_list_in_a_200_is_a_failure_too() -> None:
    started, failed = b'{"status": "In progress", "uuid": "u"}', b'{"status": "Error", "uuid": "u", "detail": "x"}'
    with Scripted(lambda target, headers: (200, {}, failed if "uuid=" in target else started)) as server:
        with pytest.raises(BulkFailed):
            next(client_of(server.url, list_protocol={"lists": "live"}).list_changed(PATIENTS, since=None))
        assert len(server.seen) == 4


def test_a_list_whose_uuid_stays_unknown_fails_at_the_second_attempt() -> None:
    def script(target: str, headers: object) -> tuple[int, dict[str, str], bytes]:
        if "uuid=" in target:
            return 404, {}, b'{"detail": "Invalid uuid specified"}'
        return 200, {}, b'{"status": "In progress", "uuid": "u"}'

    with Scripted(script) as server, pytest.raises(BulkExpired):
        next(client_of(server.url).list_changed(PATIENTS, since=None))


@pytest.mark.parametrize("form", FORMS)
def test_data_is_read_as_results(form: str) -> None:
    with harness_of(form=form, results_key="data") as harness:
        listed = keys("patients", harness.client.list_changed(PATIENTS, since=None))
        assert sorted(listed) == sorted(harness.simulator.truth("patients"))


def test_an_edit_between_two_pages_does_not_hide_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)
    with harness_of(form="live") as harness:
        found: set[str] = set()
        for page in harness.client.list_changed(PATIENTS, since="2020-01-01"):
            found |= set(keys("patients", [page]))
            harness.simulator.clock.advance(60)
            harness.simulator.change("patients", page.records[0]["id"])
        assert found == set(harness.simulator.truth("patients"))


@pytest.mark.parametrize("link_origin", ["https://evil.example", "https://app.drchrono.com", "http://127.0.0.1:1"])
def test_a_next_link_that_leads_elsewhere_is_not_followed(link_origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pages(monkeypatch)
    with harness_of(form="guide", link_origin=link_origin) as harness:
        pages = harness.client.list_changed(PATIENTS, since=None)
        with pytest.raises(ForeignHost):
            next(pages)
        assert len(harness.limiter.taken) == 1


def test_a_position_that_leads_elsewhere_is_not_followed(harness: Harness) -> None:
    with pytest.raises(ForeignHost):
        next(
            harness.client.list_changed(PATIENTS, since=None, resume={"next": "https://evil.example/api/patients_list"})
        )


@pytest.mark.parametrize(
    "body",
    [
        {"detail": "neither list nor uuid"},
        {"results": "text"},
        {"results": [1, 2]},
        {"results": None, "uuid": 7},
        {"results": [], "next": "/api/patients_list?page_size=1000&verbose=true"},
    ],
)
def test_an_answer_without_a_list_or_without_an_end_is_malformed(body: dict[str, Any]) -> None:
    with (
        Scripted(lambda target, headers: (200, {}, json.dumps(body).encode())) as server,
        pytest.raises(MalformedAnswer, match="/api/patients_list"),
    ):
        list(client_of(server.url, list_protocol={"lists": "guide"}).list_changed(PATIENTS, since=None))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("patients", {"since": "2026-03-01T00:00:00Z"}),
        ("patients", {"since": "2026-03-01T00:00:00+00:00"}),
        ("patients", {"since": "yesterday"}),
        ("patients", {"since": None, "window": ("2026-01-01", "2026-01-02")}),
        ("appointments", {"since": None}),
        ("appointments", {"since": None, "window": ("2026-01-01", "2026-06-30")}),
        ("appointments", {"since": None, "window": ("2026-01-02", "2026-01-01")}),
        ("medications", {"since": None}),
        ("doctors", {"since": "2026-03-01"}),
        ("offices", {"since": None, "window": ("2026-01-01", "2026-01-02")}),
    ],
)
def test_a_list_that_would_be_refused_or_wrongly_empty_is_not_requested(
    harness: Harness, name: str, wanted: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"local time|window|since|no list of changes|listed whole"):
        harness.client.list_changed(KINDS[name], **wanted)
    assert harness.limiter.taken == []


def test_memory_does_not_grow_with_the_length_of_a_list() -> None:
    """50,000 records, and a tenth of them: the peak is the same, in bytes of Python's own objects, server included."""
    record = {f"field_{number}": f"some text of a chart {number}" for number in range(12)}

    def peak(pages: int) -> int:
        def script(target: str, headers: object) -> tuple[int, dict[str, str], bytes]:
            number = int(target.rpartition("page=")[2]) if "page=" in target else 1
            following = f"/api/patients_list?page={number + 1}" if number < pages else None
            return 200, {}, json.dumps({"results": [record] * 1000, "next": following}).encode()

        with Scripted(script) as server:
            client: DrChrono = client_of(server.url, list_protocol={"lists": "guide"})
            tracemalloc.start()
            try:
                count = sum(len(page.records) for page in client.list_changed(PATIENTS, since=None))
                assert count == pages * 1000
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    small, large = peak(5), peak(50)
    assert large - small < 500_000  # less than one page; all records together are 80 MB
    assert large < 10_000_000
