"""The requirements that a run must meet, and its figures."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.report import Report, Row, Want
from benchmarks.soak.consumer import Followed
from benchmarks.soak.plan import Act
from benchmarks.soak.watch import Line, LogLines, Times
from local.comparison import Difference
from shared.documents import Documents
from shared.drchrono.ids import document_id
from shared.drchrono.kinds import KINDS, key_of
from shared.rate_limit.windows import Window
from shared.records.ordering import Outcome
from shared.records.storable import META, join

SHOWN = 20  # further differences add no information


@dataclass
class Run:
    """The result of a run.

    before, busy, after: the simulator's statistics before the faults, when they ended after `seconds`, and at the end.
    calm_seconds: from the end of the faults until the copy equalled DrChrono's records; None if it never did.
    performed: each act, and when it ended on the monotonic clock. followed: what a consumer of the feed received.
    unfollowed: the records of which its version differs from the copy's.
    """

    before: Mapping[str, Any]
    busy: Mapping[str, Any]
    after: Mapping[str, Any]
    seconds: float
    quota: Sequence[Window]
    differing: Sequence[Difference]
    pending: int
    calm_seconds: float | None
    performed: Sequence[tuple[Act, float]]
    authorized: int
    twice: Sequence[str]
    wrong_writes: Sequence[str]
    wrong_tombstones: Iterable[str]
    followed: Followed
    unfollowed: Sequence[str]
    simulator_failures: Sequence[str]
    jobs: Counter[str] = field(default_factory=Counter)


def stored_twice(documents: Documents) -> list[str]:
    """Return the documents whose name is not that of their record: a second copy of it, or one in a wrong place."""
    return [
        f"{kind.name}/{key}"
        for kind in KINDS.values()
        for key, data in documents.query(kind.name)
        if not data[META]["deleted"] and document_id(key_of(kind, join(data)) or "") != key
    ]


def judge(run: Run, logs: LogLines, times: Times, peaks: Mapping[str, float]) -> Report:
    report = Report("soak")
    requests, changes = _since(run, "requests"), _since(run, "changes")
    hooks = {name: run.after["webhooks"][name] - run.before["webhooks"][name] for name in run.after["webhooks"]}
    tokens = {name: run.after["tokens"][name] - run.before["tokens"][name] for name in run.after["tokens"]}
    used = tokens["dead_refresh_used"]
    revoked = sum(act.what == "revoke" for act, _ in run.performed)
    done = logs.of("event.done")
    report.rows += [
        _figure("changes at the practice", changes),
        _figure("webhooks made / lost on purpose", f"{hooks['made']:,} / {hooks['lost']:,}"),
        _figure("deliveries / refused or unanswered", f"{hooks['sent']:,} / {hooks['failed']:,}"),
        _figure("events worked on", len(done)),
        *(_figure(f"  of them {name}", count) for name, count in sorted(_outcomes(done).items())),
        _figure("requests to the API", requests),
        _figure("requests for each change", round(requests / max(changes, 1), 2)),
        _figure("answers 429 (some on purpose)", _since(run, "throttled")),
        _figure("share of the quota used", f"{_share(requests, run):.0%}"),
        _figure("webhook to stored, p50 / p95 / p99", _percentiles(done)),
        _figure("until all was equal, once calm", _seconds(run.calm_seconds)),
        _figure("jobs answered", ", ".join(f"{word} {count}" for word, count in sorted(run.jobs.items()))),
        _figure("refreshes of the token", tokens["refreshed"]),
        _figure("writes through the outbox", run.after["writes"]),
        _figure("messages of the feed / duplicates", f"{len(run.followed.seconds):,} / {run.followed.duplicates:,}"),
        _figure("stored to arrived, p50 / p95 / p99", _cuts(run.followed.seconds)),
    ]
    report.rows += recoveries(run, done)
    report.rows += [{"process": name, "peak memory, MiB": round(peak)} for name, peak in sorted(peaks.items())]
    crashes = [f"{line.fields.get('error')} {line.fields.get('where')}" for line in logs.of("function.crashed")]
    report.wanted += [
        Want("records lost, or other than the truth", "0", _some(map(str, run.differing)), not run.differing),
        Want("entries left in the work queue, the outbox and the feed", "0", str(run.pending), run.pending == 0),
        Want(f"records that went back in time ({times.samples} looks)", "0", _some(times.backward), not times.backward),
        Want("documents that are not their record's", "0", _some(run.twice), not run.twice),
        Want("writes that were not done exactly once", "0", _some(run.wrong_writes), not run.wrong_writes),
        Want(
            "wrong tombstones while their kind was called complete",
            "0",
            _some(run.wrong_tombstones),
            not run.wrong_tombstones,
        ),
        Want(
            "records of which a consumer of the feed has another version than the copy",
            "0",
            _some(run.unfollowed),
            not run.unfollowed,
        ),
        Want(
            "versions that the feed published late, not at all or with two contents",
            "0",
            _some(run.followed.wrong),
            not run.followed.wrong,
        ),
        Want(
            "changes that were published though only a signature differed",
            "0",
            _some(run.followed.signed),
            not run.followed.signed,
        ),
        Want("dead refresh tokens sent", f"at most {revoked}", str(used), used <= revoked),
        Want("authorizations by a person", str(1 + revoked), str(run.authorized), run.authorized == 1 + revoked),
        Want("errors that nobody handled", "0", _some(crashes), not crashes),
        Want("lines that are no log lines", "0", _some(logs.foreign), not logs.foreign),
        Want("failures of the simulator", "0", _some(run.simulator_failures), not run.simulator_failures),
    ]
    report.notes += [
        "A revoked token is noticed by spending it: each revocation costs one dead refresh token.",
        "Syncs are forced every few seconds, each at least three requests: a practice needs fewer for each change.",
        "The clocks of the instances are up to a second apart: so is what is measured from one process to another.",
        "Webhook to stored counts the events that stored a record themselves; deferred ones are the next sync's.",
    ]
    return report


def recoveries(run: Run, done: Iterable[Line]) -> list[Row]:
    """Return, by act and target, the seconds from the end of the act to the next record that an event updated."""
    found: dict[str, list[float]] = {}
    worked = [line.seen for line in done if line.fields.get("outcome") in (Outcome.STORED, Outcome.UNCHANGED)]
    for act, ended in run.performed:
        after = next((seen - ended for seen in worked if seen > ended), None)
        if after is not None:
            found.setdefault(f"{act.what} {act.whom.rstrip(' 0123456789')}".strip(), []).append(after)
    return [
        {"next record after": what, "times": len(times), "median s": statistics.median(times), "at most s": max(times)}
        for what, times in sorted(found.items())
    ]


def _figure(what: str, value: float | str) -> Row:
    return {"figure": what, "value": value}


def _since(run: Run, name: str) -> int:
    return int(run.busy[name] - run.before[name])


def _share(requests: int, run: Run) -> float:
    """Return the share of the requests that the tightest window allowed in the time."""
    return max(requests / (window.limit * run.seconds / window.seconds) for window in run.quota)


def _outcomes(done: Iterable[Line]) -> Counter[str]:
    return Counter(str(line.fields.get("outcome")) for line in done)


def _percentiles(done: Iterable[Line]) -> str:
    return _cuts([line.fields["seconds"] for line in done if line.fields.get("outcome") == Outcome.STORED])


def _cuts(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return " / ".join(f"{cuts[percent - 1]:.2f} s" for percent in (50, 95, 99))


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _some(items: Iterable[str]) -> str:
    listed = list(items)
    if not listed:
        return "0"
    return f"{len(listed)}: {', '.join(listed[:SHOWN])}"
