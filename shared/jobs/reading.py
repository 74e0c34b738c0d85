"""Whether the pages of a list have shown all its records. Pure.

Each page is cut from the list as it is when the page is asked for. If a record is deleted or moved meanwhile, others
move between pages, and one may move to a page that was read before: then no page shows it. What tells of that:

- Live, every page of a bulk list says how many records the list has (`pagination.count`). All must say the same number,
  and that many different records must have been shown.
- A deletion and a creation can make up for each other in the count. So it counts as proof only if none of the records
  can have changed since the reading began.
- Otherwise the list is read a second time. A record is only missed where another one before it leaves its place: it is
  deleted, and the second reading does not show it; or it is moved behind, and the first shows it twice, where no count
  tells. So a first reading that showed no record twice, or as many as its pages say, is proved by a second one that
  shows all of them again. What is new to the copy then must have been changed since.

Without a count, one case is left: within one reading, a record is put before a page that is about to be read, and taken
away when that page has been read. A list of one page cannot shift.
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

# After so many readings that do not agree, the list waits, as one that cannot be had does.
MOST_READINGS = 3

# Of the ids that are new to the copy, so many are kept: more are not explained by what changed meanwhile.
MOST_NEW = 500


@dataclass(frozen=True)
class Reading:
    """What the pages of one list have shown so far.

    pages: how many were read. count: how many records the list has, as its pages say; None where they do not. steady:
    all of them said the same. quiet: no record that was shown can have changed since the reading began. named, unnamed:
    how many records with and without an id were shown. new: ids that the copy did not have before.
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
        """Whether it showed as many records as its pages say there are, where they do. different: ids shown."""
        return self.steady and (self.count is None or self.count == different + self.unnamed)

    def is_provable(self, different: int) -> bool:
        """Whether it showed every record of the list if another one shows all of them again."""
        return self.agrees(different) and (self.count is not None or self.named == different)

    def is_proof(self) -> bool:
        """Whether a reading that agrees shows by itself that the copy has every record of the list."""
        return self.pages <= 1 or (self.count is not None and self.quiet)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"new": list(self.new)}


def reading_of(stored: Mapping[str, Any] | None) -> Reading:
    known = {field.name for field in fields(Reading)}
    found = {name: value for name, value in (stored or {}).items() if name in known}
    return Reading(**found | {"new": tuple(found.get("new", ()))})


def _is_before(value: object, bound: str) -> bool:
    return isinstance(value, str) and value < bound
