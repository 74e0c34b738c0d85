"""Walk one list of changes into the store, page by page, with a checkpoint after each that another run goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.drchrono.kinds import Kind
from shared.drchrono.lag import Evidence, shown_until
from shared.drchrono.records import Page
from shared.errors import BulkNotReady, ListRepeats
from shared.jobs.prefetch import Prefetch
from shared.jobs.run import Run
from shared.jobs.stopping import stops
from shared.records.pages import store_page
from shared.records.prepared import Workbench
from shared.records.store import PageResult, Source

Save = Callable[[Mapping[str, Any] | None], object]
BeforeStore = Callable[[Page, Workbench], object]


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
    before_store: BeforeStore = lambda page, bench: None,
) -> Iterator[tuple[Page, PageResult]]:
    """`before_store` gets each page before it is stored (and where to keep what it prepares of it), the caller gets it
    after that, and then `save` gets the cursor of the next one.

    So whatever is done with a page is done again if the process dies in it, and never left out; but what depends on
    which of its records are new must be done in `before_store`, for once they are stored none of them is. Queue entries
    of records that a page shows are completed. Raises Stopped, and a DrChronoError where this list cannot go on.

    With `Parts.overlap` the next page is fetched while one is stored. What came of it is looked at after `save` only:
    an error in it never costs the page before it, and one page at most is asked for in vain.
    """
    pages = run.parts.lists.list_changed(kind, since=since, window=window, resume=resume, bulk=bulk, archived=archived)
    return walk_pages(run, kind, source, pages, save=save, before_store=before_store)


def walk_pages(
    run: Run,
    kind: Kind,
    source: Source,
    pages: Iterator[Page],
    *,
    save: Save,
    before_store: BeforeStore = lambda page, bench: None,
) -> Iterator[tuple[Page, PageResult]]:
    """As `walk`, of any list."""
    waiting = run.parts.queue.keys_of(kind.name)
    with Prefetch(pages) as prefetch:
        while True:
            if not prefetch.begun:
                run.check()
            try:
                with stops():
                    page = prefetch.next()
            except BulkNotReady as error:
                save(error.position)
                raise
            except ListRepeats:
                save({})  # from the start: nothing says where the pages went astray
                raise
            run.renew()
            if page is None:
                return
            if run.parts.overlap and page.resume is not None and run.parts.now() < run.deadline:
                prefetch.begin()
            run.health.listed()
            bench = Workbench()
            before_store(page, bench)
            result = store_page(run.parts.records, run.parts.queue, run.parts.absences, kind, page, source, bench)
            del bench
            run.counts["pages"] += 1
            run.counts["seen"] += len(result.keys)
            for verdict, count in result.verdicts.items():
                run.counts[verdict] += count
            shown = {
                key: Evidence(shown_until(page.began), updated_at)
                for key, updated_at in result.versions.items()
                if key in waiting and key not in result.failed and key not in result.doubtful
            }
            run.counts["completed"] += run.parts.queue.complete_listed(kind.name, shown)
            yield page, result
            save(page.resume)
            del page, result  # two pages are in memory, this one no more when the one after the next is fetched
