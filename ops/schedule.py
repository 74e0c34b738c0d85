"""`doctor`, on what runs by itself: the deployed functions, and the jobs that Cloud Scheduler calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from ops.deployment import ENTRY_POINTS, SEND_WRITES, NotSeen
from ops.target_system import TargetSystem
from ops.verdict import Failed, Skipped
from shared.jobs.leases import Leases
from shared.settings import writes

Now = Callable[[], datetime]

SYNC_SILENT = timedelta(hours=1)  # as the alert "job sync has not run"


def check_functions(target: TargetSystem, now: Now) -> str:
    if target.deployment is None:
        raise Skipped(target.unseen or "what runs on this machine is not deployed")
    wanted = (*ENTRY_POINTS, SEND_WRITES) if writes(target.environ) else ENTRY_POINTS
    missing = [name for name in wanted if name not in target.deployment.functions]
    if missing:
        raise Failed(f"not deployed: {', '.join(missing)}", "set secret_versions and `terraform apply`")
    broken = [each.entry_point for each in target.deployment.functions.values() if each.state != "ACTIVE"]
    if broken:
        raise Failed(f"not active: {', '.join(broken)}", "look at the function's last build in Cloud Build, and deploy")
    return f"all {len(wanted)} are active"


def check_jobs(target: TargetSystem, now: Now) -> str:
    """Check that Cloud Scheduler calls the jobs, and that the last sync ended."""
    problems: list[str] = []
    unseen: NotSeen | None = None
    try:
        problems += _scheduled(target)
    except NotSeen as error:
        unseen = error
    last = Leases(target.system.documents(), now, lambda: "").last("sync") or {}
    ended = last.get("ended")
    if ended is None:
        problems.append("no sync has ever ended")
    elif now() - ended > SYNC_SILENT:
        problems.append(f"sync last ended at {ended:%Y-%m-%d %H:%M} UTC")
    if problems:
        raise Failed("; ".join(problems), "look for job.failed and job.done in the log of run-job (docs/operating.md)")
    if unseen is not None:
        raise Skipped(*str(unseen).split(": ", 1))
    return f"sync last ended at {ended:%H:%M:%S} UTC"


def _scheduled(target: TargetSystem) -> Iterator[str]:
    """Yield what is wrong with the calls of Cloud Scheduler. Raises NotSeen."""
    function = target.deployment.functions.get("run_job") if target.deployment else None
    if target.google is None or function is None:
        return
    for job in target.google.jobs(function.region):
        if job.state != "ENABLED":
            yield f"{job.name} is {job.state.lower()} (`gcloud scheduler jobs resume {job.name}`)"
        elif job.code:
            yield f"the last call of {job.name} failed (code {job.code})"
