"""Sends webhooks for changes, and redelivers failed ones as DrChrono does.

Only the status code matters: 2xx means delivered, anything else, including a redirect, means failed. A failed delivery
is repeated 1, 3 and 7 hours after the event, and never after that (DrChrono's API documentation).
"""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict, dataclass, fields, replace
from random import Random
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from simulator.practice.clinic import Change, Clinic
from simulator.practice.kinds import KINDS
from simulator.stats import Stats
from simulator.webhooks.delivery import Delivery, sign, write_body

_HELD_SECONDS = 2.0  # how long a reordered delivery waits for the next one to overtake it


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """The receiver, and the reliability of deliveries. `lose`, `duplicate` and `reorder` are probabilities (0 to 1)."""

    url: str | None = None
    secret: str = "webhook-secret"  # noqa: S105 - made up
    signature: Literal["hmac", "token"] = "hmac"
    """`hmac`: hex HMAC-SHA256 of the raw body (the guide); `token`: the secret itself (live)."""
    form: Literal["guide", "live"] = "guide"
    lose: float = 0.0
    duplicate: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    """Range in seconds of the simulator's clock; each delay is uniformly random."""
    reorder: float = 0.0
    redelivery_seconds: tuple[float, ...] = (3600.0, 10_800.0, 25_200.0)
    require_verification: bool = False
    """Whether deliveries require a successful ownership handshake first, as on the live service."""
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.signature not in ("hmac", "token") or self.form not in ("guide", "live"):
            raise ValueError("signature is hmac or token, form is guide or live")
        if self.url is not None and urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"not a webhook URL: {self.url!r}")


class Webhooks:
    """Delivers webhooks for the changes of a clinic."""

    def __init__(self, clinic: Clinic, stats: Stats, settings: WebhookSettings) -> None:
        self.settings, self.verified = settings, False
        self._clinic, self._clock, self._stats = clinic, clinic.clock, stats
        self._rng = Random(f"{clinic.config.seed} webhooks")
        self._lock = Lock()
        self._held: list[Delivery] = []
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Number of deliveries in transit, held back, or due for redelivery."""
        return self._waiting

    def configure(self, given: dict[str, Any]) -> WebhookSettings:
        """Change some settings. A new URL must be verified again. Raises ValueError for unknown settings."""
        unknown = set(given) - {field.name for field in fields(WebhookSettings)}
        if unknown:
            raise ValueError(f"unknown webhook setting: {', '.join(sorted(unknown))}")
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        settings = replace(self.settings, **given)
        self.verified = self.verified and settings.url == self.settings.url
        self.settings = settings
        return settings

    def event_of(self, change: Change) -> str | None:
        """Return the event that DrChrono sends for a change, or None if it sends none."""
        kind = KINDS[change.kind]
        events = kind.live_events if self._clinic.config.live else kind.guide_events
        return events.get(change.action)

    def announce(self, change: Change) -> None:
        """Schedule the delivery of a change's event, with the configured loss, duplication, delay and reordering."""
        event, settings = self.event_of(change), self.settings
        if event is None or settings.url is None or (settings.require_verification and not self.verified):
            return
        self._stats.count("made")
        with self._lock:
            lost = self._rng.random() < settings.lose
            copies = 2 if self._rng.random() < settings.duplicate else 1
            delay = self._rng.uniform(*settings.delay)
            held = self._rng.random() < settings.reorder
            delivery = self._make(event, change)
        if lost:
            self._stats.count("lost")
            return
        for _ in range(copies):
            with self._lock:
                self._waiting += 1
            self._clock.at(delivery.made_at + delay, lambda: self._send_or_hold(delivery, hold=held))

    def send(self, event: str, change: Change | None, copies: int) -> tuple[int | None, Delivery]:
        """Send once, wait, and return the response status (None without a response) and the delivery."""
        with self._lock:
            delivery = self._make(event, change)
        status = None
        for _ in range(copies):
            self._stats.count("made")
            status = self._post(delivery)
        return status, delivery

    def verify(self) -> tuple[bool, int | None]:
        """Perform the ownership handshake, and return whether it succeeded and the response status.

        `GET ?msg=<nonce>` must return `secret_token`, the hex HMAC of the nonce.
        """
        with self._lock:
            nonce = f"{self._rng.getrandbits(128):032x}"
        status, body = self._request("GET", f"msg={nonce}", b"", {})
        try:
            answered = json.loads(body).get("secret_token") if status == 200 else None
        except (ValueError, AttributeError):
            answered = None
        self.verified = answered == sign(self.settings.secret, nonce.encode(), "hmac")
        return self.verified, status

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.settings), "verified": self.verified}

    def _make(self, event: str, change: Change | None) -> Delivery:
        body = write_body(self.settings.form, event, change, self._rng.getrandbits(128))
        delivery_id = str(UUID(int=self._rng.getrandbits(128), version=4))
        return Delivery(event, delivery_id, body, self._clock.now())

    def _send_or_hold(self, delivery: Delivery, *, hold: bool) -> None:
        """Hold the delivery back, or send it and then all deliveries that were held back."""
        if hold:
            with self._lock:
                self._held.append(delivery)
            self._clock.at(self._clock.now() + _HELD_SECONDS, self._release)
            return
        self._attempt(delivery, 0)
        self._release()

    def _release(self) -> None:
        with self._lock:
            held, self._held = self._held, []
        for delivery in held:
            self._attempt(delivery, 0)

    def _attempt(self, delivery: Delivery, redelivery: int) -> None:
        status = self._post(delivery)
        delivered = status is not None and 200 <= status < 300
        if delivered or redelivery >= len(self.settings.redelivery_seconds):
            with self._lock:
                self._waiting -= 1
            return
        due_at = delivery.made_at + self.settings.redelivery_seconds[redelivery]
        self._clock.at(due_at, lambda: self._attempt(delivery, redelivery + 1))

    def _post(self, delivery: Delivery) -> int | None:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "drchrono-simulator",
            "X-drchrono-event": delivery.event,
            "X-drchrono-signature": sign(self.settings.secret, delivery.body, self.settings.signature),
            "X-drchrono-delivery": delivery.id,
        }
        self._stats.count("sent")
        status, _ = self._request("POST", "", delivery.body, headers)
        self._stats.count("delivered" if status is not None and 200 <= status < 300 else "failed")
        return status

    def _request(self, method: str, query: str, body: bytes, headers: dict[str, str]) -> tuple[int | None, bytes]:
        """Send a request without following redirects; return the status (None without a response) and body."""
        parts = urlsplit(self.settings.url or "")
        secure = parts.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=self.settings.timeout_seconds)
        queries = "&".join(filter(None, (parts.query, query)))
        path = (parts.path or "/") + (f"?{queries}" if queries else "")
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return None, b""
        finally:
            connection.close()
