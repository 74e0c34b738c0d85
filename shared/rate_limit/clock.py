"""One time line for instances whose clocks differ: what each learns of "document time" by reading and writing it.

The quota asks how long ago a request was made, and by whose clock? A margin for the skew of clocks, added to every
window, would cost a tenth of a quota per minute. Instead document time is the clock of the instance that founded it,
and every other instance keeps two bounds on what to add to its own clock to get it. They narrow by what causality
shows, whatever the clocks say:

- what I read was written before: document time is by now at least the writer's lower bound (`earliest` rises);
- what was written over my write was written after it: document time was then at most that writer's upper bound
  (`latest` falls).

The age of a request is measured from its maker's upper bound to the reader's lower one, so it is never overrated.
Instances that work at the same time agree within a fraction of a second after a few exchanges. One that works alone
has nobody to learn from, and founds document time anew with its own clock, ages kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# More than any clock kept by NTP is off. A clock that is off by more is found out at the first exchange.
MOST_SKEW_SECONDS = 5.0

# Founding anew makes recorded requests look younger by up to twice the skew, and the other instances strangers: worth
# it for one that has been alone for some time, not for several that take turns.
ALONE_SECONDS = 60.0

# Seconds since 1970 as floats are good to less than a microsecond.
ROUNDING_SECONDS = 0.001


@dataclass(frozen=True)
class Stamp:
    """What a write leaves in the document: its number, that of the founding write, and its writer's bounds then."""

    version: int
    founded: int
    earliest: float
    latest: float


@dataclass(frozen=True)
class Reckoning:
    """Document time is one's own clock plus something from `earliest` to `latest` seconds.

    written_version, written_at: one's own last write, by one's own clock (0: none yet).
    alone_since: when one's own first write was of those that nobody else's came between; None if one came since.
    """

    founded: int
    earliest: float
    latest: float
    written_version: int = 0
    written_at: float = 0.0
    alone_since: float | None = None

    @property
    def unsure(self) -> bool:
        return self.latest - self.earliest > ROUNDING_SECONDS

    def stamp(self, version: int, clock: float) -> Stamp:
        return Stamp(version, self.founded, clock + self.earliest, clock + self.latest)

    def alone_for(self, clock: float) -> float:
        """Seconds."""
        return 0.0 if self.alone_since is None else clock - self.alone_since


def founded(version: int, clock: float) -> Reckoning:
    """Document time is from this write on one's own clock."""
    return Reckoning(version, 0.0, 0.0, written_version=version, written_at=clock, alone_since=clock)


def after_reading(known: Reckoning | None, stamp: Stamp, clock: float) -> Reckoning:
    """What is known after `stamp` was read; `clock` is one's own, right after."""
    if known is None or known.founded != stamp.founded:
        known = Reckoning(stamp.founded, -MOST_SKEW_SECONDS, MOST_SKEW_SECONDS)
    seen = stamp.earliest - clock
    earliest, latest, alone_since = max(known.earliest, seen), known.latest, known.alone_since
    if stamp.version != known.written_version:
        alone_since = None
        if known.written_version:
            latest = min(latest, stamp.latest - known.written_at)
    if earliest > latest + ROUNDING_SECONDS:
        # A clock was set, or is off by more than is allowed for: only what was seen now is sure.
        earliest, latest = seen, seen + 2 * MOST_SKEW_SECONDS
    return replace(known, earliest=earliest, latest=max(earliest, latest), alone_since=alone_since)


def after_writing(known: Reckoning, version: int, clock: float) -> Reckoning:
    """What is known after one's own write; `clock` is one's own, between its read and its commit."""
    alone_since = clock if known.alone_since is None else known.alone_since
    return replace(known, written_version=version, written_at=clock, alone_since=alone_since)
