"""`doctor`, on the receiver: over HTTP, as DrChrono calls it. The receiver acknowledges PINGs and does nothing else."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import datetime

import requests

from ops.target_system import TargetSystem
from ops.verdict import Failed, Skipped
from shared.cloud.secret_manager import SecretVersions, connect
from shared.errors import SyncError
from shared.settings import webhook_settings

Now = Callable[[], datetime]

ANSWER_SECONDS = 20.0  # a cold start takes one or two
FORGED = "0" * 64


def check_refusal(target: TargetSystem, now: Now) -> str:
    """Check that the address is our receiver: it refuses an unsigned request."""
    status = _post(target, b'{"event": "PING"}', FORGED)
    if status == 500:
        raise Failed("it answers 500: it has no usable secret", "look for webhook.rejected in its log, and deploy")
    if status != 401:
        raise Failed(f"a forged PING was answered {status}, not 401", "is this the output webhook_url?")
    return "it refuses a forged PING"


def check_handshake(target: TargetSystem, now: Now) -> str:
    """Send the request of "Verify webhook" (DrChrono's API documentation, "Webhooks")."""
    url, secret = _url(target), _webhook_secret(target)
    message = secrets.token_hex(16)
    try:
        answer = requests.get(url, params={"msg": message}, timeout=ANSWER_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise _no_answer(target, error) from None
    if answer.status_code == 405:
        raise Skipped("it is switched off", "webhook_handshake = true, when the webhook's URL changes")
    try:
        said = str(answer.json()["secret_token"])
    except (ValueError, KeyError, TypeError):
        raise Failed(f"it answered {answer.status_code} without secret_token", "is this the receiver?") from None
    if not hmac.compare_digest(said.encode(), _digest(secret, message.encode()).encode()):
        raise Failed("it answers with another secret than this", "raise secret_versions.webhook and `terraform apply`")
    return "it proves that it has the secret"


def check_signature(target: TargetSystem, now: Now) -> str:
    """Send a PING in both forms of the signature. A deployment may accept only one of them."""
    secret = _webhook_secret(target)
    body = json.dumps({"event": "PING", "object_id": 0, "webhook_id": "doctor"}).encode()
    forms = {"as HMAC": _digest(secret, body), "with the secret itself": secret}
    statuses = {form: _post(target, body, signed) for form, signed in forms.items()}
    taken = [form for form, status in statuses.items() if 200 <= status < 300]
    if not taken:
        answers = ", ".join(f"{form} {status}" for form, status in statuses.items())
        raise Failed(f"a signed PING was refused ({answers})", "is the secret the one in DrChrono's console?")
    return f"it takes a PING signed {' and '.join(taken)}"


def _url(target: TargetSystem) -> str:
    if not target.webhook_url:
        raise Skipped("the receiver's address is not known", "give --url, the output webhook_url")
    return target.webhook_url


def _webhook_secret(target: TargetSystem) -> str:
    """Return the first of the valid secrets, from the environment or else from the deployed version."""
    if not target.environ.get("DRCHRONO_WEBHOOK_SECRET"):
        name = target.deployment.secrets.get("DRCHRONO_WEBHOOK_SECRET", "") if target.deployment else ""
        path, _, number = name.rpartition("/versions/")
        if not number.isdecimal():
            raise Skipped("the webhook's secret is not known here", "set DRCHRONO_WEBHOOK_SECRET")
        project, secret = path.split("/")[1::2]
        versions = SecretVersions(connect(target.system.cloud()), project=project, secret=secret)
        try:
            value = versions.read(int(number)) or ""
        except SyncError:
            raise Skipped("you may not read the webhook's secret", "set DRCHRONO_WEBHOOK_SECRET") from None
        return webhook_settings({"DRCHRONO_WEBHOOK_SECRET": value}).secrets[0]
    return webhook_settings(target.environ).secrets[0]


def _post(target: TargetSystem, body: bytes, signed: str) -> int:
    url = _url(target)
    headers = {
        "Content-Type": "application/json",
        "X-drchrono-event": "PING",
        "X-drchrono-signature": signed,
    }
    try:
        return requests.post(url, data=body, headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False).status_code
    except requests.RequestException as error:
        raise _no_answer(target, error) from None


def _no_answer(target: TargetSystem, error: requests.RequestException) -> Failed:
    """If a person gave the address, suggest checking it first."""
    if target.receiver:
        return Failed(f"{target.receiver} does not answer ({type(error).__name__})", "is --url the output webhook_url?")
    return Failed(f"it does not answer ({type(error).__name__})", "is the function deployed, and its URL right?")


def _digest(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
