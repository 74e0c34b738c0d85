"""How plain lists are cut into pages.

DrChrono does not document the order of its lists. With `cursor` paging, a page starts at a record, in the order of
creation, so that deletions do not move records between pages. With `offset` paging, a page starts after a number of
records: a deletion or a rescheduled appointment between two page reads moves records across page bounds, and a reader
misses some or sees some twice.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from simulator.api.cursor import Cursor
from simulator.api.queries import Selection
from simulator.config import LIST_ORDERS, PAGINGS, ListOrder
from simulator.config import Paging as Method
from simulator.practice.kinds import APPOINTMENTS
from simulator.practice.store import Version


@dataclass(frozen=True, kw_only=True)
class Paging:
    """The method and order of plain lists."""

    method: Method = "cursor"
    order: ListOrder = "id"
    """For offset paging: oldest first, newest first, or by `scheduled_time` (other kinds: oldest first)."""

    def __post_init__(self) -> None:
        if self.method not in PAGINGS or self.order not in LIST_ORDERS:
            raise ValueError(f"method is one of {', '.join(PAGINGS)}; order is one of {', '.join(LIST_ORDERS)}")
        if self.method == "cursor" and self.order != "id":
            raise ValueError(f"the order {self.order} needs offset paging")

    def cut(
        self, selection: Selection, cursor: Cursor, size: int, lag_seconds: float
    ) -> tuple[list[Version], Cursor | None]:
        """Return a page and the cursor of the next one, or None after the last."""
        if self.method == "cursor":
            found = list(itertools.islice(selection.after(cursor.start, lag_seconds), size + 1))
            more = len(found) > size
            following = Cursor(found[size][0].position, cursor.page + 1) if more else None
            return [version for _, version in found[:size]], following
        versions = self._ordered(selection, lag_seconds)
        end = cursor.start + size
        following = Cursor(end, cursor.page + 1) if len(versions) > end else None
        return versions[cursor.start : end], following

    def _ordered(self, selection: Selection, lag_seconds: float) -> list[Version]:
        versions = [version for _, version in selection.after(0, lag_seconds)]
        if self.order == "-id":
            versions.reverse()
        elif self.order == "scheduled_time" and selection.kind.name == APPOINTMENTS:
            versions.sort(key=lambda version: str(version.fields["scheduled_time"]))
        return versions
