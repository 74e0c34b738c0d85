"""Every part of the system, built from the environment. No decisions.

Nothing is built at import, because the server imports this module in its master process and serves in a forked worker,
and gRPC clients do not survive a fork. Each part is built once, under a lock, at the first request that needs it. A
function does not even import what it does not use: receive_webhook loads neither Firestore nor the API client.
"""

from __future__ import annotations

import gc
import random
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from shared.clock import utc_now
from shared.log import take_over
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
from shared.wiring import cloud, drchrono, records
from shared.wiring.once import Once

if TYPE_CHECKING:
    from shared.documents import Documents
    from shared.drchrono.client import DrChrono
    from shared.feed.relay import Publish
    from shared.jobs.run import Parts
    from shared.outbox.work import Work
    from shared.records.refresh import Refresh
    from shared.wiring.cloud import Publisher

# Objects loaded before the first job stay for the life of the process, so the garbage collector need not scan them.
_SETTLED = Once(gc.freeze)


class System:
    """The parts. `workstation` replaces the store and the publishers, `ops` the settings of the API."""

    def __init__(self, environ: Environment) -> None:
        self.cloud = Once(lambda: cloud_settings(environ))
        self.webhook = Once(lambda: webhook_settings(environ))
        self.api = Once(lambda: api_settings(environ))
        self.job = Once(lambda: job_settings(environ))
        self.feed_settings = Once(lambda: feed_settings(environ))
        self.project = Once(lambda: environ.get("GCP_PROJECT") or environ.get("GOOGLE_CLOUD_PROJECT") or "unknown")
        # Not at import, because the server sets up its own loggers after it has loaded the entry points.
        self.logging = Once(lambda: take_over(log_level(environ)))
        self.instance = Once(lambda: uuid.uuid4().hex[:12])

        self.documents: Callable[[], Documents] = Once(lambda: cloud.documents(self.cloud()))
        self.outbox_documents: Callable[[], Documents] = Once(
            lambda: cloud.outbox_documents(self.cloud(), lambda: self.documents())
        )
        self.publish: Callable[[], Publisher] = Once(lambda: cloud.publisher(self.cloud()))
        self.publish_feed: Callable[[], Publish] = Once(
            lambda: cloud.feed_publisher(self.cloud(), self.feed_settings().topic)
        )

        self.rate_limiter = Once(lambda: drchrono.rate_limiter(self.documents(), self.api(), self.instance()))
        self.token_endpoint = Once(lambda: drchrono.token_endpoint(self.api()))
        self.token_refresher = Once(
            lambda: drchrono.token_refresher(self.documents(), self.cloud(), self.token_endpoint(), self.instance())
        )
        self.drchrono = Once(
            lambda: drchrono.client(self.documents(), self.api().url, self.token_refresher(), self.rate_limiter())
        )

        self.queue = Once(lambda: records.queue(self.documents()))
        self.feed = Once(lambda: records.feed(self.documents(), self.feed_settings(), lambda: self.publish_feed()))
        self.records = Once(lambda: records.records(self.documents(), self.feed(), self.feed_settings()))
        self.absences = Once(lambda: records.absences(self.documents(), self.records(), self.queue()))
        self.coverage = Once(
            lambda: records.coverage(self.documents(), lambda: self.drchrono(), lambda: self.token_refresher())
        )
        self.outbox = Once(self._outbox)

    def refresh(self, lane: Lane) -> Refresh:
        """Return what fetches and stores records, within the lane's share of the quota."""
        return self._refresh(self.drchrono().in_lane(lane))

    def parts(self) -> Parts:
        """Return the parts for one run of a job."""
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
            events=self.refresh(Lane.LIVE),
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

    def remember_list_protocol(self) -> None:
        drchrono.remember_list_protocol(self.documents(), self.drchrono())

    def _refresh(self, api: DrChrono) -> Refresh:
        return records.refresh(api, self.records(), self.queue(), self.absences())

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
