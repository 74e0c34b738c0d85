"""Which requests a fault rule matches."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.api.address import READS, Address
from simulator.messages import Request
from simulator.practice.kinds import KINDS

Contents = Callable[[], frozenset[str]]
"""Returns the ids of the records in the real response to a list."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Conditions on a request; all given ones must hold. Raises ValueError if one is invalid."""

    path: str = ""
    """Regular expression that is searched in path and query."""
    method: str = ""
    kind: str | None = None
    read: str | None = None
    """`single` (`/api/patients/1`), `list` (`/api/patients`) or `bulk` (`/api/patients_list`).

    Writes match by their path too: `list` includes the POST that creates a record, unless `method` excludes it.
    """
    id: Any = None
    """Id of a record. Matches its single reads and writes, and the pages of lists that contain it."""
    page: int | None = None
    """Number of a list's page, from 1. In the live form, both the start of a bulk page and its polls match."""
    wide: bool = False
    """Whether only lists match that are not limited to a patient or doctor."""
    min_page_size: int | None = None
    """Only lists match that ask for at least so many records a page, or for no number."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from None
        if self.kind not in (None, *KINDS):
            raise ValueError(f"unknown kind {self.kind!r}: one of {', '.join(KINDS)}")
        if self.read not in (None, *READS):
            raise ValueError(f"unknown read {self.read!r}: one of {', '.join(READS)}")

    def holds(self, request: Request, address: Address, contents: Contents) -> bool:
        """Whether the rule matches. `contents` is called only for GET requests of lists, and only if `id` is given."""
        return (
            (not self.method or self.method.upper() == request.method)
            and (self.kind is None or self.kind == address.kind)
            and (self.read is None or self.read == address.read)
            and (self.page is None or self.page == address.page)
            and (not self.wide or _is_wide(request, address))
            and (self.min_page_size is None or _page_size(request, address) >= self.min_page_size)
            and re.search(self.path, request.target) is not None
            and (self.id is None or self._concerns(str(self.id), request, address, contents))
        )

    def _concerns(self, key: str, request: Request, address: Address, contents: Contents) -> bool:
        if address.id is not None:
            return address.id == key
        return address.read is not None and request.method == "GET" and key in contents()


def _is_wide(request: Request, address: Address) -> bool:
    polls = address.read == "bulk" and "uuid" in request.query
    return address.read in ("list", "bulk") and not polls and not {"patient", "doctor"} & set(request.query)


def _page_size(request: Request, address: Address) -> float:
    """Return the requested page size, infinity if there is none, and 0 if the request is not a list."""
    if address.read not in ("list", "bulk"):
        return 0
    text = request.query.get("page_size", "")
    return int(text) if text.isdecimal() else float("inf")
