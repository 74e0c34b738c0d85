"""The messages that callers of the token refresher see."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from shared.errors import TokenRevoked, TokenUnavailable
from shared.tokens.failures import postponed, revoked
from shared.tokens.state import Phase, TokenState
from shared.tokens.token import Validity

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
HOUR = Validity(NOON - 30 * MINUTE, NOON + 30 * MINUTE)
STATE = TokenState(version=7, generation=7, validity=HOUR, scope="patients:read")


def test_each_message_says_what_happened_and_what_to_do() -> None:
    lost = revoked(STATE.failed(Phase.LOST, "invalid_grant", None))
    assert "answer to a token refresh was lost" in str(lost)
    assert "python -m ops authorize" in str(lost)
    assert "authorized elsewhere" in str(revoked(STATE.failed(Phase.REVOKED, "invalid_grant", None)))
    client = postponed(STATE.failed(Phase.REFUSED, "invalid_client", NOON + MINUTE), NOON, unusable=True)
    assert isinstance(client, TokenRevoked)
    assert "DRCHRONO_CLIENT_SECRET" in str(client)
    down = postponed(STATE.failed(Phase.SENT, "status_503", NOON + MINUTE), NOON, unusable=True)
    assert isinstance(down, TokenUnavailable)
    assert "status_503" in str(down)
    assert "12:01:00 UTC" in str(down)
