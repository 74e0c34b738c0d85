"""The entry points that Google Cloud calls, and all wiring. No decisions.

Nothing is built at import: the server imports this in its master process and serves in a forked worker, which gRPC
does not survive. What is built is built once, at the first request that needs it, under a lock; and what a function
does not use (Firestore, for a webhook on its normal way) is not even imported.
"""

from __future__ import annotations

import gc
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Generic, TypeVar

import flask
import functions_framework
from werkzeug.exceptions import HTTPException

from shared.errors import MessageUnusable, SettingsError, StoreUnavailable
from shared.log import log_context, log_crash, take_over
from shared.rate_limit.ledger import Lane
from shared.rate_limit.windows import requests_a_day
from shared.settings import (
    Environment,
    api_settings,
    cloud_settings,
    feed_settings,
    job_settings,
    log_level,
    webhook_settings,
)

if TYPE_CHECKING:
    from cloudevents.http import CloudEvent

    from functions.run_job import Jobs
    from functions.store_record import Store
    from shared.cloud.pubsub import Publisher
    from shared.documents import Documents
    from shared.drchrono.client import DrChrono
    from shared.feed.relay import Publish
    from shared.jobs.run import Parts
    from shared.outbox.work import Work
    from shared.queue.work_queue import WorkQueue
    from shared.rate_limit.limiter import RateLimiter
    from shared.records.absence import Absences
    from shared.records.announcing import Feed
    from shared.records.coverage import Coverages
    from shared.records.refresh import Refresh
    from shared.records.store import Records
    from shared.tokens.endpoint import TokenEndpoint
    from shared.tokens.refresher import TokenRefresher

T = TypeVar("T")


