"""Builds the rate limiter, the token refresher and the API client."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.clock import utc_now

if TYPE_CHECKING:
    from shared.documents import Documents
    from shared.drchrono.client import DrChrono
    from shared.rate_limit.limiter import RateLimiter
    from shared.settings import ApiSettings, CloudSettings
    from shared.tokens.endpoint import TokenEndpoint
    from shared.tokens.refresher import TokenRefresher

# The document that tells all instances how DrChrono answers bulk lists.
LIST_PROTOCOL = "sync_state/api"


def rate_limiter(documents: Documents, settings: ApiSettings, instance: str) -> RateLimiter:
    from shared.rate_limit.limiter import RateLimiter

    return RateLimiter(
        documents,
        settings.quota,
        background_share=settings.background_share,
        now=utc_now,
        sleep=time.sleep,
        instance=instance,
    )


def token_endpoint(settings: ApiSettings) -> TokenEndpoint:
    from shared.tokens.endpoint import TokenEndpoint

    return TokenEndpoint(
        url=settings.url, client_id=settings.client_id, client_secret=settings.client_secret, now=utc_now
    )


def token_refresher(
    documents: Documents, settings: CloudSettings, endpoint: TokenEndpoint, instance: str
) -> TokenRefresher:
    from shared.cloud.secret_manager import SecretVersions, connect, legacy_tokens
    from shared.tokens.refresher import TokenRefresher

    client = connect(settings)
    return TokenRefresher(
        documents=documents,
        secret=SecretVersions(client, project=settings.project, secret=settings.token_secret),
        refresh=endpoint.refresh,
        now=utc_now,
        sleep=time.sleep,
        random=random.random,
        owner=instance,
        legacy_tokens=lambda: legacy_tokens(client, settings.project),
    )


def client(documents: Documents, url: str, tokens: TokenRefresher, limiter: RateLimiter) -> DrChrono:
    from shared.drchrono.client import DrChrono

    return DrChrono(
        url=url,
        tokens=tokens,
        limiter=limiter,
        now=utc_now,
        sleep=time.sleep,
        random=random.random,
        list_protocol=_list_protocol(documents),
    )


def remember_list_protocol(documents: Documents, client: DrChrono) -> None:
    """Store how DrChrono answered this instance's bulk lists, for the other instances."""
    found = client.list_protocol
    if found is not None and found != _list_protocol(documents):
        documents.transact(lambda transaction: transaction.set(LIST_PROTOCOL, {"list_protocol": dict(found)}))


def _list_protocol(documents: Documents) -> Mapping[str, str] | None:
    return (documents.get(LIST_PROTOCOL) or {}).get("list_protocol")
