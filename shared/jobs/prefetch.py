"""The pages of a list. The next one is fetched in another thread while one is stored."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from shared.drchrono.records import Page


class Prefetch:
    """Use as `with Prefetch(pages) as prefetch:`. However the block ends, no thread is left."""

    def __init__(self, pages: Iterator[Page]) -> None:
        self._pages = pages
        self._thread: ThreadPoolExecutor | None = None
        self._coming: Future[Page | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    @property
    def begun(self) -> bool:
        """Whether the next page is being fetched or has arrived."""
        return self._coming is not None

    def begin(self) -> None:
        """Begin to fetch the next page."""
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="next-page")
        self._coming = self._thread.submit(contextvars.copy_context().run, self._fetch)

    def next(self) -> Page | None:
        """Return the next page, None after the last. An error of an earlier fetch is raised only here."""
        coming, self._coming = self._coming, None
        return self._fetch() if coming is None else coming.result()

    def _fetch(self) -> Page | None:
        return next(self._pages, None)