class Once(Generic[T]):
    """A value that is built at the first call and kept. What fails is tried again at the next."""

    def __init__(self, build: Callable[[], T]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._built: list[T] = []

    def __call__(self) -> T:
        if not self._built:
            with self._lock:
                if not self._built:
                    self._built.append(self._build())
        return self._built[0]


# What is loaded when the first job starts stays loaded, so the garbage collector need not visit it at each page.
_SETTLED = Once(gc.freeze)


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class System:
    """Every part, from the environment. `local` puts its own store and queue in the place of two of them."""

    def __init__(self, environ: Environment) -> None:
        self.cloud = Once(lambda: cloud_settings(environ))
        self.webhook = Once(lambda: webhook_settings(environ))
        self.api = Once(lambda: api_settings(environ))
        self.job = Once(lambda: job_settings(environ))
        self.feed_settings = Once(lambda: feed_settings(environ))
        self.project = Once(lambda: environ.get("GCP_PROJECT") or environ.get("GOOGLE_CLOUD_PROJECT") or "unknown")
        # Not at import: the server sets up loggers of its own after it has loaded this module.
        self.logging = Once(lambda: take_over(log_level(environ)))
        self.instance = Once(lambda: uuid.uuid4().hex[:12])
        self.documents: Callable[[], Documents] = Once(self._documents)
        self.outbox_documents: Callable[[], Documents] = Once(self._outbox_documents)
        self.publish: Callable[[], Callable[[bytes, Mapping[str, str]], None]] = Once(lambda: self._publisher().publish)
        self.publish_feed: Callable[[], Publish] = Once(self._publish_feed)
        self.feed = Once(self._feed)
        self.queue = Once(self._queue)
        self.records = Once(self._records)
        self.absences = Once(self._absences)
        self.rate_limiter = Once(self._rate_limiter)
        self.token_endpoint = Once(self._token_endpoint)
        self.token_refresher = Once(self._token_refresher)
        self.drchrono = Once(self._drchrono)
        self.coverage = Once(self._coverage)
        self.outbox = Once(self._outbox)
        self.store = Once(self._store)
        self.jobs = Once(self._jobs)

    def _documents(self) -> Documents:
        from shared.cloud.firestore import connect

        return connect(self.cloud())

    def _outbox_documents(self) -> Documents:
        """Where other programs put what they want written: the database of the records, or one of its own."""
        from shared.cloud.firestore import connect

        cloud = self.cloud()
        if cloud.outbox_database == cloud.database:
            return self.documents()
        return connect(replace(cloud, database=cloud.outbox_database))

    def _publisher(self) -> Publisher:
        from shared.cloud.pubsub import connect

        return connect(self.cloud())

    def _publish_feed(self) -> Publish:
        from shared.cloud.feed import FeedTopic

        return FeedTopic(self.cloud(), self.feed_settings().topic).publish

    def _feed(self) -> Feed | None:
        """None where the feed is off."""
        from shared.feed.filled import Fillings
        from shared.feed.outbox import Outbox
        from shared.feed.relay import Relay
        from shared.records.announcing import Feed

        mode = self.feed_settings().mode
        if mode == "off":
            return None
        outbox = Outbox(self.documents(), utc_now)
        relay = Relay(
            outbox,
            publish=lambda messages: self.publish_feed()(messages),
            now=utc_now,
            new_fence=lambda: uuid.uuid4().hex,
        )
        return Feed(outbox, relay, Fillings(self.documents()), announces_all=mode == "all")

    def _queue(self) -> WorkQueue:
        from shared.queue.work_queue import WorkQueue

        return WorkQueue(self.documents(), utc_now)

    def _rate_limiter(self) -> RateLimiter:
        from shared.rate_limit.limiter import RateLimiter

        return RateLimiter(
            self.documents(),
            self.api().quota,
            background_share=self.api().background_share,
            now=utc_now,
            sleep=time.sleep,
            instance=self.instance(),
        )

    def _token_endpoint(self) -> TokenEndpoint:
        from shared.tokens.endpoint import TokenEndpoint

        api = self.api()
        return TokenEndpoint(url=api.url, client_id=api.client_id, client_secret=api.client_secret, now=utc_now)

    def _token_refresher(self) -> TokenRefresher:
        from shared.cloud.secret_manager import SecretVersions, connect, legacy_tokens
        from shared.tokens.refresher import TokenRefresher

        cloud = self.cloud()
        client = connect(cloud)
        return TokenRefresher(
            documents=self.documents(),
            secret=SecretVersions(client, project=cloud.project, secret=cloud.token_secret),
            refresh=self.token_endpoint().refresh,
            now=utc_now,
            sleep=time.sleep,
            random=random.random,
            owner=self.instance(),
            legacy_tokens=lambda: legacy_tokens(client, cloud.project),
        )

    def _drchrono(self) -> DrChrono:
        from shared.drchrono.client import DrChrono

        return DrChrono(
            url=self.api().url,
            tokens=self.token_refresher(),
            limiter=self.rate_limiter(),
            now=utc_now,
            sleep=time.sleep,
            random=random.random,
            list_protocol=self._list_protocol(),
        )

    def _list_protocol(self) -> Mapping[str, str] | None:
        """How DrChrono answered other instances' bulk lists."""
        return (self.documents().get("sync_state/api") or {}).get("list_protocol")

    def remember_list_protocol(self) -> None:
        found = self.drchrono().list_protocol
        if found is not None and found != self._list_protocol():
            self.documents().transact(
                lambda transaction: transaction.set("sync_state/api", {"list_protocol": dict(found)})
            )

    def _records(self) -> Records:
        from shared.records.announcing import Announcing
        from shared.records.store import Records

        days = self.feed_settings().history_days
        history = timedelta(days=days) if days else None
        return Records(self.documents(), utc_now, Announcing(self.documents(), self.feed(), history))

    def _absences(self) -> Absences:
        from shared.records.absence import Absences

        return Absences(self.documents(), self.records(), self.queue(), utc_now)

    def _coverage(self) -> Coverages:
        from shared.records.coverage import Coverages

        return Coverages(
            self.documents(),
            current_user=lambda: self.drchrono().in_lane(Lane.BACKGROUND).current_user(),
            scopes=lambda: self.token_refresher().report().scope,
            now=utc_now,
        )

    def _refresh(self, api: DrChrono) -> Refresh:
        from shared.records.refresh import Refresh

        return Refresh(
            api=api,
            records=self.records(),
            queue=self.queue(),
            absences=self.absences(),
            now=utc_now,
        )

    def _outbox(self) -> Work:
        from shared.outbox.work import assembled

        client = self.drchrono()
        return assembled(
            entries=self.outbox_documents(),
            copy=self.documents(),
            apis={lane: client.in_lane(lane) for lane in Lane},
            records=self.records(),
            queue=self.queue(),
            now=utc_now,
            sleep=time.sleep,
            random=random.random,
            new_fence=lambda: uuid.uuid4().hex,
        )

    def _store(self) -> Store:
        from functions.store_record import Store
        from shared.queue.single_flight import SingleFlight

        return Store(
            refresh=self._refresh(self.drchrono().in_lane(Lane.LIVE)),
            records=self.records(),
            queue=self.queue(),
            single_flight=SingleFlight(),
            now=utc_now,
            sleep=time.sleep,
            random=random.random,
        )

    def parts(self) -> Parts:
        """What one run of a job works with."""
        from shared.jobs.checkpoints import Checkpoints
        from shared.jobs.leases import Leases
        from shared.jobs.run import Parts
        from shared.jobs.seen import Seen
        from shared.jobs.waiting import WaitingLimiter
        from shared.records.zones import Zones

        documents = self.documents()
        _SETTLED()
        waiting = WaitingLimiter(self.rate_limiter(), utc_now, time.sleep)
        background = self.drchrono().in_lane(Lane.BACKGROUND, waiting)
        return Parts(
            lists=background,
            events=self._refresh(self.drchrono().in_lane(Lane.LIVE)),
            children=self._refresh(background),
            waiting=waiting,
            pass_requests_a_day=self.api().pass_share * requests_a_day(self.api().quota),
            records=self.records(),
            queue=self.queue(),
            absences=self.absences(),
            checkpoints=Checkpoints(documents),
            leases=Leases(documents, utc_now, lambda: uuid.uuid4().hex),
            seen=Seen(documents),
            zones=Zones(documents),
            coverage=self.coverage(),
            now=utc_now,
            random=random.random,
            overlap=True,
            outbox=self.outbox() if self.job().writes else None,
            feed=self.feed(),
        )

    def _jobs(self) -> Jobs:
        from functions.run_job import Jobs

        return Jobs(
            parts=self.parts,
            refresh_token=lambda force: self.token_refresher().refresh_if_due(force=force).as_json(),
            deadline=timedelta(seconds=self.job().deadline_seconds),
        )


def guarded(system: System, function: str, traceparent: str, work: Callable[[], T]) -> T:
    """Run one request of `function`: its log lines belong together, and a traceback, which would show what was being
    handled, is one line instead.
    """
    system.logging()
    with log_context(function, traceparent, system.project()):
        try:
            return work()
        except Exception as error:
            log_crash(function, error)
            flask.abort(500)


def receive(system: System, request: flask.Request) -> flask.Response:
    import functions.receive_webhook as door

    def work() -> flask.Response:
        try:
            system.cloud()
            settings = system.webhook()
        except SettingsError as error:
            return door.misconfigured(error)
        return door.handle(
            request,
            settings=settings,
            publish=lambda data, attributes: system.publish()(data, attributes),
            now=utc_now,
        )

    return guarded(system, "receive_webhook", request.headers.get("traceparent", ""), work)


def store(system: System, event: object) -> None:
    """Whatever is not 2xx, Pub/Sub delivers again, and at last carries to the dead-letter topic."""
    from functions.store_record import handle, traceparent

    def work() -> int:
        try:
            handle(event, system.store())
        except MessageUnusable:
            return 400
        except StoreUnavailable:
            return 503
        return 204

    status = guarded(system, "store_record", traceparent(event), work)
    if status != 204:
        flask.abort(status)


def send(system: System, attributes: Mapping[str, object]) -> None:
    """Whatever is not 2xx, Eventarc delivers again; what is lost, the sync finds."""
    from functions.send_writes import handle

    def work() -> int:
        try:
            handle(attributes.get("document"), system.outbox())
        except StoreUnavailable:
            return 503
        return 204

    status = guarded(system, "send_writes", str(attributes.get("traceparent", "")), work)
    if status != 204:
        flask.abort(status)


def run(system: System, request: flask.Request) -> flask.Response:
    from functions.run_job import handle

    def work() -> flask.Response:
        answer = handle(request, system.jobs())
        if answer.status_code == 200:
            system.remember_list_protocol()
        return answer

    return guarded(system, "run_job", request.headers.get("traceparent", ""), work)


SYSTEM = System(os.environ)


@functions_framework.errorhandler(400)  # type: ignore[untyped-decorator]
@functions_framework.errorhandler(500)  # type: ignore[untyped-decorator]
def say_nothing(error: Exception) -> tuple[str, int]:
    """The framework's own answers repeat what was sent, or the text of the exception."""
    status = error.code if isinstance(error, HTTPException) and error.code else 500
    return "", status


@functions_framework.http
def receive_webhook(request: flask.Request) -> flask.Response:
    return receive(SYSTEM, request)


@functions_framework.cloud_event
def store_record(event: CloudEvent) -> None:
    store(SYSTEM, event.data)


@functions_framework.cloud_event
def send_writes(event: CloudEvent) -> None:
    send(SYSTEM, event.get_attributes())


@functions_framework.http
def run_job(request: flask.Request) -> flask.Response:
    return run(SYSTEM, request)
