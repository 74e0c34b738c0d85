"""What a practice costs a day and a month: arithmetic on measured unit costs, with its assumptions beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Cost:
    """requests: to DrChrono. The others are Firestore's, as it bills them."""

    requests: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    deletes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __mul__(self, times: float) -> Cost:
        return Cost(*(getattr(self, one.name) * times for one in fields(self)))


@dataclass(frozen=True)
class Units:
    """What one of each costs; `filled`, `passed` and `children`: the backfill, the reconciliation and the daily pass
    over medications, problems and allergies, for one record.
    """

    patient: Cost
    appointment: Cost
    note: Cost
    listed: Cost
    tick: Cost
    lists: Cost
    filled: Cost
    passed: Cost
    children: Cost


@dataclass(frozen=True)
class Practice:
    """A practice of `patients`, and what is assumed of it.

    A patient comes three times a year, on one of 250 working days; a visit is made, confirmed and moved through the
    day (6 changes), its patient's record is edited twice, and its note is signed once. Five years are kept, and for
    each patient 22 medications, problems and allergies.
    """

    patients: int

    @property
    def visits(self) -> float:
        """A working day."""
        return self.patients * 3 / 250

    @property
    def kept(self) -> dict[str, float]:
        """Records with a list of changes."""
        return {"patients": self.patients, "appointments": self.patients * 15.0, "clinical_notes": self.patients * 12.0}

    @property
    def children(self) -> dict[str, float]:
        """Records without one."""
        return {"medications": self.patients * 9, "problems": self.patients * 9, "allergies": self.patients * 4}


# Of a day: the scheduler's ticks; how many of them find the lists of a kind due (Kind.sync_minutes); a patient's lists
# are looked at after each sync that saw the patient, the note of a visit likewise.
TICKS, LISTS = 288, 96
LISTS_OF_A_VISIT = 3 * 2
NOTES_OF_A_VISIT = 3
PAGE = {"patients": 1000, "appointments": 1000, "clinical_notes": 20}
LIVE_PAGE = {**PAGE, "clinical_notes": 1000}
CHILD_PAGE = {"medications": 250, "problems": 250, "allergies": 50}
# Without a count of the list a first filling reads it twice, to show that no record was missed.
GUIDE_READINGS = 2
# Of a live bulk list: a page is begun by one request and fetched by another.
LIVE_REQUESTS = 2
PASS_SHARE = 0.1  # the default of DRCHRONO_PASS_SHARE
GUIDE_DAY, LIVE_DAY = 144_000, 12_000  # requests: 100 a minute, 500 an hour


def pages(practice: Practice, *, live: bool = False) -> int:
    """Requests of one complete pass over all lists of changes."""
    size = LIVE_PAGE if live else PAGE
    count = sum(math.ceil(kept / size[kind]) for kind, kept in practice.kept.items())
    return LIVE_REQUESTS * count if live else count


def child_pages(practice: Practice) -> int:
    """Requests of one pass over the lists of the practice."""
    return sum(math.ceil(practice.children[kind] / size) for kind, size in CHILD_PAGE.items())


def first_filling(practice: Practice, *, live: bool = False) -> int:
    """Requests."""
    return pages(practice, live=live) * (1 if live else GUIDE_READINGS) + child_pages(practice)


def day(practice: Practice, unit: Units, *, passes: float = 1.0, live: bool = False) -> Cost:
    """passes: reconciliations a day. The passes over the lists of the practice are one a day, or as many as their share
    of the quota allows.
    """
    visits, kept, children = practice.visits, practice.kept, child_pages(practice)
    allowed = PASS_SHARE * (LIVE_DAY if live else GUIDE_DAY)
    share = min(1.0, allowed / children) if children else 1.0
    return (
        unit.appointment * (6 * visits)
        + unit.patient * (2 * visits)
        + unit.note * visits
        + unit.listed * ((LISTS_OF_A_VISIT + NOTES_OF_A_VISIT) * visits)
        + unit.tick * TICKS
        + unit.lists * LISTS
        + unit.children * (sum(practice.children.values()) * share)
        + unit.passed * (sum(kept.values()) * passes)
        + Cost(requests=children * share + pages(practice, live=live) * passes)
    )


@dataclass(frozen=True)
class Prices:
    """US dollars. List prices of 2025, tier 1 regions, without what is free: cloud.google.com/firestore/pricing (the
    multi-region nam5; one region costs about half) and cloud.google.com/run/pricing.
    """

    reads: float = 0.06 / 100_000
    writes: float = 0.18 / 100_000
    deletes: float = 0.02 / 100_000
    gib_month: float = 0.18
    second: float = 0.000024 + 0.0000025  # one vCPU and one GiB
    fixed: float = 5.0  # a month: secret versions, keys, scheduler, logs and alerts of an idle system


# Seconds that are billed for: a webhook and its event, a request of a job, a tick with nothing to do.
EVENT_SECONDS, REQUEST_SECONDS, TICK_SECONDS = 0.6, 0.5, 2.0
# Of a patient with all that hangs on it, and Firestore's indexes on it again as much.
KIB_OF_A_PATIENT = 100 * 2
MONTH_DAYS = 30


def month(practice: Practice, cost: Cost, prices: Prices) -> float:
    """US dollars."""
    events = 9 * practice.visits
    seconds = events * EVENT_SECONDS + max(0.0, cost.requests - events) * REQUEST_SECONDS + TICKS * TICK_SECONDS
    store = cost.reads * prices.reads + cost.writes * prices.writes + cost.deletes * prices.deletes
    kept = practice.patients * KIB_OF_A_PATIENT / 2**20
    return (store + seconds * prices.second) * MONTH_DAYS + kept * prices.gib_month + prices.fixed
