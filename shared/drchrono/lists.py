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
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.drchrono.bulk import BulkLists, records_of
from shared.drchrono.calls import Call, query_of, with_query
from shared.drchrono.cycles import next_mark
from shared.drchrono.records import Cursor, Page
from shared.errors import (
    BadRequest,
    BulkExpired,
    BulkFailed,
    DrChronoError,
    MalformedAnswer,
    NotFound,
)

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
        self._locate = locate
        self._bulk = BulkLists(send, now, sleep)

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
            data, began, position = self._bulk.answer(call, position)
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
                call, position = self._bulk.renewed(first, call, position)
                data, began, position = self._bulk.answer(call, position)
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
                data, began, cursor = self._bulk.answer(earlier, cursor)
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

    def _read(self, call: Call, position: Cursor, data: dict[str, Any], began: datetime) -> Page:
        records = records_of(data)
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
