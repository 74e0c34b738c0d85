"""The list that a job is reading: what its pages have shown, kept so that another run can go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.drchrono.kinds import Kind, key_of
from shared.drchrono.records import Page
from shared.jobs.reading import reading_of
from shared.jobs.seen import Seen, name_of
from shared.records.store import PageResult


class Listing:
    """state: of the job's checkpoint, {reading, pages}: what the list has shown, and how many pages of ids are kept.

    keep_ids: keep the ids of all pages, of the lists before this one as well. Otherwise they are kept only while they
    have to be compared with the count of the list.
    """

    def __init__(self, seen: Seen, job: str, kind: Kind, state: Mapping[str, Any], *, keep_ids: bool = False) -> None:
        self.reading = reading_of(state.get("reading"))
        self.pages = int(state.get("pages", 0))
        self._seen, self._name, self._kind, self._keep_ids = seen, name_of(job, kind.name), kind, keep_ids
        self._last: set[str] = set()

    @property
    def state(self) -> dict[str, Any]:
        return {"reading": self.reading.as_json(), "pages": self.pages}

    @property
    def state_of_next(self) -> dict[str, Any]:
        """Of the list after this one, or of this one begun anew."""
        return {"reading": None, "pages": self.pages if self._keep_ids else 0}

    def add(self, page: Page, result: PageResult) -> None:
        self.reading = self.reading.with_page(self._kind, page, result.new)
        self._last = {key for record in page.records if (key := key_of(self._kind, record))}
        single = page.resume is None and self.reading.pages == 1
        if self._keep_ids or (page.total is not None and not single):
            self._seen.keep(self._name, self.pages, self._last)
            self.pages += 1

    def agrees(self) -> bool:
        """After the last page: whether the pages showed as many different records as they say that there are."""
        shown = self._last
        if self.reading.pages > 1 and self.reading.count is not None:
            shown = self._seen.all(self._name, self.pages, first=max(0, self.pages - self.reading.pages))
        return self.reading.agrees(len(shown))

    def forget(self) -> None:
        """Drop the ids that were kept for the count."""
        if not self._keep_ids:
            self._seen.drop(self._name, self.pages)
