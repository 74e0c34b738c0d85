"""The ids that the pages of a walk have shown, one document for each page, so that another run can continue.

name: identifies the walk (`name_of`).
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.documents import Documents, Transaction


def name_of(job: str, kind: str) -> str:
    return kind if job == "reconcile" else f"{job}-{kind}"


class Seen:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def keep(self, name: str, page: int, keys: Iterable[str]) -> None:
        data = {"ids": sorted(keys)}
        self._documents.transact(lambda transaction: transaction.set(_path(name, page), data))

    def all(self, name: str, pages: int, *, first: int = 0) -> set[str]:
        """Return the ids of the pages from `first` to `pages`. A page that was kept but not yet counted is overwritten
        when it is repeated.
        """
        return {key for page in self._documents.get_all(_paths(name, first, pages)).values() for key in page["ids"]}

    def drop(self, name: str, pages: int) -> None:
        def work(transaction: Transaction) -> None:
            for path in _paths(name, 0, pages):
                transaction.delete(path)

        if pages:
            self._documents.transact(work)


def _paths(name: str, first: int, pages: int) -> list[str]:
    return [_path(name, page) for page in range(first, pages)]


def _path(name: str, page: int) -> str:
    return f"sync_state/seen-{name}-{page}"
