"""`authorize`: authorizes the system with DrChrono in the browser, and stores the token pair."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from urllib.parse import urlsplit

from ops.coverage import show_needs
from ops.screen import BAD, GOOD, Screen, clock, duration
from ops.target_system import TargetSystem
from shared.cloud.secret_manager import SecretVersions, connect
from shared.errors import SyncError
from shared.settings import writes
from workstation.authorization import (
    LOOPBACK,
    AuthorizationFailed,
    RedirectListener,
    adopt,
    authorization_url,
    check_reachable,
    new_state,
    read_redirect,
    scopes,
)

# The value of terraform's output `redirect_uri`, which is registered with DrChrono.
REDIRECT_URI = "http://127.0.0.1:8765/callback"


def authorize(screen: Screen, target: TargetSystem, *, paste: bool, browser: bool) -> None:
    """paste: read the redirect from an address that a person pastes, not from a port of this machine.

    Raises AuthorizationFailed, SettingsError, and the errors of the token refresher.
    """
    api = target.system.api()
    redirect_uri = target.environ.get("DRCHRONO_REDIRECT_URI") or REDIRECT_URI
    _check_writable(target)
    check_reachable(api.url)
    state = new_state()
    url = authorization_url(
        api.url, client_id=api.client_id, redirect_uri=redirect_uri, state=state, writes=writes(target.environ)
    )
    screen.say("Open this address as the DrChrono user of this integration, and choose Authorize:", "bold")
    screen.say()
    screen.long(url)
    screen.say()
    screen.say(f"If DrChrono rejects the redirect URI, enter {redirect_uri} in its API console.")
    if paste or urlsplit(redirect_uri).hostname not in LOOPBACK:
        screen.say("Then copy the address that the browser shows, even if the page cannot be opened.")
        screen.say("The code in it expires after a minute.")
        code = read_redirect(screen.ask("Address"), state)
    else:
        with RedirectListener(redirect_uri) as listener:
            if browser and has_browser(os.environ):
                webbrowser.open(url)
            screen.say(f"Waiting for the redirect to {redirect_uri} (Ctrl-C cancels without changing anything).")
            code = listener.wait(state)
    granted = adopt(code, redirect_uri, target.system.token_endpoint(), target.system.token_refresher().adopt)
    _show(screen, target, granted.scope)


def _check_writable(target: TargetSystem) -> None:
    """Check before anybody signs in, because a new pair invalidates the old one. Raises AuthorizationFailed."""
    cloud = target.system.cloud()
    if not SecretVersions(connect(cloud), project=cloud.project, secret=cloud.token_secret).writable():
        raise AuthorizationFailed(
            f"the secret {cloud.token_secret} accepts no new version, so nothing was begun: create it "
            "(terraform apply), or ask for roles/secretmanager.secretVersionManager on it"
        )


def has_browser(environ: Mapping[str, str]) -> bool:
    """Return whether a browser can open in a window. One in this terminal would hide the program."""
    return sys.platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _show(screen: Screen, target: TargetSystem, scope: str) -> None:
    report = target.system.token_refresher().report()
    life = duration(report.expires_in_seconds)
    screen.say(f"Authorized. The access token is good for {life}, until {clock(report.expires_at)}.", GOOD)
    screen.say(f"Granted: {scope or 'the requested scopes'}")
    missing = [name for name in scopes(writes=writes(target.environ)) if scope and name not in scope.split()]
    if missing:
        screen.say(f"Not granted: {', '.join(missing)}. DrChrono will refuse what needs them: authorize again.", BAD)
    try:
        _, needs = target.system.coverage().ask()
    except SyncError as error:
        screen.say(f"What this user may see is not known yet ({error.reason}); `doctor` asks again.", BAD)
    else:
        show_needs(screen, needs)
    screen.command("Next:", target.command("doctor"))
