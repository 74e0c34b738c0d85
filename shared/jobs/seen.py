"""The ids that a reconciliation has seen, kept a page a document so that another run can go on with it."""

from __future__ import annotations

from collections.abc import Iterable

from shared.documents import Documents, Transaction


class Seen:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def keep(self, kind: str, page: int, keys: Iterable[str]) -> None:
        data = {"ids": sorted(keys)}
        self._documents.transact(lambda transaction: transaction.set(_path(kind, page), data))

    def all(self, kind: str, pages: int) -> set[str]:
        """Of the first `pages` pages: a page that was kept and not yet counted is kept again when it is repeated."""
        return {key for page in self._documents.get_all(_paths(kind, pages)).values() for key in page["ids"]}

    def drop(self, kind: str, pages: int) -> None:
        def work(transaction: Transaction) -> None:
            for path in _paths(kind, pages):
                transaction.delete(path)

        self._documents.transact(work)


def _paths(kind: str, pages: int) -> list[str]:
    return [_path(kind, page) for page in range(pages)]


def _path(kind: str, page: int) -> str:
    return f"sync_state/seen-{kind}-{page}"
