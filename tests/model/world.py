"""What a practice has in DrChrono, at every instant: records with their history, and permissions that come and go.

Times are seconds on the true clock. Records are small: what they hold beside their ids is a number that counts edits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from shared.drchrono.kinds import KINDS

Record = dict[str, Any]

# In the morning hours of this day summer time ends at 06:00 UTC. The year is early so that a walk over everything has
# few windows.
SUMMER_TIME_ENDS = datetime(2009, 11, 1, 6, tzinfo=timezone.utc).timestamp()
CHILDREN = ("medications", "problems", "allergies")

_CREATED = {
    "patients": "PATIENT_CREATE",
    "appointments": "APPOINTMENT_CREATE",
    "clinical_notes": "CLINICAL_NOTE_LOCK",
    "medications": "PATIENT_MEDICATION_CREATE",
    "problems": "PATIENT_PROBLEM_CREATE",
    "allergies": "PATIENT_ALLERGY_CREATE",
}
_CHANGED = {name: event.replace("CREATE", "MODIFY") for name, event in _CREATED.items()}


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def local(seconds: float) -> str:
    """The practice's wall clock, as DrChrono writes it: without offset, so that an hour repeats."""
    offset = timedelta(hours=-4 if seconds < SUMMER_TIME_ENDS else -5)
    return (utc(seconds) + offset).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class State:
    """A record from `at` on. stamp: the local time that `since` compares. record: None where it is gone."""

    at: float
    stamp: str
    record: Record | None


@dataclass(frozen=True)
class Loss:
    """From `begins` to `ends`, lists of the kind are empty. hidden: single reads say 404, too."""

    kind: str
    begins: float
    ends: float
    hidden: bool


@dataclass(frozen=True)
class Hint:
    """An event that DrChrono has for a change."""

    event: str
    kind: str
    key: str
    updated_at: str | None


@dataclass
class World:
    """live: notes have no id of their own, and events carry delivery ids. flagged: a deleted appointment is shown with
    `deleted_flag` instead of 404. dated: the kinds whose records show `updated_at`. by_key: notes can be read singly.
    cascades: what belongs to a patient is deleted with it. overlapping: ids of different kinds may be the same.
    """

    rng: random.Random
    live: bool
    flagged: bool
    dated: frozenset[str]
    by_key: bool
    cascades: bool
    overlapping: bool
    histories: dict[str, dict[str, list[State]]] = field(default_factory=lambda: {name: {} for name in KINDS})
    losses: list[Loss] = field(default_factory=list)
    _last_id: dict[str, int] = field(default_factory=dict)
    _edits: int = 0

    # What is there

    def at(self, kind: str, key: str, instant: float) -> State | None:
        for state in reversed(self.histories[kind].get(key, ())):
            if state.at <= instant:
                return state
        return None

    def all_at(self, kind: str, instant: float) -> Iterator[State]:
        """By id. Gone ones are left out."""
        for key in sorted(self.histories[kind], key=int):
            state = self.at(kind, key, instant)
            if state is not None and state.record is not None:
                yield state

    def truth(self, kind: str, instant: float) -> dict[str, Record]:
        """The living records, by key."""
        return {
            key: state.record
            for key in self.histories[kind]
            if (state := self.at(kind, key, instant)) is not None and is_alive(state) and state.record is not None
        }

    def alive_since(self, kind: str, key: str, instant: float) -> float | None:
        """Since when the record has been there without a break; None where it is gone."""
        since: float | None = None
        for state in self.histories[kind].get(key, ()):
            if state.at > instant:
                break
            if not is_alive(state):
                since = None
            elif since is None:
                since = state.at
        return since

    def lost(self, kind: str, instant: float) -> Loss | None:
        return next((one for one in self.losses if one.kind == kind and one.begins <= instant < one.ends), None)

    # What happens

    def create(self, kind: str, now: float) -> Hint | None:
        record: Record = {}
        if kind == "clinical_notes":
            free = [
                key
                for key in self.truth("appointments", now)
                if not any(one["appointment"] == int(key) for one in self.truth("clinical_notes", now).values())
            ]
            if not free:
                return None
            appointment = self.rng.choice(sorted(free))
            state = self.at("appointments", appointment, now)
            assert state is not None
            assert state.record is not None
            record = {"appointment": int(appointment), "patient": state.record["patient"]}
            key = appointment if self.live else self._new_id(kind)
            if not self.live:
                record = {"id": int(key), **record}
        else:
            key = self._new_id(kind)
            record = {"id": int(key)}
            if kind != "patients" and not KINDS[kind].whole:
                patients = sorted(self.truth("patients", now))
                if not patients:
                    return None
                record["patient"] = int(self.rng.choice(patients))
            if kind == "appointments":
                day = utc(now) + timedelta(days=self.rng.randint(-200, 30))
                record |= {"scheduled_time": day.strftime("%Y-%m-%dT%H:%M:%S"), "deleted_flag": False}
        self._put(kind, key, record, now, moves=True)
        return self._hint(_CREATED, kind, key, now)

    def edit(self, kind: str, key: str, now: float, *, moves: bool) -> Hint | None:
        """moves: whether `updated_at` tells of it."""
        state = self.at(kind, key, now)
        if state is None or not is_alive(state):
            return None
        assert state.record is not None
        self._put(kind, key, dict(state.record), now, moves=moves)
        return self._hint(_CHANGED, kind, key, now)

    def delete(self, kind: str, key: str, now: float) -> Hint | None:
        """Nothing of a kind that is listed whole is deleted."""
        state = self.at(kind, key, now)
        if state is None or not is_alive(state) or KINDS[kind].whole:
            return None
        assert state.record is not None
        if kind == "appointments" and self.flagged:
            self._put(kind, key, {**state.record, "deleted_flag": True}, now, moves=True)
        else:
            self.histories[kind][key].append(State(now, local(now), None))
        if kind == "patients" and self.cascades:
            for child in CHILDREN:
                for other, record in self.truth(child, now).items():
                    if record["patient"] == int(key):
                        self.histories[child][other].append(State(now, local(now), None))
        if kind == "appointments":
            return self._hint({kind: "APPOINTMENT_DELETE"}, kind, key, now)
        return None

    def recreate(self, kind: str, key: str, now: float) -> Hint | None:
        state = self.at(kind, key, now)
        if state is None or is_alive(state):
            return None
        last = next(one.record for one in reversed(self.histories[kind][key]) if one.record is not None)
        record = {**last, "deleted_flag": False} if kind == "appointments" else dict(last)
        self._put(kind, key, record, now, moves=True)
        return self._hint(self.rng.choice((_CREATED, _CHANGED)), kind, key, now)

    def _put(self, kind: str, key: str, record: Record, now: float, *, moves: bool) -> None:
        self._edits += 1
        history = self.histories[kind].setdefault(key, [])
        stamp = local(now) if moves or not history else history[-1].stamp
        record["text"] = self._edits
        if kind in self.dated:
            record["updated_at"] = stamp
        history.append(State(now, stamp, record))

    def _hint(self, names: dict[str, str], kind: str, key: str, now: float) -> Hint | None:
        if kind not in names:
            return None
        state = self.at(kind, key, now)
        shown = state.record if state is not None and state.record is not None else {}
        return Hint(names[kind], kind, key, shown.get("updated_at"))

    def _new_id(self, kind: str) -> str:
        first = 100 if self.overlapping else 1000 * (1 + list(KINDS).index(kind))
        self._last_id[kind] = self._last_id.get(kind, first) + 1
        return str(self._last_id[kind])


def is_alive(state: State) -> bool:
    return state.record is not None and state.record.get("deleted_flag") is not True
