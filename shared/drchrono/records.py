"""What the client hands out. Nothing here needs `requests`, so that whoever takes records can name their types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Cursor = Mapping[str, Any]


@dataclass(frozen=True)
class Fetched:
    """One record as DrChrono sent it.

    began: UTC instant before the request was sent: the record is at least as new.
    """

    record: dict[str, Any] = field(repr=False)
    began: datetime


@dataclass(frozen=True)
class Page:
    """Some records of a list.

    began: UTC instant before the request that made the page was sent: the records are at least as new.
    resume: names the next page, in JSON values, for `resume=` of the same list in any process; None on the last page.
    total: how many records the whole list has, where DrChrono says so.
    """

    records: list[dict[str, Any]] = field(repr=False)
    began: datetime
    resume: Cursor | None = field(repr=False)
    total: int | None
    last: bool
