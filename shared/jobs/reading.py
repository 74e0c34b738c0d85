"""Whether the pages of a list have shown all its records. Pure.

DrChrono cuts each page from the list as it is at the time of the request. If a record is deleted or moves between two
requests, other records move between pages. One of them may move to a page that was already read, and no page shows it.
These checks find that:

- Live, every page of a bulk list states how many records the list has (`pagination.count`). All pages must state the
  same number, and that many different records must have been shown.
- A deletion and a creation can cancel each other out in the count. So the count is proof only if no record can have
  changed since the reading began.
- Otherwise the list is read a second time. A record is missed only if another one leaves its place before it. If that
  one was deleted, the second reading does not show it. If it moved towards the end, the first reading showed it twice,
  which matters if there is no count. So a first reading that showed no record twice, or as many as its pages state, is
  proved by a second one that shows all of them again. A record that is new to the copy then must have changed since.

Without a count, one case stays undetected: during one reading, a record is inserted before a page that is about to be
read, and removed after that page was read. A list of one page cannot shift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from shared.drchrono.kinds import Kind, key_of
from shared.drchrono.lag import shown_until
from shared.drchrono.records import Page
from shared.jobs.watermark import behind

# After this many readings without proof, the list has failed (ListShifted) and is tried again later.
MOST_READINGS = 3

# If more ids than this are new to the copy, changes during the reading do not explain them.
MOST_NEW = 500


@dataclass(frozen=True)
class Reading:
    """What the pages of one list have shown so far.

    pages: how many were read. count: how many records the list has, as its last page states; None if it states none.
    steady: all pages stated the same. quiet: no record that was shown can have changed since the reading began. named,
    unnamed: how many records with and without an id were shown. new: ids that the copy did not have before.
    """

    pages: int = 0
    began: datetime | None = None
    count: int | None = None
    steady: bool = True
    quiet: bool = True
    named: int = 0
    unnamed: int = 0
    new: tuple[str, ...] = ()

    def with_page(self, kind: Kind, page: Page, new: tuple[str, ...]) -> Reading:
        began = self.began or page.began
        bound = behind(shown_until(began))
        unnamed = sum(key_of(kind, record) is None for record in page.records)
        return Reading(
            pages=self.pages + 1,
            began=began,
            count=page.total,
            steady=self.steady and (not self.pages or page.total == self.count),
            quiet=self.quiet and all(_is_before(record.get("updated_at"), bound) for record in page.records),
            named=self.named + len(page.records) - unnamed,
            unnamed=self.unnamed + unnamed,
            new=(*self.new, *new)[: MOST_NEW + 1],
        )

    def agrees(self, different: int) -> bool:
        """Whether it showed as many records as its pages state, if they do. different: how many ids it showed."""
        return self.steady and (self.count is None or self.count == different + self.unnamed)

    def is_provable(self, different: int) -> bool:
        """Whether it missed no record, provided that another reading shows all of its records again."""
        return self.agrees(different) and (self.count is not None or self.named == different)

    def is_proof(self) -> bool:
        """Whether a reading that agrees proves by itself that the copy has every record of the list."""
        return self.pages <= 1 or (self.count is not None and self.quiet)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"new": list(self.new)}


def reading_of(stored: Mapping[str, Any] | None) -> Reading:
    known = {field.name for field in fields(Reading)}
    found = {name: value for name, value in (stored or {}).items() if name in known}
    return Reading(**found | {"new": tuple(found.get("new", ()))})


def _is_before(value: object, bound: str) -> bool:
    return isinstance(value, str) and value < bound
