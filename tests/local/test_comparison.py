"""The comparison sees whatever differs, and nothing that does not."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from local.comparison import Difference, copied, differences
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.records.store import Records, Source

PATIENTS, APPOINTMENTS = KINDS["patients"], KINDS["appointments"]
Kept = dict[str, dict[str, Any]]
NOW = datetime(2026, 3, 10, 15, tzinfo=timezone.utc)


def test_equal_records_differ_in_nothing() -> None:
    truth = {"1": {"id": 1, "tags": ["a", {"b": None}], "weight": 1.5}}
    assert differences(PATIENTS, truth, {"1": {"weight": 1.5, "tags": ["a", {"b": None}], "id": 1}}) == []


def test_what_is_missing_extra_or_different_is_named_without_its_content() -> None:
    truth: Kept = {"1": {"id": 1}, "2": {"id": 2, "city": "Salem", "zip": "01970"}}
    copy: Kept = {"2": {"id": 2, "city": "Boston", "state": "MA"}, "3": {"id": 3}}
    found = differences(PATIENTS, truth, copy)
    assert found == [
        Difference("patients", "1", "missing"),
        Difference("patients", "2", "differs", ("city", "state", "zip")),
        Difference("patients", "3", "extra"),
    ]
    assert str(found[1]) == "patients:2 differs in city, state, zip"


def test_text_is_not_a_number_and_null_is_not_absence() -> None:
    found = differences(PATIENTS, {"1": {"id": 1, "a": 5, "b": None}}, {"1": {"id": 1, "a": "5"}})
    assert found == [Difference("patients", "1", "differs", ("a", "b"))]


def test_a_link_that_is_signed_anew_with_each_read_makes_no_difference() -> None:
    truth = {"1": {"id": "1", "clinical_note": {"locked": True, "pdf": "https://x/?Signature=1&AWSAccessKeyId=A"}}}
    copy: Kept = {"1": {"id": "1", "clinical_note": {"locked": True, "pdf": "https://x/?Signature=2&AWSAccessKeyId=A"}}}
    assert differences(APPOINTMENTS, truth, copy) == []
    copy["1"]["clinical_note"]["locked"] = False
    assert differences(APPOINTMENTS, truth, copy) == [Difference("appointments", "1", "differs", ("clinical_note",))]


def test_the_copy_is_read_as_drchrono_sent_it_and_without_what_is_deleted(documents: Documents) -> None:
    records = Records(documents, lambda: NOW)
    kept = {"id": 1, "nested": [[1], [2]], "huge": 2**70}  # neither fits into Firestore as it is
    records.store(PATIENTS, "1", kept, NOW, Source("sync"))
    records.store(PATIENTS, "2", {"id": 2}, NOW, Source("sync"))
    records.mark_deleted(PATIENTS, "2", NOW + timedelta(minutes=1), Source("sync"), "not_found")
    assert copied(documents, PATIENTS) == {"1": kept}
