"""`doctor`: whether each thing that the system stands on is as it must be, and if not, what to do.

A check returns what it found. It raises Failed with what is wrong and its remedy, Skipped with what it would need, or
an error of the system, whose text says both. None changes anything, except that a token that is due is refreshed and
that a document is written beside the others and removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import requests

from ops.coverage import check_coverage
from ops.deployment import ENTRY_POINTS, SEND_WRITES, NotSeen
from ops.feed import check_feed
from ops.foreign_documents import check_documents
from ops.grants import check_grants, check_subscription
from ops.outbox import outbox_status
from ops.receiver import check_handshake, check_refusal, check_signature
from ops.target_system import STORE_REMEDY, TargetSystem
from ops.verdict import Failed, Skipped
from shared.cloud.secret_manager import SecretVersions, connect
from shared.errors import QuotaExhausted, SettingsError, StoreUnavailable, SyncError, Throttled
from shared.jobs.leases import Leases
from shared.settings import writes
from workstation.authorization import scopes

Now = Callable[[], datetime]

ANSWER_SECONDS = 20.0
MOST_CLOCK_DIFFERENCE_SECONDS = 60  # two minutes are what the token's token_refresher allows (shared.tokens.state)
SYNC_SILENT = timedelta(hours=1)  # as the alert "job sync has not run"
NEED_STORE = ("token", "coverage", "quota", "jobs", "documents", "outbox", "feed")
PROBE = "sync_state/doctor"


@dataclass(frozen=True)
class Result:
    """verdict: `passed`, `failed` or `skipped`. remedy: what to do about a failure, or so that it is not skipped."""

    check: str
    verdict: str
    found: str
    remedy: str = ""


def examine(target: TargetSystem, now: Now) -> Iterator[Result]:
    """One result after the other, as they come. Where there is no store, what stands on it is not asked."""
    store_answers = True
    for name, check in CHECKS.items():
        if not store_answers and name in NEED_STORE:
            yield Result(name, "skipped", "the store does not answer")
            continue
        result = _result(name, check, target, now)
        store_answers = store_answers and (name, result.verdict) != ("store", "failed")
        yield result


def _result(name: str, check: Callable[[TargetSystem, Now], str], target: TargetSystem, now: Now) -> Result:
    try:
        return Result(name, "passed", check(target, now))
    except Skipped as skipped:
        return Result(name, "skipped", skipped.because, skipped.remedy)
    except Failed as failed:
        return Result(name, "failed", failed.found, failed.remedy)
    except SettingsError as error:
        return Result(name, "failed", error.problems[0], " ".join(error.problems[1:]))
    except StoreUnavailable as error:
        return Result(name, "failed", str(error), STORE_REMEDY)
    except SyncError as error:
        found, _, remedy = str(error).rpartition(": ")
        # Where there is no remedy in it, the last word is only the kind of error that Google answered.
        whole = not found or " " not in remedy
        return Result(name, "failed", *((str(error), "check the network, and try again") if whole else (found, remedy)))


def settings(target: TargetSystem, now: Now) -> str:
    target.system.cloud()
    api = target.system.api()
    windows = ", ".join(f"{window.limit} in {window.seconds} s" for window in api.quota)
    return f"{api.url}, quota {windows}"


def functions(target: TargetSystem, now: Now) -> str:
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


def store(target: TargetSystem, now: Now) -> str:
    documents = target.system.documents()
    documents.transact(lambda transaction: transaction.set(PROBE, {"at": now()}))
    if documents.get(PROBE) is None:
        raise Failed("what was written cannot be read", "check FIRESTORE_DATABASE")
    documents.transact(lambda transaction: transaction.delete(PROBE))
    return "documents can be written, read and removed"


def token_secret(target: TargetSystem, now: Now) -> str:
    cloud = target.system.cloud()
    versions = SecretVersions(connect(cloud), project=cloud.project, secret=cloud.token_secret)
    if not versions.writable():
        raise Failed(
            f"{cloud.token_secret} takes no new version from you, or is not there",
            "`terraform apply`, and roles/secretmanager.secretVersionManager on it",
        )
    return f"{cloud.token_secret} takes new versions"


def token(target: TargetSystem, now: Now) -> str:
    """Whether DrChrono takes it, by one call."""
    try:
        target.system.drchrono().current_user()
    except (QuotaExhausted, Throttled) as error:
        raise Skipped(f"no request is allowed before {error.until:%H:%M:%S} UTC", "ask again then") from None
    report = target.system.token_refresher().report()
    wanted = scopes(writes=writes(target.environ))
    missing = [scope for scope in wanted if scope not in report.scope.split()]
    if report.scope and missing:
        raise Failed(f"it lacks {', '.join(missing)}", f"{target.command('authorize')}, and allow all of it")
    return f"DrChrono takes it; it is good until {report.expires_at:%Y-%m-%d %H:%M} UTC"


def clock(target: TargetSystem, now: Now) -> str:
    """This machine's beside DrChrono's, whose answers say the time; that is Google's, too, within milliseconds."""
    url = target.system.api().url
    try:
        answer = requests.head(f"{url}/o/token/", timeout=ANSWER_SECONDS, allow_redirects=False)
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except requests.RequestException as error:
        raise Failed(f"{url} does not answer ({type(error).__name__})", "check DRCHRONO_URL and the network") from None
    except (KeyError, ValueError):
        raise Skipped("DrChrono's answer does not say the time") from None
    difference = abs((now() - theirs.astimezone(timezone.utc)).total_seconds())
    if difference > MOST_CLOCK_DIFFERENCE_SECONDS:
        raise Failed(f"this machine's differs from DrChrono's by {difference:.0f} s", "set it (NTP)")
    return "right to a minute"


