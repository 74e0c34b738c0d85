"""A copy that may be older than what it replaced says until when, and the first look after that settles it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.records.ordering import Verdict
from shared.records.results import Source
from shared.records.storable import META
from shared.records.store import Records

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
PATIENTS = KINDS["patients"]
FIRST, SECOND = {"id": 1, "nick_name": "first"}, {"id": 1, "nick_name": "second"}


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def records(documents: Documents) -> Records:
    """A record was read at noon, and another content of it five seconds later."""
    records = Records(documents, lambda: NOON)
    assert store(records, FIRST, 0) == (Verdict.STORE, None)
    assert store(records, SECOND, 5) == (Verdict.UNSURE, at(31))
    return records


def store(records: Records, record: dict[str, Any], began: float) -> tuple[Verdict, datetime | None]:
    stored = records.store(PATIENTS, "1", record, at(began), Source("webhook"))
    return stored.verdict, stored.doubted_until


def meta(documents: Documents) -> dict[str, Any]:
    document = documents.get("patients/1")
    assert document is not None
    found: dict[str, Any] = document[META]
    return found


def test_looks_in_between_do_not_prolong_the_doubt(records: Records, documents: Documents) -> None:
    stored_at, version = meta(documents)["stored_at"], meta(documents)["version"]
    for began in (15, 25, 30.999):
        assert store(records, SECOND, began) == (Verdict.SAME, at(31))
    assert store(records, SECOND, 31) == (Verdict.SAME, None)
    assert meta(documents)["fetched_at"] == at(31)
    assert (meta(documents)["stored_at"], meta(documents)["version"]) == (stored_at, version)


def test_a_page_queues_the_record_until_a_look_settles_it(records: Records) -> None:
    looks = [records.pages.store(PATIENTS, [SECOND], at(began), Source("sync")) for began in (20, 30.999, 31)]
    assert [look.doubtful for look in looks] == [("1",), ("1",), ()]
    assert [look.stored for look in looks] == [(), (), ()]


def test_what_is_shown_again_in_doubt_is_doubted_from_the_last_look_that_showed_the_other(records: Records) -> None:
    assert store(records, SECOND, 25) == (Verdict.SAME, at(31))
    assert store(records, FIRST, 40) == (Verdict.UNSURE, at(25 + 31))
    assert store(records, FIRST, 50) == (Verdict.SAME, at(56))
    assert store(records, FIRST, 56) == (Verdict.SAME, None)
