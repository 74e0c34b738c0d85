"""Who may use the page: only the person who started it, through the page's own forms.

The server listens on loopback. That alone excludes neither another user of this machine nor a web page in the
operator's browser, so each request must carry:

- the key that the command printed, then as a cookie (SameSite=Strict, HttpOnly);
- the host that it listens on, so that no other name that resolves to it (DNS rebinding) can read anything;
- if it changes something: our own origin, and a token that only our pages hold (CSRF).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

HEADERS = {
    # Only scripts, styles and images from our own files, nothing inline, no frames, no forms to other sites.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types console"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With `no-referrer`, browsers would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Refused:
    """status: HTTP. because: for a person."""

    status: int
    because: str


@dataclass(frozen=True)
class Guard:
    """port: where the page listens. key: printed by the command."""

    port: int
    key: str = field(repr=False)

    @property
    def cookie(self) -> str:
        """The cookie's name. All ports of a host share cookies, so two consoles need two names."""
        return f"console-{self.port}"

    @property
    def token(self) -> str:
        """The token that our forms send."""
        return hmac.new(self.key.encode(), b"form", hashlib.sha256).hexdigest()

    @property
    def hosts(self) -> tuple[str, ...]:
        return (f"127.0.0.1:{self.port}", f"localhost:{self.port}")

    def is_key(self, given: str) -> bool:
        return _equal(given, self.key)

    def refuses_host(self, host: str) -> Refused | None:
        if host in self.hosts:
            return None
        return Refused(421, "This is not the address of the console: open the one that the command printed.")

    def refuses(self, method: str, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Refused | None:
        """Return why a request is refused; None if it is allowed. `refuses_form` checks the form's token."""
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return Refused(403, "Another page asked for this. Open the console by its own address.")
        if not self.is_key(cookies.get(self.cookie, "")):
            return Refused(403, "Open the address that the command printed, with its key.")
        origins = [f"http://{host}" for host in self.hosts]
        if method not in ("GET", "HEAD") and headers.get("Origin") not in origins:
            return Refused(403, "Nothing was done: the request did not come from a page of the console.")
        return None

    def refuses_form(self, given: str) -> Refused | None:
        if _equal(given, self.token):
            return None
        return Refused(403, "Nothing was done: the form is of an earlier console. Go back to the start page.")


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
