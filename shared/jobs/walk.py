"""Walk one list of changes into the store, page by page, with a checkpoint after each that another run goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.drchrono.records import Page
from shared.jobs.run import Run, Stopped, stops
from shared.kinds import Kind
from shared.order import CLOCK_SKEW
from shared.state.records import PageResult, Source
from shared.state.refresh import store_page

Save = Callable[[Mapping[str, Any] | None], object]
Ahead = Callable[[Page], object]


def walk(
    run: Run,
    kind: Kind,
    source: Source,
    *,
    since: str | None,
    save: Save,
    window: tuple[str, str] | None = None,
    resume: Mapping[str, Any] | None = None,
    bulk: bool = True,
    archived: bool = False,
    ahead: Ahead = lambda page: None,
) -> Iterator[tuple[Page, PageResult]]:
    """`ahead` is told of each page before it is stored, the caller gets it after that, and then `save` is told where
    the next one is.

    So whatever is done with a page is done again if the process dies in it, and never left out; but what depends on
    which of its records are new must be done ahead, for once they are stored none of them is. Pending entries of
    records that a page shows are struck. Raises Stopped.
    """
    waiting = run.parts.pending.keys_of(kind.name)
    pages = run.parts.lists.list_changed(kind, since=since, window=window, resume=resume, bulk=bulk, archived=archived)
    while True:
        run.check()
        try:
            with stops():
                page = next(pages, None)
        except Stopped as stopped:
            if stopped.position is not None:
                save(stopped.position)
            raise
        run.renew()
        if page is None:
            return
        ahead(page)
        result = store_page(run.parts.records, run.parts.pending, kind, page, source)
        run.counts["pages"] += 1
        run.counts["seen"] += len(result.keys)
        for verdict, count in result.verdicts.items():
            run.counts[verdict] += count
        run.counts["struck"] += run.parts.pending.strike(
            kind.name,
            (result.keys - result.failed.keys() - set(result.lagging)) & waiting,
            page.began - CLOCK_SKEW,
        )
        yield page, result
        save(page.resume)
