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
    """Unit costs. `filled`, `passed` and `children`: of one record in the backfill, in the reconciliation, and in the
    daily pass over medications, problems and allergies.
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
    """A practice with this number of patients, and what is assumed about it.

    A patient comes three times a year, on one of 250 working days. Each visit causes 6 changes of the appointment, two
    of the patient and one of the note. The copy holds five years, and 22 medications, problems and allergies for each
    patient.
    """

    patients: int

    @property
    def visits(self) -> float:
        """Visits on a working day."""
        return self.patients * 3 / 250

    @property
    def kept(self) -> dict[str, float]:
        """Records with a list of changes."""
        return {"patients": self.patients, "appointments": self.patients * 15.0, "clinical_notes": self.patients * 12.0}

    @property
    def children(self) -> dict[str, float]:
        """Records without one."""
        return {"medications": self.patients * 9, "problems": self.patients * 9, "allergies": self.patients * 4}


# A day: the scheduler's ticks, and how many of them find the lists of a kind due (Kind.sync_minutes). A patient's lists
# are read after each sync that showed the patient or the note of a visit.
TICKS, LISTS = 288, 96
LISTS_OF_A_VISIT = 3 * 2
NOTES_OF_A_VISIT = 3
PAGE = {"patients": 1000, "appointments": 1000, "clinical_notes": 20}
LIVE_PAGE = {**PAGE, "clinical_notes": 1000}
CHILD_PAGE = {"medications": 250, "problems": 250, "allergies": 50}
# Where a list has no count, a first backfill reads it twice, to prove that no record was missed.
GUIDE_READINGS = 2
# A page of a live bulk list takes one request to start it and one to fetch it.
LIVE_REQUESTS = 2
PASS_SHARE = 0.1  # the default of DRCHRONO_PASS_SHARE
GUIDE_DAY, LIVE_DAY = 144_000, 12_000  # requests: 100 a minute, 500 an hour


def pages(practice: Practice, *, live: bool = False) -> int:
    """Return the requests of one complete pass over all lists of changes."""
    size = LIVE_PAGE if live else PAGE
    count = sum(math.ceil(kept / size[kind]) for kind, kept in practice.kept.items())
    return LIVE_REQUESTS * count if live else count


def child_pages(practice: Practice) -> int:
    """Return the requests of one pass over the lists of the practice."""
    return sum(math.ceil(practice.children[kind] / size) for kind, size in CHILD_PAGE.items())


def first_filling(practice: Practice, *, live: bool = False) -> int:
    """Return the requests of a first backfill."""
    return pages(practice, live=live) * (1 if live else GUIDE_READINGS) + child_pages(practice)


def day(practice: Practice, unit: Units, *, passes: float = 1.0, live: bool = False) -> Cost:
    """Return the cost of a day. passes: reconciliations a day. The lists of the practice are read once a day, or as
    often as their share of the quota allows.
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

    def of_operations(self, cost: Cost) -> float:
        """Return what the operations of Firestore cost."""
        return cost.reads * self.reads + cost.writes * self.writes + cost.deletes * self.deletes


# Billed seconds: of a webhook and its event, of a job's request, of a tick without work.
EVENT_SECONDS, REQUEST_SECONDS, TICK_SECONDS = 0.6, 0.5, 2.0
# A patient with all its records, and as much again for Firestore's indexes.
KIB_OF_A_PATIENT = 100 * 2
MONTH_DAYS = 30


def month(practice: Practice, cost: Cost, prices: Prices) -> float:
    """Return the cost of a month in US dollars."""
    events = 9 * practice.visits
    seconds = events * EVENT_SECONDS + max(0.0, cost.requests - events) * REQUEST_SECONDS + TICKS * TICK_SECONDS
    kept = practice.patients * KIB_OF_A_PATIENT / 2**20
    return (prices.of_operations(cost) + seconds * prices.second) * MONTH_DAYS + kept * prices.gib_month + prices.fixed
