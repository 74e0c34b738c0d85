"""`authorize` in a real terminal, with the pages of the simulated DrChrono: success and each failure."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pexpect
import requests

from local.emulators import free_port
from simulator import Config, Simulator
from tests.ops.conftest import Practice
from tests.ops.terminal import plain, start


@contextmanager
def asked(practice: Practice, *options: str) -> Iterator[tuple[pexpect.spawn[str], str]]:
    """Start the command, and return it with the address that it printed."""
    child = start(practice.folder, "authorize", "--local", *options)
    try:
        child.expect(r"http://\S+/o/authorize/\S+\s")
        yield child, str(child.after).strip()
    finally:
        child.close(force=True)


def ended(child: pexpect.spawn[str]) -> str:
    """Return the output after the address, once the command has ended."""
    child.expect(pexpect.EOF)
    child.close()
    return plain(child.before or "")


def test_the_browser_is_redirected_back_and_the_new_pair_is_stored(practice: Practice) -> None:
    practice.authorize()
    before = practice.system.token_refresher().report().generation
    with asked(practice) as (child, url):
        query = parse_qs(urlsplit(url).query)
        assert query["scope"] == ["patients:read clinical:read calendar:read user:read"]
        assert len(query["state"][0]) >= 32
        child.expect("Waiting for the redirect")
        page = requests.get(url, timeout=5)
        assert "You can close this window" in page.text
        said = ended(child)
    assert child.exitstatus == 0
    assert "Authorized. The access token is good for 60 min" in said
    assert "Granted: patients:read clinical:read calendar:read user:read" in said
    assert "Next: python -m ops doctor --local" in said
    practice.write()
    assert practice.system.token_refresher().report().generation == before + 1
    assert practice.system.token_refresher().current() not in said
    assert practice.system.drchrono().current_user()


def test_the_redirect_may_be_pasted_and_what_was_not_granted_is_named(practice: Practice) -> None:
    practice.write(DRCHRONO_WRITES="on")
    with asked(practice, "--paste") as (child, url):
        child.expect("Address: ")
        less = url.replace("+calendar%3Awrite", "")
        child.sendline(requests.get(less, allow_redirects=False, timeout=5).headers["Location"])
        said = ended(child)
    assert "Authorized." in said
    assert "Not granted: calendar:write." in said
    assert child.exitstatus == 0


def test_a_redirect_address_elsewhere_is_pasted_without_asking_for_it(practice: Practice) -> None:
    elsewhere = "https://practice.example/callback"
    with Simulator(Config(patients=0, redirect_uris=(elsewhere,))) as simulator:
        practice.write(DRCHRONO_URL=simulator.url, DRCHRONO_REDIRECT_URI=elsewhere)
        with asked(practice) as (child, url):
            child.expect("Address: ")
            child.sendline(requests.get(url, allow_redirects=False, timeout=5).headers["Location"])
            assert "Authorized." in ended(child)


def test_the_state_of_another_authorization_is_refused(practice: Practice) -> None:
    with asked(practice, "--paste") as (child, url):
        child.expect("Address: ")
        other = re.sub(r"state=[^&]+", "state=somebody-elses", url)
        child.sendline(requests.get(other, allow_redirects=False, timeout=5).headers["Location"])
        said = ended(child)
    assert "error: the redirect belongs to another authorization: open the printed URL again" in said
    assert child.exitstatus == 1


def test_a_denied_authorization_is_reported(practice: Practice) -> None:
    with asked(practice) as (child, url):
        child.expect("Waiting")
        denied = parse_qs(urlsplit(url).query)
        back = f"{practice.environment['DRCHRONO_REDIRECT_URI']}?error=access_denied&state={denied['state'][0]}"
        requests.get(back, timeout=5)
        said = ended(child)
    assert "error: the access was not allowed: open the URL again and choose Authorize" in said
    assert child.exitstatus == 1


def test_a_code_that_is_too_old_or_used_says_that_it_lives_a_minute(practice: Practice) -> None:
    with asked(practice, "--paste") as (child, url):
        child.expect("Address: ")
        redirect = requests.get(url, allow_redirects=False, timeout=5).headers["Location"]
        code = parse_qs(urlsplit(redirect).query)["code"][0]
        practice.simulator.tokens.exchange(code, practice.environment["DRCHRONO_REDIRECT_URI"])
        child.sendline(redirect)
        said = ended(child)
    assert "error: DrChrono refused the code" in said
    assert "a minute" in said
    assert code not in said.partition("error: ")[2]


def test_a_wrong_client_secret_is_named(practice: Practice) -> None:
    practice.write(DRCHRONO_CLIENT_SECRET="another")
    with asked(practice) as (child, url):
        child.expect("Waiting")
        requests.get(url, timeout=5)
        said = ended(child)
    assert "error: DrChrono does not know this client id with this client secret" in said
    assert "DRCHRONO_CLIENT_SECRET" in said


def test_an_address_that_is_not_registered_is_named_beforehand(practice: Practice) -> None:
    practice.write(DRCHRONO_REDIRECT_URI="http://127.0.0.1:1024/callback")
    with asked(practice, "--paste") as (child, url):
        child.expect("Address: ")
        assert "enter http://127.0.0.1:1024/callback in its API console" in plain(child.before or "")
        assert "Mismatching redirect URI" in requests.get(url, timeout=5).text


def test_nothing_is_begun_where_the_pair_could_not_be_stored(practice: Practice) -> None:
    practice.secrets.secrets.denied.add("secretmanager.versions.add")
    shown = practice.ops("authorize")
    assert shown.exit_code == 1
    assert "accepts no new version, so nothing was begun" in shown.stderr
    assert "/o/authorize/" not in shown.output


def test_ctrl_c_changes_nothing(practice: Practice) -> None:
    with asked(practice) as (child, _):
        child.expect("Waiting")
        child.sendintr()
        ended(child)
    assert child.exitstatus not in (0, None)
    assert practice.ops("status").output.count("never authorized") == 1


def test_a_port_that_is_in_use_is_named(practice: Practice) -> None:
    taken = practice.simulator.url.rpartition(":")[2]
    practice.write(DRCHRONO_REDIRECT_URI=f"http://127.0.0.1:{taken}/callback")
    shown = practice.ops("authorize")
    assert f"port {taken} of DRCHRONO_REDIRECT_URI is in use" in shown.stderr


def test_a_web_page_that_calls_the_port_does_not_end_it(practice: Practice) -> None:
    with asked(practice) as (child, url):
        child.expect("Waiting for the redirect")
        port = practice.environment["DRCHRONO_REDIRECT_URI"]
        silent = socket.create_connection(("127.0.0.1", urlsplit(port).port or 0))
        for query in ("", "?state=guessed&code=theirs", "?error=access_denied", "?state=%C3%A9"):
            refused = requests.get(port + query, timeout=5)
            assert refused.status_code == 400
            assert "open the address that the terminal shows now" in refused.text
        assert requests.get(url, timeout=5).status_code == 200
        assert "Authorized." in ended(child)
        silent.close()
    assert child.exitstatus == 0


def test_a_drchrono_that_does_not_answer_is_named_before_anybody_opens_a_browser(practice: Practice) -> None:
    practice.write(DRCHRONO_URL=f"http://127.0.0.1:{free_port()}")
    shown = practice.ops("authorize")
    assert shown.exit_code == 1
    assert "does not answer (ConnectionError), so nothing was begun: check DRCHRONO_URL" in shown.stderr
    assert "/o/authorize/" not in shown.output
