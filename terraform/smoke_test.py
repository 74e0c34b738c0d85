"""Whether a deployed receiver works: DrChrono's ownership check, a signed PING, and a forged one that must be refused.

    gcloud secrets versions access latest --secret=drchrono-webhook-secret | python3 terraform/smoke_test.py URL

The secret comes on standard input, so that it is in no command line, and is never printed. Only the standard library:
it runs in the image that deploys. It makes no record: PING is acknowledged and forgotten.
"""

import hashlib
import hmac
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

SECONDS_TO_WAIT = 20  # a cold start takes one or two; three attempts make a minute
ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = float(os.environ.get("SECONDS_BETWEEN_ATTEMPTS", "5"))


def digest(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def ask(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of the answer; redirects are not followed, DrChrono does not follow them either."""
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310  # the URL is the operator's
    try:
        with _opener.open(request, timeout=SECONDS_TO_WAIT) as answer:
            return answer.status, answer.read(10_000)
    except urllib.error.HTTPError as error:
        return error.code, error.read(10_000)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def handshake(url: str, secret: str) -> str | None:
    """None if it is right, else what is wrong."""
    message = secrets.token_hex(16)
    status, body = ask(f"{url}?msg={message}")
    if status == 405:
        return None  # switched off by webhook_handshake = false
    if status != 200:
        return f"the ownership check answered {status}"
    try:
        answer = json.loads(body)["secret_token"]
    except (ValueError, KeyError, TypeError):
        return "the ownership check answered without secret_token"
    if answer != digest(secret, message.encode()):
        return "the ownership check was signed with another secret: is this the version that is deployed?"
    return None


def ping(url: str, secret: str) -> str | None:
    body = json.dumps({"event": "PING", "object_id": 0, "webhook_id": "smoke-test"}).encode()
    statuses = [
        ask(
            url,
            body,
            {"Content-Type": "application/json", "X-Drchrono-Event": "PING", "X-Drchrono-Signature": signature},
        )[0]
        for signature in (digest(secret, body), secret)
    ]
    # The deployment may accept one form of signature only.
    if not any(200 <= status < 300 for status in statuses):
        return f"a PING signed as HMAC was answered {statuses[0]}, one signed with the secret itself {statuses[1]}"
    return None


def forgery(url: str, _: str) -> str | None:
    body = b'{"event": "PING"}'
    status, _body = ask(url, body, {"X-Drchrono-Event": "PING", "X-Drchrono-Signature": digest("not the secret", body)})
    return None if status == 401 else f"a forged PING was answered {status} and not 401"


def attempt(check: Callable[[str, str], str | None], url: str, secret: str) -> str | None:
    """A new revision may still be starting, so what fails is tried again."""
    problem: str | None = None
    for number in range(ATTEMPTS):
        if number:
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        try:
            problem = check(url, secret)
        except OSError as error:
            problem = f"no answer ({type(error).__name__})"
        if problem is None:
            return None
    return problem


def main(arguments: list[str], given: str) -> int:
    # While rotating, the secret is two with a comma between them: DrChrono may use either, so the first will do.
    secret = given.strip().split(",")[0].strip()
    if len(arguments) != 1 or not secret:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    problems = [problem for check in (handshake, ping, forgery) if (problem := attempt(check, arguments[0], secret))]
    for problem in problems:
        sys.stderr.write(f"smoke test: {problem}\n")
    sys.stdout.write("smoke test: failed\n" if problems else "smoke test: the receiver answers, verifies and refuses\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.read()))
