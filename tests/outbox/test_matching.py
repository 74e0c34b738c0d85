"""Whether DrChrono shows what was sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.errors import BadRequest, Conflict, Forbidden, NotFound, OutcomeUnknown, ServerError, SyncError
from shared.outbox.answers import refusal
from shared.outbox.entries import Entry, State
from shared.outbox.matching import Finding, created, differences, digest, is_same, updated
from shared.outbox.targets import target_of
from shared.outbox.transitions import provable_absence, visible_from
from shared.outbox.validation import read_request
from tests.outbox.test_validation import PATIENT, entry

SENT = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
SOON, VISIBLE, LATE = SENT + timedelta(seconds=20), visible_from(SENT), provable_absence(SENT)


def unknown(**given: Any) -> Entry:
    request = read_request(entry(**given))
    return Entry("a", request, State.UNKNOWN, target_of(request), SENT, SENT, fence="f", sent_at=SENT)


@pytest.mark.parametrize(
    ("name", "sent", "shown", "same"),
    [
        ("copay", "5", "5.00", True),
        ("copay", 5, "5.00", True),
        ("zip_code", "02134", "2134", False),
        ("zip_code", "02134", "02134", True),
        ("cell_phone", "410-555-0100", "(410) 555-0100", True),
        ("cell_phone", "410-555-0100", "(410) 555-0101", False),
        ("scheduled_time", "2026-03-10T09:00", "2026-03-10T09:00:00", True),
        ("scheduled_time", "2026-03-10T09:00", "2026-03-10T09:30:00", False),
        ("first_name", " Ada  M ", "Ada M", True),
        ("first_name", "Ada", "ada", False),
        ("date_of_death", None, "", True),
        ("city", "", None, True),
        ("city", "", "Dover", False),
        ("disable_sms_messages", True, True, True),
        ("disable_sms_messages", True, 1, True),
        ("disable_sms_messages", True, False, False),
        ("doctor", 5, "5", True),
        ("primary_insurance", {"insurance_company": "A"}, {"insurance_company": "A", "photo": None}, True),
        ("primary_insurance", {"insurance_company": "A"}, {"insurance_company": "B"}, False),
        ("primary_insurance", {"insurance_company": "A"}, None, False),
        ("offices", [1, 2], [1, 2], True),
        ("offices", [1, 2], [2, 1], False),
        ("offices", [1], [1, 2], False),
    ],
)
def test_values_are_the_same_where_only_their_form_differs(name: str, sent: Any, shown: Any, same: bool) -> None:
    assert is_same(name, sent, shown) is same


def test_a_field_that_is_not_shown_differs() -> None:
    assert differences({"city": "Dover", "state": "DE"}, {"state": "DE"}) == ("city",)


class TestUpdates:
    ENTRY = unknown(action="update", id="7", fields={"city": "Dover"})

    def finding(self, record: dict[str, Any], began: datetime, before: str | None = None) -> Finding:
        return updated(replace(self.ENTRY, before=before), record, began).finding

    def test_what_a_replica_may_have_shown_before_proves_nothing(self) -> None:
        assert self.finding({"city": "Dover"}, SOON) is Finding.OPEN

    def test_a_view_from_after_the_request_with_the_values_is_enough(self) -> None:
        assert self.finding({"city": "Dover"}, VISIBLE) is Finding.FOUND

    def test_other_values_prove_an_absence_only_when_they_are_the_old_ones_and_the_look_is_late(self) -> None:
        old = {"city": "Salem"}
        assert self.finding(old, VISIBLE, digest(["city"], old)) is Finding.OPEN
        assert self.finding(old, LATE, digest(["city"], old)) is Finding.ABSENT

    def test_values_that_are_neither_need_a_person(self) -> None:
        assert self.finding({"city": "Leeds"}, LATE, digest(["city"], {"city": "Salem"})) is Finding.AMBIGUOUS
        assert self.finding({"city": "Salem"}, LATE, None) is Finding.AMBIGUOUS


class TestCreations:
    ENTRY = unknown()

    def test_one_that_is_shown_is_there_however_old_the_answer_is(self) -> None:
        found = created(self.ENTRY, [{**PATIENT, "id": 9, "gender": "Male"}], SOON)
        assert (found.finding, found.differs) == (Finding.FOUND, ("gender",))

    def test_nothing_shown_proves_an_absence_only_late(self) -> None:
        others = [{**PATIENT, "id": 9, "first_name": "Grace"}]
        assert created(self.ENTRY, others, LATE - timedelta(seconds=1)).finding is Finding.OPEN
        assert created(self.ENTRY, others, LATE).finding is Finding.ABSENT

    def test_what_another_entry_made_or_was_there_before_is_passed_over(self) -> None:
        shown = [{**PATIENT, "id": 9}, {**PATIENT, "id": 10}]
        entry = replace(self.ENTRY, known=("10",))
        assert created(entry, shown, LATE, claimed=frozenset({"9"})).finding is Finding.ABSENT
        assert created(entry, shown, LATE).record == shown[0]

    def test_of_two_that_look_alike_the_equal_one_counts_and_two_equal_ones_need_a_person(self) -> None:
        shown = [{**PATIENT, "id": 9, "gender": "Male"}, {**PATIENT, "id": 10}]
        assert created(self.ENTRY, shown, LATE).record == shown[1]
        assert created(self.ENTRY, [{**PATIENT, "id": 9}, {**PATIENT, "id": 10}], LATE).finding is Finding.AMBIGUOUS


@pytest.mark.parametrize(
    ("kind", "status", "said", "word"),
    [
        (BadRequest, 400, {"detail": ["Potential duplicate patient(s) found."]}, "duplicate"),
        (Conflict, 409, {"detail": ["Potential duplicate patient(s) found."]}, "duplicate"),
        (Conflict, 409, {"detail": ["Appointment overlaps with [7]"]}, "overlap"),
        (Conflict, 409, {}, "conflict"),
        (BadRequest, 400, {"doctor": ["x"]}, "invalid"),
        (NotFound, 404, {}, "not_found"),
        (Forbidden, 403, {}, "forbidden"),
        (OutcomeUnknown, 502, {}, None),
        (ServerError, 500, {}, None),
    ],
)
def test_each_refusal_has_a_word(kind: Any, status: int, said: dict[str, list[str]], word: str | None) -> None:
    error = kind("POST /api/patients", status=status)
    error.complaints = said
    assert isinstance(error, SyncError)
    assert refusal(error) == word
