"""`doctor`: checks each dependency of the system, and says what to do about each that fails.

A check returns what it found. It raises Failed with the problem and its remedy, Skipped with what it would need, or an
error of the system, whose text says both. Checks change nothing, with two exceptions: a token that is due is refreshed,
and one document is written and removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ops.coverage import check_coverage
from ops.drchrono_checks import check_clock, check_quota, check_token, check_token_secret
from ops.foreign_documents import check_documents
from ops.grants import check_grants, check_subscription
from ops.outbox import outbox_status
from ops.receiver import check_handshake, check_refusal, check_signature
from ops.schedule import check_functions, check_jobs
from ops.target_system import STORE_REMEDY, TargetSystem
from ops.verdict import Failed, Skipped
from shared.errors import SettingsError, StoreUnavailable, SyncError
from shared.settings import writes

Now = Callable[[], datetime]

NEED_STORE = ("token", "coverage", "quota", "jobs", "documents", "outbox")
PROBE = "sync_state/doctor"


@dataclass(frozen=True)
class Result:
    """verdict: `passed`, `failed` or `skipped`. remedy: how to repair a failure, or how to run a skipped check."""

    check: str
    verdict: str
    found: str
    remedy: str = ""


def examine(target: TargetSystem, now: Now) -> Iterator[Result]:
    """Yield the results one by one. If the store does not answer, skip the checks that need it."""
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
        # Without a remedy, the part after the last colon is only the type of Google's error.
        whole = not found or " " not in remedy
        return Result(name, "failed", *((str(error), "check the network, and try again") if whole else (found, remedy)))


def check_settings(target: TargetSystem, now: Now) -> str:
    target.system.cloud()
    api = target.system.api()
    windows = ", ".join(f"{window.limit} in {window.seconds} s" for window in api.quota)
    return f"{api.url}, quota {windows}"


def check_store(target: TargetSystem, now: Now) -> str:
    documents = target.system.documents()
    documents.transact(lambda transaction: transaction.set(PROBE, {"at": now()}))
    if documents.get(PROBE) is None:
        raise Failed("what was written cannot be read", "check FIRESTORE_DATABASE")
    documents.transact(lambda transaction: transaction.delete(PROBE))
    return "documents can be written, read and removed"


def check_outbox(target: TargetSystem, now: Now) -> str:
    """Check that what other programs ask for reaches DrChrono."""
    if not writes(target.environ):
        raise Skipped("no program may write to DrChrono")
    found = outbox_status(target, now())
    if found.is_stuck:
        raise Failed(found.said(now()), target.command("outbox"))
    return found.said(now())


CHECKS: Mapping[str, Callable[[TargetSystem, Now], str]] = {
    "settings": check_settings,
    "functions": check_functions,
    "store": check_store,
    "token's secret": check_token_secret,
    "token": check_token,
    "coverage": check_coverage,
    "clock": check_clock,
    "quota": check_quota,
    "receiver": check_refusal,
    "handshake": check_handshake,
    "signature": check_signature,
    "jobs": check_jobs,
    "documents": check_documents,
    "outbox": check_outbox,
    "subscription": check_subscription,
    "grants": check_grants,
}
