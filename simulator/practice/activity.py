"""Background activity: random changes from a seeded source, as in a practice at work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

from simulator.practice.chart import MAKERS
from simulator.practice.clinic import Clinic
from simulator.practice.kinds import APPOINTMENTS, NOTES, PATIENTS
from simulator.practice.lookup import NoSuchRecordError
from simulator.practice.store import Record

_MAX_BURST = 4  # changes in a row, as when a form is saved field by field


class Activity:
    """Makes about `per_second` changes each second of the simulator's clock."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._rng = Random(f"{clinic.config.seed} activity")
        self._run = 0
        self.per_second = 0.0
        self._actions: list[tuple[int, Callable[[], None]]] = [
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
        """Set the rate of changes; 0 stops them."""
        if per_second < 0:
            raise ValueError("per_second must not be negative")
        self._run += 1
        self.per_second = per_second
        self._plan(self._run, made=1)

    def _plan(self, run: int, made: int) -> None:
        """Schedule the next action after a pause in proportion to the `made` changes."""
        # A timer set before the rate changed has an old `run` and does nothing.
        if self.per_second and run == self._run:
            pause = made * self._rng.expovariate(self.per_second)
            clock = self._clinic.clock
            clock.at(clock.now() + pause, lambda: self._work(run))

    def _work(self, run: int) -> None:
        if run != self._run:
            return
        weights, actions = zip(*self._actions, strict=True)
        before = self._clinic.changes
        with suppress(NoSuchRecordError):  # a small practice may have no suitable record
            self._rng.choices(actions, weights)[0]()
        self._plan(run, max(1, self._clinic.changes - before))

    def _create(self, kind: str) -> None:
        self._clinic.create(kind, {})

    def _edit_patient(self) -> None:
        patient = self._clinic.pick(PATIENTS)
        for _ in range(self._rng.randint(1, _MAX_BURST)):
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
        """Change a medication, problem or allergy, then its patient.

        The guide has neither events nor `updated_at` for these three kinds. Only the patient's change announces them.
        """
        kind = self._rng.choice(list(MAKERS))
        if self._rng.random() < 0.5:
            change = self._clinic.create(kind, {})
        else:
            change = self._clinic.change(kind, self._clinic.pick(kind).key)
        self._clinic.change(PATIENTS, change.version.fields["patient"])

    def _is_open(self, note: Record) -> bool:
        return not self._clinic.is_locked(note)
