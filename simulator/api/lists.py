"""Plain lists with cursors, and bulk lists in three forms."""

from __future__ import annotations

import json
from collections.abc import Sequence

from simulator.api.address import Read
from simulator.api.bulk import PAGE_SIZE, Bulk, Job, slice_of
from simulator.api.cursor import Cursor
from simulator.api.lag import Lag
from simulator.api.paging import Paging
from simulator.api.queries import Selection, select
from simulator.api.visibility import Visibility
from simulator.messages import RefusedError, Request, Response, answer
from simulator.practice.clinic import Clinic
from simulator.practice.kinds import APPOINTMENTS, NOTES, Kind
from simulator.practice.store import Version, join

# The guide: "Paginated at 5 per page (max 20)". No other source confirms it, so it applies to the guide's forms only.
_GUIDE_NOTES = (5, 20)


class Lists:
    """Answers list requests."""

    def __init__(self, clinic: Clinic, bulk: Bulk, lag: Lag, visibility: Visibility, paging: Paging) -> None:
        self._clinic, self._bulk, self._config = clinic, bulk, clinic.config
        self.lag, self.visibility, self.paging = lag, visibility, paging

    def page(self, kind: Kind, request: Request) -> Response:
        """`GET /api/<kind>`: `{"previous", "results", "next"}`."""
        plain, with_all = kind.page_sizes
        default = most = with_all if is_verbose(request) else plain
        if kind.name == NOTES and not self._config.live:
            default, most = _GUIDE_NOTES
        return self._plain_page(self._select(kind, request, "list"), request, default, most, "list")

    def start(self, kind: Kind, request: Request) -> Response:
        """`POST /api/<kind>_list`: start a snapshot of one page."""
        versions = self._ordered(self._select(kind, request, "bulk"), request)
        page, size = _number(request, "page", 1), min(_number(request, "page_size", PAGE_SIZE), PAGE_SIZE)
        found, pagination = slice_of(versions, page, size)
        job = self._bulk.start(request.path, found, pagination, verbose=is_verbose(request))
        link = f"{request.origin}{request.path}?uuid={job.uuid}"
        description = f"Call {link} to get the list"
        return answer(201, {"status": "In progress", "uuid": job.uuid, "description": description})

    def read(self, kind: Kind, request: Request) -> Response:
        """`GET /api/<kind>_list`: poll a uuid, or answer the guide's list."""
        if uuid := request.query.get("uuid"):
            return self._poll(request, uuid)
        if self._config.live:
            raise RefusedError(400, {"uuid": ["This field is required."]})
        selection = self._select(kind, request, "bulk")
        if self._config.form == "guide":
            return self._plain_page(selection, request, PAGE_SIZE, PAGE_SIZE, "bulk")
        versions = self._ordered(selection, request)
        _, pagination = slice_of(versions, 1, min(_number(request, "page_size", PAGE_SIZE), PAGE_SIZE))
        job = self._bulk.start(request.path, versions, pagination, verbose=True, whole=True)
        return answer(200, {"uuid": job.uuid})

    def empty(self, kind: Kind, request: Request, *, bulk: bool) -> Response:
        """Return an empty list. Without `calendar:read`, this is the answer for appointments instead of a 403."""
        if not bulk:
            return answer(200, {"previous": None, self._config.results_key: [], "next": None})
        if request.method == "GET":
            return self.read(kind, request) if "uuid" in request.query else self.empty(kind, request, bulk=False)
        job = self._bulk.start(request.path, [], slice_of([], 1, PAGE_SIZE)[1], verbose=False)
        return answer(201, {"status": "In progress", "uuid": job.uuid, "description": ""})

    def _poll(self, request: Request, uuid: str) -> Response:
        job, complete = self._bulk.poll(request.path, uuid)
        if not complete:
            return answer(200, {"status": "In progress", "uuid": uuid})
        if job.whole:
            return self._prose_page(job, request)
        return self._results(job.head(job.pagination), job.versions, verbose=job.verbose)

    def _prose_page(self, job: Job, request: Request) -> Response:
        """Answer a complete uuid as the guide's prose describes: results, and `next` for the following page."""
        page = _number(request, "page", 1)
        found, pagination = slice_of(job.versions, page, job.pagination["page_size"])
        more = page < pagination["pages"]
        following = request.link(self._config.link_origin, page=page + 1) if more else None
        return self._results(job.head(pagination), found, verbose=True, rest={"next": following})

    def _select(self, kind: Kind, request: Request, read: Read) -> Selection:
        selection = select(self._clinic, kind, request.query)
        selection.conditions.append(lambda version: not self.visibility.hides(version, read))
        return selection

    def _plain_page(self, selection: Selection, request: Request, default: int, most: int, read: Read) -> Response:
        size = min(_number(request, "page_size", default), most)
        cursor = Cursor.parse(request.query.get("cursor", ""))
        if cursor is None:
            raise RefusedError(404, {"detail": "Invalid cursor"})
        versions, next_cursor = self.paging.cut(selection, cursor, size, self.lag.seconds(selection.kind.name, read))
        following = request.link(self._config.link_origin, cursor=next_cursor.text()) if next_cursor else None
        # The guide shows nested insurance in lists too. The live service needs verbose=true.
        verbose = is_verbose(request) or not self._config.live
        return self._results(b'{"previous": null', versions, verbose=verbose, rest={"next": following})

    def _ordered(self, selection: Selection, request: Request) -> Sequence[Version]:
        lag_seconds = self.lag.seconds(selection.kind.name, "bulk")
        versions = [version for _, version in selection.after(0, lag_seconds)]
        order = request.query.get("order_by", "id")
        allowed = (
            ("scheduled_time", "id", "updated_at") if selection.kind.name == APPOINTMENTS else ("id", "updated_at")
        )
        if order not in allowed:
            raise RefusedError(400, {"order_by": [f'"{order}" is not a valid choice.']})
        if order == "updated_at":
            versions.sort(key=lambda version: version.updated_at)
        elif order == "scheduled_time":
            versions.sort(key=lambda version: str(version.fields["scheduled_time"]))
        return versions

    def _results(
        self, head: bytes, versions: Sequence[Version], *, verbose: bool, rest: dict[str, str | None] | None = None
    ) -> Response:
        """Return a JSON object of `head`, the records, and `rest`, built from already serialized records."""
        tail = ", " + json.dumps(rest)[1:-1] if rest else ""
        name = f', "{self._config.results_key}": '.encode()
        body = b"".join((head, name, join(versions, verbose=verbose), tail.encode(), b"}"))
        return Response(status=200, body=body)


def is_verbose(request: Request) -> bool:
    return request.query.get("verbose", "").lower() in ("true", "1")


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise RefusedError(400, {name: ["A valid integer is required."]})
    return int(text)
