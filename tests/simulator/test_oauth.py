"""Authorization, token rotation and revocation, scopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from .conftest import Caller

Simulate = Callable[..., Caller]
CLIENT = {"client_id": "simulator-client", "client_secret": "simulator-secret"}
REDIRECT = "http://127.0.0.1:8765/callback"
SIX_SCOPES = "patients:read patients:write clinical:read calendar:read calendar:write user:read"
ASKED = {"response_type": "code", "client_id": "simulator-client", "redirect_uri": REDIRECT, "scope": SIX_SCOPES}


def authorize(caller: Caller, **changes: str) -> dict[str, str]:
    """Return the query parameters of the redirect."""
    response = caller.get("/o/authorize/", **{**ASKED, "state": "st&te", **changes})
    assert response.status_code == 302
    location = response.headers["Location"]
    assert location.startswith(f"{REDIRECT}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def token(caller: Caller, **form: str) -> requests.Response:
    return caller.call("POST", "/o/token/", data={**CLIENT, **form})


def exchange(caller: Caller, code: str, **changes: str) -> requests.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    return token(caller, **{**form, **changes})


def refresh(caller: Caller, refresh_token: str) -> requests.Response:
    return token(caller, grant_type="refresh_token", refresh_token=refresh_token)


def works(caller: Caller, pair: dict[str, Any]) -> bool:
    caller.use(pair["access_token"])
    return caller.get("/api/users/current").status_code in (200, 302)


def is_invalid_grant(response: requests.Response) -> bool:
    return (response.status_code, response.json()) == (401, {"error": "invalid_grant"})


@pytest.mark.parametrize(("form", "seconds"), [("guide", 3600), ("live", 172_800)])
def test_a_code_is_exchanged_for_a_working_pair(simulate: Simulate, form: str, seconds: int) -> None:
    caller = simulate(form=form)
    back = authorize(caller)
    assert back["state"] == "st&te"
    response = exchange(caller, back["code"])
    assert response.status_code == 200
    pair = response.json()
    assert set(pair) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (pair["token_type"], pair["expires_in"], pair["scope"]) == ("Bearer", seconds, SIX_SCOPES)
    assert works(caller, pair)
    caller.simulator.clock.advance(seconds - 1)
    assert works(caller, pair)
    caller.simulator.clock.advance(1)
    assert not works(caller, pair)


def test_a_code_works_once_before_it_expires_and_with_its_own_redirect_uri(simulate: Simulate) -> None:
    caller = simulate()
    assert is_invalid_grant(exchange(caller, authorize(caller)["code"], redirect_uri=REDIRECT + "/"))
    code = authorize(caller)["code"]
    assert exchange(caller, code).status_code == 200
    assert is_invalid_grant(exchange(caller, code))
    late = authorize(caller)["code"]
    caller.simulator.clock.advance(61)
    assert is_invalid_grant(exchange(caller, late))
    assert is_invalid_grant(exchange(caller, "made-up"))


@pytest.mark.parametrize("changes", [{"client_id": "other"}, {"redirect_uri": REDIRECT + "?"}, {"redirect_uri": ""}])
def test_a_wrong_client_or_redirect_uri_is_never_redirected_to(simulate: Simulate, changes: dict[str, str]) -> None:
    response = simulate().get("/o/authorize/", **{**ASKED, **changes})
    assert response.status_code == 400
    assert "Location" not in response.headers


def test_one_unknown_scope_fails_the_whole_authorization(simulate: Simulate) -> None:
    assert authorize(simulate(), scope=SIX_SCOPES + " patients:admin") == {"error": "invalid_scope", "state": "st&te"}


def test_no_scope_requests_all_scopes(simulate: Simulate) -> None:
    caller = simulate()
    pair = exchange(caller, authorize(caller, scope="")["code"]).json()
    assert "billing:patient-payment:write" in pair["scope"].split()
    assert len(pair["scope"].split()) == 22


def test_the_user_can_approve_or_deny_on_a_page(simulate: Simulate) -> None:
    caller = simulate(approve="page")
    page = caller.get("/o/authorize/", **ASKED)
    assert page.status_code == 200
    assert "simulator-client" in page.text
    yes = caller.call("POST", "/o/authorize/", params=ASKED, data={"allow": "yes"})
    assert "code=" in yes.headers["Location"]
    no = caller.call("POST", "/o/authorize/", params=ASKED, data={"allow": "no"})
    assert no.headers["Location"] == f"{REDIRECT}?error=access_denied"
    assert authorize(simulate(approve="deny"))["error"] == "access_denied"


def test_wrong_client_credentials_are_invalid_client_and_basic_is_accepted(simulate: Simulate) -> None:
    caller = simulate()
    wrong = token(caller, grant_type="refresh_token", refresh_token="x", client_secret="wrong")
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client"})
    pair = caller.simulator.issue_token()
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    auth = (CLIENT["client_id"], CLIENT["client_secret"])
    assert requests.post(f"{caller.simulator.url}/o/token/", data=form, auth=auth, timeout=20).status_code == 200


def test_a_refresh_revokes_the_old_pair_at_once_and_its_reuse_is_counted(simulate: Simulate) -> None:
    caller = simulate()
    old = caller.simulator.issue_token(SIX_SCOPES)
    new = refresh(caller, old["refresh_token"]).json()
    assert new["scope"] == SIX_SCOPES
    assert not works(caller, old)
    assert works(caller, new)
    assert is_invalid_grant(refresh(caller, old["refresh_token"]))
    assert works(caller, new)
    tokens = caller.simulator.stats()["tokens"]
    assert tokens == {"issued": 2, "refreshed": 1, "dead_refresh_used": 1, "dead_access_used": 1}


def test_within_the_grace_period_a_used_refresh_token_returns_the_same_pair(simulate: Simulate) -> None:
    caller = simulate(grace_seconds=10)
    old = caller.simulator.issue_token()
    first, second = refresh(caller, old["refresh_token"]).json(), refresh(caller, old["refresh_token"]).json()
    assert first == second
    caller.simulator.clock.advance(10)
    assert is_invalid_grant(refresh(caller, old["refresh_token"]))


def test_a_new_authorization_revokes_the_earlier_pair(simulate: Simulate) -> None:
    caller = simulate()
    earlier = exchange(caller, authorize(caller)["code"]).json()
    later = exchange(caller, authorize(caller)["code"]).json()
    assert works(caller, later)
    assert not works(caller, earlier)
    assert is_invalid_grant(refresh(caller, earlier["refresh_token"]))


def test_revoking_a_token_revokes_its_pair(simulate: Simulate) -> None:
    caller = simulate()
    pair = caller.simulator.issue_token()
    revoked = caller.call("POST", "/o/revoke_token/", data={**CLIENT, "token": pair["access_token"]})
    assert revoked.status_code == 200
    assert not works(caller, pair)
    assert is_invalid_grant(refresh(caller, pair["refresh_token"]))


def test_an_invalid_token_gets_html_in_the_live_form_and_json_in_the_guides(simulate: Simulate) -> None:
    for form in ("guide", "live"):
        caller = simulate(form=form)
        caller.use("nonsense")
        response = caller.get("/api/patients")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
        if form == "live":
            assert response.headers["Content-Type"].startswith("text/html")
            assert response.text == "Authorization failed."
        else:
            assert "detail" in response.json()


def test_a_missing_scope_is_403_but_appointment_lists_are_empty(simulate: Simulate) -> None:
    caller = simulate()
    caller.use(caller.simulator.issue_token("user:read")["access_token"])
    for path in ("/api/patients", "/api/medications?patient=1", "/api/patients_list?since=2020-01-01"):
        assert caller.get(path).status_code == 403
    assert caller.call("POST", "/api/patients", json={}).status_code == 403
    assert caller.get("/api/appointments?since=2020-01-01").json()["results"] == []
    assert caller.get("/api/appointments_list?since=2020-01-01").json()["results"] == []
    uuid = caller.call("POST", "/api/appointments_list?since=2020-01-01").json()["uuid"]
    caller.get(f"/api/appointments_list?uuid={uuid}")
    assert caller.get(f"/api/appointments_list?uuid={uuid}").json()["results"] == []
    visit = next(iter(caller.simulator.truth("appointments")))
    assert caller.get(f"/api/appointments/{visit}").status_code == 403


def test_a_read_scope_does_not_allow_writes(simulate: Simulate) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth("patients")))
    caller.use(caller.simulator.issue_token("patients:read")["access_token"])
    assert caller.get(f"/api/patients/{key}").status_code == 200
    assert caller.call("PATCH", f"/api/patients/{key}", json={}).status_code == 403
