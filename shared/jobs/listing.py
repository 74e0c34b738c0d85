"""The list that a job is reading: what its pages have shown, stored so that another run can continue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.drchrono.kinds import Kind, key_of
from shared.drchrono.records import Page
from shared.jobs.reading import reading_of
from shared.jobs.seen import Seen, name_of
from shared.records.store import PageResult


class Listing:
    """state: of the job's checkpoint, {reading, pages, before}. reading: what the list has shown. pages: how many pages
    of ids are kept. before: how many of these, directly before those of this reading, belong to an earlier reading that
    this one may prove.

    keep_ids: keep the ids of all pages, including those of earlier lists. exact: keep the ids of a reading that the
    next one may prove. Otherwise, ids are kept only until they have been compared with the count of the list.
    """

    def __init__(
        self,
        seen: Seen,
        job: str,
        kind: Kind,
        state: Mapping[str, Any],
        *,
        keep_ids: bool = False,
        exact: bool = False,
    ) -> None:
        self.reading = reading_of(state.get("reading"))
        self.pages = int(state.get("pages", 0))
        self._before = int(state.get("before", 0)) if exact else 0
        self._seen, self._name, self._kind = seen, name_of(job, kind.name), kind
        self._keep_ids, self._exact = keep_ids, exact
        self._last: set[str] = set()
        self._provable = False

    @property
    def state(self) -> dict[str, Any]:
        return {"reading": self.reading.as_json(), "pages": self.pages, "before": self._before}

    @property
    def state_of_next(self) -> dict[str, Any]:
        """The state for the next list, or for this list when it is read again from its start."""
        before = self.reading.pages if self._provable else 0
        return {"reading": None, "pages": self.pages if self._keep_ids or before else 0, "before": before}

    def add(self, page: Page, result: PageResult) -> None:
        self.reading = self.reading.with_page(self._kind, page, result.new)
        self._last = {key for record in page.records if (key := key_of(self._kind, record))}
        single = page.resume is None and self.reading.pages == 1
        if self._keep_ids or ((page.total is not None or self._exact) and not single):
            self._seen.keep(self._name, self.pages, self._last)
            self.pages += 1

    def agrees(self) -> bool:
        """Return, after the last page, whether the pages showed as many different records as they state."""
        different = len(self._shown())
        self._provable = self._exact and self.reading.is_provable(different)
        return self.reading.agrees(different)

    def proves_the_one_before(self) -> bool:
        """Return, after the last page, whether this reading showed all ids of an earlier, provable reading."""
        first = self.pages - self.reading.pages
        earlier = self._seen.all(self._name, first, first=first - self._before)
        return self._before > 0 and earlier <= self._shown()

    def forget(self, *, again: bool = False) -> None:
        """Drop the ids of this list. again: keep those that the next reading is compared with."""
        if not self._keep_ids:
            kept = self.reading.pages if again and self._provable else 0
            self._seen.drop(self._name, self.pages - kept)

    def _shown(self) -> set[str]:
        """Return the ids that this reading has shown if they were kept, otherwise those of its last page."""
        if self.reading.pages <= 1 or (self.reading.count is None and not self._exact):
            return self._last
        return self._seen.all(self._name, self.pages, first=max(0, self.pages - self.reading.pages))
