"""The faults of a run: which, when, and for how long. All of them follow from the seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from shared.drchrono.lag import CLOCK_SKEW
from simulator.practice.store import SIGNATURE_MARK

FIRESTORE, PUBSUB = "Firestore emulator", "Pub/Sub emulator"

# Time between two acts against functions. On two busy cores, a function takes some seconds to start again.
DEATH_EVERY_SECONDS = (6.0, 12.0)
FROZEN_SECONDS = (2.0, 6.0)
UNAUTHORIZED_SECONDS = 8.0

# No function is killed or frozen after this share of the run, so that webhooks in progress can finish. For jobs the
# limit is earlier, because their lease expires only two minutes later.
LAST_DEATH, LAST_DEATH_OF_A_JOB = 0.9, 0.6

# How long a kind is hidden (empty lists, and 404 for its records, as without a permission), or all patients but one
# doctor's, how long one kind or one record cannot be read, and how long clients send bodies slowly to the receiver.
HIDDEN_SECONDS = FAILING_SECONDS = POISONED_SECONDS = 8.0
DRIPPED_SECONDS = 4.0

# Each of these happens once in every run, at about this share of it, so that even a short run has all of them.
ONCE = (
    ("poison", "patients", 0.10),
    ("hide", "allergies", 0.20),
    ("replay", "patients", 0.30),
    ("fail", "clinical_notes", 0.40),
    ("drip", "", 0.50),
    ("hide", "appointments", 0.65),
    ("narrow", "", 0.55),
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
    `poison` (one record fails), `fail` or `hide` (a kind), `narrow` (to one doctor's patients), `replay`
    (of deliveries), `drip` (slow bodies).

    at: seconds from the beginning of the run. lasts: seconds.
    """

    at: float
    what: str
    whom: str = ""
    lasts: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.lasts:.0f} s" if self.lasts else ""
        return f"{self.at:5.0f} s  {self.what} {self.whom}{lasting}"


def plan(seed: int, seconds: float, functions: Sequence[str]) -> list[Act]:
    """Return the acts in order of time. functions: the names of the instances that may be killed or frozen."""
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
    "narrow": HIDDEN_SECONDS,
    "fail": FAILING_SECONDS,
    "poison": POISONED_SECONDS,
    "drip": DRIPPED_SECONDS,
}


# Faults of the API: 5 % of the requests are answered with 5xx, 2 % with a truncated answer or an HTML page, and some
# not at all. Faults that damage an answer after DrChrono acted do not apply to the token endpoint: the new pair would
# be lost, no client can recover it, and a person would have to authorize again.
FAULTS: tuple[dict[str, Any], ...] = (
    # The practice creates or deletes a record while pages are read, so other records move between pages.
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
    # DrChrono executes a write, and its answer is lost or an error.
    {"fault": "drop_after_write", "method": "POST", "kind": "patients", "probability": 0.1},
    {"fault": "error_after_write", "method": "PATCH", "probability": 0.1},
    {"fault": "429", "path": "^/api", "probability": 0.005, "retry_after": 2},
)

# Faults of webhooks. A failed delivery is repeated after seconds; DrChrono waits one, three and seven hours.
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

# Lag by endpoint: kind (None for all), how it is read, seconds.
LAGS = (
    (None, "list", 4.0),
    ("clinical_notes", "single", 6.0),
    ("patients", "bulk", 3.0),
    ("appointments", "single", 0.0),
)
LONGEST_LAG_SECONDS = 6.0

# Options of the simulator: ids with characters that URLs and document names cannot hold, ids above 2^53, and
# appointments without a date.
ODD = ("--ids", "appointments=escaped", "--ids", "allergies=large", "--odd-appointments", "4", "--paging", "offset")

# A patient's fields with links that DrChrono signs anew at each read: in a field, in an object and in a text.
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
    """Return by how many seconds the clock of each instance is ahead of DrChrono's.

    No two clocks differ by more than the system allows. Those of a function's two instances differ by nearly as much.
    """
    rng, most = Random(f"{seed} clocks"), CLOCK_SKEW.total_seconds() / 2
    side = {name.rpartition(" ")[0]: rng.choice((-1, 1)) for name in functions}
    return {
        name: round((1 if name.endswith("1") else -1) * side[name.rpartition(" ")[0]] * rng.uniform(0.8, 1) * most, 3)
        for name in functions
    }


# Pause between two writes of a program, and the share of the run after which none is requested: an unanswered write is
# settled in three minutes.
WRITE_EVERY_SECONDS = (1.0, 3.0)
WRITING_SHARE = 0.6
