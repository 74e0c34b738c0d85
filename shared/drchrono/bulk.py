"""Lists that DrChrono makes on request: it answers with a uuid, which is polled until the list is finished."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from shared.drchrono.calls import Call, query_of, with_query
from shared.drchrono.records import Cursor
from shared.errors import BulkNotReady, MalformedAnswer, SyncError

# The first is counted from the request that began the list. After these, BulkNotReady lets the caller do other work.
# Each poll costs a request. DrChrono's own script polls every 10 s.
POLL_PAUSES_SECONDS = (5.0, 5.0, 10.0)

# So many pages of a list are made while the one before them is waited for. With three, they were read before DrChrono
# had made the next ones.
PAGES_AHEAD = 9

# DrChrono keeps a list for an hour. An older uuid is not polled again.
UUID_TRUSTED = timedelta(minutes=55)


class BulkLists:
    """Sends the request of a page, and waits for the list if it has to be made first. Positions: see `Lists.pages`."""

    def __init__(
        self,
        send: Callable[[Call], tuple[Any, datetime]],
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._send, self._now, self._sleep = send, now, sleep

    def answer(self, call: Call, position: Cursor) -> tuple[dict[str, Any], datetime, Cursor]:
        """Return the finished list of `call`, when it was requested, and the position with what was begun meanwhile.

        Polls it if the answer is a uuid.
        """
        born = datetime.fromisoformat(position["born"]) if "born" in position else None
        if born and "uuid" in position and self._now() - born < UUID_TRUSTED:
            return self._polled(call, position, position["uuid"], born)
        data, began = self._send(call)
        if born and "next" in position:
            began = born
        if records_of(data) is not None:
            return data, began, position
        uuid = data.get("uuid")
        if not isinstance(uuid, str):
            raise MalformedAnswer(call.operation, status=200, remedy="it is neither a list nor the uuid of one")
        return self._polled(call, position, uuid, began)

    def _polled(
        self, call: Call, position: Cursor, uuid: str, born: datetime
    ) -> tuple[dict[str, Any], datetime, Cursor]:
        position = self._with_pages_ahead(call, position)
        # A link with a uuid also names its page, so the link itself is polled.
        poll = call if "uuid" in query_of(call) else replace(call, method="GET", query=urlencode({"uuid": uuid}))
        age = (self._now() - born).total_seconds()
        first, *others = POLL_PAUSES_SECONDS
        for pause in (max(0.0, first - age), *others):
            self._sleep(pause)
            data, _ = self._send(poll)
            if records_of(data) is not None:
                return data, born, position
        if poll is call:
            raise BulkNotReady(call.operation, {"next": call.target, "born": born.isoformat()})
        asked = {"page": position.get("page", 1), "method": call.method}
        ahead = {name: position[name] for name in ("pages", "ahead") if name in position}
        raise BulkNotReady(poll.operation, {**asked, "uuid": uuid, "born": born.isoformat(), **ahead})

    def _with_pages_ahead(self, call: Call, position: Cursor) -> Cursor:
        """Have DrChrono make the next pages meanwhile: if each is waited for alone, most of the quota is unused."""
        ahead, number = list(position.get("ahead", ())), position.get("page", 1)
        last = min(position.get("pages", 0), number + PAGES_AHEAD)
        # What fails here is requested again, and raises, when its own turn has come.
        with suppress(SyncError):
            for page in range(number + len(ahead) + 1, last + 1):
                data, born = self._send(with_query(call, page=str(page)))
                if not isinstance(data.get("uuid"), str):
                    break
                ahead.append({"uuid": data["uuid"], "born": born.isoformat()})
        return {**position, "ahead": ahead} if ahead else position

    def renewed(self, first: Call, call: Call, position: Cursor) -> tuple[Call, Cursor]:
        """Return `call` without the expired list. For a link into that list, begin a new list and link into it."""
        if "uuid" not in query_of(call):
            return call, {name: value for name, value in position.items() if name not in ("uuid", "born")}
        data, began = self._send(first)
        renewed = with_query(call, uuid=str(data.get("uuid")))
        return renewed, {"next": renewed.target, "born": began.isoformat()}


def records_of(data: dict[str, Any]) -> list[Any] | None:
    """Return the records of a finished list; None if it is not finished, or not a list."""
    if data.get("status") == "In progress":
        return None
    records = data.get("results", data.get("data"))
    return records if isinstance(records, list) else None
