"""`doctor`, on what a request to DrChrono needs: a stored token that it accepts, a correct clock, a free quota."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import requests

from ops.target_system import TargetSystem
from ops.verdict import Failed, Skipped
from shared.cloud.secret_manager import SecretVersions, connect
from shared.errors import QuotaExhausted, Throttled
from shared.settings import writes
from workstation.authorization import scopes

Now = Callable[[], datetime]

ANSWER_SECONDS = 20.0
MOST_CLOCK_DIFFERENCE_SECONDS = 60  # the token refresher allows two minutes (shared.tokens.state)


def check_token_secret(target: TargetSystem, now: Now) -> str:
    cloud = target.system.cloud()
    versions = SecretVersions(connect(cloud), project=cloud.project, secret=cloud.token_secret)
    if not versions.writable():
        raise Failed(
            f"{cloud.token_secret} accepts no new version from you, or does not exist",
            "`terraform apply`, and roles/secretmanager.secretVersionManager on it",
        )
    return f"{cloud.token_secret} accepts new versions"


def check_token(target: TargetSystem, now: Now) -> str:
    """Check by one request that DrChrono accepts the token."""
    try:
        target.system.drchrono().current_user()
    except (QuotaExhausted, Throttled) as error:
        raise Skipped(f"no request is allowed before {error.until:%H:%M:%S} UTC", "run doctor again then") from None
    report = target.system.token_refresher().report()
    wanted = scopes(writes=writes(target.environ))
    missing = [scope for scope in wanted if scope not in report.scope.split()]
    if report.scope and missing:
        raise Failed(f"it lacks {', '.join(missing)}", f"{target.command('authorize')}, and allow all of it")
    return f"DrChrono accepts it; it expires at {report.expires_at:%Y-%m-%d %H:%M} UTC"


def check_clock(target: TargetSystem, now: Now) -> str:
    """Compare this machine's clock with the `Date` of an answer of DrChrono, as a stand-in for Google's clock."""
    url = target.system.api().url
    try:
        answer = requests.head(f"{url}/o/token/", timeout=ANSWER_SECONDS, allow_redirects=False)
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except requests.RequestException as error:
        raise Failed(f"{url} does not answer ({type(error).__name__})", "check DRCHRONO_URL and the network") from None
    except (KeyError, ValueError):
        raise Skipped("DrChrono's answer has no time") from None
    difference = abs((now() - theirs.astimezone(timezone.utc)).total_seconds())
    if difference > MOST_CLOCK_DIFFERENCE_SECONDS:
        raise Failed(f"this machine's differs from DrChrono's by {difference:.0f} s", "set it (NTP)")
    return "correct to a minute"


def check_quota(target: TargetSystem, now: Now) -> str:
    state = target.system.rate_limiter().state()
    if state.cooldown_until is not None:
        raise Failed(
            f"DrChrono has refused all requests until {state.cooldown_until:%H:%M:%S} UTC",
            "requests continue then; if this happens often, set drchrono_quota to the limit that DrChrono grants",
        )
    return ", ".join(f"{each.used} of {each.limit} used in {each.seconds} s" for each in state.windows)
