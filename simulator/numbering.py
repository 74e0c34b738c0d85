"""Ids: growing, with gaps, each kind from its own range, so that a mixed-up id is a 404 and not a wrong record."""

from __future__ import annotations

from random import Random

from simulator.kinds import ALLERGIES, APPOINTMENTS, MEDICATIONS, NOTES, PATIENTS, PROBLEMS

_FIRST = {
    PATIENTS: 90_000_000,
    APPOINTMENTS: 140_000_000,
    NOTES: 50_000_000,
    MEDICATIONS: 300_000_000,
    PROBLEMS: 400_000_000,
    ALLERGIES: 500_000_000,
}


class Numbering:
    """Hands out ids."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._last = dict(_FIRST)

    def next(self, kind: str) -> int:
        self._last[kind] += self._rng.randrange(1, 8)
        return self._last[kind]
