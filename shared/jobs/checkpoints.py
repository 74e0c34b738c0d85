"""The store of the checkpoints: one document `sync_state/<kind>` for each kind, and `sync_state/round`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any

from shared.documents import Data, Documents, Transaction
from shared.jobs.checkpoint import Checkpoint, Round


class Checkpoints:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, kind: str) -> Checkpoint:
        return _position(self._documents.get(_path(kind)))

    def change(
        self,
        kind: str,
        change: Callable[[Checkpoint], Checkpoint],
        also: Callable[[Transaction, Checkpoint], object] = lambda transaction, changed: None,
    ) -> Checkpoint:
        """Change the checkpoint and return the new one. also: called with it in the same transaction."""

        def work(transaction: Transaction) -> Checkpoint:
            before = _position(transaction.get(_path(kind)))
            changed = change(before)
            also(transaction, changed)
            if changed != before:
                data = {name.name: getattr(changed, name.name) for name in fields(Checkpoint)}
                transaction.set(_path(kind), data)
            return changed

        return self._documents.transact(work)

    def status(self, kind: str) -> Data:
        """Return the published status of the kind (`shared.jobs.status`), empty if there is none."""
        return self._documents.get(status_path(kind)) or {}

    def round(self) -> Round:
        found = self._documents.get(_path("round"))
        after, at, began = ((found or {}).get(name) for name in ("after", "at", "began"))
        return Round(
            after if isinstance(after, str) else None,
            at if isinstance(at, datetime) else None,
            began if isinstance(began, datetime) else None,
        )

    def set_round(self, value: Round) -> None:
        data = {"after": value.after, "at": value.at, "began": value.began}
        self._documents.transact(lambda transaction: transaction.set(_path("round"), data))


def status_path(kind: str) -> str:
    return f"sync_status/{kind}"


def _path(kind: str) -> str:
    return f"sync_state/{kind}"


def _position(data: dict[str, Any] | None) -> Checkpoint:
    """Return the checkpoint in the document. Fields that cannot be read get their defaults."""
    known: dict[str, Any] = {
        name: value for name, value in (data or {}).items() if isinstance(value, _TYPES.get(name, ()))
    }
    problems = known.get("problems", {})
    known["problems"] = {job: one for job, one in problems.items() if isinstance(one, dict) and one.keys() >= _PROBLEM}
    return Checkpoint(**known)


_TYPES: dict[str, tuple[type, ...]] = {
    "watermark": (str,),
    "next_watermark": (str,),
    "offsets": (list,),
    "listed": (int,),
    "synced_at": (datetime,),
    "filled_at": (datetime,),
    "complete_at": (datetime,),
    "sync": (dict,),
    "backfill": (dict,),
    "reconcile": (dict,),
    "backfilled_at": (datetime,),
    "reconciled_at": (datetime,),
    "strategy": (str,),
    "pass_requests": (int,),
    "problems": (dict,),
}
_PROBLEM = {"reason", "since", "at", "attempts", "retry_at"}
