"""Whether an update can be sent yet: after what went before it, and to the version that its program saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import VERSION_LAG, is_older, provable_from
from shared.errors import Forbidden, NotFound
from shared.outbox.entries import Entry
from shared.outbox.search import Search
from shared.outbox.written import Api, Written
from shared.records.ordering import Copy

LAG_PAUSE = timedelta(seconds=10)
LONGEST_WAIT = timedelta(minutes=15)


@dataclass(frozen=True)
class Hold:
    """Why it is not sent. due: when to try again; None where it is to be rejected."""

    reason: str
    due: datetime | None = None


def includes(copy: Copy | None, last: Entry) -> bool:
    """Whether the copy certainly shows what the entry `last` did."""
    if copy is None or last.settled_at is None:
        return False
    shown = last.version is not None and copy.updated_at is not None and not is_older(copy.updated_at, last.version)
    return shown or copy.events_until >= last.settled_at


class Precondition:
    def __init__(self, *, search: Search, written: Written, now: Callable[[], datetime]) -> None:
        self._search = search
        self._written = written
        self._now = now

    def check(self, entry: Entry, last: Entry | None, api: Api) -> Hold | None:
        """None where the update can be sent. last: the one of its target that was done before it.

        Raises what the API and the stores raise.
        """
        if last is not None and (hold := self._behind(entry, last, api)) is not None:
            return hold
        return None if entry.request.expected_updated_at is None else self._unexpected(entry, last, api)

    def _behind(self, entry: Entry, last: Entry, api: Api) -> Hold | None:
        """While the copy may not show the last update, neither the version that this one expects nor the values that it
        replaces can be told.
        """
        request, now = entry.request, self._now()
        if includes(self._search.copy(request), last):
            return None
        proof = provable_from(last.settled_at) if last.settled_at is not None else now
        if last.version is None and now < proof:
            return Hold("lag", proof)
        kind, key = KINDS[request.kind], request.id or ""
        try:
            fetched = api.get(kind, key)
        except (NotFound, Forbidden):
            return None  # DrChrono will say so of the update, too
        self._written.keep(kind, key, fetched.record, fetched.began)
        # A record that the copy cannot hold must not hold up its updates for ever.
        if includes(self._search.copy(request), last) or now >= proof + LONGEST_WAIT:
            return None
        return Hold("lag", now + LAG_PAUSE)

    def _unexpected(self, entry: Entry, last: Entry | None, api: Api) -> Hold | None:
        """A replica that shows the version may be behind: the copy, and what this system wrote last, count as well."""
        request, now, expected = entry.request, self._now(), entry.request.expected_updated_at
        try:
            shown = api.get(KINDS[request.kind], request.id or "").record.get("updated_at")
        except NotFound as error:
            return Hold(error.reason)
        copy = self._search.copy(request)
        newest = [copy.updated_at if copy is not None else None, last.version if last is not None else None]
        if any(is_older(expected, version) for version in newest):
            return Hold("changed_meanwhile")
        if shown == expected:
            return None
        # An older version than the program saw is a replica's; for so long, for in autumn an hour repeats.
        behind = is_older(shown, expected) and now < entry.requested_at + VERSION_LAG
        return Hold("lag", now + LAG_PAUSE) if behind else Hold("changed_meanwhile")
