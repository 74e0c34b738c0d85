"""The states of an entry: nothing that may have arrived is ever sent again by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.outbox import transitions
from shared.outbox.entries import Entry, State
from shared.outbox.entry_documents import OWN, from_document, to_document
from shared.outbox.guards import Guard, Unreadable, guard_of, guard_to_document
from shared.outbox.targets import target_of
from shared.outbox.transitions import Blocked, Superseded
from shared.outbox.validation import read_request
from tests.outbox.test_validation import PATIENT, VISIT, entry

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)


def waiting(key: str = "a", **given: Any) -> Entry:
    request = read_request(entry(), own=OWN)
    return Entry(key, request, State.WAITING, target_of(request), NOON, NOON, **given)


def begun(one: Entry, guard: Guard | None = None, fence: str = "f1") -> tuple[Entry, Guard]:
    return transitions.begun(one, guard, fence=fence, now=NOON, before=None, known=())


def test_an_entry_is_recorded_as_being_sent_with_its_fence_and_the_time() -> None:
    sending, guard = begun(waiting())
    assert (sending.state, sending.fence, sending.sent_at, sending.attempts) == (State.SENDING, "f1", NOON, 1)
    assert (guard.entry, guard.state, guard.fence) == ("a", State.SENDING, "f1")
    assert sending.due > NOON + transitions.SEND_WITHIN


def test_a_commit_that_is_repeated_because_its_answer_was_lost_begins_nothing_new() -> None:
    sending, guard = begun(waiting())
    assert begun(sending, guard) == (sending, guard)


@pytest.mark.parametrize("state", [State.SENDING, State.UNKNOWN, State.DONE, State.REJECTED])
def test_only_what_waits_is_begun(state: State) -> None:
    with pytest.raises(Superseded):
        begun(waiting(), None, "f1") and begun(replace(waiting(), state=state), None, "f2")


@pytest.mark.parametrize("state", [State.SENDING, State.UNKNOWN])
def test_another_entry_of_the_target_waits_until_the_first_is_settled(state: State) -> None:
    _, guard = begun(waiting("a"))
    with pytest.raises(Blocked):
        begun(waiting("b"), replace(guard, state=state), "f2")
    sending, _ = begun(waiting("b"), replace(guard, state=State.DONE), "f2")
    assert sending.state is State.SENDING


@pytest.mark.parametrize("state", [State.SENDING, State.UNKNOWN, State.DONE])
def test_an_entry_that_is_written_again_after_it_was_sent_remembers(state: State) -> None:
    _, guard = begun(waiting("a"))
    guard = replace(guard, state=state, record_id="7", version="v")
    again, kept = begun(waiting("a"), guard, "f2")
    assert (again.state, again.fence, kept) == (state, "f1", guard)
    assert again.record_id == ("7" if state is State.DONE else None)


def test_what_was_done_before_is_remembered_however_the_next_entry_ends() -> None:
    _, guard = begun(waiting("a"))
    _, guard = transitions.done(waiting("a"), guard, record_id="7", version="v", now=NOON)
    _, second = begun(waiting("b"), guard, "f2")
    for later in (second, replace(second, state=State.DONE, record_id="8"), transitions.freed(second)):
        assert later is not None
        done = replace(later, state=State.DONE)
        again, kept = begun(waiting("a"), done, "f3")
        assert (again.state, again.record_id, kept) == (State.DONE, "7", done)
    assert transitions.freed(guard) is None


def test_an_attempt_is_settled_once_and_only_by_itself() -> None:
    sending, guard = begun(waiting())
    assert transitions.held(sending, guard, "f1") is guard
    _, done = transitions.done(sending, guard, record_id="7", version="v", now=NOON)
    for late in (None, done, replace(guard, fence="f2"), replace(guard, entry="b")):
        with pytest.raises(Superseded):
            transitions.held(sending, late, "f1")


def test_an_unknown_entry_is_looked_at_again_when_a_look_says_more() -> None:
    sending, guard = begun(waiting())
    unknown, guard = transitions.unknown(sending, guard, reason="outcome_unknown", now=NOON)
    assert unknown.due == transitions.visible_from(NOON)
    looked = transitions.looked(unknown, reason="searching", now=unknown.due)
    assert looked.due == transitions.provable_absence(NOON) > unknown.due
    pauses = []
    for _ in range(12):
        before = looked.due
        looked = transitions.looked(looked, reason="ambiguous", now=before)
        pauses.append(looked.due - before)
    assert pauses[0] == timedelta(minutes=2)
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(hours=1)


def test_two_creations_that_look_alike_have_one_target() -> None:
    same = {**PATIENT, "first_name": " ADA ", "email": "x@example.com"}
    other = {**PATIENT, "first_name": "Grace"}
    targets = [target_of(read_request(entry(fields=fields))) for fields in (PATIENT, same, other)]
    assert targets[0] == targets[1] != targets[2]
    visits = [{**VISIT, "scheduled_time": time} for time in ("2026-03-10T09:00", "2026-03-10T09:00:00")]
    assert len({target_of(read_request(entry("appointments", fields=fields))) for fields in visits}) == 1


texts = st.none() | st.text(max_size=5)
instants = st.datetimes(timezones=st.just(timezone.utc))


@given(
    st.sampled_from([State.WAITING, State.SENDING, State.UNKNOWN, State.DONE, State.REJECTED]),
    st.builds(dict, reason=st.text(max_size=5), attempts=st.integers(0, 9), fence=texts, before=texts, version=texts),
    st.builds(dict, sent_at=st.none() | instants, settled_at=st.none() | st.just(NOON), looks=st.integers(0, 9)),
    st.lists(st.text(max_size=3), max_size=2).map(tuple),
)
def test_an_entry_is_read_as_it_was_written(state: State, one: Any, two: Any, names: tuple[str, ...]) -> None:
    made = replace(waiting(), state=state, known=names, differs=names, complaints={"doctor": ["x"]}, **one, **two)
    assert from_document("a", {**entry(), **to_document(made, NOON)}) == made


@given(st.dictionaries(st.sampled_from(sorted(OWN)), st.none() | st.integers() | st.text(max_size=3) | instants))
def test_an_entry_with_damage_is_no_entry_or_one(damage: dict[str, object]) -> None:
    data = {**entry(), **to_document(waiting(), NOON), **damage}
    found = from_document("a", data)
    assert found is None or found.key == "a"


def test_a_guard_is_read_as_it_was_written_and_a_damaged_one_is_none() -> None:
    _, guard = begun(waiting())
    document = guard_to_document(guard, NOON)
    assert guard_of(document) == guard
    assert guard_of(None) is None
    for name in ("entry", "state", "fence", "sent_at", "known", "past"):
        with pytest.raises(Unreadable, match="not a guard"):
            guard_of({key: value for key, value in document.items() if key != name})
    with pytest.raises(Unreadable, match="not a guard"):
        guard_of({**document, "state": "what"})
