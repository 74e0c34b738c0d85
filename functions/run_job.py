"""`run_job`: runs one job for Cloud Scheduler or `python -m ops`. The answer says what was done and why it stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import flask

from shared.errors import LeaseLost, StoreUnavailable, TokenError
from shared.jobs import announce, backfill, practice_lists, reconcile
from shared.jobs.report import report as report_states
from shared.jobs.run import Parts, Run
from shared.jobs.status import publish_all
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.jobs.watermark import EARLIEST
from shared.log import log

JOBS = ("sync", "backfill", "reconcile", "refresh-token")
LONGEST_BODY_BYTES = 10_000


class BadJob(Exception):
    """The body is not a valid job. The text says what is allowed."""


@dataclass(frozen=True)
class Jobs:
    """The dependencies of the function. refresh_token: `TokenRefresher.refresh_if_due` (argument: force)."""

    parts: Callable[[], Parts]
    refresh_token: Callable[[bool], dict[str, Any]]
    deadline: timedelta


@dataclass(frozen=True)
class Order:
    """A job to run. kinds: for a backfill or a reconciliation. since: for a backfill. force: refresh the token, or
    request the changes of every kind, even if not due.
    """

    job: str
    kinds: tuple[str, ...]
    since: date
    force: bool


def handle(request: flask.Request, jobs: Jobs) -> flask.Response:
    """Answer 200 with the report, even if the run stopped early; 400 with what is allowed; 503 if a retry helps."""
    if request.method != "POST":
        return _answer(405, {"reason": "method_not_allowed"}, Allow="POST")
    try:
        order = parse(request.stream.read(LONGEST_BODY_BYTES))
    except BadJob as error:
        return _answer(400, {"reason": "bad_job", "message": str(error)})
    try:
        return _answer(200, _run(order, jobs))
    except StoreUnavailable as error:
        log("job.failed", "ERROR", job=order.job, reason=error.reason)
        return _answer(503, {"job": order.job, "reason": error.reason})


def parse(body: bytes) -> Order:
    """Return the job in `{"job", "kind"?, "since"?, "force"?}`. Raises BadJob."""
    try:
        fields = json.loads(body or b"null")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or fields.get("job") not in JOBS:
        raise BadJob(f'send {{"job": …}} with one of: {", ".join(JOBS)}')
    unknown = fields.keys() - {"job", "kind", "since", "force"}
    if unknown:
        raise BadJob("only job, kind, since and force are allowed")
    kind = fields.get("kind", "all")
    if kind != "all" and kind not in backfill.KIND_NAMES:
        raise BadJob(f"kind is one of: all, {', '.join(backfill.KIND_NAMES)}")
    try:
        since = date.fromisoformat(fields.get("since", EARLIEST.isoformat()))
    except (TypeError, ValueError):
        raise BadJob("since is a date like 2024-01-01") from None
    if not isinstance(fields.get("force", False), bool):
        raise BadJob("force is true or false")
    return Order(
        job=fields["job"],
        kinds=backfill.KIND_NAMES if kind == "all" else (kind,),
        since=since,
        force=fields.get("force", False),
    )


def _run(order: Order, jobs: Jobs) -> dict[str, Any]:
    if order.job == "refresh-token":
        return _refresh_token(order, jobs)
    parts = jobs.parts()
    started = parts.now()
    run = Run(parts, deadline=started + jobs.deadline)
    stopped = None
    try:
        with run.hold(order.job) as lease:
            stopped = _work(order, run)
            report = _report(order, run, started, stopped)
            lease.report = report
    except LeaseLost:
        report = _report(order, run, started, "running")
    log(
        "job.done",
        job=order.job,
        finished=report["finished"],
        stopped=report["stopped"] or "",
        seconds=report["seconds"],
        count=run.counts["seen"],
        stored=run.counts["store"] + run.counts["stored"],
    )
    return report


def _work(order: Order, run: Run) -> str | None:
    """Run the job. Return why it stopped early, or None."""
    try:
        if order.job == "sync":
            sync(run, force=order.force)
        elif order.job == "backfill":
            backfill.start(run.parts, order.kinds, order.since)
            backfill.go_on(run)
            practice_lists.go_on(run)
        else:
            reconcile.start(run.parts, order.kinds)
            reconcile.go_on(run)
    except Stopped as stopped:
        return stopped.reason
    finally:
        report_states(run.parts, publish_all(run.parts))
        with contextlib.suppress(StoreUnavailable):
            announce.report(run.parts)
        if run.parts.outbox is not None:
            with contextlib.suppress(StoreUnavailable):
                run.parts.outbox.report()
    return None


def _refresh_token(order: Order, jobs: Jobs) -> dict[str, Any]:
    try:
        report = jobs.refresh_token(order.force)
    except TokenError as error:
        stopped = "revoked" if error.reason in ("token_revoked", "token_missing") else "token"
        log("job.done", "ERROR", job=order.job, finished=False, stopped=stopped)
        return {"job": order.job, "finished": False, "stopped": stopped, "message": str(error)}
    log("job.done", job=order.job, finished=True, stopped="")
    return {"job": order.job, "finished": True, "stopped": None, "token": report}


def _report(order: Order, run: Run, started: datetime, stopped: str | None) -> dict[str, Any]:
    positions = {name: run.parts.checkpoints.get(name) for name in order.kinds}
    return {
        "job": order.job,
        "finished": stopped is None and not run.unfinished,
        "stopped": stopped,
        "unfinished": [
            {"job": job, "kind": kind, "reason": reason} for (job, kind), reason in sorted(run.unfinished.items())
        ],
        "seconds": round((run.parts.now() - started).total_seconds(), 1),
        "counts": {str(name): count for name, count in sorted(run.counts.items()) if count},
        "pending": run.parts.queue.waiting(),
        "position": {
            name: {
                "watermark": position.watermark,
                "complete_at": position.complete_at.isoformat() if position.complete_at else None,
                "problem": position.problem["reason"] if position.problem else None,
            }
            for name, position in positions.items()
        },
    }


def _answer(status: int, body: dict[str, Any], **headers: str) -> flask.Response:
    return flask.Response(json.dumps(body) + "\n", status, headers, mimetype="application/json")
