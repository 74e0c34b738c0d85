"""What goes wrong, when, and for how long: all of it follows from the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from shared.drchrono.lag import CLOCK_SKEW
from simulator.practice.store import SIGNATURE_MARK

FIRESTORE, PUBSUB = "Firestore emulator", "Pub/Sub emulator"

# Deaths come about this often; a function needs some seconds to start again on two busy cores.
DEATH_EVERY_SECONDS = (6.0, 12.0)
FROZEN_SECONDS = (2.0, 6.0)
UNAUTHORIZED_SECONDS = 8.0

# The last deaths leave this share of the run to the webhooks that were under way; those of a job come earlier, because
# its lease lapses only two minutes later.
LAST_DEATH, LAST_DEATH_OF_A_JOB = 0.9, 0.6

# Of the practice: for how long lists of a kind are empty and its records 404, as without a permission; one kind or one
# record cannot be read; and senders drip bodies into the front door.
HIDDEN_SECONDS = FAILING_SECONDS = POISONED_SECONDS = 8.0
DRIPPED_SECONDS = 4.0

# Each of these comes once in every run, at about this share of it, so that a short run has them all.
ONCE = (
    ("poison", "patients", 0.10),
    ("hide", "allergies", 0.20),
    ("replay", "patients", 0.30),
    ("fail", "clinical_notes", 0.40),
    ("drip", "", 0.50),
    ("hide", "appointments", 0.65),
    ("freeze", FIRESTORE, 0.15),
    ("expire", "", 0.25),
    ("freeze", PUBSUB, 0.35),
    ("revoke", "", 0.45),
    ("restart", PUBSUB, 0.60),
    ("freeze", FIRESTORE, 0.72),
    ("expire", "", 0.80),
)


@dataclass(frozen=True)
class Act:
    """what: `kill` (SIGKILL), `term` (SIGTERM), `freeze` (SIGSTOP), `restart`, `expire` or `revoke` (of tokens),
    `poison` (one record fails), `fail` or `hide` (a kind), `replay` (of deliveries), `drip` (slow bodies).

    at, lasts: seconds from the beginning of the run.
    """

    at: float
    what: str
    whom: str = ""
    lasts: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.lasts:.0f} s" if self.lasts else ""
        return f"{self.at:5.0f} s  {self.what} {self.whom}{lasting}"


def plan(seed: int, seconds: float, functions: Sequence[str]) -> list[Act]:
    """functions: the names of the instances that may die."""
    rng = Random(f"{seed} plan")
    acts = [
        Act(round(seconds * (share + rng.uniform(-0.04, 0.04)), 1), what, whom, _lasts(what, rng))
        for what, whom, share in ONCE
    ]
    at = rng.uniform(*DEATH_EVERY_SECONDS)
    while at < seconds * LAST_DEATH:
        what = rng.choices(("kill", "term", "freeze"), (5, 3, 2))[0]
        mortal = [name for name in functions if at < seconds * LAST_DEATH_OF_A_JOB or not name.startswith("run_job")]
        acts.append(Act(round(at, 1), what, rng.choice(mortal), _lasts(what, rng)))
        at += rng.uniform(*DEATH_EVERY_SECONDS)
    return sorted(acts, key=lambda act: act.at)


def _lasts(what: str, rng: Random) -> float:
    if what == "freeze":
        return round(rng.uniform(*FROZEN_SECONDS), 1)
    return LASTING.get(what, 0.0)


LASTING = {
    "revoke": UNAUTHORIZED_SECONDS,
    "hide": HIDDEN_SECONDS,
    "fail": FAILING_SECONDS,
    "poison": POISONED_SECONDS,
    "drip": DRIPPED_SECONDS,
}


# Of the API: 5 % of the requests are answered 5xx, 2 % cut off or with a page for people, and some not at all. What
# spoils an answer after the fact is kept from the token's endpoint: it would lose the new pair for good, which no
# client can heal, and a person would have to authorize again.
FAULTS: tuple[dict[str, Any], ...] = (
    # The practice deletes a record while pages are read, and the others move to pages that were read already.
    *(
        {"fault": "then", "kind": kind, "read": "list", "page": 1, "probability": 0.1, "times": 3, "acts": [act]}
        for kind, act in (
            ("clinical_notes", {"action": "create", "kind": "patients"}),
            ("appointments", {"action": "delete", "kind": "appointments"}),
        )
    ),
    {"fault": "500", "probability": 0.02},
    {"fault": "503", "probability": 0.02},
    {"fault": "502", "probability": 0.01},
    {"fault": "truncate", "path": "^/api", "probability": 0.01},
    {"fault": "html", "path": "^/api", "probability": 0.01},
    {"fault": "reset", "probability": 0.01},
    {"fault": "slow", "path": "^/api", "probability": 0.01, "seconds": 3.0},
    {"fault": "drip", "path": "^/api", "probability": 0.005, "seconds": 2.0},
    # A write takes effect, and nobody is told; or it does so when nobody waits any more.
    {"fault": "drop_after_write", "method": "POST", "kind": "patients", "probability": 0.1},
    {"fault": "error_after_write", "method": "PATCH", "probability": 0.1},
    {"fault": "429", "path": "^/api", "probability": 0.005, "retry_after": 2},
)

# Of the webhooks. A failed delivery comes again after seconds here, where DrChrono waits one, three and seven hours.
DELIVERY: dict[str, Any] = {
    "lose": 0.05,
    "duplicate": 0.1,
    "reorder": 0.1,
    "delay": [0.0, 2.0],
    "redelivery_seconds": [3.0, 8.0, 15.0],
    "require_verification": True,
}
PERFECT_DELIVERY: dict[str, Any] = {"lose": 0.0, "duplicate": 0.0, "reorder": 0.0, "delay": [0.0, 0.0]}

LAG_SECONDS = 1.5  # "list data may be several seconds old" (DrChrono's API documentation)

# Some endpoints lag more than others: kind, how it is read, seconds.
LAGS = (
    (None, "list", 4.0),
    ("clinical_notes", "single", 6.0),
    ("patients", "bulk", 3.0),
    ("appointments", "single", 0.0),
)
LONGEST_LAG_SECONDS = 6.0

# Ids with characters that URLs and names of documents cannot hold, ids above 2^53, and appointments without a date.
ODD = ("--ids", "appointments=escaped", "--ids", "allergies=large", "--odd-appointments", "4", "--paging", "offset")

# Of a patient: links that are signed anew with each read, in a field, within an object and in a text.
LINKED_FIELDS = frozenset({"patient_photo", "primary_insurance", "custom_demographics"})


def links(key: str, patient: Mapping[str, Any]) -> dict[str, Any]:
    files = f"https://files.drchrono.example/{key}"
    card = f"{files}/card.png{SIGNATURE_MARK}"
    return {
        "patient_photo": f"{files}/photo.jpg{SIGNATURE_MARK}",
        "primary_insurance": {**(patient.get("primary_insurance") or {}), "photo_front": card},
        "custom_demographics": [{"field_type": 1, "value": f"see {card} please"}],
    }


def clocks(seed: int, functions: Sequence[str]) -> dict[str, float]:
    """How many seconds the clock of each instance is ahead of DrChrono's. Two are never further apart than the system
    allows for, and the two of each function nearly as far.
    """
    rng, most = Random(f"{seed} clocks"), CLOCK_SKEW.total_seconds() / 2
    side = {name.rpartition(" ")[0]: rng.choice((-1, 1)) for name in functions}
    return {
        name: round((1 if name.endswith("1") else -1) * side[name.rpartition(" ")[0]] * rng.uniform(0.8, 1) * most, 3)
        for name in functions
    }


# Programs write so often, and no later than this before the last look: an unanswered write settles in three minutes.
WRITE_EVERY_SECONDS = (1.0, 3.0)
SETTLING_WRITES_SECONDS = 200.0
