"""The page of all benchmarks: targets, measured figures, and where the two differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Why a target is missed, by benchmark and the beginning of the target's text. The figures are the run's own.
REASONS: Mapping[tuple[str, str], str] = {
    ("fill", "pages read again for each kill"): (
        "The kill comes at the worst moment: a page is stored, its checkpoint is not, and the next page was requested "
        "meanwhile. Both are read again. To repeat only one, storing and fetching would have to take turns."
    ),
    ("backfill", "into the embedded store"): (
        "An absolute figure, which depends on the machine: the row into nothing only reads, and shows how fast it is."
    ),
    ("webhook", "p50 at 1 connection, of (b)"): (
        "A bare gRPC call that publishes and does nothing else (e) takes several times (b) already: nothing that waits "
        "for the broker's answer before its own can be within it."
    ),
    ("webhook", "p50 at 1 connection, of (e)"): (
        "What is beyond the call itself is the library's wrapper around it and the check of the delivery, some tenths "
        "of a millisecond, which weigh more the faster the machine is."
    ),
    ("webhook", "throughput at 32 connections, of (b)"): (
        "The broker's emulator shares the cores: (e), which publishes and does nothing else, is about as far from (b)."
    ),
}


def page(about: Sequence[str], reports: Iterable[Mapping[str, Any]]) -> str:
    """about: lines on the machine and the date. reports: what each benchmark wrote with `--json`."""
    reports = list(reports)
    lines = ["# Results", "", "Written by `make bench`: no figure here is written by hand.", ""]
    lines += [f"- {line}" for line in about]
    missed = [(report["name"], want) for report in reports for want in report["wanted"] if not want["met"]]
    wants = sum(len(report["wanted"]) for report in reports)
    lines += ["", f"{wants - len(missed)} of {wants} wanted figures are met."]
    for name, want in missed:
        lines.append(
            f"- **{name}**: {want['what']}: {want['measured']}, wanted {want['wanted']}. {reason(name, want['what'])}"
        )
    for report in reports:
        lines += ["", f"## {report['name']}", ""]
        for rows in tables(report["rows"]):
            lines += [*markdown(rows), ""]
        lines += markdown(
            [
                {"": "met" if want["met"] else "MISSED", **{key: want[key] for key in ("what", "wanted", "measured")}}
                for want in report["wanted"]
            ]
        )
        for note in report["notes"]:
            lines += ["", note]
    return "\n".join(lines) + "\n"


def reason(name: str, what: str) -> str:
    return next(
        (text for (bench, begins), text in REASONS.items() if bench == name and what.startswith(begins)),
        "Why is not known yet.",
    )


def tables(rows: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Group rows with the same columns, in the order in which the groups first occur."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row), []).append(row)
    return list(found.values())


def markdown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    numeric = {name: all(isinstance(row[name], int | float) for row in rows) for name in rows[0]}
    return [
        "| " + " | ".join(name.replace("_", " ") for name in rows[0]) + " |",
        "|" + "|".join("---:" if numeric[name] else "---" for name in rows[0]) + "|",
        *("| " + " | ".join(text(value) for value in row.values()) + " |" for row in rows),
    ]


def text(value: Any) -> str:
    """Format for people: three significant digits, thousands separated."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", "\\|")
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
