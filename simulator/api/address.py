"""What a request under `/api` addresses: the kind, how it is read, the record and the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from simulator.api.cursor import Cursor
from simulator.messages import Request
from simulator.practice.kinds import KINDS

Read = Literal["single", "list", "bulk"]
READS: tuple[Read, ...] = ("single", "list", "bulk")
"""`/api/patients/1`, `/api/patients` and `/api/patients_list`."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """The addressed part of the API. All fields are None for paths that do not exist."""

    kind: str | None = None
    read: Read | None = None
    id: str | None = None
    """Unquoted. `current` in `/api/users/current`."""
    uuid: str | None = None
    """Of the bulk job that is polled."""
    page: int | None = None
    """Number of a list's page, from 1; None for a poll of a bulk job, whose page is that of its start."""


def locate(request: Request) -> Address:
    """Return the address of a request. Also for methods that the endpoint does not allow."""
    first, *parts = request.path.strip("/").split("/")
    if first != "api" or not 1 <= len(parts) <= 2:
        return Address()
    name = parts[0]
    if name in KINDS and len(parts) == 2:
        return Address(kind=name, read="single", id=unquote(parts[1]))
    if name in KINDS:
        cursor = Cursor.parse(request.query.get("cursor", ""))
        return Address(kind=name, read="list", page=cursor.page if cursor else None)
    kind = KINDS.get(name.removesuffix("_list"))
    if kind is None or not kind.bulk or len(parts) == 2:
        return Address()
    uuid, page = request.query.get("uuid"), request.query.get("page")
    if uuid is not None and page is None:
        return Address(kind=kind.name, read="bulk", uuid=uuid)
    cursor = Cursor.parse(request.query.get("cursor", ""))
    number = int(page) if page and page.isdecimal() else cursor.page if cursor else None
    return Address(kind=kind.name, read="bulk", uuid=uuid, page=number)
