"""`authorize`: from the URL that a person opens to the pair in token_refresher."""

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

# What terraform's output `redirect_uri` says to register.
REDIRECT_URI = "http://127.0.0.1:8765/callback"


def authorize(screen: Screen, target: TargetSystem, *, paste: bool, browser: bool) -> None:
    """paste: the redirect is read from what a person pastes, not from this machine's port.

    Raises AuthorizationFailed, SettingsError, and what the token's token_refresher raises.
    """
    api = target.system.api()
    redirect_uri = target.environ.get("DRCHRONO_REDIRECT_URI") or REDIRECT_URI
    _show_that_it_can_be_stored(target)
    check_reachable(api.url)
    state = new_state()
    url = authorization_url(
        api.url, client_id=api.client_id, redirect_uri=redirect_uri, state=state, writes=writes(target.environ)
    )
    screen.say("Open this address as the DrChrono user of this integration, and choose Authorize:", "bold")
    screen.say()
    screen.long(url)
    screen.say()
    screen.say(f"Should DrChrono complain about the redirect URI, enter {redirect_uri} in its API console.")
    if paste or urlsplit(redirect_uri).hostname not in LOOPBACK:
        screen.say("Then copy the address that the browser shows, whether or not it finds a page there.")
        screen.say("The code in it lives for a minute.")
        code = read_redirect(screen.ask("Address"), state)
    else:
        with RedirectListener(redirect_uri) as listener:
            if browser and has_browser(os.environ):
                webbrowser.open(url)
            screen.say(f"Waiting for the redirect to {redirect_uri} (Ctrl-C ends it; nothing is changed then).")
            code = listener.wait(state)
    granted = adopt(code, redirect_uri, target.system.token_endpoint(), target.system.token_refresher().adopt)
    _show(screen, target, granted.scope)


def _show_that_it_can_be_stored(target: TargetSystem) -> None:
    """Before anybody signs in: with the new pair the old one is dead. Raises AuthorizationFailed."""
    cloud = target.system.cloud()
    if not SecretVersions(connect(cloud), project=cloud.project, secret=cloud.token_secret).writable():
        raise AuthorizationFailed(
            f"the secret {cloud.token_secret} takes no new version, so nothing was begun: create it "
            "(terraform apply), or ask for roles/secretmanager.secretVersionManager on it"
        )


def has_browser(environ: Mapping[str, str]) -> bool:
    """Whether one can open in a window; one in this very terminal would be in the way."""
    return sys.platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _show(screen: Screen, target: TargetSystem, scope: str) -> None:
    report = target.system.token_refresher().report()
    life = duration(report.expires_in_seconds)
    screen.say(f"Authorized. The access token is good for {life}, until {clock(report.expires_at)}.", GOOD)
    screen.say(f"Granted: {scope or 'what was asked for'}")
    missing = [name for name in scopes(writes=writes(target.environ)) if scope and name not in scope.split()]
    if missing:
        screen.say(f"Not granted: {', '.join(missing)}. What needs them will be refused: authorize again.", BAD)
    try:
        _, needs = target.system.coverage().ask()
    except SyncError as error:
        screen.say(f"What this user may see is not known yet ({error.reason}); `doctor` asks again.", BAD)
    else:
        show_needs(screen, needs)
    screen.command("Next:", target.command("doctor"))
