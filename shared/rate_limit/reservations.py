"""What one instance holds in memory of its reservation, and how much it reserves next.

The size of a reservation follows demand: a steady sender asks about once in the life of a reservation, one that begins
doubles with each, and an idle one asks for nothing. A reservation lives longer the more instances there are, so that
together they write the document about once a second. Times are seconds on this instance's own clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.rate_limit.ledger import Lane

# How often a holder checks whether a cooldown ended its reservation. With the time of the read it stops within 1 s.
CHECK_SECONDS = 0.75

# Each of n holders asks about every n times this: 1.3 writes a second, where Firestore advises about one per document.
TURN_SECONDS = 0.75
SHORTEST_TURN_SECONDS = 1.0
LONGEST_TURN_SECONDS = 10.0

# A reservation lives for a turn and this, because the response to a commit may be late.
COMMIT_SECONDS = 1.0

LONGEST_LIFE_SECONDS = LONGEST_TURN_SECONDS + COMMIT_SECONDS


@dataclass
class HeldReservation:
    """`left` requests per lane, good before `until`.

    offset: seconds to add to the own clock; the result is the store's time or later. reserved_at: before the ledger
    was read. checked_at: when the reservation was last known to stand. sent: when requests were sent, by lane.
    """

    number: int
    left: dict[Lane, int]
    offset: float
    reserved_at: float
    until: float
    checked_at: float
    sent: dict[Lane, list[float]] = field(default_factory=lambda: {lane: [] for lane in Lane})

    def lane_for(self, lane: Lane) -> Lane | None:
        """Return the lane whose request `lane` may use: live requests may use both, background ones only their own."""
        lanes = [lane, Lane.BACKGROUND] if lane is Lane.LIVE else [lane]
        return next((each for each in lanes if self.left.get(each)), None)

    def send(self, lane: Lane, source: Lane, clock: float) -> None:
        self.left[source] -= 1
        self.sent[lane].append(clock)

    def sent_at(self, *lanes: Lane) -> list[float]:
        """Return when requests of `lanes` were sent, in the store's time or later."""
        return [time + self.offset for lane in lanes for time in self.sent[lane]]

    def demand(self, lane: Lane, clock: float, life_seconds: float) -> int:
        return demand(len(self.sent[lane]), clock - self.reserved_at, life_seconds)


def demand(sent: int, elapsed_seconds: float, life_seconds: float) -> int:
    """Return what `life_seconds` need at the recent pace, but at most twice of what was `sent`."""
    return min(2 * sent, math.ceil(sent * life_seconds / max(elapsed_seconds, 0.001)))


def turn_seconds(holders: int) -> float:
    return min(max(SHORTEST_TURN_SECONDS, holders * TURN_SECONDS), LONGEST_TURN_SECONDS)


@dataclass(frozen=True)
class Refusal:
    """Less than was `asked` for.

    free_at: when the ledger has the next request. again_at: when to check whether others returned some before that.
    """

    asked: int
    free_at: float
    again_at: float


def asked_for(
    least: Mapping[Lane, int],
    held: HeldReservation | None,
    refused: Mapping[Lane, Refusal],
    clock: float,
    life_seconds: float,
) -> dict[Lane, int]:
    """Return how much to reserve per lane: `least`, recent demand, and for these lanes what was lately refused."""
    asked = dict(least)
    for lane in Lane:
        needed = 0 if held is None else held.demand(lane, clock, life_seconds)
        refusal = refused.get(lane)
        if lane in least and refusal is not None and clock < refusal.again_at + LONGEST_TURN_SECONDS:
            needed = max(needed, refusal.asked)
        if needed:
            asked[lane] = max(needed, asked.get(lane, 0))
    return asked
