"""Where the token may go: to DrChrono's own two hosts over https, or to exactly the configured origin."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from shared.errors import ForeignHost

# The same service; links of one may name the other (DrChrono's support page on the change of its domain).
DRCHRONO = frozenset({"https://drchrono.com", "https://app.drchrono.com"})


def allowed_origins(url: str) -> frozenset[str]:
    """The origins that links may lead to where `url` is the configured one."""
    return DRCHRONO if url in DRCHRONO else frozenset({url})


def resolve_link(link: str, *, seen_at: str, allowed: frozenset[str], operation: str) -> tuple[str, str]:
    """Origin and target (path with query, under `/api/`) of a link or redirect that `seen_at` answered.

    Raises ForeignHost where it leads anywhere else. The caller builds its URL from what this returns, never from the
    link: whatever another parser would read into the link has no effect.
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
    return ForeignHost(operation, remedy="it names an address outside DrChrono's API, which was not asked")
