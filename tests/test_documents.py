"""The contract of a document store, on both stores: what one does, the other does."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from shared.documents import Data, DocumentExists, Documents, Transaction, Where
from workstation.embedded_documents import EmbeddedDocuments

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)


def put(documents: Documents, path: str, data: Data) -> None:
    documents.transact(lambda transaction: transaction.set(path, data))


def test_a_document_comes_back_as_it_was_written_types_included(documents: Documents) -> None:
    data = {
        "text": "",
        "whole": 2**62,
        "real": 1.0,
        "none": None,
        "yes": True,
        "when": NOON,
        "list": [1, "a", None, {"deep": [1.5]}],
        "map": {"dotted.key": 1, "spaced key": 2, "$time": "not an instant", "$$": {"`back`": "\\"}},
        "müller": "ß€🙂",
    }
    put(documents, "things/1", data)
    back = documents.get("things/1")
    assert back == data
    assert back is not None
    assert [type(back[name]) for name in ("whole", "real", "yes")] == [int, float, bool]


def test_a_missing_document_is_none_and_absent_from_many(documents: Documents) -> None:
    put(documents, "things/1", {"a": 1})
    assert documents.get("things/2") is None
    assert documents.get_all(["things/2", "things/1"]) == {"things/1": {"a": 1}}


def test_a_snapshot_has_the_store_s_time_of_the_read(documents: Documents) -> None:
    """Both stores run on this machine, so its clock and theirs are the same."""
    put(documents, "things/1", {"a": 1})
    tolerance = timedelta(milliseconds=5)
    for read in (documents.snapshot, lambda path: documents.transact(lambda transaction: transaction.snapshot(path))):
        for path, data in (("things/1", {"a": 1}), ("things/2", None)):
            called = datetime.now(timezone.utc)
            snapshot = read(path)
            returned = datetime.now(timezone.utc)
            assert snapshot.data == data
            assert called - tolerance <= snapshot.read_at <= returned + tolerance


def test_a_snapshot_in_a_transaction_guards_the_write(documents: Documents) -> None:
    put(documents, "things/1", {"n": 0})
    runs = 0

    def work(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        data = transaction.snapshot("things/1").data
        assert data is not None
        if runs == 1 and not isinstance(documents, EmbeddedDocuments):
            put(documents, "things/1", {"n": 5})
        transaction.set("things/1", {"n": data["n"] + 1})

    documents.transact(work)
    assert documents.get("things/1") == {"n": 1 if isinstance(documents, EmbeddedDocuments) else 6}


def test_only_the_named_fields_are_read(documents: Documents) -> None:
    put(documents, "things/1", {"a": 1, "_sync": {"x": 1}})
    assert documents.get_all(["things/1"], fields=["_sync"]) == {"things/1": {"_sync": {"x": 1}}}


def test_a_named_field_is_read_with_its_type_and_a_missing_one_is_left_out(documents: Documents) -> None:
    data = {"yes": True, "none": None, "text": '"', "when": NOON, "list": [True], "map": {"$a": {"$time": NOON}}}
    put(documents, "things/1", {**data, "other": 1})
    put(documents, "others/1", {"yes": False})
    found = documents.get_all(["things/1", "others/1", "things/2"], fields=[*data, "missing"])
    assert found == {"things/1": data, "others/1": {"yes": False}}
    assert found["things/1"]["yes"] is True
    assert list(documents.query("things", fields=["yes", "missing"])) == [("1", {"yes": True})]


def test_texts_and_names_that_look_like_a_store_s_own_come_back_as_they_were(documents: Documents) -> None:
    data = {
        "copay": "$25",
        "$": 1,
        "$time": "$time",
        "when": NOON,
        "map": {"$time": NOON.isoformat()},
        "$$": [{"$": 2}],
    }
    put(documents, "things/1", data)
    assert documents.get("things/1") == data


def test_a_document_is_created_once(documents: Documents) -> None:
    documents.transact(lambda transaction: transaction.create("things/1", {"a": 1}))
    with pytest.raises(DocumentExists):
        documents.transact(lambda transaction: transaction.create("things/1", {"a": 2}))
    assert documents.get("things/1") == {"a": 1}


def test_where_one_of_several_exists_none_is_created_and_nothing_else_is_written(documents: Documents) -> None:
    put(documents, "things/2", {"a": 2})
    put(documents, "things/5", {"a": 5})

    def work(transaction: Transaction) -> None:
        transaction.set("things/4", {})
        transaction.delete("things/5")
        for number in (1, 2, 3):
            transaction.create(f"things/{number}", {"a": 0})

    with pytest.raises(DocumentExists):
        documents.transact(work)
    assert list(documents.query("things")) == [("2", {"a": 2}), ("5", {"a": 5})]


def test_the_last_write_of_a_document_counts(documents: Documents) -> None:
    def work(transaction: Transaction) -> None:
        transaction.set("things/1", {"a": 1, "b": 1})
        transaction.update("things/1", {"b": 2})
        transaction.set("things/2", {})
        transaction.delete("things/2")

    documents.transact(work)
    assert list(documents.query("things")) == [("1", {"a": 1, "b": 2})]


def test_each_gives_the_results_in_the_order_of_the_items(documents: Documents) -> None:
    def write(number: int) -> int:
        put(documents, f"things/{number}", {"n": number})
        return -number

    assert documents.each(write, range(30)) == [-number for number in range(30)]
    assert documents.count("things") == 30
    assert documents.each(write, []) == []


def test_each_raises_the_first_error_after_what_had_begun_is_done(documents: Documents) -> None:
    begun, done = set(), set()

    def write(number: int) -> None:
        begun.add(number)
        put(documents, f"things/{number}", {})
        if number == 3:
            raise KeyError(number)
        done.add(number)

    with pytest.raises(KeyError, match="3"):
        documents.each(write, range(100))
    assert begun == done | {3}
    assert len(begun) < 100
    assert {int(key) for key, _ in documents.query("things")} == begun


def test_an_update_replaces_whole_top_level_fields_and_leaves_others(documents: Documents) -> None:
    put(documents, "things/1", {"a": 1, "_sync": {"x": 1, "y": 2}})
    documents.transact(lambda transaction: transaction.update("things/1", {"_sync": {"x": 3}}))
    assert documents.get("things/1") == {"a": 1, "_sync": {"x": 3}}


def test_a_failed_transaction_writes_nothing(documents: Documents) -> None:
    def fail(transaction: Transaction) -> None:
        transaction.set("things/1", {"a": 1})
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        documents.transact(fail)
    assert documents.get("things/1") is None


def test_transactions_of_many_threads_lose_no_count(documents: Documents) -> None:
    put(documents, "things/counter", {"n": 0})

    def add(transaction: Transaction) -> None:
        stored = transaction.get("things/counter")
        assert stored is not None
        transaction.set("things/counter", {"n": stored["n"] + 1})

    def work() -> None:
        for _ in range(5):
            documents.transact(add)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert documents.get("things/counter") == {"n": 20}


def test_queries_filter_order_and_limit(documents: Documents) -> None:
    for number in range(6):
        due = NOON + timedelta(minutes=number)
        put(documents, f"entries/{number}", {"due": due, "priority": number % 2, "_sync": {"deleted": number == 4}})
    put(documents, "entries/odd", {"due": "not a time", "priority": "1"})
    put(documents, "others/1", {"due": NOON, "priority": 1})

    early = [Where("due", "<=", NOON + timedelta(minutes=3))]
    assert [key for key, _ in documents.query("entries", early, order_by=["due"])] == ["0", "1", "2", "3"]
    odd = [Where("priority", "==", 1), *early]
    assert [key for key, _ in documents.query("entries", odd, order_by=["due"], limit=1)] == ["1"]
    assert [key for key, _ in documents.query("entries", [Where("_sync.deleted", "==", True)])] == ["4"]
    assert documents.count("entries", odd) == 2
    assert documents.count("entries") == 7


def test_a_walk_by_id_can_be_continued(documents: Documents) -> None:
    for key in ("b", "a", "c"):
        put(documents, f"things/{key}", {"key": key, "_sync": {"n": 1}})
    assert [key for key, _ in documents.query("things", limit=2)] == ["a", "b"]
    assert list(documents.query("things", after_id="b", fields=["_sync"])) == [("c", {"_sync": {"n": 1}})]


def test_a_walk_with_a_condition_can_be_continued(documents: Documents) -> None:
    for key in ("a", "b", "c", "d"):
        put(documents, f"things/{key}", {"kept": key != "c"})
    kept = [Where("kept", "==", True)]
    assert [key for key, _ in documents.query("things", kept, after_id="a")] == ["b", "d"]


def test_deleting_what_is_not_there_is_no_error(documents: Documents) -> None:
    put(documents, "things/1", {})
    documents.transact(lambda transaction: transaction.delete("things/1"))
    documents.transact(lambda transaction: transaction.delete("things/1"))
    assert documents.get("things/1") is None
