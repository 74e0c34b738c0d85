"""The rows of a report."""

from __future__ import annotations

from benchmarks.report import Row, median_row


def test_a_median_row_keeps_what_all_rows_have_in_common() -> None:
    rows: list[Row] = [{"form": "live", "records": 42, "seconds": seconds} for seconds in (1.5, 9.0, 2.5)]
    assert median_row(rows) == {"form": "live", "records": 42, "seconds": 2.5}
