"""Observes a run: log lines, memory, records that go back in time, and wrong tombstones."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from shared.documents import Documents, Where
from shared.drchrono.ids import document_id
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import is_older, shown_until
from shared.errors import StoreUnavailable
from shared.records.storable import META

Trees = dict[str, list[psutil.Process]]

LOOK_SECONDS = 0.25
SAMPLE_SECONDS = 2.0
TRUTH_SECONDS = 5.0


@dataclass(frozen=True)
class Line:
    """seen: seconds of the monotonic clock, at most LOOK_SECONDS late. process: the log file's name."""

    seen: float
    process: str
    fields: Mapping[str, Any]


class LogLines:
    """The JSON lines of the functions' logs in `folder`. foreign: counts other lines by their first characters."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[Line] = []
        self.foreign: Counter[str] = Counter()
        self._folder = folder
        self._read: defaultdict[Path, int] = defaultdict(int)

    def look(self) -> None:
        for path in self._folder.glob("r*.log"), self._folder.glob("s*_record*.log"):
            for file in path:
                self._follow(file)

    def _follow(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._read[path])
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]  # the last line may be incomplete
        self._read[path] += len(whole)
        for line in whole.splitlines():
            try:
                fields = json.loads(line)
                self.lines.append(Line(time.monotonic(), path.stem, fields))
            except ValueError:
                self.foreign[line[:60].decode(errors="replace")] += 1

    def of(self, label: str) -> list[Line]:
        return [line for line in self.lines if line.fields.get("message") == label]


def simulator_failures(folder: Path) -> list[str]:
    """Return the lines in which the simulator says that its own code failed. It then changes nothing more."""
    log = folder / "drchrono-simulator.log"
    return [line for line in log.read_text().splitlines() if "the simulator failed" in line]


@dataclass
class Times:
    """The last `fetched_at` and `updated_at` of each document. backward: the documents that went back in time."""

    backward: list[str] = field(default_factory=list)
    samples: int = 0
    _newest: dict[str, tuple[datetime, str | None]] = field(default_factory=dict)

    def look(self, documents: Documents) -> None:
        for kind in KINDS:
            for key, document in list(documents.query(kind, fields=[META, "updated_at"])):
                self.see(f"{kind}/{key}", document[META]["fetched_at"], document.get("updated_at"))
        self.samples += 1

    def see(self, path: str, fetched_at: datetime, updated_at: str | None) -> None:
        before = self._newest.get(path)
        if before is not None and (fetched_at < before[0] or is_older(updated_at, before[1])):
            self.backward.append(path)
        self._newest[path] = (fetched_at, updated_at)


class Tombstones:
    """Finds records that are marked as deleted although DrChrono has them, in a kind that is called complete.

    truth: returns DrChrono's records of a kind, by id.
    """

    def __init__(self, truth: Callable[[str], Mapping[str, Any]]) -> None:
        self.wrong: set[str] = set()
        self.samples = 0
        self._truth = truth
        self._alive_since: dict[str, datetime] = {}

    def look(self, documents: Documents) -> None:
        for kind in KINDS:
            # Read the copy first. A record that is deleted between the two reads is then in neither.
            deleted = dict(documents.query(kind, [Where(f"{META}.deleted", "==", True)], fields=[META]))
            status = documents.get(f"sync_status/{kind}") or {}
            now = datetime.now(timezone.utc)
            self.see(kind, deleted, {document_id(key) for key in self._truth(kind)}, status, now)
        self.samples += 1

    def see(
        self,
        kind: str,
        deleted: Mapping[str, Mapping[str, Any]],
        living: set[str],
        status: Mapping[str, Any],
        now: datetime,
    ) -> None:
        """living: the document names of DrChrono's records. status: the kind's `sync_status`."""
        for name in living:
            self._alive_since.setdefault(f"{kind}/{name}", now)
        for path in [path for path in self._alive_since if path.startswith(f"{kind}/")]:
            if path.partition("/")[2] not in living:
                del self._alive_since[path]
        if status.get("complete_until") is None or status.get("problem") is not None:
            return
        for name, document in deleted.items():
            since = self._alive_since.get(f"{kind}/{name}")
            if since is not None and since < shown_until(document[META]["fetched_at"]):
                self.wrong.add(f"{kind}/{name}")


class Memory:
    """The peak resident memory of each process with its children, in MiB."""

    def __init__(self) -> None:
        self.peaks: defaultdict[str, float] = defaultdict(float)

    def look(self, trees: Mapping[str, list[psutil.Process]]) -> None:
        for name, tree in trees.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                held = sum(process.memory_info().rss for process in tree) / 2**20
                self.peaks[name] = max(self.peaks[name], held)


class Watcher:
    """Runs all observations in its own threads within a `with` block."""

    def __init__(
        self,
        logs: LogLines,
        documents: Documents,
        trees: Callable[[], Trees],
        truth: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self.logs, self.times, self.memory, self.tombstones = logs, Times(), Memory(), Tombstones(truth)
        self._documents, self._trees = documents, trees
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=args, daemon=True)
            for args in (
                (LOOK_SECONDS, self.logs.look),
                (SAMPLE_SECONDS, lambda: self.times.look(self._documents)),
                (SAMPLE_SECONDS, lambda: self.memory.look(self._trees())),
                (TRUTH_SECONDS, lambda: self.tombstones.look(self._documents)),
            )
        ]

    def __enter__(self) -> Watcher:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self.logs.look()

    def _every(self, seconds: float, look: Callable[[], None]) -> None:
        while not self._ended.wait(seconds):
            with contextlib.suppress(StoreUnavailable):  # frozen on purpose; the next look will succeed
                look()
