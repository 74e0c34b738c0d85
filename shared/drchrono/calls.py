"""Builds the requests to the API: paths, filters and page sizes, from the table of kinds. Pure.

Endpoints: guide, "API Endpoints"; where the live service differs, DrChrono's API documentation and its support page on
bulk lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from shared.drchrono.ids import document_id, is_id
from shared.drchrono.kinds import Kind
from shared.drchrono.windows import days_in

# How a bulk list is begun: with a GET (guide) or a POST (live service).
GUIDE, LIVE = "guide", "live"

# Lists that are not bulk lists: "default and maximum 250". With `verbose`, DrChrono returns fewer.
PLAIN_PAGE_SIZE = 250

_VERBOSE = {"verbose": "true"}

_LOCAL_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2})?", re.ASCII)


@dataclass(frozen=True)
class Call:
    """One request to the API, without its token.

    path: from `/api/` on. query: encoded, without `?`. scope: the scope that the token needs. kind, id: for the log.
    body: the JSON of a write; None for all other calls (beginning a bulk list is a POST, but writes nothing).
    before_sending: called immediately before each request of the call; if it raises, the request is not sent.
    """

    method: str
    path: str
    scope: str
    kind: str
    id: str = ""
    query: str = field(default="", repr=False)
    body: bytes | None = field(default=None, repr=False)
    before_sending: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    @property
    def writes(self) -> bool:
        return self.body is not None

    @property
    def bulk(self) -> bool:
        return self.path.endswith("_list")

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def operation(self) -> str:
        return f"{self.method} {self.path}"


# The live service answers with a redirect to `/api/users/{id}`.
CURRENT_USER = Call(method="GET", path="/api/users/current", scope="user:read", kind="users")


def one(kind: Kind, id: str) -> Call:  # noqa: A002 (DrChrono's word)
    return Call(
        method="GET",
        path=f"{_path(kind)}/{_segment(id)}",
        scope=kind.scope,
        kind=kind.name,
        id=id,
        query=urlencode(_VERBOSE if kind.verbose else {}),
    )


def plain_list(kind: Kind, **filters: str) -> Call:
    return _list(kind, kind.name, {**filters, "page_size": str(min(kind.page_size, PLAIN_PAGE_SIZE))})


def list_of(kind: Kind, owner: str, id: str) -> Call:  # noqa: A002
    """Return the call for the list of one `patient` or `appointment`."""
    return replace(plain_list(kind, **{owner: _checked(id)}), id=id)


def practice_list(kind: Kind, doctor: str | None, page_size: int) -> Call:
    """Return the call for the list of all patients, or of the records that name `doctor`. The kind is listed by
    patient.
    """
    filters = {"doctor": _checked(doctor)} if doctor is not None else {}
    return _list(kind, kind.name, {**filters, "page_size": str(page_size)})


def matching(kind: Kind, filters: Mapping[str, str]) -> Call:
    """Return the call for the plain list with these filters. A service ignores a filter it does not know, and returns
    more.
    """
    return plain_list(kind, **filters)


def creation(kind: Kind, fields: Mapping[str, Any], *, allow_duplicates: bool = False) -> Call:
    call = _write("POST", _path(kind), kind, fields)
    return replace(call, query="allow_duplicates=true") if allow_duplicates else call


def change(kind: Kind, id: str, fields: Mapping[str, Any]) -> Call:  # noqa: A002
    return replace(_write("PATCH", f"{_path(kind)}/{_segment(id)}", kind, fields), id=id)


def changes(
    kind: Kind, *, since: str | None, window: tuple[str, str] | None, archived: bool, bulk: bool
) -> Mapping[str, Call]:
    """Return the first call of a list of changes for each list protocol.

    Raises ValueError for a list that DrChrono refuses, or wrongly answers as empty.
    """
    if kind.whole:
        if since is not None or window is not None:
            raise ValueError(f"{kind.name} are listed whole")
        return {GUIDE: plain_list(kind)}
    if kind.changes is None:
        raise ValueError(f"{kind.name} has no list of changes; list it by {kind.listed_by}")
    filters = _filters(kind, since, window)
    if archived:
        filters["show_archived"] = "true"
    if kind.changes == kind.name:
        return {GUIDE: plain_list(kind, **filters)}
    size = {"page_size": str(kind.page_size)}
    guide = _list(kind, kind.changes, {**filters, **size})
    if not bulk:
        return {GUIDE: guide, LIVE: plain_list(kind, **filters)}
    # `since` of the live `patients_list` is documented as a date. An earlier bound only returns more.
    days = {"since": since[:10]} if since else {}
    steady = {"order_by": kind.order_by} if kind.order_by else {}
    live = _list(kind, kind.changes, {**filters, **days, **steady, **size})
    return {GUIDE: guide, LIVE: replace(live, method="POST")}


def query_of(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.query, keep_blank_values=True))


def with_query(call: Call, **changes: str) -> Call:
    return replace(call, query=urlencode({**query_of(call), **changes}))


def _path(kind: Kind) -> str:
    return f"/api/{kind.name}"


def _segment(id: str) -> str:  # noqa: A002
    """Return `id` as one segment of a path."""
    return document_id(_checked(id))


def _checked(id: str) -> str:  # noqa: A002
    if not is_id(id):
        raise ValueError("an id is a text that is neither empty nor too long")
    return id


def _list(kind: Kind, name: str, query: Mapping[str, str]) -> Call:
    """Return a GET. Without `verbose`, DrChrono omits insurances, vitals and the lock state of notes."""
    query = {**query, **(_VERBOSE if kind.verbose else {})}
    return Call(method="GET", path=f"/api/{name}", scope=kind.scope, kind=kind.name, query=urlencode(query))


def _write(method: str, path: str, kind: Kind, fields: Mapping[str, Any]) -> Call:
    """Raises ValueError for a kind that is not writable, and for numbers that JSON does not have."""
    if not kind.writable:
        raise ValueError(f"{kind.name} are only read")
    body = json.dumps(dict(fields), allow_nan=False).encode()
    return Call(method=method, path=path, scope=kind.scope.replace(":read", ":write"), kind=kind.name, body=body)


def _filters(kind: Kind, since: str | None, window: tuple[str, str] | None) -> dict[str, str]:
    filters = {}
    if since is not None:
        if not _LOCAL_TIME.fullmatch(since):
            raise ValueError("since is a local time without offset, such as 2026-03-24T11:02:33, or a date")
        filters["since"] = since
    if window is not None:
        if kind.window_days is None or days_in(window) > kind.window_days:
            raise ValueError(f"{kind.name} takes windows of at most {kind.window_days or 0} days")
        filters["date_range"] = "/".join(window)
    if kind.window_days is not None and not filters:
        raise ValueError(f"{kind.name} needs since or a window")
    return filters
