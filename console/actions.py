"""The page's actions. Each asks for confirmation, calls the functions of `ops`, and says what it did.

A confirmed question is built again from the same form, so that the action is exactly what was confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ops.compare import kind_of
from ops.dead_letters import MOST, DeadLetter, dead_letters
from ops.outbox import cancel, outbox_of, send_again, state_of
from ops.reasons import meaning
from ops.repair import absent_ids, accept, look_again, retry_reason
from ops.screen import many
from ops.target_system import TargetSystem
from shared.clock import utc_now
from shared.drchrono.kinds import KINDS
from shared.errors import SyncError
from shared.outbox.entries import State

# The form: names of fields and their values. A field may occur several times.
Form = Mapping[str, Sequence[str]]

MOST_LISTED = 50

_LOOKED = "I have looked into DrChrono: it did not arrive."


class NotPossible(SyncError):
    """The action is not possible. Nothing was done."""

    reason = "not_possible"


@dataclass(frozen=True)
class Question:
    """title: the action. explained: its consequences. items: ids that it is about, and how many there
    are in all. tick: what a person must have done before, if anything. button: what confirms.
    """

    title: str
    explained: str
    button: str
    items: Sequence[str] = ()
    count: int = 0
    tick: str = ""


@dataclass(frozen=True)
class Action:
    """ask, do: may raise SyncError. do: returns what it did, as text."""

    ask: Callable[[TargetSystem, Form], Question]
    do: Callable[[TargetSystem, Form, datetime], str]


def _one(form: Form, name: str) -> str:
    return (form.get(name) or [""])[0]


def _ask_retry(target: TargetSystem, form: Form) -> Question:
    reason = _one(form, "reason")
    waiting = next((row.count for row in target.system.queue().backlog() if row.reason == reason), 0)
    if not waiting:
        raise NotPossible("nothing waits for this reason any more")
    return Question(
        f"Try {many(waiting, 'entry', 'entries')} again that wait because of “{reason}”?",
        f"They are due at once instead of later. The next run of sync works on them ({target.sync_pause}), within the "
        f"quota. The reason means: {meaning(reason).means}.",
        "Try again now",
    )


def _retry(target: TargetSystem, form: Form, now: datetime) -> str:
    reason = _one(form, "reason")
    due = retry_reason(target.system.queue(), reason, None, now)
    were = "is" if due == 1 else "are"
    return f"{many(due, 'entry', 'entries')} that waited because of “{reason}” {were} due now."


def _ask_fetch(target: TargetSystem, form: Form) -> Question:
    name = f"{kind_of(_one(form, 'kind')).name}/{_one(form, 'id')}"
    return Question(
        f"Fetch {name} again?",
        f"The next run of sync asks DrChrono for it ({target.sync_pause}). What DrChrono answers decides.",
        "Fetch again",
    )


def _fetch(target: TargetSystem, form: Form, now: datetime) -> str:
    kind, key = kind_of(_one(form, "kind")), _one(form, "id")
    look_again(target.system, kind, key, now)
    return f"{kind.name}/{key} is due now."


def _picked(target: TargetSystem, form: Form) -> list[DeadLetter]:
    numbers, letters = set(form.get("number", ())), dead_letters(target).look(MOST)
    picked = [letter for letter in letters if letter.number in numbers]
    if not picked:
        raise NotPossible("none of these messages is there any more" if numbers else "no message was chosen")
    return picked


def letter_name(letter: Mapping[str, str]) -> str:
    """Return the name of a dead letter, from `DeadLetter.shown`."""
    record = f"{letter['kind']}/{letter['id']}" if letter["id"] else letter["kind"]
    return " ".join(filter(None, (letter["event"] or "no event", record, letter["problem"])))


def _ask_replay(target: TargetSystem, form: Form) -> Question:
    picked = _picked(target, form)
    names = [letter_name(letter.shown()) for letter in picked]
    return Question(
        f"Send {many(len(picked), 'message')} again?",
        "They go to the topic as they were, and leave the dead letters. What cannot be read comes back after hours.",
        "Send again",
        names[:MOST_LISTED],
        len(names),
    )


def _replay(target: TargetSystem, form: Form, now: datetime) -> str:
    picked = _picked(target, form)
    dead_letters(target).replay(picked)
    return f"{many(len(picked), 'message')} sent again."


def _ask_accept(target: TargetSystem, form: Form) -> Question:
    kind = kind_of(_one(form, "kind"))
    ids = absent_ids(target.system.documents(), kind)
    if target.system.absences().held_since(kind) is None and not ids:
        raise NotPossible(f"no deletions of {kind.name} are held any more")
    found = f"DrChrono does not show {many(len(ids), 'record')} of {kind.name}" if ids else "A pass showed too few"
    return Question(
        f"Accept the deletions of {kind.name}?",
        f"{found}. Look into DrChrono first: if the records are there, a permission of the DrChrono user is missing, "
        "and accepting would mark patients' records as deleted. What is accepted holds for 24 hours.",
        "Accept the deletions",
        ids[:MOST_LISTED],
        len(ids),
        tick="I have looked into DrChrono: they are deleted there.",
    )


def _accept(target: TargetSystem, form: Form, now: datetime) -> str:
    kind = kind_of(_one(form, "kind"))
    if not _one(form, "ticked"):
        raise NotPossible("tick that you have looked into DrChrono")
    accept(target.system.parts(), kind)
    return f"The deletions of {kind.name} are accepted for 24 hours. The next runs of sync mark what is gone."


def _ask_outbox_retry(target: TargetSystem, form: Form) -> Question:
    key = _one(form, "entry")
    state = state_of(outbox_of(target, utc_now()), key)
    return Question(
        f"Send entry {key} again?",
        f"It is {state}. The next run of sync sends it ({target.sync_pause}). If the first request arrived, DrChrono "
        "does it twice.",
        "Send again",
        tick=_LOOKED if state is not State.REJECTED else "",
    )


def _outbox_retry(target: TargetSystem, form: Form, now: datetime) -> str:
    key = _one(form, "entry")
    box = outbox_of(target, now)
    _check_looked(form, state_of(box, key))
    return f"Entry {key} is {send_again(box, key, now)}. The next run of sync sends it."


def _ask_outbox_cancel(target: TargetSystem, form: Form) -> Question:
    key = _one(form, "entry")
    return Question(
        f"Cancel entry {key}?",
        f"It is {state_of(outbox_of(target, utc_now()), key)}. It will be rejected as “cancelled”, and not be sent. "
        "What DrChrono did already stays.",
        "Cancel the entry",
    )


def _outbox_cancel(target: TargetSystem, form: Form, now: datetime) -> str:
    key = _one(form, "entry")
    return f"Entry {key} is {cancel(outbox_of(target, now), key, now)}. It will not be sent."


def _check_looked(form: Form, state: State) -> None:
    if state is not State.REJECTED and not _one(form, "ticked"):
        raise NotPossible("tick that you have looked into DrChrono")


ACTIONS: Mapping[str, Action] = {
    "retry": Action(_ask_retry, _retry),
    "fetch": Action(_ask_fetch, _fetch),
    "replay": Action(_ask_replay, _replay),
    "accept-deletions": Action(_ask_accept, _accept),
    "outbox-retry": Action(_ask_outbox_retry, _outbox_retry),
    "outbox-cancel": Action(_ask_outbox_cancel, _outbox_cancel),
}
FIELDS = ("reason", "kind", "id", "number", "entry")
KIND_NAMES = tuple(KINDS)
