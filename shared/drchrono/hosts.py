"""The hosts that may receive the token: DrChrono's two hosts over https, or exactly the configured origin."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from shared.errors import ForeignHost

# Both are the same service. Links from one may name the other (DrChrono's support page on its change of domain).
DRCHRONO = frozenset({"https://drchrono.com", "https://app.drchrono.com"})


def allowed_origins(url: str) -> frozenset[str]:
    """Return the origins that links may lead to. `url` is the configured origin."""
    return DRCHRONO if url in DRCHRONO else frozenset({url})


def resolve_link(link: str, *, seen_at: str, allowed: frozenset[str], operation: str) -> tuple[str, str]:
    """Return origin and target (path with query, under `/api/`) of a link or redirect in the answer of `seen_at`.

    Raises ForeignHost if it leads elsewhere. The caller builds its URL from the returned parts, never from the link, so
    a parser that reads the link differently has no effect.
    """
    try:
        parts = urlsplit(urljoin(seen_at, link))
    except ValueError:
        raise _foreign(operation) from None
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if parts.scheme == "https":
        origin = origin.removesuffix(":443")
    if origin not in allowed or not parts.path.startswith("/api/") or ".." in parts.path:
        raise _foreign(operation)
    return origin, f"{parts.path}?{parts.query}" if parts.query else parts.path


def _foreign(operation: str) -> ForeignHost:
    return ForeignHost(operation, remedy="it links to an address outside DrChrono's API; the link was not followed")
