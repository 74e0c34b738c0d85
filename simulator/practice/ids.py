"""Record ids: increasing, with gaps, each kind in its own range, so that a mixed-up id gives a 404."""

from __future__ import annotations

from random import Random

from simulator.practice.kinds import (
    ALLERGIES,
    APPOINTMENTS,
    DOCTORS,
    MEDICATIONS,
    NOTES,
    OFFICES,
    PATIENTS,
    PROBLEMS,
    PROFILES,
    USERS,
)

_FIRST = {
    PATIENTS: 90_000_000,
    APPOINTMENTS: 140_000_000,
    NOTES: 50_000_000,
    MEDICATIONS: 300_000_000,
    PROBLEMS: 400_000_000,
    ALLERGIES: 500_000_000,
    # The initial records of the practice have fixed ids below these.
    DOCTORS: 325_000,
    OFFICES: 335_000,
    USERS: 275_000,
    PROFILES: 55_000,
}


class Ids:
    """Generates the ids of each kind."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._last = dict(_FIRST)

    def next(self, kind: str) -> int:
        self._last[kind] += self._rng.randrange(1, 8)
        return self._last[kind]
