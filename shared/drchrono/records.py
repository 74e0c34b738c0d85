"""The client's return types, in a module of their own: their users need not import `requests`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Cursor = Mapping[str, Any]


@dataclass(frozen=True)
class Fetched:
    """One record as DrChrono sent it.

    began: the instant before the request was sent (UTC).
    """

    record: dict[str, Any] = field(repr=False)
    began: datetime


@dataclass(frozen=True)
class Page:
    """One page of a list.

    began: the instant before the request that made the page was sent (UTC).
    resume: the position of the next page in JSON values, for `resume=` in any process; None on the last page.
    total: the number of records in the whole list, if DrChrono states it.
    """

    records: list[dict[str, Any]] = field(repr=False)
    began: datetime
    resume: Cursor | None = field(repr=False)
    total: int | None
    last: bool
