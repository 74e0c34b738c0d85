"""The requests that the API is asked: paths, filters and page sizes, from the table of kinds. Pure.

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

# How a bulk list is begun: with a GET as the guide says, or with a POST as the live service wants it.
GUIDE, LIVE = "guide", "live"

# The plain list of the live service, for a kind of which the guide has small pages and no bulk list.
PLAIN = "plain"

# Default and maximum of the live bulk lists.
BULK_PAGE_SIZE = 1000

# Lists that are not bulk lists: "default and maximum 250"; with `verbose` DrChrono gives fewer by itself.
PLAIN_PAGE_SIZE = 250

_VERBOSE = {"verbose": "true"}

_LOCAL_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2})?", re.ASCII)


@dataclass(frozen=True)
class Call:
    """One request to the API, without its token.

    path: from `/api/` on. query: encoded, without `?`. scope: what the token needs for it. kind, id: for the log.
    body: the JSON of a write, None for everything else (starting a bulk list is a POST, but writes nothing).
    before_sending: called before each request of the call, when nothing is left to wait for; what it raises keeps the
    request from being sent.
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


# Live it is answered by a redirect to `/api/users/{id}`.
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
    """The list of what belongs to one `patient` or `appointment`."""
    return replace(plain_list(kind, **{owner: _checked(id)}), id=id)


def practice_list(kind: Kind, doctor: str | None, page_size: int) -> Call:
    """The list of a kind that is listed by patient, of all patients, or of those records that name `doctor`."""
    filters = {"doctor": _checked(doctor)} if doctor is not None else {}
    return _list(kind, kind.name, {**filters, "page_size": str(page_size)})


def matching(kind: Kind, filters: Mapping[str, str]) -> Call:
    """The plain list of what meets the filters. A service that does not know one ignores it, and gives more."""
    return plain_list(kind, **filters)


def creation(kind: Kind, fields: Mapping[str, Any], *, allow_duplicates: bool = False) -> Call:
    call = _write("POST", _path(kind), kind, fields)
    return replace(call, query="allow_duplicates=true") if allow_duplicates else call


def change(kind: Kind, id: str, fields: Mapping[str, Any]) -> Call:  # noqa: A002
    return replace(_write("PATCH", f"{_path(kind)}/{_segment(id)}", kind, fields), id=id)


def changes(
    kind: Kind, *, since: str | None, window: tuple[str, str] | None, archived: bool, bulk: bool
) -> Mapping[str, Call]:
    """The first call of a list of changes, by the way in which the service answers.

    Raises ValueError for a list that DrChrono refuses, or answers as if there were nothing.
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
        ways = {GUIDE: plain_list(kind, **filters)}
        if kind.live_changes is None:
            return ways
        ways[PLAIN] = _list(kind, kind.name, {**filters, "page_size": str(PLAIN_PAGE_SIZE)})
        return {LIVE: _live_bulk(kind, kind.live_changes, filters, BULK_PAGE_SIZE), **ways} if bulk else ways
    guide = _list(kind, kind.changes, {**filters, "page_size": str(kind.page_size)})
    if not bulk:
        return {GUIDE: guide, LIVE: plain_list(kind, **filters)}
    return {GUIDE: guide, LIVE: _live_bulk(kind, kind.changes, filters, kind.page_size)}


def ways(kind: Kind, protocols: Mapping[str, Call], known: Mapping[str, str]) -> list[str]:
    """Which of the protocols to try, in this order.

    known: `lists`, the protocol of the service, and by kind an exception.

    A kind without a bulk list in the guide says nothing of the service: its plain list is answered by both. So its live
    lists are tried only where other kinds have shown that the service is the live one.
    """
    if PLAIN not in protocols:
        return sorted(protocols, key=lambda name: name != known.get("lists", GUIDE))
    if known.get("lists") != LIVE:
        return [GUIDE]
    first = PLAIN if known.get(kind.name) == PLAIN else LIVE
    return [name for name in dict.fromkeys((first, PLAIN, GUIDE)) if name in protocols]


def _live_bulk(kind: Kind, path: str, filters: Mapping[str, str], page_size: int) -> Call:
    filters = dict(filters)
    if "since" in filters:
        # Of `patients_list` it is documented as a date. An earlier bound only brings more.
        filters["since"] = filters["since"][:10]
    if kind.order_by:
        filters["order_by"] = kind.order_by
    return replace(_list(kind, path, {**filters, "page_size": str(page_size)}), method="POST")


def query_of(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.query, keep_blank_values=True))


def with_query(call: Call, **changes: str) -> Call:
    return replace(call, query=urlencode({**query_of(call), **changes}))


def _path(kind: Kind) -> str:
    return f"/api/{kind.name}"


def _segment(id: str) -> str:  # noqa: A002
    """`id` as one segment of a path."""
    return document_id(_checked(id))


def _checked(id: str) -> str:  # noqa: A002
    if not is_id(id):
        raise ValueError("an id is a text that is neither empty nor too long")
    return id


def _list(kind: Kind, name: str, query: Mapping[str, str]) -> Call:
    """A GET. Without `verbose` DrChrono leaves out insurances, vitals and the lock state of notes."""
    query = {**query, **(_VERBOSE if kind.verbose else {})}
    return Call(method="GET", path=f"/api/{name}", scope=kind.scope, kind=kind.name, query=urlencode(query))


def _write(method: str, path: str, kind: Kind, fields: Mapping[str, Any]) -> Call:
    """Raises ValueError for a kind that is not written, and for numbers that JSON does not know."""
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
