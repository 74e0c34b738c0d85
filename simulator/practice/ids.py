"""Record ids: increasing, with gaps, each kind in its own range, so that a mixed-up id gives a 404.

DrChrono's ids are numbers, or texts that are "usually numeric, not always". Other styles test readers that assume more.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from uuid import NAMESPACE_OID, uuid5

from simulator.config import IdStyle
from simulator.practice.kinds import (
    ALLERGIES,
    APPOINTMENTS,
    DOCTORS,
    KINDS,
    MEDICATIONS,
    NOTES,
    OFFICES,
    PATIENTS,
    PROBLEMS,
    PROFILES,
    USERS,
)

_FIRST_INEXACT = 2**53 + 1  # not exact as a double, which JavaScript and some JSON parsers use
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

    def __init__(self, rng: Random, style: IdStyle, style_of: Mapping[str, IdStyle]) -> None:
        self._rng = rng
        self._last = dict(_FIRST)
        self._style = {kind: style_of.get(kind, style) for kind in KINDS}

    def next(self, kind: str) -> int:
        self._last[kind] += self._rng.randrange(1, 8)
        return self._last[kind]

    def styled(self, kind: str, number: int | str) -> int | str:
        """Return the id of a patient's record in the configured style. Staff and offices keep their numbers."""
        if not KINDS[kind].clinical:
            return number
        match self._style[kind]:
            case "large":
                large = _FIRST_INEXACT + int(number) if str(number).isdecimal() else number
                return large if isinstance(number, int) else str(large)
            case "uuid":
                return str(uuid5(NAMESPACE_OID, f"{kind} {number}"))
            case "escaped":
                return f"{number}/ü %2F?&#+"
            case _:
                return number
