"""The reasons of entries in the work queue, in words: what each means, and what to do (docs/operating.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """remedy: empty if nothing needs to be done."""

    means: str
    remedy: str = ""


_LOOK = Meaning("to be fetched")
_LAG = Meaning("DrChrono's answer may be some seconds old, so the record is fetched once more")
_NO_REQUEST = Meaning("no request was free", "if it lasts for hours, ask DrChrono for a larger quota")
_DOWN = Meaning("DrChrono is down, or gives no usable answer", "try again when DrChrono is back")
_NO_TOKEN = Meaning("there is no usable token", "authorize again")
_LIST = Meaning("the pages of a list form a cycle, or lead to another host", "report it")

MEANINGS = {
    "backfill": _LOOK,
    "follows": Meaning("may have changed together with another record"),
    "review": Meaning("another tombstone was wrong, so this one is checked"),
    "asked": Meaning("an operator asked for it"),
    "lag": _LAG,
    "confirm": _LAG,
    "absent": Meaning("DrChrono did not show the record; single reads decide whether it is deleted"),
    "deletions_held": Meaning(
        "so many records are absent that none is marked as deleted",
        "look into DrChrono; if they are deleted there, accept the deletions",
    ),
    "malformed": Meaning("the entry could not be read and was rebuilt"),
    "crashed": Meaning("this system's own code failed at it; the other entries went on", "report it with the log line"),
    "quota": _NO_REQUEST,
    "throttled": _NO_REQUEST,
    "server_error": _DOWN,
    "unreachable": _DOWN,
    "malformed_answer": _DOWN,
    "bulk_failed": _DOWN,
    "token_missing": _NO_TOKEN,
    "token_revoked": _NO_TOKEN,
    "token_unavailable": _NO_TOKEN,
    "unauthorized": _NO_TOKEN,
    "forbidden": Meaning("the DrChrono user lacks a permission, or the token a scope", "give it, then try these again"),
    "bad_request": Meaning("DrChrono rejects the request", "compare the record with DrChrono's, and report it"),
    "too_large": Meaning("larger than a Firestore document may be", "shorten the chart, then try these again"),
    "list_empty": Meaning(
        "DrChrono lists none, though the copy has some: the DrChrono user lacks a permission",
        "give it; it is tried again at least once an hour",
    ),
    "list_shifted": Meaning(
        "the pages of a list show fewer records than the list has, in three readings",
        "wait: it is read again; if it lasts for a day, report it",
    ),
    "list_repeats": _LIST,
    "foreign_host": _LIST,
}

# Not a reason of the work queue: for changes that have waited in the feed for longer than two syncs.
FEED_WAITS = Meaning(
    "Pub/Sub does not take them, or the sync does not run",
    "see that sync runs, that the topic drchrono-changes exists, and that store-record and run-job may publish to it",
)

_OTHER = Meaning("it could not be fetched", "run doctor, then try these again")


def meaning(reason: str) -> Meaning:
    return MEANINGS.get(reason, _OTHER)
