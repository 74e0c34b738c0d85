"""How far the copy of each kind is known to be complete: one document `sync_state/<kind>` a kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from shared.documents import Documents, Transaction


@dataclass(frozen=True)
class Checkpoint:
    """Where the jobs are with one kind.

    watermark: the newest `updated_at` that a completed sync or backfill has shown, in DrChrono's local time.
    synced_at: when the last completed sync began (UTC): every change before it is in the copy or on the pending list.
    complete_at: the moment up to which the copy is known to be complete; None until a first backfill has ended.
    sync, backfill, reconcile: the checkpoint of a walk that is not finished, None between walks.
    backfilled_at: when the last finished backfill began. reconciled_at: the same of a reconciliation.
    problem: {reason, at}: why the kind could not be listed or judged (`forbidden`, `mass_deletion`); None where it can.
    """

    watermark: str | None = None
    synced_at: datetime | None = None
    complete_at: datetime | None = None
    sync: dict[str, Any] | None = None
    backfill: dict[str, Any] | None = None
    reconcile: dict[str, Any] | None = None
    backfilled_at: datetime | None = None
    reconciled_at: datetime | None = None
    problem: dict[str, Any] | None = None


@dataclass(frozen=True)
class Round:
    """The slow round over all patients: it goes on after the patient `after`; `at` is when it last did."""

    after: str | None = None
    at: datetime | None = None


class Checkpoints:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, kind: str) -> Checkpoint:
        return _position(self._documents.get(_path(kind)))

    def change(self, kind: str, change: Callable[[Checkpoint], Checkpoint]) -> Checkpoint:
        def work(transaction: Transaction) -> Checkpoint:
            changed = change(_position(transaction.get(_path(kind))))
            transaction.set(_path(kind), {name.name: getattr(changed, name.name) for name in fields(Checkpoint)})
            return changed

        return self._documents.transact(work)

    def round(self) -> Round:
        found = self._documents.get(_path("round"))
        return Round(**found) if found else Round()

    def set_round(self, value: Round) -> None:
        data = {"after": value.after, "at": value.at}
        self._documents.transact(lambda transaction: transaction.set(_path("round"), data))


def _path(kind: str) -> str:
    return f"sync_state/{kind}"


def _position(data: dict[str, Any] | None) -> Checkpoint:
    known = {name.name for name in fields(Checkpoint)}
    return Checkpoint(**{name: value for name, value in (data or {}).items() if name in known})
