"""The first authorization, and the webhook's ownership handshake. With the simulator, both are automatic."""

from __future__ import annotations

import contextlib
import threading

import requests

from local.control import Control, Failed
from local.options import Options
from local.terminal import Terminal
from shared.errors import TokenError
from shared.settings import writes
from shared.wiring.system import System
from workstation.authorization import RedirectListener, adopt, authorization_url, check_reachable, new_state

BROWSER_SECONDS = 10.0


def authorize(options: Options, terminal: Terminal, system: System) -> None:
    """Authorize as in the guide's "Initial Authorization". Reuse the token pair of an earlier run if it still works."""
    if options.url is not None:
        with contextlib.suppress(TokenError):
            system.token_refresher().current()
            terminal.say("The token of an earlier run is used.")
            return
    redirect_uri, state = options.settings["DRCHRONO_REDIRECT_URI"], new_state()
    api = system.api()
    may_write = writes(options.settings)
    url = authorization_url(api.url, client_id=api.client_id, redirect_uri=redirect_uri, state=state, writes=may_write)
    check_reachable(api.url)
    with RedirectListener(redirect_uri) as listener:
        if options.url is None:
            _allow(url)
        else:
            terminal.say("Open this URL in a browser, and allow the access:\n")
            terminal.long(f"  {url}\n")
            terminal.say(f"Waiting for the redirect to {redirect_uri} …", style="dim")
        code = listener.wait(state)
    granted = adopt(code, redirect_uri, system.token_endpoint(), system.token_refresher().adopt)
    terminal.say(f"Authorized for {granted.scope or 'all requested scopes'}.")


def _allow(url: str) -> None:
    """Allow the access as the simulated person does, and follow the redirect as a browser does."""
    answer = requests.get(url, allow_redirects=False, timeout=BROWSER_SECONDS)
    if answer.status_code != 302:
        raise Failed(f"the simulator answered {answer.status_code} to the authorization")

    def follow() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.get(answer.headers["Location"], timeout=BROWSER_SECONDS)

    threading.Thread(target=follow, daemon=True).start()


def verify_webhook(terminal: Terminal, control: Control) -> None:
    control.do("webhook", require_verification=True)
    answer = control.do("webhook/verify")
    if not answer or not answer["verified"]:
        raise Failed("the webhook's ownership handshake failed: look into receive_webhook.log")
    terminal.say("The webhook's ownership handshake succeeded.")
