"""Coverage of the copy: what the DrChrono user who authorized it may see.

State: `sync_state/coverage`, {asked_at, user, is_doctor, doctor, practice_group, needs, problem, counted_at, whole,
doctors, seen}. asked_at: when `users/current` was requested; the following fields are from its answer. needs: by kind,
what is stated of each scope and permission. problem: {reason, at} of the last request, None if it was answered.
counted_at: when the doctors were counted. doctors: how many the copy has. seen: by kind, how many doctors its living
records name. whole: whether every kind had been backfilled by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Data, Documents, Transaction, Where
from shared.drchrono.ids import id_of_document, spellings
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.permissions import Statement, User, kinds_by_need, needs_of, relevant, user_of
from shared.log import log
from shared.records.ordering import copy_of
from shared.records.storable import META

STATE = "sync_state/coverage"

# An older statement no longer counts: the daily request has failed for a day.
STATEMENTS_TRUSTED = timedelta(days=2)


@dataclass(frozen=True)
class Coverage:
    """The coverage of one kind at one time. user: id of the DrChrono user, None if unknown. needs: what is stated of
    each scope and permission that reading all its records needs. doctors: how many the practice has. doctors_seen: how
    many of them the living records of this kind name; None if that was not counted or no record names any.
    """

    user: str | None
    asked_at: datetime | None
    needs: Mapping[str, Statement]
    doctors_seen: int | None
    doctors: int | None

    @property
    def verdict(self) -> Statement:
        """Return `granted` only if everything is stated to be granted."""
        said = set(self.needs.values())
        if Statement.MISSING in said:
            return Statement.MISSING
        return Statement.GRANTED if said == {Statement.GRANTED} else Statement.UNKNOWN

    def as_document(self) -> Data:
        """Return the coverage for a document that readers get."""
        return asdict(self) | {
            "verdict": self.verdict.value,
            "needs": {name: said.value for name, said in self.needs.items()},
        }


def coverage_of(kind: Kind, state: Mapping[str, Any] | None, now: datetime) -> Coverage:
    """Return the coverage of a kind from the document `sync_state/coverage` (None: it does not exist). Pure.

    Unreadable or outdated statements count as unknown.
    """
    found = state or {}
    asked_at, user = found.get("asked_at"), found.get("user")
    asked_at = asked_at if isinstance(asked_at, datetime) and asked_at.tzinfo is not None else None
    trusted = asked_at is not None and now - asked_at <= STATEMENTS_TRUSTED
    said = _part(found, "needs", kind.name) if trusted else {}
    names = (kind.scope, *kind.permissions, *([kind.practice_access] if kind.practice_access else []))
    needs = {name: _statement(said.get(name) if isinstance(said, Mapping) else None) for name in names}
    seen, doctors = _part(found, "seen", kind.name), found.get("doctors")
    return Coverage(
        user=user if isinstance(user, str) else None,
        asked_at=asked_at,
        needs=relevant(needs, doctors if isinstance(doctors, int) else None),
        doctors_seen=seen if isinstance(seen, int) else None,
        doctors=doctors if isinstance(doctors, int) else None,
    )


def _part(found: Mapping[str, Any], field: str, kind: str) -> Any:
    part = found.get(field)
    return part.get(kind) if isinstance(part, Mapping) else None


def _statement(value: object) -> Statement:
    return Statement(value) if isinstance(value, str) and value in list(Statement) else Statement.UNKNOWN


class Coverages:
    """current_user: requests the user from DrChrono (one request). scopes: of the token; empty if unknown. Methods may
    raise the errors of both, and StoreUnavailable.
    """

    def __init__(
        self,
        documents: Documents,
        *,
        current_user: Callable[[], Mapping[str, Any]],
        scopes: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        self._documents = documents
        self._current_user = current_user
        self._scopes = scopes
        self._now = now

    def state(self) -> Data:
        return self._documents.get(STATE) or {}

    def of(self, kind: Kind) -> Coverage:
        return coverage_of(kind, self.state(), self._now())

    def look(self) -> tuple[User, dict[str, dict[str, Statement]]]:
        """Ask DrChrono without storing anything. Return the user, and what is stated of the needs of each kind."""
        user = user_of(self._current_user())
        scopes = self._scopes()
        return user, {name: needs_of(kind, user, scopes) for name, kind in KINDS.items()}

    def ask(self) -> tuple[User, dict[str, dict[str, Statement]]]:
        """Ask DrChrono and store what it states."""
        began = self._now()
        user, needs = self.look()
        missing = kinds_by_need(needs, Statement.MISSING)
        log("coverage.asked", "WARNING" if missing else "INFO", count=len(missing), reason=",".join(sorted(missing)))
        self._change(
            {
                "asked_at": began,
                "user": user.id,
                "is_doctor": user.is_doctor,
                "doctor": user.doctor,
                "practice_group": user.practice_group,
                "needs": {name: {need: said.value for need, said in each.items()} for name, each in needs.items()},
                "problem": None,
            }
        )
        return user, needs

    def failed(self, reason: str) -> None:
        """Note that the user could not be requested. The earlier statements stay and become outdated."""
        log("coverage.failed", "WARNING", reason=reason)
        self._change({"problem": {"reason": reason, "at": self._now()}})

    def count(self, *, whole: bool) -> None:
        """Count the doctors in the copy, and log the kinds that show fewer than before. whole: every kind is filled."""
        before, (doctors, seen) = self.state(), self.doctors()
        for kind in KINDS:
            known = _part(before, "seen", kind)
            if isinstance(known, int) and seen.get(kind, 0) < known:
                log("coverage.less", "WARNING", kind=kind, count=seen.get(kind, 0))
        self._change({"counted_at": self._now(), "whole": whole, "doctors": doctors, "seen": seen})

    def doctors(self) -> tuple[int, dict[str, int]]:
        """Return how many doctors the copy has, and by kind how many of them living records name.

        Omits kinds whose records name no doctor. Costs a query per kind and doctor.
        """
        found = self._documents.query("doctors", fields=[META])
        ids = [id_of_document(name) for name, document in found if copy_of(document) is not None]
        kinds = [kind.name for kind in KINDS.values() if not kind.whole]
        seen = {kind: sum(self._names(kind, doctor) for doctor in ids) for kind in kinds}
        return len(ids), {kind: count for kind, count in seen.items() if count}

    def _names(self, kind: str, doctor: str) -> bool:
        living = Where(f"{META}.deleted", "==", False)
        return any(
            True
            for value in spellings(doctor)
            for _ in self._documents.query(kind, [Where("doctor", "==", value), living], limit=1, fields=[META])
        )

    def _change(self, changes: Data) -> None:
        def work(transaction: Transaction) -> None:
            transaction.set(STATE, (transaction.get(STATE) or {}) | changes)

        self._documents.transact(work)
