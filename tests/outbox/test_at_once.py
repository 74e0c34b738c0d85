"""Several records at a time, each in its order, and events before a burst of entries."""

from __future__ import annotations

import threading

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.errors import QuotaExhausted
from shared.outbox.chains import AT_ONCE, in_threads
from shared.outbox.entries import State
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from simulator.practice.clinic import Change
from tests.outbox.harness import harness


def test_the_changes_of_each_record_arrive_in_their_order(documents: Documents) -> None:
    with harness(documents) as at:
        at.work = at.new_work(each=in_threads)
        done: list[tuple[str, str]] = []
        patients = sorted(at.simulator.truth("patients"))[:6]

        def noted(change: Change) -> None:
            done.append((change.key, str(change.version.fields["city"])))

        at.simulator.clinic.listeners.append(noted)
        asked = [(patient, f"City-{number}") for number in range(4) for patient in patients]
        keys = [at.change_patient(patient, city=city) for patient, city in asked if at.later(seconds=1) is not None]
        at.pass_over()
        at.resolve()
        assert {at.entry(key).state for key in keys} == {State.DONE}
        assert sorted(done) == sorted(asked)
        for patient in patients:
            assert [city for key, city in done if key == patient] == [f"City-{number}" for number in range(4)]


def test_different_records_are_sent_at_the_same_time(embedded: Documents) -> None:
    """Each waits until another is under way, too: one after the other, none would be sent."""
    with harness(embedded) as at:
        at.work = at.new_work(each=in_threads)
        together = threading.Barrier(2)
        acquire = at.allowance.acquire

        def meeting(lane: object) -> None:
            together.wait(30)
            acquire(lane)

        at.allowance.acquire = meeting
        for number in range(2):
            at.new_patient(last_name=f"Berg-{number}")
        at.pass_over()
        assert at.simulator.stats()["created"] == 2


def test_what_ends_one_ends_the_pass_for_all(embedded: Documents) -> None:
    with harness(embedded) as at:
        at.work = at.new_work(each=in_threads)
        at.allowance.left = 10
        keys = [at.new_patient(last_name=f"Berg-{number}") for number in range(60)]
        at.pass_over()
        refused = [key for key in keys if at.document(key).get("state") == "waiting"]
        assert at.simulator.stats()["created"] == 10
        assert 1 <= len(refused) <= AT_ONCE
        at.allowance.left = 1000
        for key in refused:
            at.overwrite(key, due=at.now())
        at.pass_over()
        assert at.simulator.stats()["created"] == 60


def test_a_burst_of_a_thousand_entries_delays_no_event(embedded: Documents) -> None:
    """Under the real limiter: at each entry's turn an event comes, and its request is DrChrono's next one, also after
    the burst has used up its share.
    """
    with harness(embedded) as at:
        waits: list[float] = []
        at.allowance = RateLimiter(
            embedded,
            parse_windows("100/minute"),
            background_share=0.8,
            now=at.now,
            sleep=waits.append,
            instance="one",
        )
        at.__post_init__()
        patient = at.existing_patient()
        for number in range(1000):
            at.new_patient(f"burst-{number:04}", last_name=f"Berg-{number}")
        events: list[tuple[int, int]] = []
        turns = 0

        def event() -> None:
            nonlocal turns
            turns += 1
            if turns % 8 == 0 and len(events) < 20:
                before = at.requests()
                at.drchrono.get(KINDS["patients"], patient)
                events.append((before, at.requests()))

        at.work.run(check=event, most=200)
        sent = at.simulator.stats()["created"]
        while len(events) < 20:  # the burst's share is used up
            turns = 7
            event()
        assert all(after == before + 1 for before, after in events)
        assert waits == []
        assert 0 < sent < 80
        assert isinstance(at.work.send("burst-0999").error, QuotaExhausted)
