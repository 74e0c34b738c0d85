"""What can be set when a simulator starts. Most of it can be changed later through `/control/`."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from simulator.quota import LIMITERS, Limiter, parse_quota

Form = Literal["guide", "guide-uuid", "live"]
Approve = Literal["auto", "page", "deny"]
FORMS: tuple[Form, ...] = ("guide", "guide-uuid", "live")
APPROVALS: tuple[Approve, ...] = ("auto", "page", "deny")

# The integration guide assumes tokens of one hour; the live service gives two days.
TOKEN_SECONDS: dict[Form, int] = {"guide": 3600, "guide-uuid": 3600, "live": 172_800}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One simulator: its form, its data, its limits. Everything has a default that a test can start from."""

    form: Form = "guide"
    """`guide`: as the integration guide says; `guide-uuid`: its prose variant of bulk lists; `live`: as observed."""
    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port."""

    patients: int = 200
    appointments: int | None = None
    """None: two per patient."""
    notes: int | None = None
    """None: one for every second appointment that took place."""
    children: int = 2
    """Medications, problems and allergies: this many of each per patient, on average."""
    timezone: str = "US/Eastern"
    """Zone of all times without offset, and of the doctors."""

    clock: Literal["real", "virtual"] = "real"
    start: datetime | None = None
    """The virtual clock's first instant, with its offset. None: 2026-03-10T15:00:00Z."""
    speed: float = 1.0
    """Simulator seconds per real second."""

    client_id: str = "simulator-client"
    client_secret: str = "simulator-secret"  # noqa: S105 - made up, and guards made-up data
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1:8765/callback",)
    approve: Approve = "auto"
    token_seconds: int | None = None
    """None: 3600 in the guide's forms, 172800 live."""
    code_seconds: int = 60
    grace_seconds: float = 0.0
    """How long a spent refresh token still answers with the pair it was exchanged for."""

    quota: str = ""
    """Windows such as `10/second,500/hour`; empty: no limit."""
    limiter: Limiter = "fixed"
    burst: int = 0
    """Capacity of a bucket; 0: the window's limit."""
    throttled_counts: bool = False
    """Whether a refused request uses up the quota, too."""
    retry_after: Literal["seconds", "date", "none"] | None = None
    """The Retry-After header of a 429. None: seconds in the guide's forms, none live."""

    polls_until_complete: int = 1
    """Polls of a bulk list answered "In progress" before the results."""
    uuid_seconds: int = 3600
    results_key: Literal["results", "data"] = "results"
    missing_filter: Literal["400", "empty"] = "400"
    """What an appointment list without since, date, date_range or occurred_since answers."""
    note_touches_appointment: bool = True
    """Live form: whether a note's change moves its appointment's `updated_at`, too (not known of the real one)."""
    link_origin: str | None = None
    """Origin of `next` links. None: the one the request was sent to."""
    lag_seconds: float = 0.0

    activity: float = 0.0
    """Background changes per simulator second."""
    webhook_url: str | None = None
    webhook_secret: str = "webhook-secret"  # noqa: S105 - made up
    json_log: Path | None = None
    """One JSON line per request is appended here."""

    def __post_init__(self) -> None:
        _one_of("form", self.form, FORMS)
        _one_of("approve", self.approve, APPROVALS)
        _one_of("limiter", self.limiter, LIMITERS)
        _one_of("clock", self.clock, ("real", "virtual"))
        for name in ("patients", "children", "activity", "lag_seconds", "grace_seconds", "speed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be from 0 to 65535, not {self.port}")
        if self.start is not None and self.start.tzinfo is None:
            raise ValueError("start needs an offset, as in 2026-03-10T15:00:00+00:00")
        parse_quota(self.quota, self.limiter, self.burst)

    @property
    def live(self) -> bool:
        return self.form == "live"

    @property
    def lifetime_seconds(self) -> int:
        """How long an access token lives."""
        return self.token_seconds or TOKEN_SECONDS[self.form]

    def as_json(self) -> dict[str, Any]:
        """The settings as `GET /control/config` shows them."""
        shown = dataclasses.asdict(self)
        shown["start"] = self.start and self.start.isoformat()
        shown["json_log"] = self.json_log and str(self.json_log)
        return shown


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
