"""The page of results: every wish with what was measured, the missed ones first and with a reason."""

from __future__ import annotations

import pytest

from benchmarks import results
from benchmarks.results import markdown, page, tables, text

STORM = {
    "name": "storm",
    "rows": [
        {"storm": "(a)", "requests": 1200},
        {"one event": "embedded", "total": 3.25},
        {"storm": "(b)", "requests": 9},
    ],
    "wanted": [
        {"what": "requests per change", "wanted": "at most 1.1", "measured": "1.05", "met": True},
        {"what": "minutes of quota", "wanted": "at most 2", "measured": "3", "met": False},
    ],
    "notes": ["Requests are those for patients."],
}


def test_a_missed_wish_is_told_first_and_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "REASONS", {("storm", "minutes"): "The bulk list is made slowly."})
    lines = page(["2 cores"], [STORM]).splitlines()
    assert "- 2 cores" in lines
    assert "1 of 2 wanted figures are met." in lines
    missed = lines.index("- **storm**: minutes of quota: 3, wanted at most 2. The bulk list is made slowly.")
    assert missed < lines.index("## storm")
    assert "| MISSED | minutes of quota | at most 2 | 3 |" in lines


def test_a_missed_wish_without_a_reason_says_so() -> None:
    assert "wanted at most 2. Why is not known yet." in page([], [STORM])


def test_rows_with_other_columns_are_a_table_of_their_own() -> None:
    assert [len(rows) for rows in tables(STORM["rows"])] == [2, 1]  # type: ignore[arg-type]
    assert markdown([{"storm": "(a)", "requests": 1200}])[1:] == ["|---|---:|", "| (a) | 1,200 |"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.123456, "0.123"), (12.345, "12.3"), (1234.5, "1,234"), (7, "7"), (True, "True"), ("a|b", "a\\|b")],
)
def test_numbers_have_three_digits_that_count(value: object, shown: str) -> None:
    assert text(value) == shown
