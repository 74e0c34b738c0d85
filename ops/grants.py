"""`doctor` for Pub/Sub: checks the subscription, and the grants that it depends on (terraform/pubsub.tf)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.target_system import TargetSystem
from ops.verdict import Failed, Skipped

CALL_SECONDS = 10.0
SUBSCRIPTION = "drchrono-events-store-record"
DEAD_LETTERS = "drchrono-events-dead"
# store_record may run for two minutes. Pub/Sub must not deliver the message again meanwhile.
LEAST_ACK_SECONDS = 130

AGENT = r"serviceAccount:service-\d+@gcp-sa-pubsub\.iam\.gserviceaccount\.com"
RECEIVER = r"serviceAccount:drchrono-receive-webhook@.*"


@dataclass(frozen=True)
class Grant:
    """resource: `topics/…` or `subscriptions/…`. without: what fails without the grant."""

    resource: str
    role: str
    member: str
    without: str


def grants(topic: str) -> tuple[Grant, ...]:
    return (
        Grant(f"topics/{topic}", "roles/pubsub.publisher", RECEIVER, "webhooks are refused"),
        Grant(f"topics/{DEAD_LETTERS}", "roles/pubsub.publisher", AGENT, "dead letters are not moved"),
        Grant(
            f"subscriptions/{SUBSCRIPTION}",
            "roles/pubsub.subscriber",
            AGENT,
            "dead letters are not moved",
        ),
    )


def check_subscription(target: TargetSystem, now: Callable[[], datetime]) -> str:
    _needs_pubsub(target)
    from google.pubsub_v1 import SubscriberClient

    cloud = target.system.cloud()
    name = f"projects/{cloud.project}/subscriptions/{SUBSCRIPTION}"
    with _translated("roles/pubsub.viewer"):
        found = SubscriberClient().get_subscription(subscription=name, retry=None, timeout=CALL_SECONDS)
    function = target.deployment.functions.get("store_record") if target.deployment else None
    problems = []
    if not found.push_config.push_endpoint:
        problems.append("it has no push endpoint")
    elif function is not None and found.push_config.push_endpoint != function.url:
        problems.append("its push endpoint is not store_record's URL")
    if not found.topic.endswith(f"/topics/{cloud.topic}"):
        problems.append(f"its topic is not {cloud.topic}")
    if found.ack_deadline_seconds < LEAST_ACK_SECONDS:
        problems.append(f"its ack deadline is {found.ack_deadline_seconds} s")
    if not found.dead_letter_policy.dead_letter_topic.endswith(f"/topics/{DEAD_LETTERS}"):
        problems.append("it has no dead-letter topic")
    if problems:
        raise Failed(f"{SUBSCRIPTION}: {', '.join(problems)}", "`terraform apply`")
    return f"{SUBSCRIPTION} pushes to store_record and has a dead-letter topic"


def check_grants(target: TargetSystem, now: Callable[[], datetime]) -> str:
    _needs_pubsub(target)
    if target.environ.get("PUBSUB_EMULATOR_HOST"):
        raise Skipped("the emulator has no grants")
    cloud = target.system.cloud()
    missing = [grant for grant in grants(cloud.topic) if not _is_granted(cloud.project, grant)]
    if missing:
        lost = "; ".join(f"{grant.role} on {grant.resource} is missing: {grant.without}" for grant in missing)
        raise Failed(lost, "`terraform apply`")
    return "the receiver may publish, and Pub/Sub may move dead letters"


def _is_granted(project: str, grant: Grant) -> bool:
    from google.pubsub_v1 import PublisherClient

    with _translated("roles/iam.securityReviewer"):
        # The publisher client can read the policies of subscriptions, too.
        policy: Any = PublisherClient().get_iam_policy(
            request={"resource": f"projects/{project}/{grant.resource}"}, retry=None, timeout=CALL_SECONDS
        )
    members = [member for binding in policy.bindings if binding.role == grant.role for member in binding.members]
    return any(re.fullmatch(grant.member, member) for member in members)


def _needs_pubsub(target: TargetSystem) -> None:
    if target.folder is not None:
        raise Skipped("the embedded queue has neither subscription nor grants")


@contextmanager
def _translated(role: str) -> Iterator[None]:
    """Raise Google's errors as verdicts. role: the role that the call requires."""
    from google.api_core.exceptions import GoogleAPIError, NotFound, PermissionDenied
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except PermissionDenied:
        raise Skipped("you may not look at it", f"ask for {role} on the project") from None
    except NotFound:
        raise Failed("it does not exist", "`terraform apply`") from None
    except (GoogleAPIError, GoogleAuthError) as error:
        raise Failed(f"Pub/Sub: {type(error).__name__}", "try again; see status.cloud.google.com") from None
