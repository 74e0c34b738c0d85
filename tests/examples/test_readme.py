"""The snippet of the README on the change feed, as it stands there: its rule holds whatever a subscriber is told."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from google.cloud import firestore

from drchrono_reader import Copy
from shared.cloud.firestore import FirestoreDocuments
from tests.examples.feed import Feed, Message
from tests.test_layers import ROOT

SECTION = (ROOT / "README.md").read_text().partition("\n## Changes as a feed\n")[2].partition("\n## ")[0]


@pytest.mark.emulator
def test_the_snippet_has_exactly_once(project: str, firestore_documents: FirestoreDocuments) -> None:
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    database = firestore.Client(project=project)
    names: dict[str, Any] = {"firestore": firestore, "database": database, "copy": Copy(database)}
    exec(snippet, names)  # noqa: S102

    def handle(change: Message) -> None:
        names["handle"](database.transaction(), change)

    feed, rng, told = Feed(firestore_documents), random.Random(4), []
    for number in range(20):
        key = rng.choice("123")
        told.append(feed.change("patients", key, {"city": f"{number}"}, deleted=rng.random() < 0.3))
        if rng.random() < 0.5:
            handle(rng.choice(told))
    for change in [*rng.sample(told, len(told)), *told, feed.replay("patients", "1")]:
        handle(change)
    written = {key: database.collection("cities").document(key).get() for key in "123"}
    for key, found in written.items():
        record = names["copy"].patients.get(key, deleted=True)
        city = None if record.deleted else record["city"]
        assert found.to_dict() == {"version": record.version, "city": city}
    for change in told:
        handle(change)
    for key, found in written.items():
        assert database.collection("cities").document(key).get().update_time == found.update_time
