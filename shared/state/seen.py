"""The ids that a reconciliation has seen, kept a page a document so that another run can go on with it."""

from __future__ import annotations

from collections.abc import Iterable

from shared.documents import Documents, Transaction, Where


class Seen:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def keep(self, kind: str, page: int, keys: Iterable[str]) -> None:
        data = {"seen_kind": kind, "ids": sorted(keys)}
        self._documents.transact(lambda transaction: transaction.set(_path(kind, page), data))

    def all(self, kind: str, pages: int) -> set[str]:
        """Of the first `pages` pages: a page that was kept and not yet counted is kept again when it is repeated."""
        paths = [_path(kind, page) for page in range(pages)]
        return {key for page in self._documents.get_all(paths).values() for key in page["ids"]}

    def drop(self, kind: str) -> None:
        pages = [
            key
            for key, _ in self._documents.query("sync_state", [Where("seen_kind", "==", kind)], fields=["seen_kind"])
        ]

        def work(transaction: Transaction) -> None:
            for key in pages:
                transaction.delete(f"sync_state/{key}")

        self._documents.transact(work)


def _path(kind: str, page: int) -> str:
    return f"sync_state/seen-{kind}-{page}"
