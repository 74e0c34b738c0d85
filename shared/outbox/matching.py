"""Whether what DrChrono shows is what was sent. Pure.

DrChrono formats some values: decimals as text, times with seconds, telephone numbers with brackets. Two values are
equal if they differ only in that. A false difference costs a person's look; a false equality would lose a write. So
everything else counts as different.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from shared.drchrono.ids import id_of
from shared.drchrono.lag import provable_from
from shared.outbox.entries import Entry
from shared.outbox.targets import identity_of
from shared.outbox.transitions import provable_absence
from shared.records.storable import digest as record_digest

_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_LOCAL_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?", re.ASCII)

MOST_KNOWN = 50


def is_same(name: str, sent: Any, shown: Any) -> bool:
    """DrChrono may show a sent object with more fields in it. It shows a list whole."""
    if isinstance(sent, Mapping):
        return isinstance(shown, Mapping) and all(is_same(key, value, shown.get(key)) for key, value in sent.items())
    if isinstance(sent, list):
        return (
            isinstance(shown, list)
            and len(sent) == len(shown)
            and all(is_same(name, one, other) for one, other in zip(sent, shown, strict=True))
        )
    return bool(_plain(name, sent) == _plain(name, shown))


def _plain(name: str, value: Any) -> object:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return value
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, default=str)
    text = " ".join(str(value).split())
    if name.endswith("phone"):
        return re.sub(r"\D", "", text)
    if _LOCAL_TIME.fullmatch(text):
        return datetime.fromisoformat(text).isoformat()
    if _NUMBER.fullmatch(text) and not (text.lstrip("-").startswith("0") and text.isdigit()):
        try:
            return Decimal(text).normalize()
        except InvalidOperation:
            return text
    return text


def differences(sent: Mapping[str, Any], shown: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the sent fields that the record does not show as sent."""
    return tuple(sorted(name for name, value in sent.items() if not is_same(name, value, shown.get(name))))


def digest(names: Iterable[str], record: Mapping[str, Any]) -> str:
    """Return a digest of the values of these fields."""
    return record_digest({name: record.get(name) for name in names})


class Finding(StrEnum):
    """The result of a search. ABSENT: certainly nothing arrived. OPEN: nothing found yet; a later search may find more.
    UNPROVEN: nothing found, but the list may omit the record, as it omits others. AMBIGUOUS: a person must decide.
    """

    FOUND = "found"
    ABSENT = "absent"
    OPEN = "searching"
    UNPROVEN = "unproven"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True)
class Found:
    finding: Finding
    record: Mapping[str, Any] | None = None
    differs: tuple[str, ...] = ()


def updated(entry: Entry, record: Mapping[str, Any], began: datetime) -> Found:
    """Return what a read of the record that began at `began` proves about an update whose outcome is unknown.

    The values may have been there before, and a replica may show an older state. Only a state after the request was
    sent counts.
    """
    if entry.sent_at is None or began < provable_from(entry.sent_at):
        return Found(Finding.OPEN)
    fields = entry.request.fields
    if not differences(fields, record):
        return Found(Finding.FOUND, record)
    if began < provable_absence(entry.sent_at):
        return Found(Finding.OPEN)
    if entry.before is not None and digest(fields, record) == entry.before:
        return Found(Finding.ABSENT)
    # Another edit came, before or after ours. Sending ours again could undo it.
    return Found(Finding.AMBIGUOUS)


def created(
    entry: Entry, shown: Sequence[Mapping[str, Any]], began: datetime, *, claimed: frozenset[str] = frozenset()
) -> Found:
    """Return what a search that began at `began` proves about a creation whose outcome is unknown.

    claimed: ids of records that other entries created. A record that is shown exists, however old the answer is. Only a
    search that began late enough proves that there is none.
    """
    fields = entry.request.fields
    wanted = identity_of(entry.request.kind, fields)
    passed = claimed | set(entry.known)
    alike = [
        record
        for record in shown
        if identity_of(entry.request.kind, record) == wanted and (id_of(record.get("id")) or "") not in passed
    ]
    if len(alike) > 1:
        alike = [record for record in alike if not differences(fields, record)]
        if len(alike) != 1:
            return Found(Finding.AMBIGUOUS)
    if alike:
        return Found(Finding.FOUND, alike[0], differences(fields, alike[0]))
    late_enough = entry.sent_at is not None and began >= provable_absence(entry.sent_at)
    return Found(Finding.ABSENT if late_enough else Finding.OPEN)
