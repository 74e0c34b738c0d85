"""What status, doctor and the console say of the change feed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from console.view import overview
from console.watch import Seen
from ops.feed import FeedStatus
from ops.status import status
from ops.status_text import feed
from ops.target_system import local_target
from shared.feed.entries import Entry, Operation
from shared.feed.outbox import Outbox
from tests.ops.conftest import Practice
from tests.ops.test_status import row

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)


def wait(practice: Practice, key: str, since: datetime) -> None:
    """Store a change that is not published."""
    documents = practice.system.documents()
    entry = Entry("patients", key, 1, Operation.CREATED, since)
    outbox = Outbox(documents, lambda: since)
    documents.transact(lambda transaction: outbox.add(transaction, [entry], None, new=True))


def test_nothing_is_said_of_a_feed_that_is_off(practice: Practice) -> None:
    assert "\nfeed " not in practice.ops("status").output
    assert "the change feed is off" in practice.ops("doctor").output


def test_what_waits_is_shown_with_the_oldest_and_a_late_feed_with_its_remedy(either: Practice) -> None:
    either.write(DRCHRONO_FEED="on")
    assert row(either.ops("status").output, "feed") == "feed all changes are published"
    now = datetime.now(timezone.utc)
    wait(either, "1", now - timedelta(minutes=2))
    assert row(either.ops("status").output, "feed").startswith("feed changes of 1 record wait, the oldest for 2 min")
    assert "store-record and run-job may publish" not in either.ops("doctor").output
    wait(either, "2", now - timedelta(hours=5))
    shown = either.ops("status").output
    assert row(shown, "feed").startswith("feed changes of 2 records wait, the oldest for 5 h")
    assert max(map(len, shown.splitlines())) <= 80
    assert "store-record and run-job may publish" in " ".join(either.ops("doctor").output.split())


def test_the_console_has_it_beside_the_others(practice: Practice) -> None:
    practice.write(DRCHRONO_FEED="on")
    wait(practice, "1", datetime.now(timezone.utc) - timedelta(hours=1))
    now = datetime.now(timezone.utc)
    found = status(local_target(), now, with_lag=False)
    facts = dict(overview(Seen(), found, now).facts)
    assert facts["feed"].bad
    assert facts["feed"].text.startswith("changes of 1 record wait, the oldest for")


def test_ten_minutes_are_late() -> None:
    for minutes, late in ((10, False), (11, True)):
        found = FeedStatus(1, NOON - timedelta(minutes=minutes))
        assert feed(found, NOON).bad is late
    assert not feed(FeedStatus(0, None), NOON).bad