def quota(target: TargetSystem, now: Now) -> str:
    state = target.system.rate_limiter().state()
    if state.cooldown_until is not None:
        raise Failed(
            f"DrChrono has refused all requests until {state.cooldown_until:%H:%M:%S} UTC",
            "it goes on by itself then; if this comes often, set drchrono_quota to what DrChrono grants",
        )
    return ", ".join(f"{each.used} of {each.limit} used in {each.seconds} s" for each in state.windows)


def jobs(target: TargetSystem, now: Now) -> str:
    """Whether the clock calls, and whether the last calls came to something."""
    problems: list[str] = []
    unseen: NotSeen | None = None
    try:
        problems += _scheduled(target)
    except NotSeen as error:
        unseen = error
    last = Leases(target.system.documents(), now, lambda: "").last("sync") or {}
    ended = last.get("ended")
    if ended is None:
        problems.append("sync has never come to its end")
    elif now() - ended > SYNC_SILENT:
        problems.append(f"sync last ended at {ended:%Y-%m-%d %H:%M} UTC")
    if problems:
        raise Failed("; ".join(problems), "look for job.failed and job.done in the log of run-job (docs/operating.md)")
    if unseen is not None:
        raise Skipped(*str(unseen).split(": ", 1))
    return f"sync last ended at {ended:%H:%M:%S} UTC"


def outbox(target: TargetSystem, now: Now) -> str:
    """Whether what other programs asked for gets to DrChrono."""
    if not writes(target.environ):
        raise Skipped("no program may write to DrChrono")
    found = outbox_status(target, now())
    if found.is_stuck:
        raise Failed(found.said(now()), target.command("outbox"))
    return found.said(now())


def _scheduled(target: TargetSystem) -> Iterator[str]:
    """What is wrong with the calls of Cloud Scheduler. Raises NotSeen."""
    function = target.deployment.functions.get("run_job") if target.deployment else None
    if target.google is None or function is None:
        return
    for job in target.google.jobs(function.region):
        if job.state != "ENABLED":
            yield f"{job.name} is {job.state.lower()} (`gcloud scheduler jobs resume {job.name}`)"
        elif job.code:
            yield f"the last call of {job.name} failed (code {job.code})"


CHECKS: Mapping[str, Callable[[TargetSystem, Now], str]] = {
    "settings": settings,
    "functions": functions,
    "store": store,
    "token's secret": token_secret,
    "token": token,
    "coverage": check_coverage,
    "clock": clock,
    "quota": quota,
    "receiver": check_refusal,
    "handshake": check_handshake,
    "signature": check_signature,
    "jobs": jobs,
    "documents": check_documents,
    "outbox": outbox,
    "feed": lambda target, now: check_feed(target, now()),
    "subscription": check_subscription,
    "grants": check_grants,
}
