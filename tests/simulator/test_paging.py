"""Pages of plain lists: cursors, and offsets that let records move between pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from .conftest import Caller, pages

Simulate = Callable[..., Caller]


def keys(records: list[dict[str, Any]]) -> list[str]:
    return [str(record["id"]) for record in records]


@pytest.mark.parametrize("kind", ["patients", "medications"])
@pytest.mark.parametrize("method", ["cursor", "offset"])
def test_a_deletion_between_two_pages_moves_records_only_with_offset_paging(
    simulate: Simulate, kind: str, method: str
) -> None:
    caller = simulate(paging=method, patients=30)
    truth = list(caller.simulator.truth(kind))
    first = caller.get(f"/api/{kind}", page_size=10).json()
    caller.simulator.delete(kind, truth[3])
    second = caller.get(first["next"]).json()
    assert keys(first["results"]) == truth[:10]
    # With offsets, record 10 moves to the first page, which was already read.
    assert keys(second["results"]) == (truth[10:20] if method == "cursor" else truth[11:21])


def test_a_new_record_appears_twice_at_a_page_bound_if_the_newest_come_first(simulate: Simulate) -> None:
    caller = simulate(paging="offset", list_order="-id", patients=30)
    newest_first = list(caller.simulator.truth("patients"))[::-1]
    first = caller.get("/api/patients", page_size=10).json()
    caller.simulator.create("patients")
    second = caller.get(first["next"]).json()
    assert keys(first["results"]) == newest_first[:10]
    assert keys(second["results"]) == newest_first[9:19]


def test_a_rescheduled_appointment_moves_records_between_pages(simulate: Simulate) -> None:
    caller = simulate(paging="offset", list_order="scheduled_time", appointments=60)
    visits = caller.simulator.truth("appointments")
    by_time = sorted(visits, key=lambda key: visits[key]["scheduled_time"])
    query = {"since": "2020-01-01", "page_size": 20}
    first = caller.get("/api/appointments", **query).json()
    assert [visits[key]["scheduled_time"] for key in keys(first["results"])] == [
        visits[key]["scheduled_time"] for key in by_time[:20]
    ]
    moved = keys(first["results"])[0]
    caller.simulator.change("appointments", moved, {"scheduled_time": "2028-01-03T09:00:00"})
    rest = [key for page in pages(caller, first["next"].removeprefix(caller.simulator.url)) for key in keys(page)]
    # The moved appointment is read twice, and one that was not read moved to the first page.
    assert moved in rest
    assert len(set(visits) - set(keys(first["results"])) - set(rest)) == 1


def test_an_appointment_rescheduled_out_of_the_range_shortens_the_list(simulate: Simulate) -> None:
    caller = simulate(paging="offset", appointments=300)
    begin = date(2026, 1, 1)
    window = {"date_range": f"{begin}/{begin + timedelta(days=60)}", "page_size": 5}
    everything = [key for page in pages(caller, "/api/appointments", **window) for key in keys(page)]
    first = caller.get("/api/appointments", **window).json()
    caller.simulator.change("appointments", keys(first["results"])[0], {"scheduled_time": "2027-01-04T09:00:00"})
    rest = [key for page in pages(caller, first["next"].removeprefix(caller.simulator.url)) for key in keys(page)]
    assert rest == everything[6:]


@pytest.mark.parametrize("method", ["cursor", "offset"])
def test_undisturbed_pages_equal_the_truth(simulate: Simulate, method: str) -> None:
    caller = simulate(form="live", patients=60)
    caller.control("POST", "paging", paging=method)
    for kind, query in (("patients", {"verbose": "true"}), ("appointments", {"since": "2020-01-01"})):
        found = [key for page in pages(caller, f"/api/{kind}", **query) for key in keys(page)]
        assert found == list(caller.simulator.truth(kind))


def test_an_unreadable_cursor_is_refused(simulate: Simulate) -> None:
    refused = simulate().get("/api/patients", cursor="nonsense")
    assert (refused.status_code, refused.json()) == (404, {"detail": "Invalid cursor"})
