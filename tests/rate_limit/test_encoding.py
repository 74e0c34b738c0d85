"""Documents in the ledger's place: real ones, damaged ones, and any JSON."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rate_limit.capacity import available, free_at
from shared.rate_limit.encoding import LONGEST_COOLDOWN_SECONDS, MalformedLedger, cautious, decoded, encoded
from shared.rate_limit.ledger import Cooldown, Lane, Ledger, Reservation, used
from shared.rate_limit.reservations import LONGEST_LIFE_SECONDS
from shared.rate_limit.windows import IN_FLIGHT_SECONDS, Window

NOW = 1_700_000_000.0
MINUTE = Window(limit=100, seconds=60)
LEDGER = Ledger(
    sent={60: {MINUTE.slot(NOW): 7}},
    live={60: {MINUTE.slot(NOW): 2}},
    reservations={"a": Reservation(number=3, requests=5, until=NOW + 2, live=1)},
    borrowed={60: {MINUTE.slot(NOW): 1}},
    live_at=NOW - 1,
    refused_at=NOW - 9,
    cooldown=Cooldown(NOW + 30, probed=True),
)


def test_a_ledger_comes_back_as_it_was_written() -> None:
    assert decoded(encoded(LEDGER), NOW) == LEDGER
    assert decoded(encoded(Ledger()), NOW) == Ledger()


def damaged(path: str, value: Any) -> Any:
    """The document of LEDGER with `value` at a dotted path."""
    document = copy.deepcopy(encoded(LEDGER))
    *parents, name = path.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    return document


@pytest.mark.parametrize("name", ["sent", "live", "reservations", "borrowed", "live_at", "refused_at", "cooldown"])
def test_a_missing_field_is_malformed(name: str) -> None:
    document = encoded(LEDGER)
    del document[name]
    with pytest.raises(MalformedLedger):
        decoded(document, NOW)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sent", None),
        ("sent", []),
        ("sent.60", 7),
        ("sent.x", {}),
        ("sent.0", {}),
        ("sent.60.x", 1),
        ("sent.60.-1", 1),
        ("sent.60.1", -1),
        ("sent.60.1", 1.5),
        ("sent.60.1", True),
        ("sent.60.1", 10**10),
        ("sent.60.9999999999", 1),  # in the year 2128
        ("sent." + "9" * 5000, {}),
        ("reservations.a", None),
        ("reservations.a.until", NOW + 3600),
        ("reservations.a.until", float("nan")),
        ("reservations.a.until", 10**400),
        ("reservations.a.requests", "5"),
        ("live_at", "yesterday"),
        ("live_at", NOW + 3600),
        ("cooldown", {}),
        ("cooldown.probed", None),
        ("cooldown.until", NOW + LONGEST_COOLDOWN_SECONDS + 100),
        ("cooldown.until", float("inf")),
    ],
)
def test_a_value_that_the_limiter_never_writes_is_malformed(path: str, value: Any) -> None:
    with pytest.raises(MalformedLedger) as error:
        decoded(damaged(path, value), NOW)
    assert str(error.value) == ""


def test_other_fields_are_ignored() -> None:
    assert decoded({**encoded(LEDGER), "stamp": {"version": 1}}, NOW) == LEDGER


def test_the_cautious_state_is_used_up_and_becomes_free_by_itself() -> None:
    ledger = cautious([MINUTE], NOW)
    assert used(ledger, MINUTE, NOW) == 100
    free = free_at(ledger, [MINUTE], Lane.LIVE, NOW, 0.8)
    assert NOW + 60 + IN_FLIGHT_SECONDS + LONGEST_LIFE_SECONDS <= free <= NOW + 75
    assert available(ledger, [MINUTE], Lane.LIVE, free, 0.8) == 1


keys = st.sampled_from(["sent", "reservations", "borrowed", "live_at", "cooldown", "60", "a", "until"]) | st.text()
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.floats(NOW - 100, NOW + 100)
anything = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5))


@given(anything)
def test_any_value_is_a_ledger_or_malformed(value: Any) -> None:
    try:
        ledger = decoded(value, NOW)
    except MalformedLedger:
        return
    assert decoded(json.loads(json.dumps(encoded(ledger))), NOW) == ledger
