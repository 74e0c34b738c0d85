"""All parts of a simulated DrChrono without the HTTP server, and the operations that `/control` and tests use."""

# ruff: noqa: A001, A002 - `id` is a name of the control interface

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from simulator.api.bulk import Bulk
from simulator.api.lag import Lag
from simulator.api.lists import Lists
from simulator.api.paging import Paging
from simulator.api.router import Api
from simulator.api.visibility import Visibility
from simulator.clock import Clock
from simulator.config import Config
from simulator.faults.rules import Faults
from simulator.oauth.pages import OAuth
from simulator.oauth.tokens import Tokens
from simulator.practice.activity import Activity
from simulator.practice.clinic import Change, Clinic
from simulator.practice.kinds import APPOINTMENTS, KINDS, NOTES, PATIENTS, kind_of_event
from simulator.practice.lookup import NoSuchRecordError
from simulator.practice.populate import populate
from simulator.practice.store import Fields, unsigned
from simulator.quota import Quota, parse_quota
from simulator.stats import Stats
from simulator.webhooks.sender import Webhooks, WebhookSettings

_VIRTUAL_START = datetime(2026, 3, 10, 15, tzinfo=UTC)  # late morning of a working day in the practice


class Simulation:
    """The parts, wired together. The records are generated at construction.

    Read lag, visibility, paging and faults are changed through `lag`, `visibility`, `lists.paging` and `faults`.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config = config or Config()
        virtual = config.clock == "virtual"
        start = config.start or (_VIRTUAL_START if virtual else None)
        self.clock = Clock(start=start.timestamp() if start else None, speed=0.0 if virtual else config.speed)
        self.statistics = Stats(config.json_log)
        self.clinic = Clinic(config, self.clock)
        populate(self.clinic)
        self.tokens = Tokens(config, self.clock, self.statistics)
        self.quota = Quota(
            parse_quota(config.quota, config.limiter, config.burst), throttled_counts=config.throttled_counts
        )
        self.faults = Faults(config.seed, self.clock, config.faults)
        self.lag = Lag(config.lag_seconds, config.lag_seconds_of)
        only_doctor = None if config.share_patients else self.clinic.doctors[0]["id"]
        self.visibility = Visibility(self.clinic, only_doctor=only_doctor)
        self.lists = Lists(
            self.clinic,
            Bulk(config, self.clock),
            self.lag,
            self.visibility,
            Paging(method=config.paging, order=config.list_order),
        )
        self.webhooks = Webhooks(
            self.clinic,
            self.statistics,
            WebhookSettings(
                url=config.webhook_url,
                secret=config.webhook_secret,
                signature="token" if config.live else "hmac",
                form="live" if config.live else "guide",
            ),
        )
        self._muted = False
        self.clinic.listeners += [lambda change: self.statistics.count("changes"), self._announce]
        self.activity = Activity(self.clinic)
        self.oauth = OAuth(config, self.tokens)
        self.api = Api(self.clinic, self.lists, self.tokens, self.quota, self.statistics)

    def stats(self) -> dict[str, Any]:
        """Return the counters of `GET /control/stats`."""
        return self.statistics.as_json(waiting=self.webhooks.waiting)

    def truth(self, kind: str) -> dict[str, Fields]:
        """Return all existing records of a kind by key, each as a verbose GET shows it but without link signatures."""
        with self.clinic.store.lock:
            records = self.clinic.store.existing(kind)
            return {record.key: json.loads(unsigned(record.current.json(verbose=True))) for record in records}

    def issue_token(self, scope: str = "") -> dict[str, Any]:
        """Issue a token pair without authorization; return the JSON of the token endpoint. Other pairs stay valid."""
        return self.tokens.answer(self.tokens.issue(scope))

    def settle(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until no webhook delivery is in transit. Return False if the timeout expires first."""
        return self.clock.settle(timeout_seconds)

    def change(
        self, kind: str | None = None, id: object = None, fields: Fields | None = None, webhook: bool = True
    ) -> dict[str, Any]:
        """Change a record; a random one without `id`, a patient or appointment without `kind`.

        Without `fields`, make a plausible edit. Return the kind, the id, and the event that is sent.
        """
        kind = self._kind_or_random(kind)
        key = self.clinic.pick(kind).key if id is None else id
        return self._apply(webhook, lambda: self.clinic.change(kind, key, fields))

    def create(self, kind: str | None = None, fields: Fields | None = None, webhook: bool = True) -> dict[str, Any]:
        """Create a record. Fields that are not given are generated."""
        kind = self._kind_or_random(kind)
        return self._apply(webhook, lambda: self.clinic.create(kind, fields or {}))

    def delete(self, kind: str | None = None, id: object = None, webhook: bool = True) -> dict[str, Any]:
        """Delete a record; without `id` a random one, without `kind` an appointment that has no note."""
        kind = _checked(kind or APPOINTMENTS)
        if id is None:
            id = self.clinic.pick(kind, lambda record: kind != APPOINTMENTS or not self.clinic.has_note(record)).key
        return self._apply(webhook, lambda: self.clinic.delete(kind, id))

    def act(self, acts: Sequence[Mapping[str, Any]]) -> None:
        """Make changes: each names its `action` (change, create or delete) and the arguments of that method.

        What is to be changed and is gone is left out.
        """
        for act in acts:
            arguments = {name: value for name, value in act.items() if name != "action"}
            made: Callable[..., object] = getattr(self, act["action"])
            with suppress(NoSuchRecordError):
                made(**arguments)

    def lock(self, id: object = None, locked: bool = True, webhook: bool = True) -> dict[str, Any]:
        """Lock or unlock a clinical note; without `id` a random one."""
        if id is None:
            id = self.clinic.pick(NOTES, lambda note: self.clinic.is_locked(note) != locked).key
        return self._apply(webhook, lambda: self.clinic.lock(id, locked=locked))

    def configure_webhook(self, **settings: Any) -> WebhookSettings:
        """Change some settings of the webhook."""
        return self.webhooks.configure(settings)

    def verify_webhook(self) -> dict[str, Any]:
        """Perform the ownership handshake."""
        verified, status = self.webhooks.verify()
        return {"verified": verified, "status": status}

    def send_webhook(self, event: str, id: object = None, copies: int = 1) -> dict[str, Any]:
        """Send an event about an existing record now and wait for the response."""
        kind = kind_of_event(event)
        if kind is None and event != "PING":
            raise ValueError(f"unknown event {event!r}")
        change = None
        if kind is not None:
            record = self.clinic.pick(kind) if id is None else self.clinic.find(kind, id)
            change = Change(kind, record.key, "modify", record.current)
        status, delivery = self.webhooks.send(event, change, copies)
        return {"event": event, "id": change and change.record_id, "status": status, "delivery": delivery.id}

    def _kind_or_random(self, kind: str | None) -> str:
        if kind is not None:
            return _checked(kind)
        possible = [kind for kind in (PATIENTS, APPOINTMENTS) if self.clinic.store.by_key[kind]]
        return self.clinic.rng.choice(possible or [PATIENTS])

    def _apply(self, webhook: bool, action: Callable[[], Change]) -> dict[str, Any]:
        with self.clinic.store.lock:
            self._muted = not webhook
            try:
                change = action()
            finally:
                self._muted = False
        event = self.webhooks.event_of(change) if webhook else None
        return {"kind": change.kind, "id": change.record_id, "event": event}

    def _announce(self, change: Change) -> None:
        if not self._muted:
            self.webhooks.announce(change)


def _checked(kind: str) -> str:
    if kind not in KINDS:
        raise NoSuchRecordError(f"there is no kind {kind!r}: one of {', '.join(KINDS)}")
    return kind
