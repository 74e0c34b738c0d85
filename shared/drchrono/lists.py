"""How a list is walked, whichever way it is answered: one page at a time, and resumable at every page.

Four ways are served by one walk, because each answer says by itself how it goes on:
- `{"results", "next"}`: the guide's bulk list and every plain list;
- `{"uuid"}` on a GET, then results with `next`: the guide's prose ("A UUID that you poll for results");
- a POST per page, polled by uuid, `pagination` counts the pages: the live service (support page "Bulk API");
- `data` in place of `results` (DrChrono's OpenAPI schema).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from shared.drchrono.calls import Call, query_of, with_query
from shared.drchrono.records import Cursor, Page
from shared.errors import (
    BadRequest,
    BulkExpired,
    BulkFailed,
    BulkNotReady,
    DrChronoError,
    ListRepeats,
    MalformedAnswer,
    NotFound,
)

# A list that takes longer is left to the caller, which has other things to do. Each poll costs a request; DrChrono's
# own script polls every 10 s.
POLL_PAUSES_SECONDS = (2.0, 6.0, 12.0)

# DrChrono keeps a list for an hour. One that is nearly as old is not asked for any more.
UUID_TRUSTED = timedelta(minutes=55)


# How many pages a list may have shrunk by while one page of it was read.
MOST_STEPS_BACK = 5


class Lists:
    """Walks lists with the client's `send`, which gives the data of a call and the instant before it was sent.

    locate: turns a link into a target under `/api/`, or raises ForeignHost (arguments: link, operation).
    """

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
        """The pages of the list that `first` begins, from `resume` on where given.

        A position holds `next` (the target of a link), or `page` (its number) and `method` (how it is asked for); and
        while DrChrono is making the list its `uuid`, and `born`, the instant at which it was asked for. With links also
        `mark`, `steps` and `most`, by which a circle of them shows; and `stepped_back` after a page that was read again
        because the one at this position could not be had. An empty one is the start of the list.
        Raises BulkNotReady with the position to go on at.
        """
        position: Cursor | None = resume or {}
        while position is not None:
            page = self._page(first, position)
            position = page.resume
            yield page

    def _page(self, first: Call, position: Cursor) -> Page:
        call = self._call(first, position)
        try:
            data, began = self._answer(call, position)
        except (BulkExpired, BulkFailed, NotFound, BadRequest) as error:
            return self._page_again(first, call, position, error)
        return self._read(call, position, data, began)

    def _page_again(self, first: Call, call: Call, position: Cursor, error: DrChronoError) -> Page:
        """The page at `position`, which could not be had: of a new list, or the last one of a list that has shrunk.

        In whatever words DrChrono says that a uuid has expired, the same page of a list begun anew takes its place. If
        that is past the end, records were deleted meanwhile, and those of the last pages have moved. Raises `error`
        where there is neither.
        """
        known, stepped_back = isinstance(error, BulkExpired | BulkFailed), position.get("stepped_back")
        if known or "uuid" in position or "uuid" in query_of(call):
            try:
                call, position = self._renewed(first, call, position)
                data, began = self._answer(call, position)
            except (NotFound, BadRequest) as refusal:
                error = refusal
            else:
                return self._read(call, position, data, began)
        if stepped_back:
            raise error  # the last page says that there is a next one, and there is none
        for number in range(_number(call) - 1, max(0, _number(call) - 1 - MOST_STEPS_BACK), -1):
            earlier = with_query(call, page=str(number))
            place = {name: value for name, value in position.items() if name not in ("uuid", "next")}
            place |= {"next": earlier.target} if "next" in position else {"page": number, "method": call.method}
            try:
                data, began = self._answer(earlier, place)
            except (NotFound, BadRequest):
                continue
            page = self._read(earlier, place, data, began)
            return replace(page, resume={**page.resume, "stepped_back": True}) if page.resume else page
        raise error

    def _call(self, first: Call, position: Cursor) -> Call:
        """The request that the page at `position` begins with."""
        if "next" in position:
            path, _, query = self._locate(position["next"], first.operation).partition("?")
            return replace(first, method="GET", path=path, query=query)
        number = position.get("page", 1)
        # The guide's list knows no page numbers; the live one wants them from the first page on.
        return first if number == 1 and first.method == "GET" else with_query(first, page=str(number))

    def _answer(self, call: Call, position: Cursor) -> tuple[dict[str, Any], datetime]:
        """The finished list that `call` asks for, and when it was asked for: at once, or by polling its uuid."""
        born = datetime.fromisoformat(position["born"]) if "born" in position else None
        if born and "uuid" in position and self._now() - born < UUID_TRUSTED:
            return self._polled(call, position, position["uuid"], born, pauses=(0.0, *POLL_PAUSES_SECONDS))
        data, began = self._send(call)
        if born and "next" in position:
            began = born
        if _records(data) is not None:
            return data, began
        uuid = data.get("uuid")
        if not isinstance(uuid, str):
            raise MalformedAnswer(call.operation, status=200, remedy="it is neither a list nor the uuid of one")
        return self._polled(call, position, uuid, began, pauses=POLL_PAUSES_SECONDS)

    def _polled(
        self, call: Call, position: Cursor, uuid: str, born: datetime, *, pauses: Sequence[float]
    ) -> tuple[dict[str, Any], datetime]:
        # A link with a uuid names its page of that list as well, and so is its own poll.
        poll = call if "uuid" in query_of(call) else replace(call, method="GET", query=urlencode({"uuid": uuid}))
        for pause in pauses:
            self._sleep(pause)
            data, _ = self._send(poll)
            if _records(data) is not None:
                return data, born
        if poll is call:
            raise BulkNotReady(call.operation, {"next": call.target, "born": born.isoformat()})
        asked = {"page": position.get("page", 1), "method": call.method}
        raise BulkNotReady(poll.operation, {**asked, "uuid": uuid, "born": born.isoformat()})

    def _renewed(self, first: Call, call: Call, position: Cursor) -> tuple[Call, Cursor]:
        """`call` without the list that is gone; a link into that list now leads into one begun anew."""
        if "uuid" not in query_of(call):
            return call, {name: value for name, value in position.items() if name not in ("uuid", "born")}
        data, began = self._send(first)
        renewed = with_query(call, uuid=str(data.get("uuid")))
        return renewed, {"next": renewed.target, "born": began.isoformat()}

    def _read(self, call: Call, position: Cursor, data: dict[str, Any], began: datetime) -> Page:
        records = _records(data)
        if records is None or not all(isinstance(record, dict) for record in records):
            raise MalformedAnswer(call.operation, status=200, remedy="its list holds something that is no record")
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
            followed = {"next": target, **_steps(call, position, target)}
            # The pages of a list with a uuid are all as old as the list.
            return followed | {"born": began.isoformat()} if "uuid" in data else followed
        pages, number = counts.get("pages"), position.get("page", 1)
        # Where there could have been a link, its absence is the end, whatever else is counted.
        if "next" not in data and isinstance(pages, int) and number < pages:
            return {"page": number + 1, "method": call.method}
        return None


def _number(call: Call) -> int:
    """Which page of a list `call` asks for; 1 where it does not say."""
    number = query_of(call).get("page", "1")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 1


def _steps(call: Call, position: Cursor, target: str) -> dict[str, Any]:
    """What shows a circle of links (Brent's algorithm): a link that was seen, kept for twice as many steps each time.

    A circle of n links that begins after m is found after fewer than 3 (m + n) requests, by however many runs. Raises
    ListRepeats.
    """
    mark, steps, most = position.get("mark", call.target), position.get("steps", 0), position.get("most", 1)
    if target in (mark, call.target):
        raise ListRepeats(call.operation, status=200, remedy="its pages lead back to one that was read")
    if steps + 1 < most:
        return {"mark": mark, "steps": steps + 1, "most": most}
    return {"mark": target, "steps": 0, "most": 2 * most}


def _records(data: dict[str, Any]) -> list[Any] | None:
    """The records of a finished list."""
    if data.get("status") == "In progress":
        return None
    records = data.get("results", data.get("data"))
    return records if isinstance(records, list) else None
