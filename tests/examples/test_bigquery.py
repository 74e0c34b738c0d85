"""`examples/bigquery`, on the emulators, with ordering: after whatever the feed may do, the rows are the copy's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from google.cloud import firestore
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import PubsubMessage, Subscription

from drchrono_reader import Copy, Record
from examples.bigquery.loader import MOST_CHARACTERS, BigQuery, DuckDB, Loader, Row, Warehouse, row_of, target_of
from local.emulators import Emulators
from shared.cloud.firestore import FirestoreDocuments
from tests.examples.feed import NOON, Feed, Message, attributes, filled, message, ordering_key

KINDS = ("patients", "appointments")


class Died(Exception):
    """Where the loader is killed."""


@dataclass
class Fragile:
    """A subscriber or a warehouse that is there for as long as `lives` says, call by call."""

    real: Any
    lives: Iterator[bool]
    lost: list[str] = field(default_factory=list)

    def pull(self, *arguments: Any, **named: Any) -> Any:
        pulled = self.real.pull(*arguments, **named)
        self.lost = [one.ack_id for one in pulled.received_messages]
        return pulled

    def modify_ack_deadline(self, request: Any) -> None:
        self.real.modify_ack_deadline(request)

    def acknowledge(self, **named: Any) -> None:
        self._live()
        self.real.acknowledge(**named)
        self.lost = []
        self._live()

    def add(self, rows: list[Row]) -> None:
        self._live()
        self.real.add(rows)
        self._live()

    def _live(self) -> None:
        if not next(self.lives):
            raise Died


@dataclass
class Bench:
    feed: Feed
    copy: Copy
    publisher: PublisherClient
    subscriber: SubscriberClient
    topic: str
    subscription: str
    duckdb: DuckDB

    def publish(self, *all_told: Message) -> None:
        for told in all_told:
            each = PubsubMessage(
                data=json.dumps(told).encode(), ordering_key=ordering_key(told), attributes=attributes(told)
            )
            self.publisher.publish(topic=self.topic, messages=[each])

    def loader(self, warehouse: Any = None, subscriber: Any = None) -> Loader:
        return Loader(self.copy, warehouse or self.duckdb, subscriber or self.subscriber, self.subscription)

    def drain(self) -> None:
        """Until nothing comes."""
        while self.loader().work(seconds=2):
            pass

    def forget(self, acks: list[str]) -> None:
        """Let their deadline pass: what was not acknowledged comes again."""
        if acks:
            self.subscriber.modify_ack_deadline(subscription=self.subscription, ack_ids=acks, ack_deadline_seconds=0)

    def rows(self) -> dict[tuple[str, str], tuple[int, bool, Any]]:
        found = self.duckdb.database.execute("SELECT * FROM records").fetchall()
        rows = {(kind, key): (version, deleted, json.loads(text)) for kind, key, version, deleted, text in found}
        assert len(rows) == len(found)  # no record has two
        return rows

    def held(self) -> dict[tuple[str, str], tuple[int, bool, Any]]:
        return {
            (kind, record.id): (record.version, record.deleted, dict(record))
            for kind in KINDS
            for record in self.copy.kind(kind).with_deleted()
        }


@pytest.fixture
def bench(emulators: Emulators, project: str, firestore_documents: FirestoreDocuments) -> Bench:
    publisher, subscriber = PublisherClient(), SubscriberClient()
    topic, subscription = f"projects/{project}/topics/drchrono-changes", f"projects/{project}/subscriptions/warehouse"
    publisher.create_topic(name=topic)
    subscriber.create_subscription(
        request=Subscription(name=subscription, topic=topic, enable_message_ordering=True, ack_deadline_seconds=600)
    )
    copy = Copy(firestore.Client(project=project))
    return Bench(Feed(firestore_documents), copy, publisher, subscriber, topic, subscription, DuckDB(":memory:"))


@pytest.mark.emulator
def test_a_row_follows_its_record_and_a_tombstone_keeps_its_last_fields(bench: Bench) -> None:
    bench.publish(bench.feed.change("patients", "1", {"id": 1, "city": "Dover"}))
    bench.drain()
    assert bench.rows() == {("patients", "1"): (1, False, {"id": 1, "city": "Dover"})}
    bench.publish(bench.feed.change("patients", "1", {"id": 1, "city": "Dover"}, deleted=True))
    bench.drain()
    assert bench.rows() == {("patients", "1"): (2, True, {"id": 1, "city": "Dover"})}


@pytest.mark.emulator
@pytest.mark.parametrize("seed", [1, 2])
def test_the_rows_are_the_copys_after_duplicates_replays_gaps_and_deaths(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    told: list[Message] = []
    unpublished: dict[tuple[str, str], Message] = {}
    deaths = 0

    def lives() -> Iterator[bool]:
        while True:
            yield rng.random() < 0.8

    for number in range(60):
        kind, key = rng.choice(KINDS), rng.choice("12345")
        change = bench.feed.change(kind, key, {"id": key, "number": number}, deleted=rng.random() < 0.25)
        told.append(change)
        if rng.random() < 0.3:  # a gap, until the record's next message
            unpublished[kind, key] = change
        else:
            unpublished.pop((kind, key), None)
            bench.publish(change)
        if rng.random() < 0.3:
            bench.publish(*rng.sample(told, min(3, len(told))))
        if rng.random() < 0.2:
            bench.publish(bench.feed.replay(*rng.choice([(one["kind"], one["id"]) for one in told])))
        if rng.random() < 0.05:
            bench.publish(filled(rng.choice(KINDS), 5))
        if number % 6 == 5:
            fragile = Fragile(bench.subscriber, lives())
            try:
                bench.loader(Fragile(bench.duckdb, lives()), fragile).work(seconds=2)
            except Died:
                deaths += 1
                bench.forget(fragile.lost)
    bench.publish(*unpublished.values())
    bench.drain()
    assert deaths > 1
    assert bench.rows() == bench.held()


@pytest.mark.emulator
def test_when_a_kind_was_filled_it_is_read_as_a_whole(bench: Bench) -> None:
    for number in range(310):  # more than a page
        bench.feed.change("patients", f"{number}", {"id": number}, deleted=number % 10 == 0)
    bench.feed.change("appointments", "1", {"id": 1})
    bench.publish(filled("patients", 310))
    bench.drain()
    assert len(bench.rows()) == 310
    bench.loader().load("appointments")
    assert bench.rows() == bench.held()


@pytest.mark.emulator
def test_what_is_no_message_of_the_feed_stays_and_stops_nothing(bench: Bench) -> None:
    bench.publisher.publish(topic=bench.topic, messages=[PubsubMessage(data=b"{", ordering_key="x")])
    bench.publish(bench.feed.change("patients", "1", {"id": 1}), message("patients", "2", 1, "created"))
    bench.drain()
    assert bench.rows() == {("patients", "1"): (1, False, {"id": 1})}


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"5", b"{}", b'{"kind": "patients", "operation": "changed"}']
    + [
        json.dumps({"kind": kind, "operation": "changed", "id": key}).encode()
        for kind, key in (("others", "1"), (["patients"], "1"), ("patients", ""), ("patients", 1))
    ],
)
def test_messages_that_cannot_be_read_name_nothing(data: bytes) -> None:
    assert target_of(data) is None


def test_a_number_keeps_all_of_its_digits() -> None:
    found = row_of(Record("medications", "1", {"dose": [Decimal("0.1234567890123456789"), 1.5]}, NOON, version=7))
    assert found == Row("medications", "1", 7, False, '{"dose": ["0.1234567890123456789", 1.5]}')


def test_a_row_that_was_read_early_and_written_late_hides_no_later_one() -> None:
    duckdb = DuckDB(":memory:")
    for version in (2, 1, 2):
        duckdb.add([Row("patients", "1", version, False, "{}")])
    assert duckdb.database.execute("SELECT id, version FROM records").fetchall() == [("1", 2)]


def row(number: int, length: int = 2) -> Row:
    return Row("patients", f"{number}", 1, False, "x" * length)


def test_bigquery_gets_every_row_once_in_requests_that_it_takes() -> None:
    sent: list[tuple[str, list[Any]]] = []

    def insert(table: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        sent.append((table, list(rows)))
        return []

    warehouse: Warehouse = BigQuery(insert, "p.d.changes")
    rows = [row(number, MOST_CHARACTERS // 3) for number in range(10)] + [row(10, MOST_CHARACTERS + 1), row(11)]
    warehouse.add(rows)
    assert [one for _, some in sent for one in some] == [one._asdict() for one in rows]
    assert {table for table, _ in sent} == {"p.d.changes"}
    assert all(len(some) == 1 or sum(len(one["record"]) for one in some) <= MOST_CHARACTERS for _, some in sent)
    sent.clear()
    warehouse.add([])
    assert sent == []


def test_a_row_that_bigquery_refuses_is_an_error_without_its_content() -> None:
    refused = [{"index": 0, "errors": [{"reason": "invalid", "message": "Okafor", "location": "record"}]}]
    with pytest.raises(RuntimeError, match=r"^BigQuery refused 1 of 1 rows: invalid$"):
        BigQuery(lambda table, rows: refused, "p.d.changes").add([row(1)])
