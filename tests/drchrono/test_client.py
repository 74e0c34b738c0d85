"""Single records, writes, tokens, the rate limiter and redirects, in every known or documented form of DrChrono."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS
from shared.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    MalformedAnswer,
    NotFound,
    QuotaExhausted,
    Throttled,
    TokenRevoked,
    Unauthorized,
)
from shared.rate_limit.ledger import Lane
from simulator import Simulator
from tests.drchrono.conftest import FORMS, Harness, Reply, Scripted, TestLimiter, TestTokens, client_of, harness_of

PATIENTS, APPOINTMENTS = KINDS["patients"], KINDS["appointments"]


def unsigned(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record without the link to the PDF, whose signature differs at every read."""
    note = record.get("clinical_note")
    return {**record, "clinical_note": {**note, "pdf": None}} if isinstance(note, dict) else record


@pytest.mark.parametrize("name", KINDS)
def test_a_record_is_fetched_as_it_is_with_its_verbose_fields(harness: Harness, name: str) -> None:
    before = harness.now()
    for key, record in list(harness.simulator.truth(name).items())[:3]:
        fetched = harness.client.get(KINDS[name], key)
        assert unsigned(fetched.record) == unsigned(record)
        assert fetched.began == before


def test_a_missing_record_raises_not_found(harness: Harness) -> None:
    with pytest.raises(NotFound, match="GET /api/patients/999 answered 404"):
        harness.client.get(PATIENTS, "999")
    assert harness.slept == []


@pytest.mark.parametrize("id", ["", "\ud800", "x" * 2000])
def test_an_invalid_id_is_never_sent(harness: Harness, id: str) -> None:  # noqa: A002
    for ask in (
        lambda: harness.client.get(PATIENTS, id),
        lambda: harness.client.update(PATIENTS, id, {}),
        lambda: list(harness.client.list_by_patient(KINDS["problems"], id)),
        lambda: list(harness.client.list_notes(id)),
    ):
        with pytest.raises(ValueError, match="neither empty nor too long"):
            ask()
    assert harness.limiter.taken == []


@pytest.mark.parametrize("id", ["1/../2", "1?x=1", "a b", "é", "..", "."])
def test_an_id_of_any_characters_is_one_segment_of_the_path(id: str) -> None:  # noqa: A002
    asked: list[str] = []

    def answer(target: str, headers: Mapping[str, str]) -> Reply:
        asked.append(target)
        return 200, {"Content-Type": "application/json"}, json.dumps({"id": id}).encode()

    with Scripted(answer) as server:
        assert client_of(server.url).get(PATIENTS, id).record == {"id": id}
    (target,) = asked
    path, _, query = target.partition("?")
    assert path.startswith("/api/patients/")
    assert "/" not in path.removeprefix("/api/patients/")
    assert unquote(path.removeprefix("/api/patients/")) == id
    assert query == "verbose=true"


@pytest.mark.parametrize("form", FORMS)
def test_a_record_that_is_always_refused_with_401_spends_no_refresh_token(form: str) -> None:
    with harness_of(form=form) as harness:
        poison, other = sorted(harness.simulator.truth("patients"))[:2]
        harness.client.get(PATIENTS, other)
        harness.simulator.faults.set([{"match": {"path": f"/api/patients/{poison}"}, "fault": "401"}], replace=True)
        for _ in range(5):
            with pytest.raises(Unauthorized):
                harness.client.get(PATIENTS, poison)
            harness.client.get(PATIENTS, other)
        assert harness.tokens.refused == []


@pytest.mark.parametrize("name", ["medications", "problems", "allergies"])
def test_the_list_of_a_patient_is_that_patients_full_set(harness: Harness, name: str) -> None:
    truth = harness.simulator.truth(name)
    for patient in harness.simulator.truth("patients"):
        listed = [record for page in harness.client.list_by_patient(KINDS[name], patient) for record in page.records]
        own = {key: record for key, record in truth.items() if str(record["patient"]) == patient}
        assert {str(record["id"]): record for record in listed} == own


def test_other_kinds_cannot_be_listed_by_patient(harness: Harness) -> None:
    with pytest.raises(ValueError, match="appointments is not listed by patient"):
        harness.client.list_by_patient(APPOINTMENTS, "1")


def test_the_notes_of_an_appointment_are_found_even_where_the_filter_is_ignored(harness: Harness) -> None:
    truth = harness.simulator.truth("clinical_notes")
    for note in truth.values():
        appointment = str(note["appointment"])
        listed = [record for page in harness.client.list_notes(appointment) for record in page.records]
        assert listed == [other for other in truth.values() if str(other["appointment"]) == appointment]


def test_an_ignored_filter_does_not_read_every_note_of_the_practice() -> None:
    with harness_of(form="live", patients=300) as harness:
        note = list(harness.simulator.truth("clinical_notes").values())[-1]
        list(harness.client.list_notes(str(note["appointment"])))
        assert harness.requests() == 3  # one page that shows it, the appointment, the patient's notes


