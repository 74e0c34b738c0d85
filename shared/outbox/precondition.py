"""Whether an update can be sent: not before earlier entries, and only to the version that its program saw."""

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
    """Why the update is not sent. due: when to try again; None if it is to be rejected."""

    reason: str
    due: datetime | None = None


def includes(copy: Copy | None, last: Entry) -> bool:
    """Whether the copy certainly shows the effect of the entry `last`."""
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
        """Return None if the update can be sent. last: the entry of its target that was done before it.

        Raises what the API and the stores raise.
        """
        if last is not None and (hold := self._behind(entry, last, api)) is not None:
            return hold
        return None if entry.request.expected_updated_at is None else self._unexpected(entry, last, api)

    def _behind(self, entry: Entry, last: Entry, api: Api) -> Hold | None:
        """While the copy may lack the last update, neither the expected version nor the values to be replaced are
        known.
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
            return None  # DrChrono will answer the update in the same way
        self._written.keep(kind, key, fetched.record, fetched.began)
        # A record that the copy cannot hold must not block its updates for ever.
        if includes(self._search.copy(request), last) or now >= proof + LONGEST_WAIT:
            return None
        return Hold("lag", now + LAG_PAUSE)

    def _unexpected(self, entry: Entry, last: Entry | None, api: Api) -> Hold | None:
        """A replica that shows the version may lag, so the copy and this system's last write count as well."""
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
        # For this time, a version older than the one that the program saw is taken for a replica's. Not for ever,
        # because in autumn an hour repeats and a newer version may look older.
        behind = is_older(shown, expected) and now < entry.requested_at + VERSION_LAG
        return Hold("lag", now + LAG_PAUSE) if behind else Hold("changed_meanwhile")
