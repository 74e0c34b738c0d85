"""One record for its own page, the only page that shows patient data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlencode

from ops import compare
from ops.compare import Compared, Stored
from ops.target_system import TargetSystem


@dataclass(frozen=True)
class Shown:
    """stored, text: the copy; None and empty if there is none, and then `missing` says what is known.

    there: whether DrChrono has the record now; None if this was not checked. fetch_again: the link to that action.
    """

    kind: str
    id: str
    stored: Stored | None
    missing: str
    text: str
    there: bool | None
    compared: Compared | None
    fetch_again: str


def shown(target: TargetSystem, kind: str, key: str, *, with_drchrono: bool) -> Shown:
    """with_drchrono: compare it with DrChrono's record, which costs a request.

    Raises BadKey, StoreUnavailable, and with DrChrono what the API raises.
    """
    row, system = compare.kind_of(kind), target.system
    stored, missing = None, ""
    try:
        stored = compare.stored(system.documents(), system.queue(), row, key)
    except compare.NotStored as error:
        missing = str(error)
    now = compare.fetch(system.drchrono(), row, key) if with_drchrono else None
    return Shown(
        kind=kind,
        id=key,
        stored=stored,
        missing=missing,
        text=json.dumps(stored.record, indent=2, ensure_ascii=False, default=str) if stored else "",
        there=now is not None if with_drchrono else None,
        compared=compare.compared(stored, now) if stored and with_drchrono else None,
        fetch_again=f"/confirm/fetch?{urlencode({'kind': kind, 'id': key})}",
    )