def test_the_current_user_is_read_through_a_redirect(harness: Harness) -> None:
    assert harness.client.current_user()["practice_group"]
    assert len(harness.limiter.taken) == (2 if harness.simulator.config.live else 1)


@pytest.mark.parametrize("form", FORMS)
def test_a_record_is_created_once_and_changed_in_place(form: str) -> None:
    with harness_of(form=form) as harness:
        doctor = harness.simulator.clinic.doctors[0]["id"]
        created = harness.client.create(PATIENTS, {"first_name": "Ada", "gender": "Female", "doctor": doctor})
        harness.client.update(PATIENTS, str(created["id"]), {"first_name": "Grace"})
        record = harness.client.get(PATIENTS, str(created["id"])).record
        assert (record["first_name"], record["gender"]) == ("Grace", "Female")
        assert harness.simulator.stats()["writes"] == 2
        assert harness.requests() == 3


def test_a_refused_write_names_the_fields_but_no_value(harness: Harness) -> None:
    with pytest.raises(BadRequest, match="POST /api/patients answered 400: DrChrono names gender, doctor") as refused:
        harness.client.create(PATIENTS, {"gender": "planted-value", "doctor": "planted-doctor"})
    assert "planted" not in str(refused.value)
    with pytest.raises(NotFound):
        harness.client.update(PATIENTS, "999", {"first_name": "x"})


def test_an_overlapping_appointment_is_a_conflict(harness: Harness) -> None:
    there = next(iter(harness.simulator.truth("appointments").values()))
    wanted = {name: there[name] for name in ("doctor", "office", "exam_room", "scheduled_time", "duration")}
    patient = next(iter(harness.simulator.truth("patients").values()))["id"]
    with pytest.raises(Conflict):
        harness.client.create(APPOINTMENTS, {**wanted, "patient": patient})


def test_kinds_that_are_not_writable_are_not_sent(harness: Harness) -> None:
    with pytest.raises(ValueError, match="clinical_notes are only read"):
        harness.client.create(KINDS["clinical_notes"], {})
    with pytest.raises(ValueError, match="JSON"):
        harness.client.create(PATIENTS, {"weight": float("nan")})
    assert harness.limiter.taken == []


def test_every_request_is_counted_by_the_rate_limiter_in_its_lane(harness: Harness) -> None:
    patient = next(iter(harness.simulator.truth("patients")))
    before = harness.requests()
    harness.client.get(PATIENTS, patient)
    harness.client.in_lane(Lane.BACKGROUND).get(PATIENTS, patient)
    harness.client.get(PATIENTS, patient)
    assert harness.limiter.taken == [Lane.LIVE, Lane.BACKGROUND, Lane.LIVE]
    assert harness.requests() - before == 3


def test_nothing_is_sent_if_the_rate_limiter_refuses(practice: Simulator) -> None:
    harness = Harness(practice)

    class NoReservation(TestLimiter):
        def acquire(self, lane: Lane) -> None:
            raise QuotaExhausted(harness.now())

    before = harness.requests()
    client = client_of(practice.url, tokens=harness.tokens, limiter=NoReservation())
    with pytest.raises(QuotaExhausted):
        client.get(PATIENTS, "1")
    assert harness.requests() == before


def test_a_refused_token_is_replaced_once_and_the_request_repeated_at_once(harness: Harness) -> None:
    good = harness.tokens.value
    harness.tokens.value, harness.tokens.newer = "planted-old-token", [good]
    assert harness.client.get(PATIENTS, next(iter(harness.simulator.truth("patients")))).record
    assert harness.tokens.refused == ["planted-old-token"]
    assert len(harness.limiter.taken) == 2
    assert harness.slept == []


def test_two_refused_tokens_are_an_error_html_or_not(harness: Harness) -> None:
    harness.tokens.value, harness.tokens.newer = "planted-old-token", ["planted-new-token"]
    with pytest.raises(Unauthorized, match="authorize") as refused:
        harness.client.get(PATIENTS, "1")
    assert "planted" not in str(refused.value)
    assert len(harness.limiter.taken) == 2


def test_a_refused_token_does_not_make_a_write_happen_twice() -> None:
    with harness_of() as harness:
        good, doctor = harness.tokens.value, harness.simulator.clinic.doctors[0]["id"]
        harness.tokens.value, harness.tokens.newer = "old", [good]
        harness.client.create(PATIENTS, {"gender": "", "doctor": doctor})
        assert harness.simulator.stats()["writes"] == 1


def test_a_revoked_token_is_the_error_that_the_tokens_raise(practice: Simulator) -> None:
    class Revoked(TestTokens):
        def rejected(self, access_token: str) -> str:
            raise TokenRevoked("authorize again")

    with pytest.raises(TokenRevoked):
        client_of(practice.url, tokens=Revoked("old")).get(PATIENTS, "1")


