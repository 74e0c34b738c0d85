"""Walks a list one page at a time, resumable at every page.

DrChrono has four forms of lists. Each answer shows how to continue, so one walk handles them all:
- `{"results", "next"}`: the guide's bulk list and every plain list;
- `{"uuid"}` on a GET, then results with `next`: the guide's prose ("A UUID that you poll for results");
- one POST per page, polled by uuid, with the number of pages in `pagination`: the live service (support page
  "Bulk API");
- `data` instead of `results` (DrChrono's OpenAPI schema).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from shared.drchrono.calls import Call, query_of, with_query
from shared.drchrono.cycles import next_mark
from shared.drchrono.records import Cursor, Page
from shared.errors import (
    BadRequest,
    BulkExpired,
    BulkFailed,
    BulkNotReady,
    DrChronoError,
    MalformedAnswer,
    NotFound,
    SyncError,
)

# The first is counted from the request that began the list. After these, BulkNotReady lets the caller do other work.
# Each poll costs a request. DrChrono's own script polls every 10 s.
POLL_PAUSES_SECONDS = (5.0, 5.0, 10.0)

# So many pages of a list are made while the one before them is waited for.
PAGES_AHEAD = 3

# DrChrono keeps a list for an hour. An older uuid is not polled again.
UUID_TRUSTED = timedelta(minutes=55)

# By how many pages a list may shrink while one page of it is read.
MOST_STEPS_BACK = 5


class Lists:
    """Walks lists. send, locate: see `shared.drchrono.sender.Sender`."""

    def __init__(
        self,
        *,
        send: Callable[[Call], tuple[Any, datetime]],
        locate: Callable[[str, str], str],
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._send, self._locate, self._now, self._sleep = send, locate, now, sleep

    def pages(self, first: Call, resume: Cursor | None = None) -> Iterator[Page]:
        """Yield the pages of the list that `first` begins, from the position `resume` on.

        The fields of a position:
        - `next`: the target of a link; or `page` and `method`: the number of a page, and the method that requests it;
        - `uuid` and `born`: the list that DrChrono is making, and when it was requested;
        - `pages`: how many pages there are; `ahead`: the `uuid` and `born` of the pages after this one;
        - `mark`, `steps`, `most`: state of the search for a cycle of links (`shared.drchrono.cycles`);
        - `stepped_back`: the page before this position was read because the one after it is missing.
        An empty position is the start of the list. Raises BulkNotReady with the position to resume from.
        """
        position: Cursor | None = resume or {}
        while position is not None:
            page = self._page(first, position)
            position = page.resume
            yield page

    def _page(self, first: Call, position: Cursor) -> Page:
        call = self._call(first, position)
        try:
            data, began, position = self._answer(call, position)
        except (BulkExpired, BulkFailed, NotFound, BadRequest) as error:
            return self._page_again(first, call, position, error)
        return self._read(call, position, data, began)

    def _page_again(self, first: Call, call: Call, position: Cursor, error: DrChronoError) -> Page:
        """Read the page at `position` after it failed with `error`: from a new list, or the last page that exists.

        A refusal of a uuid is taken as its expiry, whatever its wording: the same page of a new list replaces the page.
        If that page does not exist, records were deleted meanwhile, and the records of the last pages have moved
        forward. Raises `error` if there is no such page either.
        """
        known, stepped_back = isinstance(error, BulkExpired | BulkFailed), position.get("stepped_back")
        if known or "uuid" in position or "uuid" in query_of(call):
            try:
                call, position = self._renewed(first, call, position)
                data, began, position = self._answer(call, position)
            except (NotFound, BadRequest) as refusal:
                error = refusal
            else:
                return self._read(call, position, data, began)
        if stepped_back:
            raise error  # the last page announces a next page that does not exist
        for number in range(_number(call) - 1, max(0, _number(call) - 1 - MOST_STEPS_BACK), -1):
            earlier = with_query(call, page=str(number))
            left_out = ("uuid", "next", "pages", "ahead")
            cursor: Cursor = {name: value for name, value in position.items() if name not in left_out}
            where = {"next": earlier.target} if "next" in position else {"page": number, "method": call.method}
            cursor = {**cursor, **where}
            try:
                data, began, cursor = self._answer(earlier, cursor)
            except (NotFound, BadRequest):
                continue
            page = self._read(earlier, cursor, data, began)
            return replace(page, resume={**page.resume, "stepped_back": True}) if page.resume else page
        raise error

    def _call(self, first: Call, position: Cursor) -> Call:
        """Return the first request for the page at `position`."""
        if "next" in position:
            path, _, query = self._locate(position["next"], first.operation).partition("?")
            return replace(first, method="GET", path=path, query=query)
        number = position.get("page", 1)
        # The guide's list has no page numbers. The live list requires them from the first page on.
        return first if number == 1 and first.method == "GET" else with_query(first, page=str(number))

    def _answer(self, call: Call, position: Cursor) -> tuple[dict[str, Any], datetime, Cursor]:
        """Return the finished list of `call`, when it was requested, and the position with what was begun meanwhile.

        Polls it if the answer is a uuid.
        """
        born = datetime.fromisoformat(position["born"]) if "born" in position else None
        if born and "uuid" in position and self._now() - born < UUID_TRUSTED:
            return self._polled(call, position, position["uuid"], born)
        data, began = self._send(call)
        if born and "next" in position:
            began = born
        if _records(data) is not None:
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
            if _records(data) is not None:
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

    def _renewed(self, first: Call, call: Call, position: Cursor) -> tuple[Call, Cursor]:
        """Return `call` without the expired list. For a link into that list, begin a new list and link into it."""
        if "uuid" not in query_of(call):
            return call, {name: value for name, value in position.items() if name not in ("uuid", "born")}
        data, began = self._send(first)
        renewed = with_query(call, uuid=str(data.get("uuid")))
        return renewed, {"next": renewed.target, "born": began.isoformat()}

    def _read(self, call: Call, position: Cursor, data: dict[str, Any], began: datetime) -> Page:
        records = _records(data)
        if records is None or not all(isinstance(record, dict) for record in records):
            raise MalformedAnswer(call.operation, status=200, remedy="its list contains something other than records")
        counts = data.get("pagination")
        counts = counts if isinstance(counts, dict) else {}
        total = counts.get("count", data.get("count"))
        resume = self._following(call, position, data, counts, began)
        total = total if isinstance(total, int) else None
        return Page(records=records, began=began, resume=resume, total=total, last=resume is None)

    def _following(
        self, call: Call, position: Cursor, data: dict[str, Any], counts: dict[str, Any], began: datetime
    ) -> Cursor | None:
        link = data.get("next")
        if link:
            target = self._locate(str(link), call.operation)
            followed = {"next": target, **next_mark(call, position, target)}
            # The pages of a list with a uuid are all as old as the list.
            return followed | {"born": began.isoformat()} if "uuid" in data else followed
        pages, number = counts.get("pages"), position.get("page", 1)
        # A null `next` is the end of the list, whatever the number of pages says.
        if "next" not in data and isinstance(pages, int) and number < pages:
            begun, *later = position.get("ahead") or [{}]
            following = {"page": number + 1, "method": call.method, "pages": pages, **begun}
            return {**following, "ahead": later} if later else following
        return None


def _number(call: Call) -> int:
    """Return the page number that `call` requests; 1 if it names none."""
    number = query_of(call).get("page", "1")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 1


def _records(data: dict[str, Any]) -> list[Any] | None:
    """Return the records of a finished list; None if it is not finished, or not a list."""
    if data.get("status") == "In progress":
        return None
    records = data.get("results", data.get("data"))
    return records if isinstance(records, list) else None
