"""The settings a simulator starts with. Most can be changed later through `/control/`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from simulator.practice.kinds import KINDS
from simulator.quota import LIMITERS, Limiter, parse_quota

Form = Literal["guide", "guide-uuid", "live"]
Approve = Literal["auto", "page", "deny"]
FORMS: tuple[Form, ...] = ("guide", "guide-uuid", "live")
APPROVALS: tuple[Approve, ...] = ("auto", "page", "deny")
IdStyle = Literal["number", "large", "uuid", "escaped"]
ID_STYLES: tuple[IdStyle, ...] = ("number", "large", "uuid", "escaped")
Paging = Literal["cursor", "offset"]
ListOrder = Literal["oldest", "newest", "scheduled_time"]
PAGINGS: tuple[Paging, ...] = ("cursor", "offset")
LIST_ORDERS: tuple[ListOrder, ...] = ("oldest", "newest", "scheduled_time")

# The integration guide assumes one hour; the live service returns two days.
TOKEN_SECONDS: dict[Form, int] = {"guide": 3600, "guide-uuid": 3600, "live": 172_800}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one simulator. All have defaults. Raises ValueError for invalid settings."""

    form: Form = "guide"
    """`guide`: the integration guide; `guide-uuid`: with the bulk lists of its prose; `live`: the live service."""
    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    """0 means any free port."""

    patients: int = 200
    appointments: int | None = None
    """None means two per patient."""
    odd_appointments: int = 0
    """More appointments, dated before 2009, years ahead, with an empty text, and with null, in turn."""
    notes: int | None = None
    """None means one for every second completed appointment."""
    children: int = 2
    """Average number of medications, problems and allergies (each) per patient."""
    children_of: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Average of some of these kinds."""
    timezone: str = "US/Eastern"
    """Zone of all times without offset, and of the doctors."""

    id_style: IdStyle = "number"
    """Ids of patients' records: `number`, `large` (above 2^53), `uuid`, or `escaped` (characters to escape in URLs)."""
    id_style_of: Mapping[str, IdStyle] = dataclasses.field(default_factory=dict)
    """Style of some kinds."""
    updated_at_shift_hours: float = 0.0
    """Hours between the zone in which `since` is read and that in which `updated_at` is written."""
    updated_at_shift_hours_of: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Shift of some kinds: the server zones of the live service differ by table."""
    since_shift_hours: float = 0.0
    """How many hours later `since` is read than the practice's local time says: 3, if it is read as Pacific time."""

    clock: Literal["real", "virtual"] = "real"
    start: datetime | None = None
    """First instant of the clock, with offset. None means now, or 2026-03-10T15:00:00Z for a virtual clock."""
    speed: float = 1.0
    """Simulator seconds per real second; virtual clocks ignore it."""

    client_id: str = "simulator-client"
    client_secret: str = "simulator-secret"  # noqa: S105 - protects generated data only
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1:8765/callback",)
    approve: Approve = "auto"
    token_seconds: int | None = None
    """Lifetime of access tokens. None means 3600 in the guide's forms, 172800 in the live form."""
    code_seconds: int = 60
    grace_seconds: float = 0.0
    """How long a used refresh token still returns the pair it was exchanged for."""

    quota: str = ""
    """Windows such as `10/second,500/hour`; an empty text means no limit."""
    limiter: Limiter = "fixed"
    burst: int = 0
    """Capacity of a bucket; 0 means the window's limit."""
    throttled_counts: bool = False
    """Whether refused requests count too."""
    retry_after: Literal["seconds", "date", "none"] | None = None
    """The Retry-After header of a 429. None means seconds in the guide's forms, and no header in the live form."""

    polls_until_complete: int = 1
    """Number of polls that answer "In progress" before a bulk list is complete."""
    bulk_seconds: float = 0.0
    """How long a bulk list takes; polls before that answer "In progress" too."""
    uuid_seconds: int = 3600
    results_key: Literal["results", "data"] = "results"
    missing_filter: Literal["400", "empty"] = "400"
    """Answer to an appointment list without since, date, date_range and occurred_since."""
    note_touches_appointment: bool = True
    """Live form: whether a change to a note also moves its appointment's `updated_at` (unknown for the service)."""
    duplicate_check: Literal["off", "400", "409"] = "off"
    """Answer to a new patient with the names, birth date and gender of another, unless `allow_duplicates` is given."""
    link_origin: str | None = None
    """Origin of `next` links. None means the origin of the request."""

    lag_seconds: float = 0.0
    """Reads show the state of this many seconds ago."""
    lag_seconds_of: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Lag of some endpoints: `patients`, `list` (or `single`, `bulk`), or `patients/list`. Later entries win."""
    paging: Paging = "cursor"
    """How plain lists are cut into pages: `offset` lets deletions move records between pages."""
    list_order: ListOrder = "oldest"
    """Order of plain lists with offset paging: `oldest` or `newest` first, or by `scheduled_time`."""
    share_patients: bool = True
    """Whether the authorizing user, the first doctor, sees the patients of other doctors."""
    permissions_show_sharing: bool = False
    """Whether `permissions` of users has an entry `share_patients` (unknown for the live service)."""

    faults: Sequence[Mapping[str, Any]] = ()
    """Fault rules in force from the start, as `POST /control/faults` takes them."""

    activity: float = 0.0
    """Background changes per simulator second; 0 means none."""
    webhook_url: str | None = None
    webhook_secret: str = "webhook-secret"  # noqa: S105 - signs generated data only
    json_log: Path | None = None
    """File to which one JSON line per request is appended."""

    def __post_init__(self) -> None:
        _one_of("form", self.form, FORMS)
        _one_of("approve", self.approve, APPROVALS)
        _one_of("limiter", self.limiter, LIMITERS)
        _one_of("clock", self.clock, ("real", "virtual"))
        _one_of("paging", self.paging, PAGINGS)
        _one_of("list_order", self.list_order, LIST_ORDERS)
        _one_of("duplicate_check", self.duplicate_check, ("off", "400", "409"))
        for kind in (*self.id_style_of, *self.updated_at_shift_hours_of, *self.children_of):
            _one_of("kind", kind, tuple(KINDS))
        for style in (self.id_style, *self.id_style_of.values()):
            _one_of("id_style", style, ID_STYLES)
        for name in ("patients", "odd_appointments", "children", "activity", "lag_seconds", "grace_seconds", "speed"):
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
        """Lifetime of access tokens in seconds."""
        return self.token_seconds or TOKEN_SECONDS[self.form]

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        shown = dataclasses.asdict(self)
        shown["start"] = self.start and self.start.isoformat()
        shown["json_log"] = self.json_log and str(self.json_log)
        return shown


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
