"""What goes wrong, when, and for how long: all of it follows from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

FIRESTORE, PUBSUB = "Firestore emulator", "Pub/Sub emulator"

# Deaths come about this often; a function needs some seconds to start again on two busy cores.
DEATH_EVERY_SECONDS = (6.0, 12.0)
FROZEN_SECONDS = (2.0, 6.0)
UNAUTHORIZED_SECONDS = 8.0

# The last deaths leave this share of the run to the webhooks that were under way; those of a job come earlier, because
# its lease lapses only two minutes later.
LAST_DEATH, LAST_DEATH_OF_A_JOB = 0.9, 0.6

# Each of these comes once in every run, at about this share of it, so that a short run has them all.
ONCE = (
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
    """what: `kill` (SIGKILL), `term` (SIGTERM), `freeze` (SIGSTOP), `restart`, `expire` or `revoke` (of tokens).

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
    return UNAUTHORIZED_SECONDS if what == "revoke" else 0.0


# Of the API: 5 % of the requests are answered 5xx, 2 % cut off or with a page for people, and some not at all. What
# spoils an answer after the fact is kept from the token's endpoint: it would lose the new pair for good, which no
# client can heal, and a person would have to authorize again.
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "500", "probability": 0.02},
    {"fault": "503", "probability": 0.02},
    {"fault": "502", "probability": 0.01},
    {"fault": "truncate", "path": "^/api", "probability": 0.01},
    {"fault": "html", "path": "^/api", "probability": 0.01},
    {"fault": "reset", "probability": 0.01},
    {"fault": "slow", "path": "^/api", "probability": 0.01, "seconds": 3.0},
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
