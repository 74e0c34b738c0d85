"""The simulator as a whole: puts the parts together and answers requests; in Python, a context manager."""

# ruff: noqa: A001, A002 - `id` is the word of the control interface

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from simulator.activity import Activity
from simulator.api import Api, endpoint
from simulator.bulk import Bulk
from simulator.clinic import Change, Clinic, NoSuchRecordError
from simulator.clock import Clock
from simulator.config import Config
from simulator.control import Control
from simulator.faults import AFTER_THE_FACT, Faults, answer_instead, spoil
from simulator.kinds import APPOINTMENTS, KINDS, NOTES, PATIENTS, kind_of_event
from simulator.lists import Lists
from simulator.localtime import utc_text
from simulator.messages import NOT_FOUND, RefusedError, Request, Response, answer
from simulator.oauth import OAuth
from simulator.practice import populate
from simulator.quota import Quota, parse_quota
from simulator.server import Server
from simulator.stats import Stats
from simulator.store import Fields, at_rest
from simulator.tokens import Tokens
from simulator.webhooks import Webhooks, WebhookSettings

_VIRTUAL_START = datetime(2026, 3, 10, 15, tzinfo=UTC)  # late morning of a working day in the practice


class Simulator:
    """`with Simulator(Config(patients=50)) as sim:` serves at `sim.url` until the block ends.

    Raises OSError when the port cannot be had. The data is made at construction, the port is taken by `start`.
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
        self.faults = Faults(config.seed, self.clock)
        self.lists = Lists(self.clinic, Bulk(config, self.clock))
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
        self._oauth = OAuth(config, self.tokens)
        self._api = Api(self.clinic, self.lists, self.tokens, self.quota, self.statistics)
        self._control = Control(self)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Origin of everything: `http://127.0.0.1:<port>`."""
        if self._server is None:
            raise RuntimeError("the simulator is not started")
        host = "127.0.0.1" if self.config.host in ("0.0.0.0", "") else self.config.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}"

    def start(self) -> Self:
        try:
            self._server = Server(self.config.host, self.config.port, self.handle)
        except OSError:
            self.stop()
            raise
        self._server.start()
        self.activity.set(self.config.activity)
        return self

    def stop(self) -> None:
        self.clock.close()
        if self._server is not None:
            self._server.stop()
        self.statistics.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def handle(self, request: Request) -> Response:
        """Answer one request, with the faults that are due."""
        if request.path.startswith("/control"):
            return self._answer(self._control, request)
        began = time.perf_counter()
        rule = self.faults.strike(request)
        if rule is not None and rule.fault not in AFTER_THE_FACT:
            response = answer_instead(rule, request, live=self.config.live)
        else:
            response = self._answer(self._part(request), request)
            if rule is not None:
                response = spoil(rule, response)
        if response.status == 429:
            self.statistics.count("throttled")
        outcome = str(response.status) if response.wire == "whole" else response.wire
        self.statistics.seen(
            endpoint(request),
            outcome,
            at=utc_text(self.clock.now()),
            target=request.target,
            seconds=time.perf_counter() - began,
        )
        return response

    def stats(self) -> dict[str, Any]:
        """What `GET /control/stats` shows."""
        return self.statistics.as_json(waiting=self.webhooks.waiting)

    def truth(self, kind: str) -> dict[str, Fields]:
        """All existing records of a kind by key, each as a verbose GET would show it (without the PDF's signature)."""
        with self.clinic.store.lock:
            records = self.clinic.store.existing(kind)
            return {record.key: json.loads(at_rest(record.current.json(verbose=True))) for record in records}

    def issue_token(self, scope: str = "") -> dict[str, Any]:
        """A token pair without authorization, as the token endpoint would answer; earlier pairs stay valid."""
        return self.tokens.answer(self.tokens.issue(scope))

    def settle(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until all deliveries that are under way have been answered."""
        return self.clock.settle(timeout_seconds)

    def change(
        self, kind: str | None = None, id: object = None, fields: Fields | None = None, webhook: bool = True
    ) -> dict[str, Any]:
        """Change a record, some record, or some record of a kind."""
        kind = self._some_kind(kind)
        key = self.clinic.pick(kind).key if id is None else id
        return self._do(webhook, lambda: self.clinic.change(kind, key, fields))

    def create(self, kind: str | None = None, fields: Fields | None = None, webhook: bool = True) -> dict[str, Any]:
        """Create a record; what `fields` does not give is made up."""
        kind = self._some_kind(kind)
        return self._do(webhook, lambda: self.clinic.create(kind, fields or {}))

    def delete(self, kind: str | None = None, id: object = None, webhook: bool = True) -> dict[str, Any]:
        """Delete a record; without a kind, an appointment that never took place."""
        kind = _known(kind or APPOINTMENTS)
        if id is None:
            id = self.clinic.pick(kind, lambda record: kind != APPOINTMENTS or not self.clinic.has_note(record)).key
        return self._do(webhook, lambda: self.clinic.delete(kind, id))

    def lock(self, id: object = None, locked: bool = True, webhook: bool = True) -> dict[str, Any]:
        """Lock a clinical note, or open it again."""
        if id is None:
            id = self.clinic.pick(NOTES, lambda note: self.clinic.is_locked(note) != locked).key
        return self._do(webhook, lambda: self.clinic.lock(id, locked=locked))

    def configure_webhook(self, **settings: Any) -> WebhookSettings:
        """Change some of the webhook's settings."""
        return self.webhooks.configure(settings)

    def verify_webhook(self) -> dict[str, Any]:
        """The ownership handshake."""
        verified, status = self.webhooks.verify()
        return {"verified": verified, "status": status}

    def send_webhook(self, event: str, id: object = None, copies: int = 1) -> dict[str, Any]:
        """Send an event about an existing record now, and wait for the answer."""
        kind = kind_of_event(event)
        if kind is None and event != "PING":
            raise ValueError(f"unknown event {event!r}")
        change = None
        if kind is not None:
            record = self.clinic.pick(kind) if id is None else self.clinic.find(kind, id)
            change = Change(kind, record.key, "modify", record.current)
        status, delivery = self.webhooks.send(event, change, copies)
        return {"event": event, "id": change and change.record_id, "status": status, "delivery": delivery.id}

    def _some_kind(self, kind: str | None) -> str:
        if kind is not None:
            return _known(kind)
        possible = [kind for kind in (PATIENTS, APPOINTMENTS) if self.clinic.store.by_key[kind]]
        return self.clinic.rng.choice(possible or [PATIENTS])

    def _do(self, webhook: bool, deed: Any) -> dict[str, Any]:
        with self.clinic.store.lock:
            self._muted = not webhook
            try:
                change: Change = deed()
            finally:
                self._muted = False
        event = self.webhooks.event_of(change) if webhook else None
        return {"kind": change.kind, "id": change.record_id, "event": event}

    def _announce(self, change: Change) -> None:
        if not self._muted:
            self.webhooks.hear(change)

    def _part(self, request: Request) -> Any:
        if request.path.startswith("/api/"):
            return self._api
        return self._oauth if request.path.startswith("/o/") else None

    def _answer(self, part: Any, request: Request) -> Response:
        if part is None:
            return answer(404, NOT_FOUND)
        try:
            response: Response = part.handle(request)
        except RefusedError as refused:
            return refused.response
        return response


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise NoSuchRecordError(f"there is no kind {kind!r}: one of {', '.join(KINDS)}")
    return kind