@pytest.mark.parametrize("style", ["seconds", "date", "none"])
def test_a_429_starts_a_cooldown_and_the_call_does_not_wait_for_it(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with harness_of(form="live", quota="2/hour", retry_after=style) as harness:
        patient = next(iter(harness.simulator.truth("patients")))
        harness.client.get(PATIENTS, patient)
        harness.client.get(PATIENTS, patient)
        with pytest.raises(Throttled) as throttled:
            harness.client.get(PATIENTS, patient)
        # The hour began with the simulator; one second more, since headers and text have whole ones.
        assert (throttled.value.until - harness.now()).total_seconds() == 3601
        assert harness.limiter.stopped == [throttled.value.until]
        assert harness.slept == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"severity": "WARNING", "message": "api.throttled", "kind": "patients", "seconds": 3601.0} in lines


def test_a_missing_scope_is_named(practice: Simulator) -> None:
    token = practice.issue_token(scope="user:read calendar:read")["access_token"]
    client = client_of(practice.url, tokens=TestTokens(token))
    with pytest.raises(Forbidden, match="scope patients:read"):
        client.get(PATIENTS, "1")
    with pytest.raises(Forbidden, match="scope patients:write"):
        client.create(PATIENTS, {})


def test_each_request_is_one_log_line(
    harness: Harness, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log._least", ["DEBUG"])
    patient = next(iter(harness.simulator.truth("patients")))
    harness.fault(fault="502", times=1)
    harness.client.get(PATIENTS, patient)
    harness.fault(fault="reset", times=1)
    list(harness.client.list_by_patient(KINDS["problems"], patient))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.pop("ms") for line in lines] == [0.0] * 4  # on a clock that does not move
    request = {"message": "api.request", "kind": "patients", "id": patient}
    assert lines == [
        {**request, "severity": "WARNING", "attempt": 1, "status": 502},
        {**request, "severity": "DEBUG", "attempt": 2, "status": 200},
        {**request, "severity": "WARNING", "attempt": 1, "reason": "unreachable", "kind": "problems"},
        {**request, "severity": "DEBUG", "attempt": 2, "status": 200, "kind": "problems"},
    ]


def test_a_client_opens_nothing_before_its_first_request_and_then_keeps_one_connection() -> None:
    with Scripted(lambda target, headers: (200, {}, b'{"id": 1}')) as server:
        client = client_of(server.url)
        assert server.connections == 0
        for _ in range(5):
            client.get(PATIENTS, "1")
            client.in_lane(Lane.BACKGROUND).get(PATIENTS, "1")
        assert server.connections == 1


def test_the_environment_neither_replaces_the_token_nor_reroutes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Scripted(lambda target, headers: (200, {"Set-Cookie": "sessionid=1"}, b"{}")) as server:
        client = client_of(server.url)
        client.current_user()
        assert server.seen == [("GET /api/users/current", "Bearer a-token")]


def test_no_cookie_is_kept_and_the_version_of_the_api_is_named() -> None:
    asked: list[dict[str, str]] = []

    def script(target: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
        asked.append(headers)
        return 200, {"Set-Cookie": "sessionid=1; Path=/"}, b"{}"

    with Scripted(script) as server:
        client = client_of(server.url)
        client.current_user()
        client.current_user()
    assert "Cookie" not in asked[1]
    assert asked[1]["X-DRC-API-Version"] == "v4"


def test_integers_keep_every_digit_and_nan_is_accepted() -> None:
    digits = "9" * 40
    with Scripted(
        lambda target, headers: (200, {}, f'{{"id": 1, "balance": {digits}, "weight": NaN}}'.encode())
    ) as server:
        record = client_of(server.url).get(PATIENTS, "1").record
    assert record["balance"] == int(digits)
    assert record["weight"] != record["weight"]


@pytest.mark.parametrize("body", [b"{}", b'{"id": 2}', b'{"id": null}', b'{"first_name": "Ada"}'])
def test_an_answer_with_another_record_is_malformed(body: bytes) -> None:
    with (
        Scripted(lambda target, headers: (200, {}, body)) as server,
        pytest.raises(MalformedAnswer, match="not the requested record"),
    ):
        client_of(server.url).get(PATIENTS, "1")


def test_threads_share_a_client(practice: Simulator) -> None:
    from concurrent.futures import ThreadPoolExecutor

    harness = Harness(practice)
    client: DrChrono = harness.client
    truth = practice.truth("patients")
    with ThreadPoolExecutor(8) as pool:
        fetched = list(pool.map(lambda key: client.get(PATIENTS, key).record["id"], list(truth) * 4))
    assert fetched == [int(key) for key in list(truth) * 4]
