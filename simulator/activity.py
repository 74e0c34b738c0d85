"""A clinic at work: seeded changes in the background, as the day brings them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

from simulator.clinic import Clinic, NoSuchRecordError
from simulator.drafts import CHART
from simulator.kinds import APPOINTMENTS, NOTES, PATIENTS
from simulator.store import Record

_LONGEST_BURST = 4  # a form saved field by field


class Activity:
    """Makes about `per_second` changes each second of the simulator's clock."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._rng = Random(f"{clinic.config.seed} activity")
        self._run = 0
        self.per_second = 0.0
        self._deeds: list[tuple[int, Callable[[], None]]] = [
            (30, self._edit_patient),
            (30, self._move_visit),
            (12, self._write_note),
            (8, self._sign_note),
            (6, self._review_chart),
            (6, lambda: self._create(APPOINTMENTS)),
            (4, lambda: self._create(PATIENTS)),
            (4, self._cancel_visit),
        ]

    def set(self, per_second: float) -> None:
        """Work faster, slower, or (0) not at all."""
        if per_second < 0:
            raise ValueError("per_second must not be negative")
        self._run += 1
        self.per_second = per_second
        self._plan(self._run, made=1)

    def _plan(self, run: int, made: int) -> None:
        """Rest as long as the changes just made should have taken."""
        # `run` tells a timer of an earlier speed that it is not wanted any more.
        if self.per_second and run == self._run:
            pause = made * self._rng.expovariate(self.per_second)
            clock = self._clinic.clock
            clock.at(clock.now() + pause, lambda: self._work(run))

    def _work(self, run: int) -> None:
        if run != self._run:
            return
        weights, deeds = zip(*self._deeds, strict=True)
        before = self._clinic.changes
        with suppress(NoSuchRecordError):  # a small practice may lack such a record; the next deed will find one
            self._rng.choices(deeds, weights)[0]()
        self._plan(run, max(1, self._clinic.changes - before))

    def _create(self, kind: str) -> None:
        self._clinic.create(kind, {})

    def _edit_patient(self) -> None:
        patient = self._clinic.pick(PATIENTS)
        for _ in range(self._rng.randint(1, _LONGEST_BURST)):
            self._clinic.change(PATIENTS, patient.key)

    def _move_visit(self) -> None:
        self._clinic.change(APPOINTMENTS, self._clinic.pick(APPOINTMENTS).key)

    def _cancel_visit(self) -> None:
        visit = self._clinic.pick(APPOINTMENTS, lambda record: not self._clinic.has_note(record))
        self._clinic.delete(APPOINTMENTS, visit.key)

    def _write_note(self) -> None:
        if self._rng.random() < 0.4:
            self._create(NOTES)
        else:
            self._clinic.change(NOTES, self._clinic.pick(NOTES, self._is_open).key)

    def _sign_note(self) -> None:
        self._clinic.lock(self._clinic.pick(NOTES, self._is_open).key)

    def _review_chart(self) -> None:
        """A medication, problem or allergy, then the patient it belongs to.

        The guide has no event and no time of change for the three: the visit's change of the patient is what tells.
        """
        kind = self._rng.choice(list(CHART))
        if self._rng.random() < 0.5:
            change = self._clinic.create(kind, {})
        else:
            change = self._clinic.change(kind, self._clinic.pick(kind).key)
        self._clinic.change(PATIENTS, change.version.fields["patient"])

    def _is_open(self, note: Record) -> bool:
        return not self._clinic.is_locked(note)
