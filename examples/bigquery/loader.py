"""Keep a table of a warehouse equal to the copy: read the change feed and the copy, and write rows by version.

    pip install ./reader google-cloud-pubsub google-cloud-bigquery
    python examples/bigquery/loader.py projects/my-practice/subscriptions/warehouse my-practice.charts [KIND …]

A message says which record changed. The row is the record as the copy has it: that version or a later one. Rows are
only added, one for each version, and the view `records` (schema.sql) shows the last version of each record. So a
message that comes twice, late or in a replay changes nothing, and the next message makes up for a lost one. No message
is acknowledged before its rows are in the warehouse.

KIND: read all records of these kinds first, as at the first start. A dataset name that ends in `.duckdb` is a file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError
from google.pubsub_v1 import SubscriberClient

from drchrono_reader import KINDS, Copy, Page, Record

MOST_MESSAGES = 200  # of one pull
MOST_CHARACTERS = 4_000_000  # of one request to BigQuery, which takes 10 MB: quotes in a record are sent as two bytes
HOLD_SECONDS = 600  # the longest that Pub/Sub waits for an acknowledgement


class Row(NamedTuple):
    kind: str
    id: str
    version: int
    deleted: bool
    record: str  # the fields as JSON


class Warehouse(Protocol):
    def add(self, rows: Sequence[Row]) -> None:
        """Add the rows to `changes`. Raises if one of them may be missing afterwards."""


@dataclass
class Loader:
    copy: Copy
    warehouse: Warehouse
    subscriber: SubscriberClient
    subscription: str

    def work(self, seconds: float = 30.0) -> int:
        """Load the messages of one pull, and return their number. One that can't be read becomes a dead letter."""
        most = {"subscription": self.subscription, "max_messages": MOST_MESSAGES}
        try:
            pulled = self.subscriber.pull(most, timeout=seconds, retry=None).received_messages
        except DeadlineExceeded:
            return 0  # nothing was published
        targets = {one.ack_id: target for one in pulled if (target := target_of(one.message.data)) is not None}
        acks = list(targets)
        for kind in {kind for kind, key in targets.values() if key is None}:
            self.load(kind, acks)
        changed = {(kind, key) for kind, key in targets.values() if key is not None}
        records = (self.copy.kind(kind).get(key, deleted=True) for kind, key in changed)
        self.warehouse.add([row_of(record) for record in records if record is not None])
        if acks:
            self.subscriber.acknowledge(subscription=self.subscription, ack_ids=acks)
        return len(pulled)

    def load(self, kind: str, acks: Sequence[str] = ()) -> None:
        """Add all records of a kind. acks: of the messages that Pub/Sub must not deliver again meanwhile."""
        held = {"subscription": self.subscription, "ack_ids": acks, "ack_deadline_seconds": HOLD_SECONDS}
        page: Page | None = None
        while page is None or page.next:
            if acks:
                self.subscriber.modify_ack_deadline(held)
            page = self.copy.kind(kind).with_deleted().page(after=page.next if page else None)
            self.warehouse.add([row_of(record) for record in page.records])


def target_of(data: bytes) -> tuple[str, str | None] | None:
    """Return the kind and id to read, without an id if a kind was filled. None if this is not a message of the feed."""
    try:
        change = json.loads(data)
        kind, key = change["kind"], None if change["operation"] == "filled" else change["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return (kind, key) if kind in KINDS and (key is None or (isinstance(key, str) and key)) else None


def row_of(record: Record) -> Row:
    fields = json.dumps(dict(record), default=str)  # a number that no float holds is a Decimal, and becomes text
    return Row(record.kind, record.id, record.version, record.deleted, fields)


@dataclass
class BigQuery:
    """insert: `insert_rows_json` of BigQuery's client. table: `project.dataset.changes`."""

    insert: Callable[[str, Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]
    table: str

    def add(self, rows: Sequence[Row]) -> None:
        half = len(rows) // 2
        if half and sum(len(row.record) for row in rows) > MOST_CHARACTERS:
            self.add(rows[:half])
            self.add(rows[half:])
        elif rows and (refused := self.insert(self.table, [row._asdict() for row in rows])):
            # BigQuery's own text may contain a record's value.
            reasons = sorted({str(error.get("reason")) for one in refused for error in one["errors"]})
            raise RuntimeError(f"BigQuery refused {len(refused)} of {len(rows)} rows: {', '.join(reasons)}")


class DuckDB:
    def __init__(self, file: str) -> None:
        import duckdb

        self.database = duckdb.connect(file)
        self.database.execute((Path(__file__).parent / "schema.sql").read_text())

    def add(self, rows: Sequence[Row]) -> None:
        if rows:
            every = {"rows": [row._asdict() for row in rows]}
            self.database.execute("INSERT INTO changes SELECT unnest($rows, recursive := true)", every)


def main(subscription: str, dataset: str, *kinds: str) -> None:
    if dataset.endswith(".duckdb"):
        warehouse: Warehouse = DuckDB(dataset)
    else:
        from google.cloud import bigquery  # type: ignore[attr-defined]  # not installed for development

        warehouse = BigQuery(bigquery.Client().insert_rows_json, f"{dataset}.changes")
    loader = Loader(Copy.from_environment(os.environ), warehouse, SubscriberClient(), subscription)
    for kind in kinds:
        loader.load(kind)
    while True:
        try:
            loader.work()
        except (GoogleAPICallError, RuntimeError) as error:
            print(f"{type(error).__name__}: tried again in 10 s", file=sys.stderr)
            time.sleep(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
