"""Walk a list page by page: store each page, and save a checkpoint from which another run can continue."""

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
    """Walk the list of changes of `kind`. Yield each page after it is stored, with the result.

    The order for each page: `before_store` gets the page and its workbench; the page is stored; the queue entries that
    it proves are completed; the caller gets the page; `save` gets the cursor of the next page, None after the last.

    If the process crashes during a page, the next run repeats that page, so no step is skipped. A step that depends on
    which records are new belongs in `before_store`: when a page is repeated after it was stored, no record is new.
    Raises Stopped, and a DrChronoError if this list cannot continue.

    With `Parts.overlap`, the next page is fetched while the current one is stored. An error of that fetch is raised
    only after `save`, so the current page is never lost. At most one page is requested in vain.
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
    """Like `walk`, for any list."""
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
                save({})  # start the list again: it is unknown which page was wrong
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
            # Records that failed or must be fetched again were queued just now: this proves nothing of them.
            shown = {
                key: Evidence(shown_until(page.began), updated_at)
                for key, updated_at in result.versions.items()
                if key in waiting
            }
            run.counts["completed"] += run.parts.queue.complete_listed(kind.name, shown)
            yield page, result
            save(page.resume)
            del page, result  # frees this page before the fetch of the one after the next: at most two are in memory
