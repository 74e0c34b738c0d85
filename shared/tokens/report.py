"""The condition of the token for jobs and `ops`, without any secret."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from shared.tokens.state import TokenState


@dataclass(frozen=True)
class TokenReport:
    """state: the phase. Ages and remaining times are in seconds. refreshed: by the call that returned this report."""

    state: str
    generation: int
    version: int
    age_seconds: float
    expires_in_seconds: float
    expires_at: datetime
    scope: str
    reason: str
    retry_at: datetime | None
    refreshed: bool = False

    @classmethod
    def of(cls, state: TokenState, now: datetime) -> TokenReport:
        return cls(
            state=state.phase.value,
            generation=state.generation,
            version=state.version,
            age_seconds=(now - state.validity.obtained_at).total_seconds(),
            expires_in_seconds=(state.validity.expires_at - now).total_seconds(),
            expires_at=state.validity.expires_at,
            scope=state.scope,
            reason=state.reason,
            retry_at=state.retry_at,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the fields with times as ISO 8601 texts in UTC."""
        fields = asdict(self)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
