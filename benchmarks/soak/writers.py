"""A program that writes patients through the outbox, and a check that each write was done exactly once."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from random import Random
from typing import Any

from benchmarks.soak.plan import WRITE_EVERY_SECONDS
from shared.documents import Documents
from shared.errors import StoreUnavailable
from shared.outbox.entries import COLLECTION

NAME = "Soakwriter"


class Writers:
    """Adds entries for `seconds`, or until the block ends. documents: of the outbox."""

    def __init__(self, documents: Documents, seed: int, seconds: float, doctor: int) -> None:
        self._documents, self._seconds, self._doctor = documents, seconds, doctor
        self._rng = Random(f"{seed} writers")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Writers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        began, number = datetime.now(timezone.utc), 0
        while not self._ended.wait(self._rng.uniform(*WRITE_EVERY_SECONDS)):
            if (datetime.now(timezone.utc) - began).total_seconds() > self._seconds:
                return
            number += 1
            with contextlib.suppress(StoreUnavailable):  # frozen on purpose
                self._add(number)

    def _add(self, number: int) -> None:
        made = [data["record_id"] for _, data in self._documents.query(COLLECTION) if data.get("state") == "done"]
        if made and self._rng.random() < 0.5:
            wanted = {"action": "update", "id": self._rng.choice(made), "fields": {"nick_name": f"{number}"}}
        else:
            name = f"{NAME}-{number}"
            wanted = {"action": "create", "fields": {"gender": "", "doctor": self._doctor, "last_name": name}}
        now = datetime.now(timezone.utc)
        entry = {"kind": "patients", "requested_by": "soak", "requested_at": now, **wanted}
        self._documents.transact(lambda transaction: transaction.set(f"{COLLECTION}/soak-{number}", entry))


def unsettled(documents: Documents) -> int:
    """Return how many entries are neither done nor rejected."""
    return sum(data.get("state") not in ("done", "rejected") for _, data in documents.query(COLLECTION))


def wrong(documents: Documents, patients: Mapping[str, Mapping[str, Any]], created: int, writes: int) -> list[str]:
    """Return the writes that were not done exactly once.

    patients: of DrChrono, by id. created: how many records it created. writes: how many it created or changed.
    """
    entries = dict(documents.query(COLLECTION))
    found = Counter(patient["last_name"] for patient in patients.values())
    faults = []
    done: Counter[str] = Counter()
    for key, entry in sorted(entries.items()):
        if entry.get("state") not in ("done", "rejected"):
            faults.append(f"{key} is {entry.get('state')}: {entry.get('reason')}")
            continue
        done[entry["action"]] += entry["state"] == "done"
        times = found[entry["fields"].get("last_name", "")] if entry["action"] == "create" else 0
        if entry["action"] == "create" and times != (entry["state"] == "done"):
            faults.append(f"{key} is {entry['state']}, and there are {times}")
    if created != done["create"]:
        faults.append(f"{created} were created for {done['create']} entries")
    if writes != done.total():
        faults.append(f"{writes} writes for {done.total()} entries")
    return faults
