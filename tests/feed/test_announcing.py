"""What is announced of a stored change, on both stores."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.feed.entries import Operation
from shared.records.store import Records, Source
from tests.feed.harness import NOON, PATIENTS, Broker, Harness

BACKFILL = Source("backfill")


def test_each_stored_change_is_announced_once_with_its_version(documents: Documents) -> None:
    harness = Harness(documents)
    harness.store("123", first_name="Ada", email="a@example.com", doctor=1)
    harness.store("123", first_name="Ada", email="b@example.com", office=2)
    harness.delete("123")
    harness.store("123", first_name="Ada", email="b@example.com")

    told = [(one["version"], one["operation"], one["fields"]) for one in harness.broker.told]

    assert told == [
        (1, "created", ["doctor", "email", "first_name", "id"]),
        (2, "changed", ["doctor", "email", "office"]),
        (3, "deleted", []),
        (4, "returned", ["office"]),
    ]
    assert harness.version("123") == 4
    assert harness.waiting() == 0


def test_a_message_holds_names_and_times_and_no_value(documents: Documents) -> None:
    harness = Harness(documents)
    harness.store("123", first_name="CANARY", custom={"CANARY key": "CANARY"})

    [message] = harness.broker.messages

    assert json.loads(message.data) == {
        "kind": "patients",
        "id": "123",
        "version": 1,
        "operation": "created",
        "fields": ["custom", "first_name", "id"],
        "source": "webhook",
        "event": "PATIENT_MODIFY",
        "received_at": "2026-03-10T12:00:00.000000Z",
        "stored_at": "2026-03-10T12:01:00.000000Z",
        "replay": False,
    }
    assert message.attributes == {"kind": "patients", "operation": "created", "replay": "false"}
    assert message.ordering_key == "patients/123"
    assert "CANARY" not in str(message)


def test_a_look_that_changed_nothing_is_not_told(documents: Documents) -> None:
    harness = Harness(documents)
    harness.store("123", first_name="Ada")
    harness.store("123", first_name="Ada")
    harness.delete("123")
    harness.delete("123")

    assert [one["operation"] for one in harness.broker.told] == ["created", "deleted"]
    assert harness.version("123") == 2


def test_marks_beside_the_record_are_no_version(documents: Documents) -> None:
    harness = Harness(documents)
    problems = KINDS["problems"]
    harness.records.store(problems, "5", {"id": 5, "patient": 1}, harness.later(60), Source("sync"))
    harness.records.mark_orphans(problems, "1", deleted=True)

    assert [one["version"] for one in harness.broker.told] == [1]
    meta = (documents.get("problems/5") or {})["_sync"]
    assert (meta["version"], meta["patient_deleted"]) == (1, True)


def test_a_look_that_confirms_a_doubtful_copy_raises_no_version(documents: Documents) -> None:
    harness = Harness(documents)
    harness.records.store(PATIENTS, "1", {"id": 1, "a": 1}, harness.later(60), Source("sync"))
    harness.records.store(PATIENTS, "1", {"id": 1, "a": 2}, harness.later(5), Source("sync"))  # may be an older state
    harness.records.store(PATIENTS, "1", {"id": 1, "a": 2}, harness.later(600), Source("sync"))

    assert [one["version"] for one in harness.broker.told] == [1, 2]
    assert harness.version("1") == 2


def test_a_number_that_python_takes_for_equal_is_another_one(documents: Documents) -> None:
    harness = Harness(documents)
    harness.store("1", weight=1, same=0)
    harness.store("1", weight=1.0, same=0)

    assert harness.broker.told[-1]["fields"] == ["weight"]


def test_a_signature_that_is_made_anew_with_each_read_is_no_changed_field(documents: Documents) -> None:
    signed = "https://files.example.com/a.pdf?Signature={}&AWSAccessKeyId=k&Expires=1"
    harness = Harness(documents)
    harness.store("1", photo=signed.format("one"), city="A")
    harness.store("1", photo=signed.format("two"), city="A")
    harness.store("1", photo=signed.format("three"), city="B")

    assert [one["fields"] for one in harness.broker.told] == [["city", "id", "photo"], ["city"]]


def test_a_page_is_announced_record_by_record(documents: Documents) -> None:
    harness = Harness(documents)
    page = [{"id": number, "name": "a"} for number in range(1, 151)]
    harness.records.pages.store(PATIENTS, page, harness.later(60), Source("sync"))
    page[7]["name"] = "b"
    harness.records.pages.store(PATIENTS, page, harness.later(60), Source("sync"))

    versions = harness.broker.versions()

    assert versions.pop("patients/8") == [1, 2]
    assert len(versions) == 149
    assert set(map(tuple, versions.values())) == {(1,)}
    assert harness.waiting() == 0


def test_a_first_filling_tells_nothing_and_a_webhook_amid_it_does(documents: Documents) -> None:
    harness = Harness(documents)
    harness.records.pages.store(PATIENTS, [{"id": 1}, {"id": 2}], harness.later(60), BACKFILL)
    harness.store("1", name="b")
    harness.store("3", name="c")
    # One of the page is kept already, and changed: that is told, since version 1 of it was.
    harness.records.pages.store(PATIENTS, [{"id": 3, "name": "d"}, {"id": 4}], harness.later(60), BACKFILL)

    assert harness.broker.versions() == {"patients/1": [2], "patients/3": [1, 2]}
    assert [harness.version(key) for key in "1234"] == [2, 1, 2, 1]


def test_a_kind_is_announced_to_be_filled_once_and_then_new_records_are_told(documents: Documents) -> None:
    harness = Harness(documents)
    harness.records.pages.store(PATIENTS, [{"id": 1}, {"id": 2}], harness.later(60), BACKFILL)
    told = [harness.feed.fillings.announce("patients", lambda: 2, NOON, harness.outbox) for _ in range(2)]
    told.append(
        harness.instance() is not None and harness.feed.fillings.announce("patients", lambda: 2, NOON, harness.outbox)
    )
    harness.sweep()
    harness.records.pages.store(PATIENTS, [{"id": 3}], harness.later(60), BACKFILL)

    assert told == [True, False, False]
    assert harness.broker.told[0] == {
        "kind": "patients",
        "operation": "filled",
        "stored_at": "2026-03-10T12:00:00.000000Z",
        "count": 2,
        "replay": False,
    }
    assert harness.broker.messages[0].ordering_key == "patients"
    assert [one.get("id") for one in harness.broker.told] == [None, "3"]


def test_a_setting_has_a_first_filling_told_as_well(documents: Documents) -> None:
    harness = Harness(documents, announces_all=True)
    harness.records.pages.store(PATIENTS, [{"id": 1}, {"id": 2}], harness.later(60), BACKFILL)

    assert harness.broker.versions() == {"patients/1": [1], "patients/2": [1]}


def test_what_was_stored_before_versions_were_counted_is_the_first(documents: Documents) -> None:
    harness = Harness(documents)
    plain = Records(documents, lambda: harness.now)
    plain.store(PATIENTS, "1", {"id": 1}, harness.later(60), Source("sync"))
    found = documents.get("patients/1") or {}
    del found["_sync"]["version"]
    documents.transact(lambda transaction: transaction.set("patients/1", found))
    harness.store("1", name="b")

    assert harness.broker.versions() == {"patients/1": [2]}


def test_history_keeps_the_fields_before_and_after(documents: Documents) -> None:
    harness = Harness(documents, history=timedelta(days=10))
    harness.store("1", city="A", odd=[[1]], same=1)
    harness.store("1", city="B", odd=[[1]], same=1)
    harness.store("1", city="B", odd=[[2]], same=1)

    found = dict(documents.query("patients/1/history"))

    assert sorted(found) == ["1", "2", "3"]
    assert (found["2"]["before"], found["2"]["after"]) == ({"city": "A"}, {"city": "B"})
    assert json.loads(found["3"]["_sync"]["json"]) == {"before": {"odd": [[1]]}, "after": {"odd": [[2]]}}
    meta = found["2"]["_sync"]
    assert (meta["version"], meta["operation"], meta["fields"]) == (2, "changed", ["city"])
    assert meta["expires_at"] == meta["stored_at"] + timedelta(days=10)


def test_a_record_is_stored_though_its_history_would_be_too_large(documents: Documents) -> None:
    harness = Harness(documents, history=timedelta(days=10))
    harness.store("1", text="a" * 900_000)
    harness.store("1", text="b" * 900_000)

    assert harness.version("1") == 2
    kept = documents.get("patients/1/history/2") or {}
    assert (kept["before"]["text"][0], kept["_sync"]["omitted"]) == ("a", ["after"])


def test_history_needs_no_feed(documents: Documents) -> None:
    from shared.records.announcing import Announcing

    now = NOON
    records = Records(documents, lambda: now, Announcing(documents, history=timedelta(days=1)))
    records.store(PATIENTS, "1", {"id": 1, "a": 1}, NOON, Source("sync"))

    assert (documents.get("patients/1/history/1") or {})["after"] == {"id": 1, "a": 1}
    assert documents.count("feed") == 0


@pytest.mark.parametrize("names", [["\ud800"], [f"{number:05}" * 10 for number in range(1_000)]])
def test_no_field_name_keeps_a_record_from_being_stored(documents: Documents, names: list[str]) -> None:
    harness = Harness(documents)
    record = {"id": 1, **dict.fromkeys(names, 1)}
    harness.records.store(PATIENTS, "1", record, harness.later(60), Source("webhook"))

    assert harness.broker.told[0]["operation"] == Operation.CREATED
    assert harness.broker.told[0]["fields"] == (["*"] if len(names) > 1 else ["?", "id"])


def test_without_an_answer_the_change_is_stored_and_waits(documents: Documents) -> None:
    harness = Harness(documents, Broker(works=False))
    harness.store("1", name="a")
    calls = harness.broker.calls
    harness.records.store(PATIENTS, "2", {"id": 2}, harness.later(1), Source("sync"))

    assert harness.broker.calls == calls == 1  # the second one does not even ask
    assert (harness.version("1"), harness.version("2"), harness.waiting()) == (1, 1, 2)
    lag = harness.outbox.lag()
    assert (lag.records, lag.oldest) == (2, NOON + timedelta(seconds=60))

    harness.broker.works = True
    harness.later(60)
    harness.sweep()
    assert harness.broker.versions() == {"patients/1": [1], "patients/2": [1]}
